"""The configuration: what it refuses, how it is saved."""

import pytest
from huggingface_hub.errors import StrictDataclassError

from autoreg_gmlp import GMLPConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"intermediate_size": 7}, r"`intermediate_size` \(7\) must be even, because one half of the channels gates"),
        ({"intermediate_size": 0}, r"`intermediate_size` \(0\) must be greater than 0"),
        ({"hidden_size": 0}, r"`hidden_size` \(0\) must be greater than 0"),
        ({"vocab_size": -1}, r"`vocab_size` \(-1\) must be greater than 0"),
        ({"num_hidden_layers": 0}, r"`num_hidden_layers` \(0\) must be greater than 0"),
        ({"max_position_embeddings": 0}, r"`max_position_embeddings` \(0\) must be greater than 0"),
        ({"attention_head_dim": 0}, r"`attention_head_dim` \(0\) must be greater than 0"),
        ({"layer_norm_eps": 0.0}, r"`layer_norm_eps` \(0.0\) must be greater than 0"),
        ({"hidden_dropout": 1.0}, r"`hidden_dropout` \(1.0\) must be at least 0 and less than 1"),
        ({"classifier_dropout": -0.1}, r"`classifier_dropout` \(-0.1\) must be at least 0 and less than 1"),
        ({"hidden_act": "gleu"}, r"`hidden_act` \('gleu'\) is none of transformers' activations"),
        ({"attention_head_dim": "wide"}, r"attention_head_dim"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    """Fields that do not fit raise, and the message names the field, its value and what it must be."""
    with pytest.raises(StrictDataclassError, match=message):
        GMLPConfig(**options)


def test_defaults_are_the_papers_base_model():
    """Without arguments the sizes are those of gMLP-base in the paper (section 4.4), without attention."""
    config = GMLPConfig()
    sizes = (config.num_hidden_layers, config.hidden_size, config.intermediate_size, config.attention_head_dim)
    assert sizes == (48, 512, 3072, None)


def test_saved_and_loaded_equal(tmp_path):
    """A saved configuration is read back equal, without registration."""
    config = GMLPConfig(hidden_size=32, attention_head_dim=8, classifier_dropout=0.2)
    config.save_pretrained(tmp_path)
    assert GMLPConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()

"""The configuration: what it derives, what it refuses, how it is saved."""

import pytest
from huggingface_hub.errors import StrictDataclassError

from autoreg_retnet import RetNetConfig


def test_sizes_default_to_the_papers():
    """Head, value and feed-forward sizes follow from the width as in the paper."""
    config = RetNetConfig(hidden_size=64, num_attention_heads=4)
    assert (config.head_dim, config.value_head_dim, config.intermediate_size) == (16, 32, 128)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 30, "num_attention_heads": 4, "head_dim": 8}, r"`hidden_size` \(30\) must be a multiple"),
        ({"hidden_size": 12, "num_attention_heads": 4}, r"`head_dim` \(3\) must be even"),
        ({"head_dim": 5}, r"`head_dim` \(5\) must be even"),
        ({"head_dim": 0}, r"`head_dim` \(0\) must be greater than 0"),
        ({"value_head_dim": -1}, r"`value_head_dim` \(-1\) must be greater than 0"),
        ({"num_attention_heads": 0}, r"`num_attention_heads` \(0\) must be greater than 0"),
        ({"num_hidden_layers": 0}, r"`num_hidden_layers` \(0\) must be greater than 0"),
        ({"vocab_size": 0}, r"`vocab_size` \(0\) must be greater than 0"),
        ({"chunk_size": 0}, r"`chunk_size` \(0\) must be greater than 0"),
        ({"intermediate_size": 0}, r"`intermediate_size` \(0\) must be greater than 0"),
        ({"layer_norm_eps": 0.0}, r"`layer_norm_eps` \(0.0\) must be greater than 0"),
        ({"rotation_base": -1.0}, r"`rotation_base` \(-1.0\) must be greater than 0"),
        ({"hidden_dropout": 1.0}, r"`hidden_dropout` \(1.0\) must be at least 0 and less than 1"),
        ({"hidden_act": "gleu"}, r"`hidden_act` \('gleu'\) is none of transformers' activations"),
        ({"retention_form": "serial"}, r"retention_form"),
        ({"hidden_size": "wide"}, r"hidden_size"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    """Fields that do not fit raise, and the message names the field, its value and what it must be."""
    with pytest.raises(StrictDataclassError, match=message):
        RetNetConfig(**options)


def test_foreign_layer_types_are_refused():
    """Layers other than retention raise, and the message names them."""
    with pytest.raises(ValueError, match=r"may only hold 'retention', and it holds \['full_attention'\]"):
        RetNetConfig(layer_types=["retention", "full_attention"])


def test_saved_and_loaded_equal(tmp_path):
    """A saved configuration is read back equal, without registration."""
    config = RetNetConfig(hidden_size=32, num_attention_heads=2, retention_form="recurrent", chunk_size=7)
    config.save_pretrained(tmp_path)
    assert RetNetConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_depth_can_be_changed_while_loading(tmp_path):
    """Loading with fewer layers shortens the list of layer types with them."""
    RetNetConfig(num_hidden_layers=4).save_pretrained(tmp_path)
    config = RetNetConfig.from_pretrained(tmp_path, num_hidden_layers=2)
    assert config.num_hidden_layers == 2
    assert config.layer_types == ["retention", "retention"]

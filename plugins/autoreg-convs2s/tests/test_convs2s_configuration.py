"""The configuration: what it refuses, how it is saved, what caches are made from it."""

import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import DynamicCache

from autoreg_convs2s import ConvS2SConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 0}, r"`vocab_size` \(0\) must be greater than 0"),
        ({"hidden_size": 0}, r"`hidden_size` \(0\) must be greater than 0"),
        ({"conv_channels": -2}, r"`conv_channels` \(-2\) must be greater than 0"),
        ({"encoder_layers": 0}, r"`encoder_layers` \(0\) must be greater than 0"),
        ({"decoder_layers": 0}, r"`decoder_layers` \(0\) must be greater than 0"),
        ({"encoder_kernel_size": 0}, r"`encoder_kernel_size` \(0\) must be greater than 0"),
        ({"decoder_kernel_size": 0}, r"`decoder_kernel_size` \(0\) must be greater than 0"),
        ({"max_position_embeddings": 0}, r"`max_position_embeddings` \(0\) must be greater than 0"),
        ({"dropout": 1.0}, r"`dropout` \(1.0\) must be at least 0 and less than 1"),
        ({"dropout": -0.1}, r"`dropout` \(-0.1\) must be at least 0 and less than 1"),
        ({"is_encoder_decoder": False}, r"`is_encoder_decoder` \(False\) must be True"),
        ({"hidden_size": "wide"}, r"hidden_size"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    """Fields out of range raise, and the message names the field, its value and what it must be."""
    with pytest.raises(StrictDataclassError, match=message):
        ConvS2SConfig(**options)


def test_foreign_layer_types_are_refused():
    """Layers other than convolutions raise, and the message names them."""
    with pytest.raises(ValueError, match=r"may only hold 'causal_convolution', and it holds \['full_attention'\]"):
        ConvS2SConfig(layer_types=["full_attention"])


def test_saved_and_loaded_equal(tmp_path):
    """A saved configuration is read back equal, without registration."""
    config = ConvS2SConfig(hidden_size=32, encoder_layers=3, decoder_layers=5, weight_norm=False)
    config.save_pretrained(tmp_path)
    assert ConvS2SConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_caches_have_a_layer_for_each_decoder_layer(tmp_path):
    """A cache has as many layers as the decoder, also of the config that `generate` takes and one that was changed."""
    config = ConvS2SConfig(encoder_layers=3, decoder_layers=5)
    assert len(DynamicCache(config=config).layers) == 5
    assert len(DynamicCache(config=config.get_text_config(decoder=True)).layers) == 5
    config.save_pretrained(tmp_path)
    changed = ConvS2SConfig.from_pretrained(tmp_path, decoder_layers=2)
    assert len(DynamicCache(config=changed.get_text_config(decoder=True)).layers) == 2


def test_ids_are_those_of_the_tokenizer():
    """The default ids of the special tokens are the tokenizer's."""
    from autoreg_convs2s import ConvS2STokenizer

    config, tokenizer = ConvS2SConfig(), ConvS2STokenizer()
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        assert getattr(config, name) == getattr(tokenizer, name)
    assert config.decoder_start_token_id == tokenizer.eos_token_id

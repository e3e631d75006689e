"""The configuration: parts of any model type, resolved by their owners, what it refuses, how it is saved."""

import json

import autoreg
import pytest
from autoreg.errors import UnknownArchitectureError
from autoreg_convmixer import ConvMixerConfig
from autoreg_retnet import RetNetConfig
from huggingface_hub.errors import StrictDataclassError
from transformers import ResNetConfig

from autoreg_captioner import CaptionerConfig


def test_parts_are_those_of_the_other_plugins():
    """Without arguments the parts are a ConvMixer and a RetNet that has room for the image token."""
    config = CaptionerConfig()
    assert type(config.vision_config) is ConvMixerConfig
    assert type(config.text_config) is RetNetConfig
    assert config.image_token_id == 259 == config.text_config.vocab_size - 1
    assert config.get_text_config() is config.text_config


def test_parts_may_be_dictionaries_of_any_model_type():
    """A part is resolved by its `model_type`, in transformers too, and by the default one where it names none."""
    config = CaptionerConfig(
        vision_config={"model_type": "resnet", "embedding_size": 8}, text_config={"hidden_size": 64, "vocab_size": 300}
    )
    assert type(config.vision_config) is ResNetConfig
    assert (type(config.text_config), config.text_config.hidden_size) == (RetNetConfig, 64)


def test_unknown_parts_are_refused():
    """A part whose model type nobody has raises, and is named."""
    with pytest.raises(UnknownArchitectureError, match="convmixture"):
        CaptionerConfig(vision_config={"model_type": "convmixture"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_token_id": 260}, r"`image_token_id` \(260\) must be an id of the language model"),
        ({"image_token_id": -1}, r"`image_token_id` \(-1\) must be an id"),
        ({"text_config": {"vocab_size": 200}}, r"`text_config.vocab_size` is 200"),
        ({"projector_hidden_act": "gleu"}, r"`projector_hidden_act` \('gleu'\) is none of transformers' activations"),
        ({"vision_config": 3}, "vision_config"),
        ({"text_config": {"num_attention_heads": 0}}, r"`num_attention_heads` \(0\) must be greater than 0"),
    ],
)
def test_unfit_fields_are_refused(options, message):
    """Fields that do not fit raise, also those of a part, and the message names the field and its value."""
    with pytest.raises((StrictDataclassError, TypeError), match=message):
        CaptionerConfig(**options)


def test_saved_and_loaded_equal(tmp_path):
    """A saved configuration names the model types of its parts, and is read back equal."""
    config = CaptionerConfig(
        vision_config=ConvMixerConfig(patch_size=2, out_features=["stem"]),
        text_config=RetNetConfig(vocab_size=300, chunk_size=7),
        image_token_id=299,
        tie_word_embeddings=False,
    )
    config.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["vision_config"]["model_type"], written["text_config"]["model_type"]) == ("convmixer", "retnet")
    for loaded in (CaptionerConfig.from_pretrained(tmp_path), autoreg.AutoConfig.from_pretrained(tmp_path)):
        assert {**loaded.to_dict(), "_name_or_path": ""} == config.to_dict()

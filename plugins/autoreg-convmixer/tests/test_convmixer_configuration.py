"""The configuration: what it derives, what it refuses, how it is saved."""

import pytest
from huggingface_hub.errors import StrictDataclassError

from autoreg_convmixer import ConvMixerConfig


def test_defaults_are_convmixer_768_32():
    """Without arguments it is the paper's ConvMixer-768/32, with patches of 7 and kernels of 7."""
    config = ConvMixerConfig()
    assert (config.hidden_size, config.num_hidden_layers, config.patch_size, config.kernel_size) == (768, 32, 7, 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, r"`hidden_size` \(0\) must be greater than 0"),
        ({"num_channels": 0}, r"`num_channels` \(0\) must be greater than 0"),
        ({"num_hidden_layers": 0}, r"`num_hidden_layers` \(0\) must be greater than 0"),
        ({"kernel_size": -3}, r"`kernel_size` \(-3\) must be greater than 0"),
        ({"patch_size": 0}, r"`patch_size` \(0\) must be greater than 0"),
        ({"batch_norm_eps": 0.0}, r"`batch_norm_eps` \(0.0\) must be greater than 0"),
        ({"batch_norm_momentum": 1.5}, r"`batch_norm_momentum` \(1.5\) must be between 0 and 1"),
        ({"image_size": 6}, r"`image_size` \(6\) must be at least `patch_size` \(7\)"),
        ({"hidden_act": "gleu"}, r"`hidden_act` \('gleu'\) is none of transformers' activations"),
        ({"patch_size": "wide"}, r"patch_size"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    """Fields that do not fit raise, and the message names the field, its value and what it must be."""
    with pytest.raises(StrictDataclassError, match=message):
        ConvMixerConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out_features": ["stage3"]}, r"must be a subset of stage_names: \['stem', 'stage1', 'stage2'\]"),
        ({"out_features": ["stage2", "stem"]}, "must be in the same order as stage_names"),
        ({"out_indices": [1, 1]}, "must not contain any duplicates"),
        ({"out_features": ["stem"], "out_indices": [1]}, "should correspond to the same stages"),
    ],
)
def test_foreign_stages_are_refused(options, message):
    """Stages that are not there, come twice or out of order raise."""
    with pytest.raises(ValueError, match=message):
        ConvMixerConfig(num_hidden_layers=2, **options)


def test_names_and_indices_of_stages_follow_each_other():
    """The stages are the last unless chosen, by name or by index, and can be chosen again."""
    config = ConvMixerConfig(num_hidden_layers=3)
    assert (config.out_features, config.out_indices) == (["stage3"], [3])
    config.out_indices = [0, 2]
    assert config.out_features == ["stem", "stage2"]
    config.out_features = ["stage1"]
    assert config.out_indices == [1]


def test_saved_and_loaded_equal(tmp_path):
    """A saved configuration is read back equal, without registration."""
    config = ConvMixerConfig(num_hidden_layers=3, patch_size=2, hidden_act="relu", out_features=["stem", "stage2"])
    config.save_pretrained(tmp_path)
    loaded = ConvMixerConfig.from_pretrained(tmp_path)
    assert loaded.to_dict() == config.to_dict()
    assert loaded.out_indices == [0, 2]


def test_depth_can_be_changed_while_loading(tmp_path):
    """Loading with fewer layers shortens the stages with them, and the backbone returns the new last one."""
    ConvMixerConfig(num_hidden_layers=4).save_pretrained(tmp_path)
    config = ConvMixerConfig.from_pretrained(tmp_path, num_hidden_layers=2)
    assert (config.stage_names, config.out_features) == (["stem", "stage1", "stage2"], ["stage2"])

"""The configuration: what it derives, what it refuses, how it is saved."""

import pytest
from huggingface_hub.errors import StrictDataclassError

from autoreg_nhits import NHitsConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling_kernel_sizes": [8, 1]}, r"`pooling_kernel_sizes` \(\[8, 1\]\) and .* must have one entry for each"),
        ({"pooling_kernel_sizes": [], "frequency_downsampling": []}, r"at least one; they have 0 and 0"),
        ({"pooling_kernel_sizes": [0, 1, 1]}, r"`pooling_kernel_sizes` \(\[0, 1, 1\]\) must be greater than 0 in"),
        ({"frequency_downsampling": [1, -1, 1]}, r"`frequency_downsampling` .* must be greater than 0 in every"),
        ({"pooling_kernel_sizes": [97, 1, 1]}, r"must not be greater than `context_length` \(96\)"),
        ({"context_length": 0}, r"`context_length` \(0\) must be greater than 0"),
        ({"prediction_length": 0}, r"`prediction_length` \(0\) must be greater than 0"),
        ({"num_blocks_per_stack": 0}, r"`num_blocks_per_stack` \(0\) must be greater than 0"),
        ({"hidden_size": 0}, r"`hidden_size` \(0\) must be greater than 0"),
        ({"num_mlp_layers": 0}, r"`num_mlp_layers` \(0\) must be greater than 0"),
        ({"minimum_scale": 0.0}, r"`minimum_scale` \(0.0\) must be greater than 0"),
        ({"hidden_dropout": 1.0}, r"`hidden_dropout` \(1.0\) must be at least 0 and less than 1"),
        ({"hidden_act": "rulu"}, r"`hidden_act` \('rulu'\) is none of transformers' activations"),
        ({"quantiles": []}, r"`quantiles` \(\[\]\) must lie between 0 and 1 in ascending order, with the median"),
        ({"quantiles": [0.1, 0.9]}, r"with the median, 0.5, among them"),
        ({"quantiles": [0.9, 0.5, 0.1]}, r"in ascending order"),
        ({"quantiles": [0.0, 0.5]}, r"must lie between 0 and 1"),
        ({"interpolation_mode": "quintic"}, r"interpolation_mode"),
        ({"scaling": "max"}, r"scaling"),
        ({"loss": "nll"}, r"loss"),
        ({"hidden_size": "wide"}, r"hidden_size"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    """Fields that do not fit raise, and the message names the field, its value and what it must be."""
    with pytest.raises(StrictDataclassError, match=message):
        NHitsConfig(**options)


def test_knots_follow_from_the_downsampling():
    """A stack has a knot for each `frequency_downsampling` steps, rounded up, and never none."""
    config = NHitsConfig(frequency_downsampling=(200, 7, 1))
    assert [config.num_knots(24, stack) for stack in range(3)] == [1, 4, 24]
    assert (config.num_stacks, config.num_blocks) == (3, 3)
    assert NHitsConfig(num_blocks_per_stack=2).num_blocks == 6


def test_saved_and_loaded_equal(tmp_path):
    """A saved configuration is read back equal, lists as lists, without registration."""
    config = NHitsConfig(quantiles=(0.2, 0.5), pooling_kernel_sizes=(4, 1), frequency_downsampling=(6, 1))
    config.save_pretrained(tmp_path)
    loaded = NHitsConfig.from_pretrained(tmp_path)
    assert loaded.to_dict() == config.to_dict()
    assert loaded.quantiles == config.quantiles == [0.2, 0.5]

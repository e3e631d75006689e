"""The feature extractor: windows from series of any length, with gaps."""

import math

import numpy as np
import pytest
import torch

from autoreg_nhits import NHitsFeatureExtractor

EXTRACTOR = NHitsFeatureExtractor(context_length=6)


def test_short_series_are_padded_on_the_left():
    """A short series ends where its window ends, and the mask is 0 before it."""
    batch = EXTRACTOR([[1, 2, 3], [1, 2, 3, 4, 5, 6]], return_tensors="pt")
    assert batch["past_values"].tolist() == [[0, 0, 0, 1, 2, 3], [1, 2, 3, 4, 5, 6]]
    assert batch["past_observed_mask"].tolist() == [[False] * 3 + [True] * 3, [True] * 6]
    assert (batch["past_values"].dtype, batch["past_observed_mask"].dtype) == (torch.float32, torch.bool)
    assert set(batch) == {"past_values", "past_observed_mask"}


def test_long_series_are_cut_to_their_end():
    """Of a long series the last `context_length` values are kept."""
    assert EXTRACTOR(range(10), return_tensors="np")["past_values"].tolist() == [[4, 5, 6, 7, 8, 9]]


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_missing_values_are_masked(missing):
    """`None`, NaN and infinities become `padding_value`, with 0 in the mask."""
    batch = NHitsFeatureExtractor(context_length=4, padding_value=-1.0)([5, missing, 7], return_tensors="pt")
    assert batch["past_values"].tolist() == [[-1, 5, -1, 7]]
    assert batch["past_observed_mask"].tolist() == [[False, True, False, True]]


@pytest.mark.parametrize(
    "series",
    [
        [1.0, 2.0],
        (1, 2),
        np.array([1, 2]),
        np.array([1.0, 2.0], dtype=np.float32),
        torch.tensor([1.0, 2.0]),
        [[1, 2]],
        np.array([[1, 2]]),
        torch.tensor([[1, 2]]),
        [np.array([1, 2])],
        [np.float64(1), np.float64(2)],
        [torch.tensor(1.0), torch.tensor(2.0)],
    ],
)
def test_series_come_in_many_forms(series):
    """Lists, tuples, arrays and tensors of one series or of several give the same window."""
    assert EXTRACTOR(series, padding=False, return_tensors="np")["past_values"].tolist() == [[1, 2]]


def test_padding_to_the_longest():
    """`padding=True` pads to the longest window of the batch, `padding=False` leaves lengths as they are."""
    assert EXTRACTOR([[1], [1, 2]], padding=True, return_tensors="np")["past_values"].shape == (2, 2)
    lengths = [len(window) for window in EXTRACTOR([[1], [1, 2]], padding=False)["past_values"]]
    assert lengths == [1, 2]


def test_futures_come_along():
    """Targets of training have a mask of their own."""
    batch = EXTRACTOR([[1, 2], [3, 4]], [[5, math.nan], [7, 8]], return_tensors="pt")
    assert batch["future_values"].tolist() == [[5, 0], [7, 8]]
    assert batch["future_observed_mask"].tolist() == [[True, False], [True, True]]


def test_wrong_shapes_are_refused():
    """Multivariate series and futures without a past raise ValueError that says so."""
    with pytest.raises(ValueError, match=r"Each series in `past_values` must be one-dimensional.*\(3, 2\)"):
        EXTRACTOR(np.ones((4, 3, 2)))
    with pytest.raises(ValueError, match=r"Each series in `past_values` must be one-dimensional.*\(\)"):
        EXTRACTOR(np.array(3.0))
    with pytest.raises(ValueError, match=r"`past_values` holds 1 series, and `future_values` 2"):
        EXTRACTOR([1, 2], [[3], [4]])


def test_saved_and_loaded_equal(tmp_path):
    """A saved feature extractor is read back equal."""
    NHitsFeatureExtractor(context_length=11, padding_value=3.0).save_pretrained(tmp_path)
    loaded = NHitsFeatureExtractor.from_pretrained(tmp_path)
    assert (loaded.context_length, loaded.padding_value, loaded.padding_side) == (11, 3.0, "left")
    assert loaded([1], return_tensors="np")["past_values"].tolist() == [[3] * 10 + [1]]

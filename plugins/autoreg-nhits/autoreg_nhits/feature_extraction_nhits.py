"""From series as people have them, of any length and with gaps, to the windows that N-HiTS reads."""

from typing import Any

import numpy as np
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.utils import TensorType


class NHitsFeatureExtractor(SequenceFeatureExtractor):
    """Cut series to their last `context_length` steps, pad shorter ones on the left, and mark what is missing.

    A value is missing where it is NaN, infinite or `None`. Scaling is not done here: the model scales each window
    itself, and its forecasts are in the unit of the series.

    Args:
        context_length: Most steps of a window; that of the model's config.
        feature_size: Values a step; 1, because N-HiTS is univariate.
        sampling_rate: Not looked at: N-HiTS knows no time but steps.
        padding_value: What stands where nothing was observed. The model does not look at it.
        padding_side: `"left"`, so that the latest value is the last one.
        **kwargs: As for every `SequenceFeatureExtractor`.

    Depth: classes (imports transformers, not torch).
    """

    model_input_names = ["past_values", "past_observed_mask"]

    def __init__(
        self,
        context_length: int = 96,
        feature_size: int = 1,
        sampling_rate: int = 1,
        padding_value: float = 0.0,
        padding_side: str = "left",
        **kwargs,
    ) -> None:
        super().__init__(
            feature_size=feature_size,
            sampling_rate=sampling_rate,
            padding_value=padding_value,
            padding_side=padding_side,
            **kwargs,
        )
        self.context_length = context_length

    def __call__(
        self,
        past_values: Any,
        future_values: Any = None,
        *,
        padding: bool | str = "max_length",
        return_tensors: str | TensorType | None = None,
    ) -> BatchFeature:
        """Return windows, and the targets of training if there are any.

        Args:
            past_values: One series, or a sequence of series: lists, arrays, tensors on the CPU, pandas columns.
            future_values: What came after each series, of one length for all of them, in the same form.
            padding: `"max_length"` to `context_length`, True to the longest window, False not at all.
            return_tensors: `"pt"` or `"np"`; by default lists of arrays.

        Returns:
            `past_values` float32 and `past_observed_mask` bool, `(batch_size, length)`; with `future_values` also
            `future_values` and `future_observed_mask`. A single series is a batch of one.

        Raises:
            ValueError: A series that is not one-dimensional, or as many futures as there are no pasts.
        """
        pasts = [series[-self.context_length :] for series in _as_batch(past_values, name="past_values")]
        # The base class pads one mask along with the values, and knows it under this name only.
        masked = {"past_values": self._filled(pasts), "attention_mask": [np.isfinite(past) for past in pasts]}
        batch = self.pad(masked, padding=padding, max_length=self.context_length, return_attention_mask=True)
        batch["past_observed_mask"] = batch.pop("attention_mask")
        if future_values is not None:
            futures = _as_batch(future_values, name="future_values")
            if len(futures) != len(pasts):
                raise ValueError(f"`past_values` holds {len(pasts)} series, and `future_values` {len(futures)}.")
            batch["future_values"] = self._filled(futures)
            batch["future_observed_mask"] = [np.isfinite(future) for future in futures]
        return batch.convert_to_tensors(return_tensors)

    def _filled(self, batch: list[np.ndarray]) -> list[np.ndarray]:
        """Return the series as float32, `padding_value` in the place of what is missing."""
        return [np.where(np.isfinite(series), series, self.padding_value).astype(np.float32) for series in batch]


def _as_batch(values: Any, *, name: str) -> list[np.ndarray]:
    """Return one float64 array a series, NaN for `None`; ValueError for a series that is not one-dimensional."""
    batch = [np.asarray(series, dtype=np.float64) for series in ([values] if _is_single(values) else values)]
    for series in batch:
        if series.ndim != 1:
            raise ValueError(
                f"Each series in `{name}` must be one-dimensional, and one has the shape {series.shape}. "
                "Give the channels of a multivariate series as series."
            )
    return batch


def _is_single(values: Any) -> bool:
    """Tell one series from a sequence of series; an array of no dimension is left to the check of dimensions."""
    dimensions = getattr(values, "ndim", None)
    if dimensions is not None:
        return dimensions < 2  # noqa: PLR2004 - batch and time
    return len(values) == 0 or values[0] is None or np.ndim(values[0]) == 0


__all__ = ["NHitsFeatureExtractor"]

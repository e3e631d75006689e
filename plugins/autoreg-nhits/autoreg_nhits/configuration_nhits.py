"""The sizes and switches of an N-HiTS."""

# No `from __future__ import annotations` here: transformers makes config classes dataclasses whose
# fields `strict` validates from the annotations themselves.
from itertools import pairwise
from math import ceil
from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN

MEDIAN = 0.5
"""The quantile that is the forecast where a single value is asked for."""


@strict
class NHitsConfig(PreTrainedConfig):
    r"""Describe an N-HiTS (Challu et al. 2022, arXiv:2201.12886).

    There is one entry in each of the two lists for each stack, from the first stack to the last; the paper's
    order is from low to high frequency.

    Args:
        context_length: Steps of the past a forecast is made from, *L* in the paper. A longer past is cut to its
            end, a shorter one counts as unobserved before its start.
        prediction_length: Steps of a forecast, *H* in the paper.
        pooling_kernel_sizes: Width *k* of the max pooling that a stack reads the window through.
        frequency_downsampling: Steps a knot of the interpolation of a stack, *1/r* in the paper, where *r* is
            the expressiveness ratio. A window of *n* steps has `ceil(n / downsampling)` knots.
        num_blocks_per_stack: Number of blocks in each stack.
        hidden_size: Width of the MLP of a block.
        num_mlp_layers: Number of layers of the MLP of a block.
        hidden_act: Activation of the MLP, a name of `transformers.activations.ACT2FN`.
        hidden_dropout: Dropout probability behind each layer of the MLP.
        interpolation_mode: How values between knots are made: `"nearest"`, `"linear"` or `"cubic"`.
        scaling: What a window is scaled by: its observed values' standard deviation around their mean
            (`"std"`), their mean absolute value (`"mean"`), or nothing (`None`).
        minimum_scale: Lower bound of the scale, in the unit of the series; a constant window needs one.
        loss: Distance between forecast and truth in units of the scale: `"mae"` or `"mse"`. Not looked at
            if there are `quantiles`.
        quantiles: Levels to forecast besides the median, in ascending order and with 0.5 among them; trained
            by the pinball loss. `None` forecasts a single value a step.
        initializer_range: Standard deviation of the normal distribution weights start from.

    Raises:
        huggingface_hub.errors.StrictDataclassFieldValidationError: A field has the wrong type.
        huggingface_hub.errors.StrictDataclassClassValidationError: The fields do not fit together;
            the message names the fields, what they are and what they must be.

    Depth: classes (imports transformers; never the modelling code).
    """

    model_type = "nhits"
    # What a Trainer's `predict` is to return are forecasts; the rest is a by-product.
    keys_to_ignore_at_inference = ["stack_predictions", "residuals", "last_hidden_state", "loc", "scale"]

    context_length: int = 96
    prediction_length: int = 24
    pooling_kernel_sizes: list[int] | tuple[int, ...] = (8, 4, 1)
    frequency_downsampling: list[int] | tuple[int, ...] = (12, 4, 1)
    num_blocks_per_stack: int = 1
    hidden_size: int = 512
    num_mlp_layers: int = 2
    hidden_act: str = "relu"
    hidden_dropout: float | int = 0.0
    interpolation_mode: Literal["nearest", "linear", "cubic"] = "linear"
    scaling: Literal["std", "mean"] | None = "std"
    minimum_scale: float | int = 1e-5
    loss: Literal["mae", "mse"] = "mae"
    quantiles: list[float] | tuple[float, ...] | None = None
    initializer_range: float = 0.05

    def __post_init__(self, **kwargs):
        # Lists from the start, because config.json gives lists back.
        self.pooling_kernel_sizes = list(self.pooling_kernel_sizes)
        self.frequency_downsampling = list(self.frequency_downsampling)
        if self.quantiles is not None:
            self.quantiles = list(self.quantiles)
        super().__post_init__(**kwargs)

    @property
    def num_stacks(self) -> int:
        """Number of stacks: the length of the two lists."""
        return len(self.pooling_kernel_sizes)

    @property
    def num_blocks(self) -> int:
        """Number of blocks in all stacks together."""
        return self.num_stacks * self.num_blocks_per_stack

    def num_knots(self, length: int, stack: int) -> int:
        """Return the number of knots that a stack (from 0) spans `length` steps with, at least 1."""
        return ceil(length / self.frequency_downsampling[stack])

    def validate_architecture(self):
        """Check what the fields must satisfy together; ValueError with the field names (called by `strict`)."""
        self._validate_sizes()
        self._validate_stacks()
        self._validate_quantiles()
        if not 0 <= self.hidden_dropout < 1:
            raise ValueError(f"`hidden_dropout` ({self.hidden_dropout}) must be at least 0 and less than 1.")
        if self.hidden_act not in ACT2FN:
            raise ValueError(
                f"`hidden_act` ({self.hidden_act!r}) is none of transformers' activations: {', '.join(sorted(ACT2FN))}."
            )

    def _validate_sizes(self) -> None:
        for name in (
            "context_length",
            "prediction_length",
            "num_blocks_per_stack",
            "hidden_size",
            "num_mlp_layers",
            "minimum_scale",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` ({getattr(self, name)}) must be greater than 0.")

    def _validate_stacks(self) -> None:
        kernels, downsampling = self.pooling_kernel_sizes, self.frequency_downsampling
        if len(kernels) != len(downsampling) or not kernels:
            raise ValueError(
                f"`pooling_kernel_sizes` ({kernels}) and `frequency_downsampling` ({downsampling}) must have one "
                f"entry for each stack, and at least one; they have {len(kernels)} and {len(downsampling)}."
            )
        for name in ("pooling_kernel_sizes", "frequency_downsampling"):
            if min(getattr(self, name)) < 1:
                raise ValueError(f"`{name}` ({getattr(self, name)}) must be greater than 0 in every stack.")
        if max(kernels) > self.context_length:
            raise ValueError(
                f"`pooling_kernel_sizes` ({kernels}) must not be greater than `context_length` ({self.context_length})."
            )

    def _validate_quantiles(self) -> None:
        levels = self.quantiles
        if levels is None:
            return
        ascending = all(low < high for low, high in pairwise(levels))
        if MEDIAN not in levels or not ascending or not 0 < levels[0] <= levels[-1] < 1:
            raise ValueError(
                f"`quantiles` ({levels}) must lie between 0 and 1 in ascending order, with the median, 0.5, among them."
            )


__all__ = ["MEDIAN", "NHitsConfig"]

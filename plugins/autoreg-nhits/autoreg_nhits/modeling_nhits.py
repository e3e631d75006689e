"""N-HiTS as transformers models: the trunk of blocks, and the forecasts that are read from it."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_nhits import MEDIAN, NHitsConfig
from .interpolation import interpolate


@dataclass
class NHitsModelOutput(ModelOutput):
    """What the trunk knows of a window.

    Args:
        last_hidden_state: `(batch_size, num_blocks, hidden_size)`, what the MLP of each block made of the window.
        residuals: `(batch_size, num_blocks, context_length)`, what each block read, in units of the scale: the
            scaled window less the backcasts of the blocks before it. 0 where nothing was observed.
        loc: `(batch_size, 1)`, what was taken off the window.
        scale: `(batch_size, 1)`, what it was divided by then.
    """

    last_hidden_state: torch.FloatTensor | None = None
    residuals: torch.FloatTensor | None = None
    loc: torch.FloatTensor | None = None
    scale: torch.FloatTensor | None = None


@dataclass
class NHitsOutputForPrediction(ModelOutput):
    """A forecast and what it is made of.

    Args:
        loss: Scalar, in units of the scale; `None` without `future_values`.
        mean_predictions: `(batch_size, prediction_length)`, one value a step in the unit of the series; under the
            `"mae"` loss and with quantiles it is an estimate of the median.
        full_predictions: `(batch_size, prediction_length, num_quantiles)`, one value for each of
            `config.quantiles`; `None` without them.
        stack_predictions: `(batch_size, num_stacks, prediction_length)`, the share of each stack. Their sum and
            `loc` are `mean_predictions`.
        residuals: See `NHitsModelOutput`.
        last_hidden_state: See `NHitsModelOutput`.
        loc: See `NHitsModelOutput`.
        scale: See `NHitsModelOutput`.
    """

    loss: torch.FloatTensor | None = None
    mean_predictions: torch.FloatTensor | None = None
    full_predictions: torch.FloatTensor | None = None
    stack_predictions: torch.FloatTensor | None = None
    residuals: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    loc: torch.FloatTensor | None = None
    scale: torch.FloatTensor | None = None


class NHitsBlock(GradientCheckpointingLayer):
    """One block without its forecast: pool, MLP, and the backcast by interpolation (eq. 1 to 4).

    The last block has no backcast, for nothing would read it, and parameters without gradients stop
    distributed training.
    """

    def __init__(self, config: NHitsConfig, block_idx: int):
        super().__init__()
        stack = block_idx // config.num_blocks_per_stack
        self.kernel_size = config.pooling_kernel_sizes[stack]
        self.interpolation_mode = config.interpolation_mode
        pooled_length = -(-config.context_length // self.kernel_size)
        widths = [pooled_length] + [config.hidden_size] * config.num_mlp_layers
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.act_fn = ACT2FN[config.hidden_act]
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.backcast = None
        if block_idx < config.num_blocks - 1:
            self.backcast = nn.Linear(config.hidden_size, config.num_knots(config.context_length, stack))

    def forward(
        self, residual: torch.Tensor, observed_mask: torch.Tensor, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the MLP's states, `(batch_size, hidden_size)`, and what is left for the next block to read.

        Args:
            residual: `(batch_size, context_length)`, float32 or wider.
            observed_mask: `(batch_size, context_length)`, bool.
            dtype: What the MLP computes in.
        """
        hidden_states = max_pool(residual, observed_mask, kernel_size=self.kernel_size).to(dtype)
        for layer in self.layers:
            hidden_states = self.dropout(self.act_fn(layer(hidden_states)))
        if self.backcast is None:
            return hidden_states, residual
        coefficients = self.backcast(hidden_states).to(residual.dtype)
        backcast = interpolate(coefficients, residual.shape[-1], mode=self.interpolation_mode)
        return hidden_states, (residual - backcast).masked_fill(~observed_mask, 0)


def max_pool(values: torch.Tensor, observed_mask: torch.Tensor, *, kernel_size: int) -> torch.Tensor:
    """Return the maximum of the observed values in each `kernel_size` steps, 0 where there are none.

    The pools are counted from the end, so that the latest is whole and the earliest may be shorter.

    Args:
        values: `(batch_size, length)`, floating point.
        observed_mask: `(batch_size, length)`, bool.
        kernel_size: Steps a pool.

    Returns:
        `(batch_size, ceil(length / kernel_size))`.
    """
    missing = -values.shape[-1] % kernel_size
    values = values.masked_fill(~observed_mask, float("-inf"))
    values = nn.functional.pad(values, (missing, 0), value=float("-inf"))
    pooled = nn.functional.max_pool1d(values[:, None], kernel_size)[:, 0]
    return pooled.masked_fill(pooled == float("-inf"), 0)


def window_statistics(
    values: torch.Tensor, observed_mask: torch.Tensor, *, scaling: str | None, minimum_scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return location and scale of the observed values, both `(batch_size, 1)`; see `NHitsConfig.scaling`.

    Args:
        values: `(batch_size, length)`, float32 or wider, 0 where not observed.
        observed_mask: `(batch_size, length)`, bool.
        scaling: `"std"`, `"mean"` or `None`.
        minimum_scale: Lower bound of the scale.
    """
    count = observed_mask.sum(-1, keepdim=True).clamp(min=1)
    zero = torch.zeros_like(values[:, :1])
    if scaling is None:
        return zero, zero + 1
    if scaling == "mean":
        return zero, (values.abs().sum(-1, keepdim=True) / count).clamp(min=minimum_scale)
    loc = values.sum(-1, keepdim=True) / count
    variance = (values - loc).masked_fill(~observed_mask, 0).square().sum(-1, keepdim=True) / count
    # Bounded before the root, whose derivative at 0 is infinite.
    return loc, variance.clamp(min=minimum_scale**2).sqrt()


class NHitsPreTrainedModel(PreTrainedModel):
    """What every N-HiTS model tells transformers about itself."""

    config: NHitsConfig
    # Set outright: derived from the annotation alone it would break for a subclass in a module with
    # `from __future__ import annotations`, where annotations are strings.
    config_class = NHitsConfig
    base_model_prefix = "model"
    main_input_name = "past_values"
    input_modalities = ("time",)
    supports_gradient_checkpointing = True
    _no_split_modules = ["NHitsBlock"]


class NHitsModel(NHitsPreTrainedModel):
    """The trunk: scaling, and the blocks that read what the blocks before them left.

    It knows nothing of the forecast, so that a trained trunk serves any `prediction_length`.
    """

    def __init__(self, config: NHitsConfig):
        super().__init__(config)
        self.blocks = nn.ModuleList(NHitsBlock(config, block_idx) for block_idx in range(config.num_blocks))
        self.gradient_checkpointing = False
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        past_values: torch.FloatTensor,
        past_observed_mask: torch.Tensor | None = None,
        **kwargs,
    ) -> NHitsModelOutput:
        """Take windows apart.

        Args:
            past_values: `(batch_size, length)`, floating point, the latest value last. Of more than
                `context_length` steps the last ones count.
            past_observed_mask: `(batch_size, length)`, bool or numbers, 0 where a value is missing or padding.
                What stands there, NaN included, has no influence. By default everything was observed.
            **kwargs: `return_dict`, as everywhere in transformers; anything else is ignored.

        Raises:
            ValueError: `past_values` that are not 2D, or a mask of another shape.
        """
        values, observed_mask = self._window(past_values, past_observed_mask)
        loc, scale = window_statistics(
            values, observed_mask, scaling=self.config.scaling, minimum_scale=self.config.minimum_scale
        )
        residual = ((values - loc) / scale).masked_fill(~observed_mask, 0)
        states, residuals = [], []
        for block in self.blocks:
            residuals.append(residual)
            block_states, residual = block(residual, observed_mask, self.dtype)
            states.append(block_states.to(past_values.device))
        return NHitsModelOutput(
            last_hidden_state=torch.stack(states, dim=1),
            residuals=torch.stack([residual.to(past_values.device) for residual in residuals], dim=1),
            loc=loc,
            scale=scale,
        )

    def _window(
        self, past_values: torch.Tensor, past_observed_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values (float32 or wider) and mask (bool), cut or padded on the left to `context_length`."""
        if past_values.dim() != 2:  # noqa: PLR2004 - batch and time
            raise ValueError(
                f"N-HiTS takes `past_values` of the shape (batch_size, length), one series a row, and these have "
                f"{tuple(past_values.shape)}. Give the channels of a multivariate series as rows."
            )
        if past_observed_mask is None:
            past_observed_mask = torch.ones_like(past_values, dtype=torch.bool)
        if past_observed_mask.shape != past_values.shape:
            raise ValueError(
                f"`past_observed_mask` must have the shape of `past_values`, {tuple(past_values.shape)}, and it has "
                f"{tuple(past_observed_mask.shape)}."
            )
        # Sums over a window, and levels of 1,000 with steps of 1, need more than 8 or 11 bits.
        values = past_values.to(torch.promote_types(past_values.dtype, torch.float32))
        observed_mask = past_observed_mask.to(values.device).bool()
        # Filled before anything is computed: a NaN that is masked behind a division is NaN in the gradients still.
        values = values.masked_fill(~observed_mask, 0)
        missing = self.config.context_length - values.shape[1]
        # A negative width cuts.
        return nn.functional.pad(values, (missing, 0)), nn.functional.pad(observed_mask, (missing, 0))


class NHitsForPrediction(NHitsPreTrainedModel):
    """N-HiTS with its forecasts: each block's by interpolation (eq. 2 and 3), and their sum (eq. 5)."""

    # The loss is a mean over what was observed, whatever the Trainer says of the whole batch.
    accepts_loss_kwargs = False

    def __init__(self, config: NHitsConfig):
        super().__init__(config)
        self.model = NHitsModel(config)
        self.num_outputs = len(config.quantiles or [MEDIAN])
        self.forecast_heads = nn.ModuleList(
            nn.Linear(config.hidden_size, self.num_outputs * knots) for knots in self._forecast_knots()
        )
        self.post_init()

    def _forecast_knots(self) -> list[int]:
        config = self.config
        stacks = [block_idx // config.num_blocks_per_stack for block_idx in range(config.num_blocks)]
        return [config.num_knots(config.prediction_length, stack) for stack in stacks]

    @can_return_tuple
    def forward(
        self,
        past_values: torch.FloatTensor,
        past_observed_mask: torch.Tensor | None = None,
        future_values: torch.FloatTensor | None = None,
        future_observed_mask: torch.Tensor | None = None,
        return_loss: bool = True,
        **kwargs,
    ) -> NHitsOutputForPrediction:
        """Forecast; arguments and errors of `NHitsModel.forward`.

        Args:
            future_values: `(batch_size, length)` with at most `prediction_length` steps, in the unit of
                `past_values`: what really came.
            future_observed_mask: Of the same shape, bool or numbers; where it is 0 the loss does not look.
            return_loss: Whether to compute the loss if there are `future_values`. The Trainer looks for this
                argument before it evaluates a model whose labels have another name.

        Raises:
            ValueError: `future_values` longer than the forecast, or a mask of another shape.
        """
        outputs: NHitsModelOutput = self.model(past_values, past_observed_mask, return_dict=True, **kwargs)
        stacks = self._stack_forecasts(outputs.last_hidden_state, like=outputs.loc)
        forecast = stacks.sum(1)
        loss = None
        if future_values is not None and return_loss:
            loss = self._loss(forecast, future_values, future_observed_mask, loc=outputs.loc, scale=outputs.scale)
        middle = (self.config.quantiles or [MEDIAN]).index(MEDIAN)
        predictions = forecast * outputs.scale[..., None] + outputs.loc[..., None]
        return NHitsOutputForPrediction(
            loss=loss,
            mean_predictions=predictions[..., middle],
            full_predictions=predictions if self.config.quantiles else None,
            stack_predictions=stacks[..., middle] * outputs.scale[..., None],
            residuals=outputs.residuals,
            last_hidden_state=outputs.last_hidden_state,
            loc=outputs.loc,
            scale=outputs.scale,
        )

    def _stack_forecasts(self, hidden_states: torch.Tensor, *, like: torch.Tensor) -> torch.Tensor:
        """Return the share of each stack in units of the scale, on the device and of the dtype of `like`.

        Its shape is `(batch_size, num_stacks, prediction_length, num_outputs)`.
        """
        forecasts = []
        for head, states in zip(self.forecast_heads, hidden_states.unbind(1), strict=True):
            # The heads of a divided model may be on several devices.
            coefficients = head(states).unflatten(-1, (self.num_outputs, -1)).to(like)
            forecasts.append(
                interpolate(coefficients, self.config.prediction_length, mode=self.config.interpolation_mode)
            )
        blocks = torch.stack(forecasts, dim=1).transpose(-1, -2)
        return blocks.unflatten(1, (self.config.num_stacks, -1)).sum(2)

    def _loss(
        self,
        forecast: torch.Tensor,
        future_values: torch.Tensor,
        future_observed_mask: torch.Tensor | None,
        *,
        loc: torch.Tensor,
        scale: torch.Tensor,
    ) -> torch.Tensor:
        """Return the mean loss of what was observed, in units of the scale; 0 if nothing was."""
        length = future_values.shape[-1]
        if length > forecast.shape[1]:
            raise ValueError(
                f"`future_values` has {length} steps, more than `config.prediction_length`, {forecast.shape[1]}."
            )
        if future_observed_mask is None:
            future_observed_mask = torch.ones_like(future_values, dtype=torch.bool)
        if future_observed_mask.shape != future_values.shape:
            raise ValueError(
                f"`future_observed_mask` must have the shape of `future_values`, {tuple(future_values.shape)}, and it "
                f"has {tuple(future_observed_mask.shape)}."
            )
        observed = future_observed_mask.to(loc.device).bool()
        target = (future_values.to(loc).masked_fill(~observed, 0) - loc) / scale
        losses = self._step_losses(target[..., None] - forecast[:, :length])
        return losses.masked_fill(~observed, 0).sum() / observed.sum().clamp(min=1)

    def _step_losses(self, errors: torch.Tensor) -> torch.Tensor:
        """Return one loss a step from `(batch_size, length, num_outputs)` of truth less forecast."""
        if self.config.quantiles:
            levels = torch.tensor(self.config.quantiles, device=errors.device, dtype=errors.dtype)
            # Twice the pinball loss, which for the median is the absolute error.
            return 2 * torch.maximum(levels * errors, (levels - 1) * errors).mean(-1)
        errors = errors[..., 0]
        return errors.abs() if self.config.loss == "mae" else errors.square()


__all__ = ["NHitsForPrediction", "NHitsModel", "NHitsPreTrainedModel"]

"""Time series and trajectories: windows of numbers with what is known about their times."""

from __future__ import annotations

from functools import partial

import torch

from autoreg.conformance.derive.inputs import facts
from autoreg.conformance.derive.inputs.draw import Draw
from autoreg.conformance.derive.inputs.form import Form

__all__ = [
    "ACTIONS",
    "CATEGORIES",
    "FREQUENCY",
    "LIST_OF_SERIES",
    "OBSERVED",
    "PADDING",
    "PAST",
    "REWARDS",
    "STATES",
    "STATIC",
    "TIMES",
]


def _context(draw: Draw) -> int:
    context = facts.number(draw.config, ("context_length", "prediction_length"), 32)
    lags = facts.lookup(draw.config, ("lags_sequence",))
    return context + (max(lags) if lags else 0)


def _span(draw: Draw, name: str) -> int:
    return facts.number(draw.config, ("prediction_length",), 8) if "future" in name else _context(draw)


def _several(draw: Draw, name: str) -> torch.Tensor:
    channels = facts.number(draw.config, ("num_input_channels", "input_size", "num_targets"), 1)
    return draw.normal(name, (draw.batch_size, _span(draw, name), channels))


def _single(draw: Draw, name: str) -> torch.Tensor:
    return draw.normal(name, (draw.batch_size, _span(draw, name)))


def _features(draw: Draw, name: str) -> torch.Tensor:
    count = facts.number(draw.config, ("num_time_features", "num_dynamic_real_features"), 0)
    return draw.normal(name, (draw.batch_size, _span(draw, name), count))


def _observed(draw: Draw, name: str) -> torch.Tensor:
    return torch.ones_like(_several(draw, name))


def _observed_single(draw: Draw, name: str) -> torch.Tensor:
    return torch.ones_like(_single(draw, name))


def _zeros_single(draw: Draw, name: str) -> torch.Tensor:
    return torch.zeros_like(_single(draw, name), dtype=torch.long)


def _static(draw: Draw, name: str) -> torch.Tensor:
    return draw.normal(name, (draw.batch_size, facts.number(draw.config, ("num_static_real_features",), 0)))


def _categories(draw: Draw, name: str) -> torch.Tensor:
    count = facts.number(draw.config, ("num_static_categorical_features",), 0)
    return torch.zeros(draw.batch_size, count, dtype=torch.long)


def _list_of_series(draw: Draw, name: str) -> list[torch.Tensor]:
    return list(_single(draw, name))


def _steps(draw: Draw, name: str, *, fields: tuple[str, ...]) -> torch.Tensor:
    width = facts.number(draw.config, fields, 1) if fields else 1
    return draw.normal(name, (draw.batch_size, draw.length, width))


def _frequency(draw: Draw, name: str) -> torch.Tensor:
    return torch.zeros(draw.batch_size, 1, dtype=torch.long)


PAST = (Form(make=_several, kind="series"), Form(make=_single, kind="series"))
LIST_OF_SERIES = (Form(make=_list_of_series, kind="series"),)
OBSERVED = (Form(make=_observed, kind="mask"), Form(make=_observed_single, kind="mask"))
TIMES = (Form(make=_features, kind="series"),)
STATIC = (Form(make=_static, kind="series"),)
CATEGORIES = (Form(make=_categories, kind="index"),)
PADDING = (Form(make=_zeros_single, kind="mask"),)
FREQUENCY = (Form(make=_frequency, kind="index"),)
STATES = (Form(make=partial(_steps, fields=("state_dim",)), kind="series", length_axis=1),)
ACTIONS = (Form(make=partial(_steps, fields=("act_dim", "action_dim")), kind="series", length_axis=1),)
REWARDS = (Form(make=partial(_steps, fields=()), kind="series", length_axis=1),)

"""Text: ids, masks and what goes beside them."""

from __future__ import annotations

from functools import partial

import torch

from autoreg.conformance.derive.derivation import Input, Recipe
from autoreg.conformance.derive.inputs.draw import Draw
from autoreg.conformance.derive.inputs.facts import vocabulary

__all__ = ["ids", "ones"]


def _ids(draw: Draw, *, name: str, decoder: bool) -> torch.Tensor:
    vocab = vocabulary(draw.config, decoder=decoder) or 2
    return draw.ids(name, (draw.batch_size, draw.length), vocab=vocab)


def ids(name: str, *, decoder: bool = False, why: str = "") -> Recipe:
    """Return int64 token ids `(batch_size, length)`, none of them special."""
    about = Input(name=name, kind="ids", length_axis=1, why=why)
    return Recipe(about=about, make=partial(_ids, name=name, decoder=decoder))


def _ones(draw: Draw) -> torch.Tensor:
    return torch.ones(draw.batch_size, draw.length, dtype=torch.long)


def ones(name: str, *, why: str = "") -> Recipe:
    """Return an int64 mask of ones `(batch_size, length)`."""
    return Recipe(about=Input(name=name, kind="mask", length_axis=1, why=why), make=_ones)

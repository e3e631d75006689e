"""What a model returns, as named tensors, and which of their axes follow the batch or the text."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from autoreg.conformance.compare import leaves
from autoreg.conformance.subject import Subject
from autoreg.errors import MismatchError, NotApplicableError

__all__ = ["exactly", "following", "named", "narrowed", "picked", "unless_sampling"]

# Caches and recurrent states: what is kept for the next call, in layouts of every kind.
_KEPT = re.compile(r"^(past_|cache|mems|states?$|rnn_state|.*_cache$|next_cache)")


def named(outputs: Any) -> dict[str, torch.Tensor]:
    """Return the tensors of an output by dotted name, caches and recurrent states left out."""
    if isinstance(outputs, Mapping):
        outputs = {name: value for name, value in outputs.items() if not _KEPT.search(name)}
    found = {name or "output": value for name, value in leaves(outputs)}
    return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}


def following(small: Mapping[str, torch.Tensor], large: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Return the one axis in which an output is larger in the second, by name; none where several are."""
    axes: dict[str, int] = {}
    for name, value in small.items():
        other = large.get(name)
        if other is None or other.dim() != value.dim():
            continue
        moved = [axis for axis in range(value.dim()) if value.shape[axis] != other.shape[axis]]
        if len(moved) == 1:
            axes[name] = moved[0]
    return axes


def picked(values: Mapping[str, torch.Tensor], axes: Mapping[str, int], index: list[int]) -> dict[str, torch.Tensor]:
    """Return these rows of the outputs that have an axis for them."""
    chosen = torch.tensor(index)
    return {name: values[name].index_select(axis, chosen) for name, axis in axes.items() if name in values}


def narrowed(
    values: Mapping[str, torch.Tensor], axes: Mapping[str, int], begin: int, end: int
) -> dict[str, torch.Tensor]:
    """Return the outputs from `begin` to before `end` of the axis; those without one are left out."""
    return {name: values[name].narrow(axis, begin, end - begin) for name, axis in axes.items() if name in values}


@contextmanager
def unless_sampling(subject: Subject, model: Any, inputs: Mapping[str, Any]) -> Iterator[None]:
    """Turn a mismatch inside into NotApplicableError where another seed gives other outputs for the same inputs.

    What follows from random numbers depends on how many were drawn before; `forward.deterministic` judges them.
    """
    try:
        yield
    except MismatchError as error:
        seeded = named(subject.outputs(model, inputs))
        torch.manual_seed(subject.seed + 1)
        with torch.no_grad():
            other = named(model(**dict(inputs)))
        if subject.differs(other, seeded):
            reason = "its outputs depend on random numbers: see forward.deterministic"
            raise NotApplicableError(reason=reason) from error
        raise


def exactly(model: Any, inputs: Mapping[str, Any], compare: Callable[[Any, dict[str, Any]], None]) -> bool:
    """Say whether what differs in float32 agrees in float64: then it was rounding, which the model blows up.

    Codecs do, whose layers scale by a million and back. What mixes two rows does so in any precision.

    Args:
        model: the model, left as it is.
        inputs: its inputs.
        compare: raises MismatchError; float64 is compared 1000 times as closely as float32, so pass that factor.
    """
    doubled = {
        name: value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for name, value in inputs.items()
    }
    try:
        compare(copy.deepcopy(model).double(), doubled)
    except Exception:  # not every class runs in float64
        return False
    return True

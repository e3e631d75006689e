"""Every kind of layer once: where two layers leave one out, three or four may show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoreg.conformance.derive.attempts import Attempt, Bench
from autoreg.conformance.derive.shrink import Change, Policy, shrink
from autoreg.conformance.derive.trial import build

__all__ = ["every_kind"]

_DEEPEST = 4


def every_kind(bench: Bench, best: Attempt, changes: Mapping[str, Change]) -> Attempt:
    """Return an attempt that runs and has the modules that more layers would have: the first or last may be special.

    What more layers would have is seen on a model without memory.
    """
    kinds = _kinds(best.model)
    try:
        config = bench.template.make({**_deeper(bench, best, changes, _DEEPEST), **bench.hints})
    except Exception:  # more layers are none of what the class allows
        return best
    model = build(bench.model_class, config, device="meta").outputs
    if model is None or _kinds(model) <= kinds:
        return best
    for count in range(Policy().layers + 1, _DEEPEST + 1):
        tried = bench.attempt(_deeper(bench, best, changes, count))
        if tried.runs and _kinds(tried.model) >= _kinds(model):
            return tried
    return best


def _kinds(model: Any) -> set[str]:
    # By name: torch makes a class of its own for every parametrized module.
    return {type(module).__qualname__ for module in model.modules()}


def _deeper(bench: Bench, best: Attempt, changes: Mapping[str, Change], layers: int) -> dict[str, Any]:
    """Return the values with so many layers, where their number is as it was proposed."""
    others = shrink(bench.template, Policy(layers=layers))
    paths = [path for path, change in changes.items() if change.kind == "layers"]
    asked = {
        path: others[path].value for path in paths if path in others and best.values.get(path) == changes[path].value
    }
    return {**best.values, **asked}

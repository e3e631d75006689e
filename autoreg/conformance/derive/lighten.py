"""A config that runs may still be heavy: shrink further what the largest parameters are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autoreg.conformance.derive.attempts import Attempt, Bench
from autoreg.conformance.derive.inputs.facts import configs_in, is_int, read
from autoreg.conformance.derive.kinds import kind_of
from autoreg.conformance.derive.shrink import Change, Policy, shrink

__all__ = ["lighten"]

_LIGHT = 1_500_000
_HEAVY = 10_000_000
_SMALLEST = 4
_HEAVIEST = 8
_LARGE = 48
_UNIT = 16
_MOST = 10
_WORTH_IT = 0.8


def lighten(bench: Bench, best: Attempt, changes: Mapping[str, Change]) -> Attempt:
    """Return the lightest attempt found that runs; a few are tried, and none if it is light already."""
    before, bench.most = bench.most, bench.count + _MOST
    weight = _weight(best.model)
    improved = True
    while weight > _LIGHT and improved:
        improved = False
        for values in _lighter(bench, best, changes):
            tried = None if bench.exhausted else bench.attempt(values)
            if tried is not None and tried.runs and _weight(tried.model) < _WORTH_IT * weight:
                best, weight, improved = tried, _weight(tried.model), True
                break
    bench.most = before
    return best


def _weight(model: Any) -> int:
    return sum(int(parameter.numel()) for parameter in model.parameters())


def _lighter(bench: Bench, best: Attempt, changes: Mapping[str, Change]) -> Iterator[dict[str, Any]]:
    """Yield the values with half the widths, then with each field made smaller that is a side of a large parameter."""
    for width in (32, 16):
        thin = shrink(bench.template, Policy(width=width))
        taken = {
            path: change.value
            for path, change in thin.items()
            if change.kind in ("width", "head_dim") and path in changes and best.values.get(path) == changes[path].value
        }
        if any(best.values[path] != value for path, value in taken.items()):
            yield {**best.values, **taken}
    heaviest = sorted(best.model.parameters(), key=lambda each: -each.numel())[:_HEAVIEST]
    sides = {side for each in heaviest for side in each.shape if side > _LARGE}
    nodes = dict(configs_in(best.config))
    for leaf in bench.template.leaves():
        value = read(nodes[leaf.node], leaf.name) if leaf.node in nodes else None
        if isinstance(value, (list, tuple)) and sides & {each for each in value if is_int(each)}:
            yield {**best.values, leaf.path: type(value)(max(_UNIT, each // _UNIT) for each in value)}
        if is_int(value) and value in sides and leaf.path not in bench.hints:
            yield {**best.values, leaf.path: 32}
    if _weight(best.model) > _HEAVY:
        # What doubles from stage to stage begins small.
        yield from _narrower(bench, best, nodes)


def _narrower(bench: Bench, best: Attempt, nodes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for leaf in bench.template.leaves():
        value: Any = read(nodes[leaf.node], leaf.name) if leaf.node in nodes and leaf.path not in bench.hints else None
        if kind_of(leaf.name) == "width" and is_int(value) and _SMALLEST < value <= _LARGE:
            yield {**best.values, leaf.path: max(_SMALLEST, value // 4)}

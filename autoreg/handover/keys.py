"""Which weight of one model is which of another: found by pattern, shape and name, for the outputs to confirm.

Depth: metadata (names and shapes are all that it is given).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

__all__ = ["Shapes", "candidates", "first_difference", "patterns"]

Shapes: TypeAlias = "Mapping[str, tuple[int, ...]]"
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_MOST = 64  # maps that are tried: more means that shapes say too little


def pattern(name: str) -> str:
    """Return the name with `*` for each number of a layer."""
    return _NUMBER.sub("*", name)


def candidates(ours: Shapes, theirs: Shapes) -> Iterator[dict[str, str]]:
    """Yield maps from our names to theirs, the likeliest first; none where the shapes do not allow one.

    Names with the same pattern go together: layers are not mixed up, and a map has few degrees of freedom.
    """
    same = {name: name for name in ours if theirs.get(name) == ours[name]}
    left = {name: shape for name, shape in ours.items() if name not in same}
    right = {name: shape for name, shape in theirs.items() if name not in same}
    groups, targets = _grouped(left), _grouped(right)
    options = {
        key: sorted((other for other in targets if _fits(group, targets[other])), key=lambda other: -_alike(key, other))
        for key, group in groups.items()
    }
    for number, chosen in enumerate(_assignments(list(groups), options, {})):
        if number == _MOST:
            return
        pairs = {name: targets[chosen[key]][at][0] for key in groups for at, (name, _) in groups[key].items()}
        if len(chosen) == len(targets):
            yield {**same, **pairs}


_Group: TypeAlias = "dict[tuple[str, ...], tuple[str, tuple[int, ...]]]"


def _grouped(shapes: Shapes) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    for name, shape in shapes.items():
        groups.setdefault(pattern(name), {})[tuple(_NUMBER.findall(name))] = (name, shape)
    return groups


def _fits(ours: _Group, theirs: _Group) -> bool:
    shapes = {at: shape for at, (_, shape) in ours.items()}
    return shapes == {at: shape for at, (_, shape) in theirs.items()}


def _alike(ours: str, theirs: str) -> float:
    """Return how alike two names are; their last words count most: `q_proj.weight` is a query, wherever it lies."""
    ends = difflib.SequenceMatcher(None, ours.split(".")[-2:], theirs.split(".")[-2:]).ratio()
    return 2 * ends + difflib.SequenceMatcher(None, ours, theirs).ratio()


def _assignments(
    keys: Sequence[str], options: Mapping[str, Sequence[str]], chosen: dict[str, str]
) -> Iterator[dict[str, str]]:
    """Yield every way to give each key an option of its own, the surest key first, its likeliest option first."""
    open_keys = [key for key in keys if key not in chosen]
    if not open_keys:
        yield dict(chosen)
        return
    free = {key: [each for each in options[key] if each not in chosen.values()] for key in open_keys}
    key = max(open_keys, key=lambda each: (-len(free[each]) == -1, _alike(each, free[each][0]) if free[each] else 9))
    for option in free[key]:
        yield from _assignments(keys, options, {**chosen, key: option})


def patterns(key_map: Mapping[str, str]) -> dict[str, str]:
    """Return the map as patterns, without the names that stay."""
    return {pattern(ours): pattern(theirs) for ours, theirs in key_map.items() if ours != theirs}


def first_difference(ours: Shapes, theirs: Shapes) -> str:
    """Return why no map is possible, as a sentence."""
    if len(ours) != len(theirs):
        return f"the plugin has {len(ours)} weights and transformers' own {len(theirs)}"
    left, right = sorted(ours.values()), sorted(theirs.values())
    for shape in left:
        if left.count(shape) != right.count(shape):
            name = next(name for name, each in ours.items() if each == shape)
            counts = f"{left.count(shape)} and {right.count(shape)}"
            return f"weights of shape {list(shape)}, as {name}, are there {counts} times"
    return "the shapes are the same, and no pairing by layer fits them"

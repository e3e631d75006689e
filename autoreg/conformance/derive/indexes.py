"""Lists that name layers by number: what becomes of them when there are fewer layers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autoreg.conformance.derive.inputs.facts import configs_in, is_int, read
from autoreg.conformance.derive.tree import Leaf, Template

__all__ = ["indexes", "with_attention"]

_DEPTHS = ("num_hidden_layers", "depth", "num_layers", "n_layers", "n_layer")
_NUMBERS = re.compile(r"(ind(ic|ex)es|_idxs|_ids|layers|blocks)$")
_CHOOSING = re.compile(r"layer_(ind(ic|ex)es|idxs|ids)$")
_TYPES = re.compile(r"(layer_types|layers_block_type)$")
_MIXERS = frozenset({"linear_attention", "conv", "mamba", "recurrent"})


def with_attention(name: str, kinds: Sequence[Any]) -> list[Any]:
    """Return the kinds of a few layers with an attention as the last, where the default of a hybrid shows none."""
    if not kinds or not _TYPES.search(name) or not set(kinds) <= _MIXERS or "conv" in kinds:
        return list(kinds)
    return [*kinds[:-1], "attention" if "mamba" in kinds else "full_attention"]


def indexes(template: Template, values: Mapping[str, Any]) -> Iterator[tuple[Leaf, list[int]]]:
    """Yield the lists that name layers which the config with these values lacks, with what they become.

    As many as there is room for beside one layer that is not named, if the default leaves one out: a model in
    which every layer is special has lost the plain ones. They are the last ones.
    """
    try:
        made = dict(configs_in(template.make(values)))
    except Exception:  # what is wrong with the values the search will find out
        made = {}
    defaults = {leaf.path: leaf for leaf in template.leaves()}
    for leaf in defaults.values():
        node = f"{leaf.node}." if leaf.node else ""
        deep = next((each for name in _DEPTHS if (each := defaults.get(node + name)) and is_int(each.value)), None)
        if deep is None or not values.get(deep.path) or _pinned(defaults, node, values[deep.path]):
            continue
        now = values.get(leaf.path, read(made[leaf.node], leaf.name) if leaf.node in made else leaf.value)
        depth = values[deep.path]
        if _names_layers(leaf, deep.value) and not _tied(leaf, defaults):
            if _beyond(now, depth):
                room = depth - (len(leaf.value) < deep.value)
                yield leaf, type(leaf.value)(range(depth - min(room, len(leaf.value)), depth))
        elif now is None and leaf.value is None and _CHOOSING.search(leaf.name) and not _typed(leaf, defaults):
            yield leaf, [depth - 1]


def _names_layers(leaf: Leaf, depth: int) -> bool:
    value = leaf.value
    if not isinstance(value, (list, tuple)) or not value or not all(is_int(each) for each in value):
        return False
    rising = all(first < second for first, second in itertools.pairwise(value))
    return (
        bool(_NUMBERS.search(leaf.name)) and "out_" not in leaf.name and rising and 0 <= value[0] <= value[-1] < depth
    )


def _beyond(value: Any, depth: int) -> bool:
    return isinstance(value, (list, tuple)) and any(is_int(each) and each >= depth for each in value)


def _tied(leaf: Leaf, defaults: Mapping[str, Leaf]) -> bool:
    """Say whether another list beside it has an entry for each of the layers that it names."""
    return any(
        other.node == leaf.node
        and other.name != leaf.name
        and isinstance(other.value, (list, tuple))
        and len(other.value) == len(leaf.value) > 1
        and not _NUMBERS.search(other.name)
        for other in defaults.values()
    )


def _typed(leaf: Leaf, defaults: Mapping[str, Leaf]) -> bool:
    return any(other.node == leaf.node and _TYPES.search(other.name) for other in defaults.values())


def _pinned(defaults: Mapping[str, Leaf], node: str, depth: int) -> bool:
    """Say whether a backbone is told to give out layers beyond: its depth will be given back."""
    given = defaults.get(f"{node}out_indices")
    return given is not None and given.declared is not None and _beyond(given.value, depth + 1)

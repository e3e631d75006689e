"""From a default config to the changes that make it tiny, keeping what ties the fields to one another.

Equal sizes stay equal and multiples stay multiples: one map serves all widths of the tree, and head
dimensions follow from it. Whatever is wrong with the result, the search finds out by running it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.conformance.derive.indexes import indexes, with_attention
from autoreg.conformance.derive.inputs.facts import is_int, is_placeholder
from autoreg.conformance.derive.kinds import kind_of
from autoreg.conformance.derive.tree import Leaf, Template

__all__ = ["Change", "Policy", "shrink"]

_MAIN_WIDTHS = ("hidden_size", "d_model", "n_embd", "embed_dim", "hidden_dim", "dim", "emb_dim", "hidden_sizes")
_SMALL_WIDTH = 16
# Shrunk even where the class leaves them at None and computes them: what it puts there follows no smaller field.
_COMPUTED = frozenset({"image", "maps", "compression"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How small things are to become.

    Attributes:
        width: of the narrowest residual stream of the tree.
        unit: what every width is a multiple of.
        heads, key_value_heads, layers, experts: how many.
        vocabulary, positions, window, state, queries, frames, image, span, image_tokens: how large at most.
        proportional: shrink all widths by one power of two, so that the ratios between the parts stay.
        keep_head_dim: shrink widths as the number of heads shrinks, and by nothing more.
    """

    width: int = 64
    unit: int = 8
    heads: int = 4
    key_value_heads: int = 2
    layers: int = 2
    experts: int = 4
    vocabulary: int = 100
    positions: int = 128
    window: int = 4
    state: int = 8
    queries: int = 6
    frames: int = 2
    image: int = 64
    span: int = 16
    image_tokens: int = 4
    proportional: bool = False
    keep_head_dim: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One field that is set to something smaller."""

    path: str
    kind: str
    default: Any
    value: Any


@dataclass(frozen=True, slots=True)
class _Tree:
    """The leaves of a config tree and what is decided of them as a whole.

    Attributes:
        streams: for the width of each residual stream the width that it becomes: the same wherever it is met.
        factors: for each nested config by how much its other widths shrink.
        factor: by how much those do that belong to no stream.
        pictures: by how much images shrink.
        maps: by how much maps with a place for each patch shrink.
    """

    leaves: tuple[Leaf, ...]
    policy: Policy
    streams: Mapping[int, int]
    factors: Mapping[str, float]
    factor: float
    pictures: float
    maps: float

    def width(self, node: str, value: int) -> int:
        if value <= _SMALL_WIDTH:
            return value
        if value in self.streams:
            return self.streams[value]
        return _rounded(value * self.factors.get(node, self.factor), self.policy.unit)

    def half(self, node: str, value: int) -> int:
        stream = self.streams.get(2 * value)
        return self.width(node, value) if stream is None else stream // 2


def _rounded(value: float, unit: int) -> int:
    # Never below what is small anyway: 16 stays 16, so 24 must not become 8.
    return max(unit, _SMALL_WIDTH, unit * round(value / unit))


def _tree(leaves: tuple[Leaf, ...], policy: Policy) -> _Tree:
    found: dict[str, int] = {}
    for leaf in leaves:
        numbers = leaf.value if isinstance(leaf.value, (list, tuple)) else [leaf.value]
        if leaf.name in _MAIN_WIDTHS and numbers and all(is_int(each) and each > _SMALL_WIDTH for each in numbers):
            found.setdefault(leaf.node, min(numbers))
    staged = {leaf.node for leaf in leaves if kind_of(leaf.name) == "layers" and isinstance(leaf.value, (list, tuple))}
    widest = max((width for node, width in found.items() if node not in staged), default=512)
    streams: dict[int, int] = {}
    for node, width in found.items():
        # Of several streams the widest keeps most; one that doubles from stage to stage begins at half.
        scaled = policy.width / 2 if node in staged else policy.width * width / widest
        streams.setdefault(width, _rounded(max(scaled, policy.width / 2), policy.unit))
    factors = {node: streams[width] / width for node, width in found.items()}
    factor = policy.width / widest
    if policy.proportional:
        factor, streams, factors = _power_of_two_below(factor), {}, {}
    if policy.keep_head_dim:
        counts = [leaf.value for leaf in leaves if kind_of(leaf.name) == "heads" and is_int(leaf.value)]
        factor, streams, factors = min(policy.heads / max([policy.heads, *counts]), 1.0), {}, {}
    zoom = _zoom(leaves, policy)
    return _Tree(leaves, policy, streams, factors, factor, zoom, _patches(leaves, zoom))


def _zoom(leaves: tuple[Leaf, ...], policy: Policy) -> float:
    """Return by how much the largest image shrinks: other resolutions of the tree shrink with it."""
    sizes: list[int] = []
    for leaf in leaves:
        if kind_of(leaf.name) == "image":
            sides = leaf.value if isinstance(leaf.value, (list, tuple)) else [leaf.value]
            sizes += [side for side in sides if is_int(side)]
    return min(policy.image / max(sizes), 1.0) if sizes else 1.0


def _patches(leaves: tuple[Leaf, ...], zoom: float) -> float:
    """Return by how much the grid of patches shrinks with the image: not the same where patches do not fill it."""
    patches = {leaf.node: leaf.value for leaf in leaves if leaf.name == "patch_size" and is_int(leaf.value)}
    for leaf in leaves:
        if kind_of(leaf.name) == "image" and is_int(leaf.value) and patches.get(leaf.node):
            patch = patches[leaf.node]
            return float(max(1, int(leaf.value * zoom) // patch) / max(1, leaf.value // patch))
    return zoom


def _power_of_two_below(value: float) -> float:
    return float(2.0 ** math.floor(math.log2(value)))


def shrink(template: Template, policy: Policy) -> dict[str, Change]:
    """Return the changes, by path, that the policy proposes for the default config of the template."""
    leaves = tuple(template.leaves())
    tree = _tree(leaves, policy)
    nodes: dict[str, list[Leaf]] = defaultdict(list)
    for leaf in leaves:
        nodes[leaf.node].append(leaf)
    changes: dict[str, Change] = {}
    for members in nodes.values():
        for change in _shrink_node(tree, members):
            if change.value != change.default:
                changes[change.path] = change
    changes.update(_tokens(tree, changes))
    for leaf, numbers in indexes(template, {path: change.value for path, change in changes.items()}):
        changes[leaf.path] = Change(path=leaf.path, kind="layers", default=leaf.value, value=numbers)
    return changes


def _each(value: Any, shrink_one: Callable[[int], int]) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_each(item, shrink_one) for item in value)
    if isinstance(value, dict):
        return {key: _each(item, shrink_one) for key, item in value.items()}
    return shrink_one(value) if is_int(value) else value


def _shrink_node(tree: _Tree, members: list[Leaf]) -> Iterable[Change]:
    """Yield the changes of one config: counts first, then what follows from them."""
    policy, caps = tree.policy, _caps(tree, members[0].node)
    values: dict[str, Any] = {}
    declared = {leaf.name: leaf for leaf in members if leaf.declared is not None or kind_of(leaf.name) in _COMPUTED}
    for leaf in declared.values():
        kind = kind_of(leaf.name)
        if kind is not None and kind in caps:
            values[leaf.name] = _each(leaf.value, caps[kind])
    values.update(_key_value_heads(declared, values, policy))
    values.update(_head_dims(declared, values, keep=policy.keep_head_dim))
    values.update(_layer_lists(members, values))
    values.update(_windows_of_pixels(declared))
    values.update(_rope(declared, values))
    for leaf in members:
        if leaf.name in values:
            kind = kind_of(leaf.name) or "layers"
            yield Change(path=leaf.path, kind=kind, default=leaf.value, value=values[leaf.name])


def _caps(tree: _Tree, node: str) -> Mapping[str, Callable[[int], int]]:
    """Return how a number of each kind shrinks."""
    policy = tree.policy
    return {
        "width": lambda n: tree.width(node, n),
        "half": lambda n: tree.half(node, n),
        "maps": lambda n: max(1, round(n * tree.maps)),
        "pinpoints": lambda n: max(1, round(n * tree.pictures)),
        "image_tokens": lambda n: min(n, policy.image_tokens),
        "experts": lambda n: min(n, policy.experts),
        "chosen": lambda n: min(n, 2),
        "vocabulary": lambda n: min(n, policy.vocabulary),
        # A power of two: codes are often made of bits.
        "codebook": lambda n: min(n, 1 << (policy.vocabulary.bit_length() - 1)),
        "positions": lambda n: min(n, policy.positions),
        "window": lambda n: min(n, policy.window),
        "compression": lambda n: min(n, policy.window),
        "state": lambda n: min(n, policy.state),
        "queries": lambda n: min(n, policy.queries),
        "frames": lambda n: min(n, policy.frames),
        # The few layers that are left all keep keys and values of their own.
        "shared": lambda n: 0,
        "pattern": lambda n: min(n, 2),
        "offset": lambda n: min(n, 1),
        "image": lambda n: min(n, policy.image),
        "span": lambda n: min(n, policy.span),
        "layers": lambda n: min(n, policy.layers),
        "heads": lambda n: _power_of_two(min(n, policy.heads)),
    }


def _power_of_two(value: int) -> int:
    return 1 << (value.bit_length() - 1) if value > 0 else value


def _attention_heads(leaves: Mapping[str, Leaf]) -> str | None:
    """Return the name of the field with the number of query heads."""
    names = [name for name, leaf in leaves.items() if kind_of(name) == "heads" and is_int(leaf.value)]
    plain = [name for name in names if "kv" not in name and "key_value" not in name]
    preferred = ("num_attention_heads", "num_heads", "n_head", "n_heads", "encoder_attention_heads")
    return next((name for name in preferred if name in plain), plain[0] if plain else None)


def _key_value_heads(leaves: Mapping[str, Leaf], values: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    """Keep fewer key-value heads than query heads where the default has fewer."""
    query = _attention_heads(leaves)
    found: dict[str, Any] = {}
    for name, leaf in leaves.items():
        if query and kind_of(name) == "heads" and is_int(leaf.value) and ("kv" in name or "key_value" in name):
            grouped = leaf.value < leaves[query].value
            found[name] = min(leaf.value, policy.key_value_heads) if grouped else values[query]
    return found


def _main_width(leaves: Mapping[str, Leaf]) -> str | None:
    return next((name for name in _MAIN_WIDTHS if name in leaves and is_int(leaves[name].value)), None)


def _head_dims(leaves: Mapping[str, Leaf], values: Mapping[str, Any], *, keep: bool) -> dict[str, Any]:
    """Keep heads x head dimension in its proportion to the width; a multiple of 4, as rotations take pairs of axes."""
    width = _main_width(leaves)
    found: dict[str, Any] = {}
    for name, leaf in leaves.items():
        if kind_of(name) != "head_dim" or not is_int(leaf.value):
            continue
        heads = _heads_of(name, leaves)
        if keep:
            ideal = float(leaf.value)
        elif width and heads and leaves[heads].value and values[heads]:
            ideal = leaf.value * leaves[heads].value * values[width] / leaves[width].value / values[heads]
        else:
            ideal = leaf.value * 16 / max(leaf.value, 16)
        found[name] = int(ideal) if ideal == int(ideal) and ideal % 2 == 0 else 4 * math.ceil(ideal / 4)
        found[name] = min(leaf.value, max(4, found[name]))
    return found


def _heads_of(name: str, leaves: Mapping[str, Leaf]) -> str | None:
    """Return the number of heads that a head dimension is for: the one whose name has most words in common with it."""
    words = set(name.split("_"))
    counts = [each for each, leaf in leaves.items() if kind_of(each) == "heads" and is_int(leaf.value)]
    best = max(counts, key=lambda each: len(words & _words(each)), default=None)
    plain = _attention_heads(leaves)
    if best is None or plain is None:
        return plain
    return best if len(words & _words(best)) > len(words & _words(plain)) else plain


def _words(name: str) -> set[str]:
    return {word.removesuffix("s") for word in name.split("_")} | set(name.split("_"))


def _windows_of_pixels(leaves: Mapping[str, Leaf]) -> dict[str, int]:
    """Leave in a window that is measured in pixels the patches that are merged into one token."""
    sides = [leaves[name].value for name in ("patch_size", "spatial_merge_size") if _has_int(leaves, name)]
    window = leaves["window_size"].value if _has_int(leaves, "window_size") else 0
    merged = math.prod(sides)
    return {"window_size": merged} if len(sides) > 1 and merged and window and window % merged == 0 else {}


def _layer_lists(members: list[Leaf], values: Mapping[str, Any]) -> dict[str, Any]:
    """Shorten the lists with an entry for each layer to a few layers that show every kind once."""
    counts = {leaf.name: leaf.value for leaf in members if kind_of(leaf.name) == "layers" and is_int(leaf.value)}
    found: dict[str, Any] = {}
    for count_name, count in counts.items():
        lists = [
            leaf
            for leaf in members
            if isinstance(leaf.value, (list, tuple))
            and len(leaf.value) == count
            and leaf.name not in found
            # What the class computes from other fields it computes again; kinds of layers must be chosen.
            and (leaf.declared is not None or any(isinstance(entry, str) for entry in leaf.value))
        ]
        if count < 2 or not lists:  # noqa: PLR2004 - one layer has no kinds
            continue
        chosen = _representatives([leaf.value for leaf in lists], least=values.get(count_name, 2))
        for leaf in lists:
            kept = [values.get(leaf.name, leaf.value)[index] for index in chosen]
            found[leaf.name] = type(leaf.value)(with_attention(leaf.name, kept))
        found[count_name] = len(chosen)
    return found


def _representatives(lists: list[Any], *, least: int) -> list[int]:
    """Return the indices of layers such that each entry of each list occurs."""
    chosen: set[int] = set()
    for entries in lists:
        seen: set[str] = {repr(entries[index]) for index in chosen}
        for index, entry in enumerate(entries):
            if isinstance(entry, str) and repr(entry) not in seen:
                seen.add(repr(entry))
                chosen.add(index)
    for index in range(len(lists[0])):
        if len(chosen) >= least:
            break
        chosen.add(index)
    return sorted(chosen)


def _rope(leaves: Mapping[str, Leaf], values: Mapping[str, Any]) -> dict[str, Any]:
    """Scale the sections of a rotation over several axes, which add up to half the head dimension it turns."""
    width, heads = _main_width(leaves), _attention_heads(leaves)
    found: dict[str, Any] = {}
    for name, leaf in leaves.items():
        if not isinstance(leaf.value, dict) or not width or not heads:
            continue
        before = (
            leaves["head_dim"].value if _has_int(leaves, "head_dim") else leaves[width].value // leaves[heads].value
        )
        after = values.get("head_dim") or values[width] // values[heads]
        made = {
            key: _section(part, after / before) if "section" in str(key) else part for key, part in leaf.value.items()
        }
        if made != leaf.value:
            found[name] = made
    return found


def _has_int(leaves: Mapping[str, Leaf], name: str) -> bool:
    return name in leaves and is_int(leaves[name].value)


def _section(parts: Any, factor: float) -> Any:
    """Return the sections times the factor, their sum exact and none of them empty."""
    if not isinstance(parts, (list, tuple)) or not all(is_int(part) for part in parts):
        return parts
    total = round(sum(parts) * factor)
    scaled = [max(1, int(part * factor)) for part in parts]
    for index in range(abs(total - sum(scaled))):
        scaled[-1 - index % len(scaled)] += 1 if total > sum(scaled) else -1
    return type(parts)(scaled)


def _tokens(tree: _Tree, changes: Mapping[str, Change]) -> dict[str, Change]:
    """Move the token ids that lie outside the smaller vocabulary inside it, distinct where they were distinct."""
    sizes = [
        changes[leaf.path].value if leaf.path in changes else leaf.value
        for leaf in tree.leaves
        if kind_of(leaf.name) == "vocabulary" and is_int(leaf.value) and leaf.value > _SMALL_WIDTH
    ]
    smallest = min(sizes, default=tree.policy.vocabulary)
    tokens = [leaf for leaf in tree.leaves if kind_of(leaf.name) == "token"]
    flat = [item for leaf in tokens for item in (leaf.value if isinstance(leaf.value, (list, tuple)) else [leaf.value])]
    used = {item for item in flat if is_int(item) and item < smallest}
    free = iter([each for each in range(smallest - 1, -1, -1) if each not in used])
    moved = {item: next(free) for item in sorted({i for i in flat if is_int(i) and i >= smallest})[: smallest // 2]}
    unset = [leaf for leaf in tree.leaves if leaf.value is None and is_placeholder(leaf.name)]
    given = {leaf.path: Change(path=leaf.path, kind="token", default=None, value=next(free)) for leaf in unset[:4]}
    return given | {
        leaf.path: Change(path=leaf.path, kind="token", default=leaf.value, value=value)
        for leaf in tokens
        if (value := _each(leaf.value, lambda n: moved.get(n, n))) != leaf.value
    }

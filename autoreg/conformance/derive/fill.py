"""Values for fields that the class leaves at None and the model cannot do without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from transformers import configuration_utils

from autoreg.conformance.derive.attempts import Attempt
from autoreg.conformance.derive.evidence import Evidence
from autoreg.conformance.derive.inputs.facts import configs_in, read
from autoreg.conformance.derive.kinds import kind_of
from autoreg.conformance.derive.tree import Leaf, Template

__all__ = ["fill"]

_COUNTS = MappingProxyType(
    {"layers": 2, "heads": 4, "experts": 4, "chosen": 2, "window": 4, "vocabulary": 99, "positions": 128, "span": 8}
)
_ROTATION: Mapping[str, Any] = MappingProxyType({"rope_type": "default", "rope_theta": 10000.0})


def fill(template: Template, current: Attempt, evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Yield the values with fields set that the failing lines read and that are None: one by one, then all of them."""
    if current.config is None and "None" not in evidence.text and not evidence.said:
        return
    nodes = dict(configs_in(current.config if current.config is not None else template.config))
    missing: dict[str, Any] = {}
    for name in evidence.suspects if "None" in evidence.text else evidence.said:
        for leaf in template.leaves():
            owner = nodes.get(leaf.node)
            if (
                leaf.name == name
                and leaf.path not in current.values
                and owner is not None
                and read(owner, name) is None
            ):
                value = _value(leaf, owner, evidence)
                if value is not None:
                    missing[leaf.path] = value
    for path, value in missing.items():
        yield {**current.values, path: value}
    if len(missing) > 1:
        yield {**current.values, **missing}
    yield from _rotations(template, current, nodes, evidence)


def _value(leaf: Leaf, owner: Any, evidence: Evidence) -> Any:
    kind = kind_of(leaf.name)
    if leaf.name in ("layer_types", "layers_block_type"):
        return _layer_types(owner, evidence)
    width = next((w for each in ("hidden_size", "d_model", "n_embd", "embed_dim") if (w := read(owner, each))), 64)
    heads = next((h for each in ("num_attention_heads", "num_heads", "n_head") if (h := read(owner, each))), 4)
    if kind == "head_dim" and isinstance(width, int) and isinstance(heads, int):
        return width // heads
    if kind == "heads":
        return heads
    if kind == "width":
        return width
    if kind == "token":
        return 0
    return _COUNTS.get(kind or "")


def _layer_types(owner: Any, evidence: Evidence) -> list[str]:
    """Return a type for each layer: those of transformers' layer types that the failing source names."""
    # Not public, and the one list of what a layer type may be; older releases have fewer.
    known = getattr(configuration_utils, "ALLOWED_LAYER_TYPES", ())
    named = [word for word in evidence.strings if word in known and word != "full_attention"]
    count = read(owner, "num_hidden_layers") or 2
    return [*named[: count - 1], *["full_attention"] * (count - len(named[: count - 1]))]


def _rotations(
    template: Template, current: Attempt, nodes: dict[str, Any], evidence: Evidence
) -> Iterator[dict[str, Any]]:
    """Yield the values with a rotation of each layer type, or with the sections that the failing lines ask for."""
    for leaf in template.leaves():
        if leaf.name != "rope_parameters" or not {"rope_parameters", "rope_scaling"} & set(evidence.suspects):
            continue
        owner = nodes.get(leaf.node)
        types = dict.fromkeys(read(owner, "layer_types") or ())
        if types:
            yield {**current.values, leaf.path: {each: dict(_ROTATION) for each in types}}
        width, heads = read(owner, "hidden_size") or 64, read(owner, "num_attention_heads") or 4
        present = read(owner, leaf.name) or {}
        rotation = {**_ROTATION, **{key: each for key, each in present.items() if isinstance(each, (str, int, float))}}
        half = int((read(owner, "head_dim") or width // heads) * (rotation.get("partial_rotary_factor") or 1)) // 2
        for name in [each for each in evidence.strings if each.endswith("section")][:2]:
            for count in (3, 4):
                parts = [half // count] * (count - 1)
                yield {**current.values, leaf.path: {**rotation, name: [half - sum(parts), *parts]}}
        yield {**current.values, leaf.path: rotation}

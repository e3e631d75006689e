"""Values for fields that the class leaves at None and the model cannot do without."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from transformers import configuration_utils

from autoreg.conformance.derive.attempts import Attempt
from autoreg.conformance.derive.evidence import Evidence
from autoreg.conformance.derive.inputs.facts import configs_in, read, special_ids, vocabulary
from autoreg.conformance.derive.kinds import kind_of
from autoreg.conformance.derive.tree import Leaf, Template

__all__ = ["fill"]

_COUNTS = MappingProxyType(
    {"layers": 2, "heads": 4, "experts": 4, "chosen": 2, "window": 4, "vocabulary": 100, "positions": 128, "span": 8}
)
_USUAL: Mapping[str, Any] = MappingProxyType({"rope_theta": 10000.0, "pad_token_id": None})
_MISSED = re.compile(r"'(\w+)' object has no attribute '(\w+)'")
_STATED = re.compile(r"(\w+)\s*=\s*(True|False)")
_ROTATION: Mapping[str, Any] = MappingProxyType({"rope_type": "default", "rope_theta": 10000.0})


def fill(template: Template, current: Attempt, evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Yield the values with fields set that the failing lines read and that are None: one by one, then all of them."""
    nodes = dict(configs_in(current.config if current.config is not None else template.config))
    # torch says `empty() takes 1 positional argument` where one of the sizes is None.
    unset = "None" in evidence.text or evidence.text.startswith("TypeError")
    missing: dict[str, Any] = {}
    for name in evidence.suspects if unset else evidence.said:
        for leaf in template.leaves():
            owner = nodes.get(leaf.node)
            # Models read fields by the names of `attribute_map` as well.
            if leaf.name != getattr(owner, "attribute_map", {}).get(name, name) or leaf.path in current.values:
                continue
            value = _value(leaf, owner, evidence) if owner is not None and read(owner, leaf.name) is None else None
            if value is not None:
                missing[leaf.path] = value
    for path, value in missing.items():
        yield {**current.values, path: value}
    if len(missing) > 1:
        yield {**current.values, **missing}
    yield from _padding(template, current, evidence)
    yield from _stages(template, current)
    yield from _listed(template, current, evidence)
    yield from _absent(current, nodes, evidence)
    yield from _stated(template, current, evidence)
    yield from _rotations(template, current, nodes, evidence)


def _padding(template: Template, current: Attempt, evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Yield the values with a padding token, where the error asks for one and the config has none."""
    size = vocabulary(current.config) if current.config is not None else None
    if size is None or not {"pad", "padding", "pad_token_id"} & {word.lower() for word in evidence.said}:
        return
    free = next((each for each in reversed(range(size)) if each not in special_ids(current.config)), None)
    for leaf in template.leaves():
        if leaf.name == "pad_token_id" and leaf.path not in current.values and free is not None:
            yield {**current.values, leaf.path: free}


def _stages(template: Template, current: Attempt) -> Iterator[dict[str, Any]]:
    """Yield the values with every stage of a backbone given out: it gives out the last alone unless it is told."""
    nodes = dict(configs_in(current.config)) if current.model is not None else {}
    for leaf in template.leaves():
        node = nodes.get(leaf.node) if leaf.node else None
        names = list(read(node, "stage_names") or ()) if node is not None else []
        alone = leaf.name == "out_indices" and leaf.path not in current.values and len(names) > 1
        if alone and len(read(node, "out_indices") or ()) == 1:
            yield {**current.values, leaf.path: list(range(1, len(names)))}


def _listed(template: Template, current: Attempt, evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Yield the values with one entry in a list that the class leaves empty, where emptiness is the error."""
    if "empty" not in evidence.said:
        return
    for leaf in template.leaves():
        if leaf.value in ((), []) and leaf.path not in current.values:
            yield from ({**current.values, leaf.path: type(leaf.value)((one,))} for one in (1.0, 1))


def _absent(current: Attempt, nodes: dict[str, Any], evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Yield the values with a field that the error misses on a config, as another config of the tree has it."""
    missed = _MISSED.search(evidence.text)
    if missed is None:
        return
    kind, name = missed.groups()
    for path, node in nodes.items():
        if type(node).__name__ == kind:
            others = [value for other in nodes.values() if (value := read(other, name)) is not None]
            value = (
                others[0]
                if others
                else _USUAL.get(name, 0.1 if "dropout" in name else _COUNTS.get(kind_of(name) or ""))
            )
            yield {**current.values, f"{path}.{name}" if path else name: value}


def _stated(template: Template, current: Attempt, evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Yield the values with a switch set as the error says: "make sure that `is_decoder=True`"."""
    for name, value in _STATED.findall(evidence.text):
        for leaf in template.leaves():
            if leaf.name == name and isinstance(leaf.value, bool):
                yield {**current.values, leaf.path: value == "True"}


def _value(leaf: Leaf, owner: Any, evidence: Evidence) -> Any:
    kind = kind_of(leaf.name)
    if leaf.name.endswith(("layer_types", "layers_block_type")):
        return _layer_types(leaf.name, owner, evidence)
    if leaf.name.endswith("_map"):
        # A list of pairs in some, a table in others.
        return [] if "list" in str(type(owner).__annotations__.get(leaf.name)) else {}
    width = next((w for each in ("hidden_size", "d_model", "n_embd", "embed_dim") if (w := read(owner, each))), 64)
    heads = next((h for each in ("num_attention_heads", "num_heads", "n_head") if (h := read(owner, each))), 4)
    if kind == "head_dim" and isinstance(width, int) and isinstance(heads, int):
        return width // heads
    unknown = 8 if kind is None and leaf.name in evidence.lines else None
    return {"heads": heads, "width": width, "token": 0, **_COUNTS}.get(kind or "", unknown)


def _layer_types(name: str, owner: Any, evidence: Evidence) -> list[str]:
    """Return a type for each layer: those of transformers' layer types that the failing source names."""
    # Not public, and the one list of what a layer type may be; older releases have fewer.
    table = "ALLOWED_MLP_LAYER_TYPES" if name.startswith("mlp") else "ALLOWED_LAYER_TYPES"
    usual = "dense" if name.startswith("mlp") else "full_attention"
    known = getattr(configuration_utils, table, ())
    named = [word for word in evidence.strings if word in known and word != usual]
    count = read(owner, "num_hidden_layers") or 2
    return [*[usual] * (count - len(named[: count - 1])), *named[: count - 1]]


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

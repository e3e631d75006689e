"""Values for fields that the class leaves at None and the model cannot do without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autoreg.conformance.derive.attempts import Attempt
from autoreg.conformance.derive.evidence import Evidence
from autoreg.conformance.derive.inputs.facts import configs_in
from autoreg.conformance.derive.kinds import kind_of
from autoreg.conformance.derive.tree import Template

__all__ = ["fill"]

_COUNTS = {"layers": 2, "heads": 4, "experts": 4, "chosen": 2, "window": 4, "vocabulary": 99, "positions": 128}


def fill(template: Template, current: Attempt, evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Yield the values with fields set that the failing lines read and that are None: all of them, then each."""
    if "None" not in evidence.text or current.config is None:
        return
    nodes = dict(configs_in(current.config))
    missing: dict[str, Any] = {}
    for leaf in template.leaves():
        owner = nodes.get(leaf.node)
        if leaf.name in evidence.suspects and owner is not None and getattr(owner, leaf.name, None) is None:
            value = _value(leaf.name, owner)
            if value is not None:
                missing[leaf.path] = value
    for name in evidence.suspects:
        path = next((path for path in missing if path.rpartition(".")[2] == name), None)
        if path is not None:
            yield {**current.values, path: missing[path]}
    if len(missing) > 1:
        yield {**current.values, **missing}


def _value(name: str, owner: Any) -> Any:
    kind = kind_of(name)
    width = next((w for each in ("hidden_size", "d_model", "n_embd", "embed_dim") if (w := getattr(owner, each, 0))), 64)
    heads = next((h for each in ("num_attention_heads", "num_heads", "n_head") if (h := getattr(owner, each, 0))), 4)
    if kind == "head_dim" and isinstance(width, int) and isinstance(heads, int):
        return width // heads
    if kind == "heads":
        return heads
    if kind == "width":
        return width
    if kind == "token":
        return 0
    return _COUNTS.get(kind or "")

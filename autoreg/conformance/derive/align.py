"""Where the parts of a composite config meet: the widths that must be equal, though no default says so."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from autoreg.conformance.derive.attempts import Attempt
from autoreg.conformance.derive.inputs.catalogue import modality_of
from autoreg.conformance.derive.inputs.facts import configs_in, is_int, read
from autoreg.conformance.derive.kinds import kind_of
from autoreg.conformance.derive.tree import Template

__all__ = ["aligned"]

_WORDS = MappingProxyType(
    {
        "image": ("vision", "image", "visual", "projector", "perceiver", "adapter", "connector", "qformer"),
        "video": ("vision", "video", "visual", "projector", "perceiver", "adapter", "connector"),
        "audio": ("audio", "speech", "sound", "encoder", "projector", "adapter"),
    }
)
_OUTWARD = ("out", "proj", "text", "llm", "lm_")
_WIDTHS = ("hidden_size", "d_model", "n_embd")


def aligned(template: Template, current: Attempt, adding: str) -> Iterator[dict[str, Any]]:
    """Yield the values with one width of the modality's config set to the width of the text, outputs first."""
    nodes = dict(configs_in(current.config if current.config is not None else template.config))
    text = next((node for path, node in nodes.items() if "text" in path or "llm" in path or "decoder" in path), None)
    width = next((w for name in _WIDTHS if text is not None and is_int(w := read(text, name))), None)
    words = _WORDS.get(modality_of(adding) or "", ())
    found: list[tuple[int, str]] = []
    for leaf in template.leaves():
        value = read(nodes[leaf.node], leaf.name) if leaf.node in nodes else None
        ours = any(word in leaf.path for word in words) and "text" not in leaf.node
        if ours and kind_of(leaf.name) == "width" and is_int(value) and value != width:
            rank = 0 if any(word in leaf.name for word in _OUTWARD) else 1 if leaf.name in _WIDTHS else 2
            found.append((rank, leaf.path))
    if width is not None:
        yield from ({**current.values, path: width} for _, path in sorted(found))

"""What an author may tell the suite where it cannot know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Hints"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hints:
    """Override any part of what the suite derives; everything left out is derived.

    `Architecture(conformance="package.module:name")` names one of these. It is read by the suite only.

    Attributes:
        config: fields of the tiny config, by name; those of a nested config as a mapping, or as
            `"vision_config.hidden_size"`.
        inputs: `inputs(config, batch_size, length, seed)` returns keyword arguments of `forward` that
            replace or extend the derived ones, on the CPU, with `batch_size` rows each.
        processing: by field of `Architecture` (`"tokenizer"`, `"processor"`, …), a function without arguments
            that returns one ready to use, where its class cannot be made without files.
        field_values: values to draw a field from, where its type allows more than the model does.
        capabilities: capabilities to switch on or off, whatever was inferred.
        tolerances: by check id, the factor by which two float results may lie further apart than usual.
        expected_failures: by check id, or `"id[ClassName]"`, why it is known to fail. Strict: one that
            passes fails the run, and so does an id that names no check.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Callable[..., Mapping[str, Any]] | None = None
    processing: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    field_values: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    tolerances: Mapping[str, float] = field(default_factory=dict)
    expected_failures: Mapping[str, str] = field(default_factory=dict)

"""Every check that autoreg brings, by topic."""

from __future__ import annotations

from types import ModuleType

from autoreg.conformance.check import Check
from autoreg.conformance.checks import (
    attention,
    beyond,
    config,
    distributed,
    ecosystem,
    forward,
    generation,
    graphs,
    loading,
    masking,
    placement,
    processing,
    properties,
    registration,
    resizing,
    training,
    weights,
)

__all__ = ["standard"]

_TOPICS = (
    registration,
    config,
    weights,
    loading,
    forward,
    masking,
    attention,
    training,
    generation,
    resizing,
    processing,
    properties,
    beyond,
    placement,
    graphs,
    distributed,
    ecosystem,
)


def standard() -> tuple[Check, ...]:
    """Return autoreg's own checks, in the order in which they are reported."""
    return tuple(each for topic in _TOPICS for each in _in(topic))


def _in(topic: ModuleType) -> list[Check]:
    return [value for value in vars(topic).values() if isinstance(value, Check)]

"""Broken twins: weights."""

from tests.conformance.twins import Twin

TWINS: tuple[Twin, ...] = ()

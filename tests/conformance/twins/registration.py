"""Broken twins: registration."""

from tests.conformance.twins import Twin

TWINS: tuple[Twin, ...] = ()

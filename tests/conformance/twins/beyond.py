"""Broken twins: beyond."""

from tests.conformance.twins import Twin

TWINS: tuple[Twin, ...] = ()

"""Broken twins: config."""

from tests.conformance.twins import Twin

TWINS: tuple[Twin, ...] = ()

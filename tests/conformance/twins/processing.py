"""Broken twins: processing."""

from tests.conformance.twins import Twin

TWINS: tuple[Twin, ...] = ()

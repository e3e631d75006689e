"""Broken twins: generation."""

from tests.conformance.twins import Twin

TWINS: tuple[Twin, ...] = ()

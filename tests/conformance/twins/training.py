"""Broken twins: training."""

from tests.conformance.twins import Twin

TWINS: tuple[Twin, ...] = ()

"""The suite: a subject that derives itself, checks by topic, a runner, reports."""

from autoreg.conformance.check import Check, check
from autoreg.conformance.hints import Hints

__all__ = ["Check", "Hints", "check"]

"""The suite: a subject that derives itself, checks by topic, a runner, reports."""

from autoreg.conformance.check import Check, check
from autoreg.conformance.hints import Hints
from autoreg.errors import DerivationError, MismatchError, NotApplicableError

__all__ = ["Check", "DerivationError", "Hints", "MismatchError", "NotApplicableError", "check"]

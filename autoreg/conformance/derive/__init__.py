"""A tiny config and inputs for any model class: found by search, with no hints and no table of architectures."""

from autoreg.conformance.derive.derivation import Derivation, Field, Input
from autoreg.conformance.derive.search import derive

__all__ = ["Derivation", "Field", "Input", "derive"]

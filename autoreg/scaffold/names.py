"""How things are called: a model type, its distribution, its package, its classes.

Depth: metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from autoreg import natives
from autoreg.architecture import check_model_type
from autoreg.errors import DeclarationError

__all__ = ["check_name", "class_prefix", "distribution_name", "package_name"]


def distribution_name(model_type: str) -> str:
    """Return the distribution's name: what pip calls it."""
    return f"autoreg-{re.sub(r'[^a-z0-9]+', '-', model_type.lower()).strip('-')}"


def package_name(model_type: str) -> str:
    """Return the package's name: what Python calls it."""
    return distribution_name(model_type).replace("-", "_")


def class_prefix(model_type: str) -> str:
    """Return what the names of the classes begin with: `my-lm2` gives `MyLm2`, `RetNet` stays."""
    parts = re.split(r"[^A-Za-z0-9]+", model_type)
    prefix = "".join(part[:1].upper() + part[1:] for part in parts)
    return prefix if prefix[:1].isalpha() else f"Model{prefix}"


def check_name(model_type: str, classes: Iterable[str]) -> None:
    """Raise `DeclarationError` for a model type or class names that a plugin cannot have."""
    check_model_type(model_type)
    if model_type in natives.model_types():
        raise DeclarationError(
            field="model_type",
            value=model_type,
            problem="transformers has it; a plugin that takes its place is written by hand (`overrides_native`)",
        )
    taken = sorted(set(classes) & natives.class_names())
    if taken:
        problem = f"transformers has a class {taken[0]!r} already, and looks classes up by name; choose another name"
        raise DeclarationError(field="model_type", value=model_type, problem=problem)

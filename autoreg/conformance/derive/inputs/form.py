"""A form: one shape and content that an argument may have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from autoreg.conformance.derive.derivation import Input, Recipe
from autoreg.conformance.derive.inputs.draw import Draw

__all__ = ["Form"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """One way to make an argument.

    Attributes:
        make: from the request and the argument's name to its value.
        kind, batch_axis, length_axis: as in `Input`.
    """

    make: Callable[[Draw, str], Any]
    kind: str
    batch_axis: int | None = 0
    length_axis: int | None = None

    def recipe(self, name: str, why: str) -> Recipe:
        """Return the recipe of the argument of this name."""
        about = Input(name=name, kind=self.kind, batch_axis=self.batch_axis, length_axis=self.length_axis, why=why)
        return Recipe(about=about, make=partial(_made, form=self, name=name))


def _made(draw: Draw, *, form: Form, name: str) -> Any:
    return form.make(draw, name)

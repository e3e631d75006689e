"""A form: one shape and content that an argument may have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from autoreg.conformance.derive.derivation import Input, Recipe
from autoreg.conformance.derive.inputs.draw import Draw

__all__ = ["Form", "of_choices"]

_CHOICES = 3


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


@lru_cache(maxsize=64)
def of_choices(form: Form) -> Form:
    """Return the form with a text for each choice of a row: `(batch, choices, length)`."""
    length = None if form.length_axis is None else form.length_axis + 1
    return replace(form, make=partial(_chosen, form=form), length_axis=length)


def _chosen(draw: Draw, name: str, *, form: Form) -> Any:
    rows = form.make(replace(draw, batch_size=_CHOICES * draw.batch_size), name)
    return rows.unflatten(0, (draw.batch_size, _CHOICES))

"""What a check is: a function of a subject, with what is known about it beforehand."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from autoreg.errors import DeclarationError

if TYPE_CHECKING:
    from autoreg.conformance.subject import Subject

__all__ = ["LEVELS", "Check", "Cost", "Level", "Scope", "as_check", "check"]

Level: TypeAlias = Literal["loads", "runs", "scales"]
Cost: TypeAlias = Literal["fast", "slow"]
Scope: TypeAlias = Literal["architecture", "class"]

LEVELS: tuple[Level, ...] = get_args(Level)
_ID = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)+")
_PART = re.compile(r"^(Hurts|Change): *", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One property that every good architecture has.

    Attributes:
        id: its stable name, `topic.property`.
        function: asserts the property of the subject that it is given.
        level: `loads`, `runs` or `scales`; each level includes the one before.
        cost: `fast` (well under a second on a tiny model) or `slow`.
        needs: the capabilities without which it does not apply.
        scope: run once for the `architecture`, or once for each model `class`.
        summary: the property, as a sentence.
        hurts: what becomes of a user where it does not hold.
        change: what the author should change.
        owner: the distribution and version that brings the check; empty for autoreg's own.
    """

    id: str
    function: Callable[[Subject], None]
    level: Level
    cost: Cost = "fast"
    needs: tuple[str, ...] = ()
    scope: Scope = "class"
    summary: str
    hurts: str
    change: str
    owner: str = ""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            problem = "a check's id is `topic.property`, in lower case"
            raise DeclarationError(field="id", value=self.id, problem=problem)
        for name, value, allowed in (("level", self.level, LEVELS), ("cost", self.cost, get_args(Cost))):
            if value not in allowed:
                raise DeclarationError(field=name, value=value, problem=f"one of {', '.join(allowed)} is needed")

    def __call__(self, subject: Subject) -> None:
        """Run it; see `function`."""
        self.function(subject)

    @property
    def topic(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]

    def __repr__(self) -> str:
        return f"<Check {self.id}>"


def check(
    id: str,  # noqa: A002 - what it is called everywhere
    *,
    level: Level,
    cost: Cost = "fast",
    needs: tuple[str, ...] = (),
    scope: Scope = "class",
) -> Callable[[Callable[[Subject], None]], Check]:
    """Make a check of the function below, whose docstring says the property, `Hurts:` and `Change:`.

    Raises:
        DeclarationError: an id or level that is none, or a docstring without one of its three parts.
    """

    def make(function: Callable[[Subject], None]) -> Check:
        summary, hurts, change = _parts(function)
        for part, text in (("Hurts:", hurts), ("Change:", change)):
            if not text:
                problem = f"the docstring of a check has a paragraph `{part}` for the author"
                raise DeclarationError(field=id, value=function.__name__, problem=problem)
        return Check(
            id=id,
            function=function,
            level=level,
            cost=cost,
            needs=needs,
            scope=scope,
            summary=summary,
            hurts=hurts,
            change=change,
        )

    return make


def as_check(value: Any, owner: str) -> Check:
    """Return what a plugin's `autoreg_checks` yields as a check of that owner; a bare function gets defaults.

    Raises:
        DeclarationError: something that is neither a check nor a function.
    """
    if isinstance(value, Check):
        return replace(value, owner=owner)
    if not callable(value):
        raise DeclarationError(field="autoreg_checks", value=value, problem="a function of the subject is needed")
    summary, hurts, change = _parts(value)
    name = str(getattr(value, "__name__", type(value).__name__)).lower().replace("check_", "", 1)
    topic = re.sub(r"[^a-z0-9]+", "-", owner.partition(" ")[0].lower()) or "own"
    return Check(
        id=f"{topic}.{name}", function=value, level="runs", summary=summary, hurts=hurts, change=change, owner=owner
    )


def _parts(function: Callable[..., Any]) -> tuple[str, str, str]:
    """Return the first paragraph of the docstring, and those that begin with `Hurts:` and `Change:`."""
    summary, *named = _PART.split(inspect.getdoc(function) or function.__name__)
    parts = dict(zip(named[::2], named[1::2], strict=True))
    first = summary.strip().partition("\n\n")[0]
    lines = (first, parts.get("Hurts", ""), parts.get("Change", ""))
    return tuple(" ".join(text.split()) for text in lines)  # type: ignore[return-value]  # three in, three out

"""A case: what is laid out, what the user does, and which ending is the right one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.trial.material import Place

__all__ = ["GROUPS", "OUTCOMES", "Act", "Case", "Report", "Seen", "Verdict", "Wanted"]

OUTCOMES: Mapping[str, str] = {
    "right": "the true result bit for bit, or an error that names the culprit and is autoreg's, or names the file",
    "refused": "an error where there is nothing wrong",
    "unclear": "an error that nobody could act on",
    "warned": "a result that is not the true one, and a warning that names what is wrong",
    "wrong": "a result that is not the true one, and not a word",
    "unsafe": "code ran, or a file was read, that nobody had allowed",
    "lost": "the old checkpoint is gone, mixed with the new one, or a file beside it is",
    "hang": "no end within the limits",
    "crash": "killed by a signal, or out of memory",
}
"""How a case can end, and what it is called then."""

GROUPS = ("config", "auto_map", "weights", "shards", "pickles", "saves", "threads", "plugins", "hub")

Act = Callable[[Any, Place], Any]
"""What the user does: `act(face, place)`, where the face is transformers or autoreg."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a child says of how it went.

    Attributes:
        ended: "returned", "raised", "hang" or "crash".
        value: what was returned, described: tensors as dtype, shape and bytes.
        error: the name of the exception's class; for a crash, the signal.
        family: the names of that class's parents.
        text: what the exception says.
        trace: its traceback, for who mends it.
        said: what was logged or warned meanwhile.
    """

    ended: str
    value: Any = None
    error: str = ""
    family: tuple[str, ...] = ()
    text: str = ""
    trace: str = ""
    said: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """Everything that is known when a case is judged."""

    case: Case
    place: Place
    report: Report
    later: Report | None

    def names(self, text: str) -> bool:
        """Say whether a text names the culprit: the file, or the field, tensor or plugin."""
        return any(name in text for name in (self.file, *self.case.names))

    @property
    def file(self) -> str:
        """The file at fault, by its name; the folder's path where none is."""
        return self.case.file or str(self.place.folder)

    @property
    def warned(self) -> bool:
        """Whether something that was said names the culprit."""
        return any(self.names(text) for text in self.report.said)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a case ended, and why that is so."""

    outcome: str
    remark: str = ""


Wanted = Callable[[Seen], Verdict]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One bad input or fault.

    Attributes:
        id: its name.
        group: one of `GROUPS`.
        what: what is wrong, as a phrase for the table.
        make: lays it out.
        act: what the user does.
        wanted: judges how it ended.
        file: the name of the file at fault; empty where it is the folder.
        names: what else an error may name: the field, the tensor, the plugin.
        guarantee: what of autoreg's keeps it from going wrong; with that switched off, it must.
        then: what is done afterwards in a new process: a save is judged by the next load.
        stdin: what the user types, should anything ask.
        tty: whether that comes from a terminal.
        fresh: whether it needs an interpreter of its own.
        trusts: whether running the checkpoint's code is what the user asked for.
        cannot: why it cannot end rightly, for the cases that autoreg does not promise; empty for all others.
        everyday: whether it belongs to the selection that runs every day.
    """

    id: str
    group: str
    what: str
    make: Callable[[Place], Any]
    act: Act
    wanted: Wanted
    file: str = ""
    names: tuple[str, ...] = ()
    guarantee: str = ""
    then: Act | None = None
    stdin: bytes = b""
    tty: bool = False
    fresh: bool = False
    trusts: bool = False
    cannot: str = ""
    everyday: bool = field(default=False)

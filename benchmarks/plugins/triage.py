"""Whose fault a red or expected cell is: the package's, transformers', the suite's, or that of a machine without a GPU.

An expected failure carries its reason from the plugin, which begins with the name of who is to blame (`"ibm-fms: …"`).
What a plugin does not explain is looked up here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["KINDS", "KNOWN", "Cause", "Known", "cause", "evidence"]

Kind: TypeAlias = Literal["package", "transformers", "suite", "capability", "open"]

KINDS: Mapping[Kind, str] = {
    "package": "a defect of the package",
    "transformers": "a defect of transformers",
    "suite": "a false alarm of the suite",
    "capability": "needs what this machine lacks",
    "open": "not yet looked into",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """One cause of cells that are not green.

    Attributes:
        check: the id of the check, or several.
        pattern: what `"Name Class: reason | difference"` matches; Name is the model type.
        kind: whose fault it is.
        why: what causes it, with the evidence.
    """

    check: str | tuple[str, ...]
    pattern: str
    kind: Kind
    why: str

    def explains(self, name: str, cell: Mapping[str, Any]) -> bool:
        """Say whether this is the cause of a cell."""
        checks = (self.check,) if isinstance(self.check, str) else self.check
        text = f"{name} {cell['subject']}: {cell['reason']} | {cell['difference']}"
        return cell["check"] in checks and re.search(self.pattern, text, re.DOTALL) is not None


@dataclass(frozen=True, slots=True)
class Cause:
    """Whose fault a cell is, and why."""

    kind: Kind
    why: str


KNOWN: Sequence[Known] = ()
"""What no plugin explains itself; empty as long as every plugin does."""


def cause(name: str, cell: Mapping[str, Any], known: Sequence[Known] = KNOWN) -> Cause:
    """Return whose fault a cell is: as this table says, or as the reason of an expected failure begins."""
    for each in known:
        if each.explains(name, cell):
            return Cause(each.kind, each.why)
    if cell["verdict"] != "expected failure":
        return Cause("open", cell["reason"].partition("\n")[0])
    blamed, colon, _ = cell["reason"].partition(":")
    if not colon or " " in blamed.strip():
        return Cause("open", cell["reason"])
    kind: Kind = blamed if blamed in ("transformers", "suite", "capability") else "package"  # type: ignore[assignment]
    # The suite puts the failure itself in brackets behind the given reason: one cause has many of them.
    return Cause(kind, cell["reason"].partition(" (")[0])


def evidence(cell: Mapping[str, Any], *, longest: int = 140) -> str:
    """Return what the suite saw: the failure itself, and the first difference where there is one."""
    expected = cell["verdict"] == "expected failure"
    failure = cell["reason"].partition(" (")[2].removesuffix(")") if expected else cell["reason"]
    text = f"{failure}: {cell['difference']}" if cell["difference"] else failure
    if len(text) <= longest:
        return text
    cut = text[:longest]
    return f"{cut.rpartition('`')[0].rstrip() if cut.count('`') % 2 else cut}…"  # no name is cut: it would never end

"""Checks that transformers' own reference architecture fails in this version, each with the evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from packaging.specifiers import SpecifierSet

from autoreg.conformance.outcome import Outcome

__all__ = ["KNOWN", "Upstream", "excused"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Upstream:
    """One failure that no author can mend, because transformers causes it.

    Attributes:
        check: the check's id.
        versions: of transformers that cause it.
        pattern: what the failure's reason or difference must match: any other failure stays red.
        reference: transformers' own class on which the same check fails in the same way.
        link: the report or the line of source that shows it.
        why: one sentence.
    """

    check: str
    versions: str
    pattern: str
    reference: str
    link: str
    why: str


KNOWN: Sequence[Upstream] = ()


def excused(outcome: Outcome, version: str, known: Sequence[Upstream] = KNOWN) -> Outcome:
    """Return the outcome as `upstream` where the table explains it in this version of transformers."""
    if outcome.verdict != "failed":
        return outcome
    for entry in known:
        told = f"{outcome.reason}\n{outcome.difference}"
        applies = entry.check == outcome.check and SpecifierSet(entry.versions).contains(version, prereleases=True)
        if applies and re.search(entry.pattern, told):
            reason = f"{entry.why} {entry.reference} fails in the same way: {entry.link}"
            return replace(outcome, verdict="upstream", reason=reason)
    return outcome

"""The trial's tables, and what in its rows is not as it should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.trial.ablations import GUARANTEES
from tests.trial.case import GROUPS, OUTCOMES, Case
from tests.trial.runner import Row

__all__ = ["problems", "tables", "totals"]


def problems(cases: Sequence[Case], rows: Sequence[Row]) -> list[str]:
    """Return what is not as promised: a case that autoreg ends otherwise, an ablation that changes nothing."""
    known = {case.id: case for case in cases}
    found = []
    for row in rows:
        case = known[row.run.case]
        if row.run.without:
            if row.outcome == "right":
                found.append(f"{case.id} ends rightly without its guarantee, {row.run.without}")
        elif row.run.face == "autoreg":
            if row.outcome != "right" and not case.cannot:
                found.append(f"{case.id}: {row.outcome}: {row.remark}")
            if row.outcome == "right" and case.cannot:
                found.append(f"{case.id} ends rightly, and is listed as what cannot hold")
    return found


def _outcomes(rows: Sequence[Row], face: str) -> dict[str, str]:
    return {row.run.case: row.outcome for row in rows if row.run.face == face and not row.run.without}


def totals(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table of how many cases ended how."""
    yield "| | cases | " + " | ".join(OUTCOMES) + " |"
    yield "| --- | ---: " + "| ---: " * len(OUTCOMES) + "|"
    for face, name in (("plain", "plain transformers"), ("autoreg", "autoreg")):
        counted = Counter(_outcomes(rows, face).values())
        cells = [name, counted.total(), *(counted[outcome] for outcome in OUTCOMES)]
        yield "| " + " | ".join(map(str, cells)) + " |"


def tables(cases: Sequence[Case], rows: Sequence[Row]) -> Iterator[str]:
    """Yield the page below its introduction."""
    yield from totals(rows)
    yield from ("", "## What is promised, and what happens without", "")
    yield from _guarantees(rows)
    yield from ("", "## What does not hold", "", *_cannot(cases, rows))
    yield from ("", "## The cases")
    plain, ours = _outcomes(rows, "plain"), _outcomes(rows, "autoreg")
    for group in GROUPS:
        yield from ("", f"### {group}", "", "| what is wrong | plain | autoreg |", "| --- | --- | --- |")
        for case in cases:
            if case.group == group:
                yield f"| {case.what} | {_cell(plain.get(case.id))} | {_cell(ours.get(case.id))} |"


def _cell(outcome: str | None) -> str:
    return outcome if outcome == "right" else f"**{outcome or '-'}**"


def _guarantees(rows: Sequence[Row]) -> Iterator[str]:
    yield "| guarantee | | its cases | without it |"
    yield "| --- | --- | ---: | --- |"
    for name, (sentence, _) in GUARANTEES.items():
        counted = Counter(row.outcome for row in rows if name in row.run.without.split(" + "))
        ended = ", ".join(f"{counted[outcome]} {outcome}" for outcome in OUTCOMES if counted[outcome])
        yield f"| {name} | {sentence} | {counted.total()} | {ended or '-'} |"


def _cannot(cases: Sequence[Case], rows: Sequence[Row]) -> Iterator[str]:
    ours = _outcomes(rows, "autoreg")
    for case in cases:
        if case.cannot:
            yield f"- {case.group}, {case.what}: {ours.get(case.id, '-')}. {case.cannot[0].upper()}{case.cannot[1:]}."

"""Write the matrix of broken twins and checks into the documentation: `python -m tests.conformance.matrix`.

Every fast check is run on every twin and on the correct original, and each slow check on the twins made for
it: minutes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoreg.conformance.check import Check
from autoreg.conformance.checks import standard
from autoreg.conformance.outcome import Outcome
from autoreg.conformance.run import Selection, run
from tests.conformance.twins import Twin, all_twins, install, target_of

__all__ = ["PAGE", "PICTURE", "Row", "page", "rows"]

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "contributor" / "twins.md"
PICTURE = REPOSITORY / "docs" / "assets" / "twins.svg"

_HEAD = """\
# Broken twins

A check that nobody saw fail proves nothing. Below stands every defect that the tests plant, one at a time, into
`tests/conformance/original`, an architecture that is correct in everything, and what the suite says of it. Written by
`python -m tests.conformance.matrix`; `tests/conformance/test_twins.py` plants each again and looks at the check that
was made for it.

"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the suite says of one twin.

    Attributes:
        twin: the defect; None for the correct original.
        caught: the ids of the checks that are red, the check that was made for it first.
        green: how many outcomes are green.
    """

    twin: Twin | None
    caught: tuple[str, ...]
    green: int


def rows(twins: Sequence[Twin]) -> list[Row]:
    """Run the suite on the original and on each twin."""
    found = []
    for number, twin in enumerate((None, *twins)):
        found.append(_row(twin))
        print(f"{number}/{len(twins)} {twin.name if twin else 'the original'}: {found[-1].caught}", file=sys.stderr)
    return found


def _row(twin: Twin | None) -> Row:
    slow = {check.id for check in standard() if check.cost == "slow"}
    checks = [each for each in standard() if each.cost == "fast" or twin is None or each.id == twin.check]
    with tempfile.TemporaryDirectory() as folder:
        target = target_of(install(Path(folder, "site"), twin))
        report = run(target, checks=checks, selection=Selection(slow=twin is None or twin.check in slow))
    red = dict.fromkeys(outcome.check for outcome in report.red)
    ordered = sorted(red, key=lambda check: (twin is None or check != twin.check, list(red).index(check)))
    return Row(twin=twin, caught=tuple(ordered), green=sum(map(_green, report.outcomes)))


def _green(outcome: Outcome) -> bool:
    return outcome.green


def page(found: Sequence[Row], checks: Sequence[Check]) -> str:
    """Return the page: the headline, the picture, a table for each topic."""
    twins = [row for row in found if row.twin is not None]
    missed = [row.twin.name for row in twins if row.twin is not None and row.twin.check not in row.caught]
    made_for = {row.twin.check for row in twins if row.twin is not None}
    lines = [
        f"- {len(twins)} twins, {len(twins) - len(missed)} of them caught by the check that was made for them"
        + (f"; missed: {', '.join(missed)}" if missed else ""),
        f"- {len(checks)} checks, {len(made_for)} of them seen to catch a twin of their own",
        *(
            f"- the correct original: {row.green} outcomes green, {len(row.caught)} red"
            for row in found
            if not row.twin
        ),
        "",
        "![Twins and checks: a dark square is the check that the twin was made for, a light one another that notices]"
        "(../assets/twins.svg)",
    ]
    for topic, members in _by_topic(twins).items():
        lines += ["", f"## {topic.capitalize()}", "", "| the defect | is caught by | on | and noticed by |"]
        lines += ["| --- | --- | --- | --- |", *map(_cells, members)]
    return _HEAD + "\n".join(lines) + "\n"


def _by_topic(found: Sequence[Row]) -> Mapping[str, list[Row]]:
    topics: dict[str, list[Row]] = {}
    for row in found:
        if row.twin is not None:
            topics.setdefault(row.twin.check.partition(".")[0], []).append(row)
    return topics


def _cells(row: Row) -> str:
    assert row.twin is not None
    caught = f"`{row.twin.check}`" if row.twin.check in row.caught else "**missed**"
    others = [check for check in row.caught if check != row.twin.check]
    shown = ", ".join(f"`{check}`" for check in others[:4]) + (f" and {len(others) - 4} more" if others[4:] else "")
    on = f"`{row.twin.on}`" if row.twin.on else "the config"
    return f"| {row.twin.defect} | {caught} | {on} | {shown or 'no other'} |"


def picture(found: Sequence[Row], checks: Sequence[Check]) -> None:
    """Draw the whole matrix: one row a twin, one column a check."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "autoreg"  # the same matrix gives the same file
    from matplotlib import pyplot

    twins = [row.twin for row in found if row.twin is not None]
    ids = [check.id for check in checks]
    figure, axes = pyplot.subplots(figsize=(0.16 * len(ids) + 3.2, 0.16 * len(twins) + 2.8))
    for y, row in enumerate(row for row in found if row.twin is not None):
        for check in row.caught:
            if check in ids:
                own = row.twin is not None and check == row.twin.check
                x = ids.index(check)
                axes.add_patch(pyplot.Rectangle((x - 0.45, y - 0.45), 0.9, 0.9, color="#b3261e" if own else "#e8b4ae"))
    axes.set_xlim(-0.5, len(ids) - 0.5)
    axes.set_ylim(len(twins) - 0.5, -0.5)
    axes.set_xticks(range(len(ids)), ids, rotation=90, fontsize=5)
    axes.set_yticks(range(len(twins)), [twin.name for twin in twins], fontsize=5)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.grid(visible=True, linewidth=0.2, color="#cccccc")
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    figure.savefig(PICTURE, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    """Run everything and write both files."""
    checks = standard()
    found = rows(all_twins())
    PAGE.write_text(page(found, checks), encoding="utf-8")
    picture(found, checks)


if __name__ == "__main__":
    main()

"""The page of the documentation on the plugins, from the results of a run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.plugins.triage import KINDS, Cause, cause, evidence

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "contributor" / "plugins.md"

Report = Mapping[str, Any]
_LEVELS = ("loads", "runs", "scales")
_RED = ("failed", "error", "vacuous")
_MOST_NAMES = 3

_HEAD = """\
# The suite on the plugins

What the conformance suite says of every plugin of this repository, of those that implement an architecture and of those
that only declare the classes of a package on PyPI. Written by `python -m benchmarks.plugins`; the results are in
`benchmarks/results/plugins.json`. Run with {versions}.

- *passed*, *red* and *expected* are cells: one check of one class. What does not apply to a class is not counted
- *expected*: it fails, and the plugin says why
- of the checks and classes that have a cause in common the first three are named
"""


def page(reports: Sequence[Report]) -> str:
    """Return the page as Markdown, from one report for each model type or claimed class name."""
    versions = ", ".join(f"{name} {version}" for name, version in reports[0]["versions"].items() if name != "autoreg")
    lines = [_HEAD.format(versions=versions), *_table(reports), "", *_triage(reports)]
    return "\n".join(lines) + "\n"


def _table(reports: Sequence[Report]) -> list[str]:
    lines = [
        f"| architecture | plugin | classes | {' | '.join(_LEVELS)} | seconds |",
        f"| --- | --- | ---: |{' --- |' * len(_LEVELS)} ---: |",
    ]
    for report in reports:
        cells = [_counts([cell for cell in report["cells"] if cell["level"] == level]) for level in _LEVELS]
        name, owner, seconds = report["name"], report["owner"], report["seconds"]
        lines.append(f"| `{name}` | {owner} | {len(report['classes'])} | {' | '.join(cells)} | {seconds:.0f} |")
    return lines


def _counts(cells: Sequence[Mapping[str, Any]]) -> str:
    found = Counter(cell["verdict"] for cell in cells)
    red = sum(found[verdict] for verdict in _RED)
    parts = [(found["passed"], "passed"), (red, "**red**"), (found["expected failure"], "expected")]
    parts.append((found["upstream"], "upstream"))
    return ", ".join(f"{count} {word}" for count, word in parts if count) or "none"


def _triage(reports: Sequence[Report]) -> list[str]:
    groups: dict[tuple[str, Cause], list[tuple[str, str]]] = defaultdict(list)
    examples: dict[tuple[str, Cause], str] = {}
    for report in reports:
        for cell in report["cells"]:
            if cell["verdict"] in (*_RED, "expected failure"):
                key = (report["owner"], cause(report["name"], cell))
                groups[key].append((cell["check"], cell["subject"] or report["name"]))
                examples.setdefault(key, evidence(cell))
    kinds = Counter(found.kind for (_, found), cells in groups.items() for _ in cells)
    told = ", ".join(f"{kinds[kind]} {text}" for kind, text in KINDS.items() if kinds[kind])
    lines = ["## What is not green", "", f"{sum(kinds.values())} cells: {told or 'none'}."]
    for kind, title in KINDS.items():
        found = {key: cells for key, cells in sorted(groups.items(), key=_order) if key[1].kind == kind}
        if found:
            lines += ["", f"### {title[0].upper()}{title[1:]}"]
        for owner in dict.fromkeys(owner for owner, _ in found):
            lines += ["", f"**{owner}**", "", "| why | for example | cells | where |", "| --- | --- | ---: | --- |"]
            lines += [_row(key[1], cells, example=examples[key]) for key, cells in found.items() if key[0] == owner]
    return lines


def _row(found: Cause, cells: Sequence[tuple[str, str]], *, example: str) -> str:
    where = f"{_named(cells, 0)}; {_named(cells, 1)}"
    return f"| {_cell(found.why)} | {_cell(example)} | {len(cells)} | {where} |"


def _order(item: tuple[tuple[str, Cause], list[tuple[str, str]]]) -> tuple[str, int, str]:
    (owner, found), cells = item
    return owner, -len(cells), found.why


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _named(cells: Sequence[tuple[str, str]], index: int) -> str:
    """Return the first names, and how many more there are: the results have all."""
    names = sorted({cell[index] for cell in cells})
    more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    return ", ".join([*(f"`{name}`" for name in names[:_MOST_NAMES]), *more])

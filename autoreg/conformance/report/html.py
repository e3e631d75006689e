"""A report as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoreg.conformance.check import Check
from autoreg.conformance.outcome import VERDICTS, Outcome, Report
from autoreg.conformance.report import words

__all__ = ["to_html"]


def to_html(report: Report, checks: Iterable[Check] = ()) -> str:
    """Return the page.

    Args:
        report: what came of the run.
        checks: what was run, for the sentences that say what each check looks at.

    Raises:
        ImportError: jinja2 is not installed.
    """
    import jinja2

    source = Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8")
    # Everything that is shown comes from plugins: messages, class names, reprs.
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["clean"] = words.clean
    environment.filters["marked"] = _marked
    environment.filters["duration"] = words.duration
    return environment.from_string(source).render(
        report=report,
        state=words.state(report),
        results=words.results(report),
        symbols=words.SYMBOLS,
        levels=[_level(name, outcomes) for name, outcomes in words.by_level(report).items()],
        counts={verdict: count for verdict, count in report.counts.items() if count},
        red=[
            (group[0], words.title(group), words.facts(*group), words.command(report, group[0]))
            for group in words.grouped(report.red)
        ],
        names=words.short_names([facts.name for facts in report.classes]),
        reasons=_reasons(report),
        matrix=_matrix(report, {check.id: check for check in checks}),
        capabilities=words.capabilities(report),
        notes=[(outcome, note) for outcome in report.outcomes for note in outcome.notes],
        remarks=[outcome for outcome in report.outcomes if outcome.verdict in ("expected failure", "upstream")],
    )


def _marked(text: str) -> Any:
    """Return the text as HTML in which what stands in backquotes is code."""
    from markupsafe import Markup, escape

    parts = re.split(r"`([^`\n]+)`", words.clean(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


def _level(name: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    counts = words.counted(outcomes)
    return {"name": name, "counts": counts, "total": len(outcomes)}


def _matrix(report: Report, checks: Mapping[str, Check]) -> dict[str, list[dict[str, Any]]]:
    """Return by level a row for each check: its id, what it looks at, and the outcome for each class."""
    levels: dict[str, list[dict[str, Any]]] = {}
    for level, outcomes in words.by_level(report).items():
        rows: dict[str, dict[str, Any]] = {}
        for outcome in outcomes:
            row = rows.setdefault(outcome.check, {"id": outcome.check, "summary": "", "cells": {}, "worst": "passed"})
            row["cells"][outcome.subject] = outcome
            row["worst"] = max(row["worst"], outcome.verdict, key=_WEIGHT.index)
            if outcome.check in checks:
                row["summary"] = checks[outcome.check].summary
        levels[level] = list(rows.values())
    return levels


def _reasons(report: Report) -> dict[tuple[str, str], list[str]]:
    """Return by check and reason the classes to which a check does not apply."""
    found: dict[tuple[str, str], list[str]] = {}
    for outcome in report.outcomes:
        if outcome.verdict == "not applicable":
            found.setdefault((outcome.check, outcome.reason), []).append(outcome.subject)
    return found


_WEIGHT = ("not applicable", "passed", *VERDICTS[4:5], "upstream", "vacuous", "failed", "error")

"""A report as Markdown, for the summary page of a CI run or a comment on a change."""

from __future__ import annotations

import re
from html import escape

from autoreg.conformance.outcome import VERDICTS, Outcome, Report
from autoreg.conformance.report import words

__all__ = ["to_markdown"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def to_markdown(report: Report) -> str:
    """Return the headline, a table by level, and the details of what is red."""
    sign = "✅" if report.conformant else "❌"
    parts = [
        f"## {sign} {_plain(report.model_type)} is {words.state(report)}",
        f"{_plain(report.owner)} · {_versions(report)} · seed {report.seed} · {words.duration(report.seconds)}",
        _table(report),
    ]
    parts += [
        f"- `{facts.name}`: nothing was derived. {_plain(facts.problem)}" for facts in report.classes if facts.problem
    ]
    parts += [_details(report, *group) for group in words.grouped(report.red)]
    notes = [f"- `{outcome.id}`: {_plain(note)}" for outcome in report.outcomes for note in outcome.notes]
    if notes:
        parts.append("<details><summary>Notes</summary>\n\n" + "\n".join(notes) + "\n\n</details>")
    return "\n\n".join(parts) + "\n"


def _versions(report: Report) -> str:
    return ", ".join(f"{name} {version}" for name, version in report.versions.items())


def _table(report: Report) -> str:
    used = [verdict for verdict in VERDICTS if report.counts[verdict]]
    rows = [f"| level | {' | '.join(used)} |", f"| --- |{' ---: |' * len(used)}"]
    for level, outcomes in words.by_level(report).items():
        counts = words.counted(outcomes)
        rows.append(f"| {level} | {' | '.join(str(counts.get(verdict, '')) for verdict in used)} |")
    return "\n".join(rows)


def _details(report: Report, outcome: Outcome, *others: Outcome) -> str:
    name, classes = words.title([outcome, *others])
    ids = f"<code>{escape(name)}</code> {escape(', '.join(classes))}".rstrip()
    lines = [f"<details><summary>{words.SYMBOLS[outcome.verdict]} {ids}: {outcome.verdict}</summary>"]
    lines.append(_plain(outcome.reason))
    lines += [
        f"**{name}**: {_code(text) if name in _CODE else _plain(text)}" for name, text in words.facts(outcome, *others)
    ]
    if outcome.output and outcome.verdict == "error":
        lines.append(_fenced(outcome.output))
    lines.append(_fenced(words.command(report, outcome), "bash"))
    return "\n\n".join([*lines, "</details>"])


_CODE = ("first difference", "and", "where")


def _plain(text: str) -> str:
    """Return text that no Markdown reads as markup; code in backquotes stays code."""
    parts = re.split(r"(`[^`\n]+`)", words.clean(text))
    shown = (part if part.startswith("`") and part.endswith("`") else _SPECIAL.sub(r"\\\1", part) for part in parts)
    return " ".join("".join(shown).split())


def _code(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * (longest + 1)
    return f"{ticks} {text} {ticks}" if longest else f"`{text}`"


def _fenced(text: str, language: str = "text") -> str:
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    ticks = "`" * (longest + 1)
    return f"{ticks}{language}\n{words.clean(text).rstrip()}\n{ticks}"

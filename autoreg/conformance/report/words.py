"""What all reports say in the same words."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from autoreg.conformance.check import LEVELS, Level
from autoreg.conformance.outcome import VERDICTS, Capability, Outcome, Report, Verdict

__all__ = [
    "SYMBOLS",
    "by_level",
    "capabilities",
    "clean",
    "command",
    "counted",
    "duration",
    "facts",
    "grouped",
    "is_native",
    "results",
    "short_names",
    "state",
    "title",
]

SYMBOLS: Mapping[Verdict, str] = MappingProxyType(
    {
        "passed": "✓",
        "failed": "✗",
        "error": "!",
        "not applicable": "·",
        "expected failure": "~",
        "vacuous": "∅",
        "upstream": "↑",
    }
)

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def state(report: Report) -> str:
    """Return the report in one or two words."""
    return "conformant" if report.conformant else "not conformant"


def results(report: Report) -> str:
    """Return how many outcomes there are, in words."""
    return f"{len(report.outcomes)} result{'' if len(report.outcomes) == 1 else 's'}"


def counted(outcomes: Iterable[Outcome]) -> dict[Verdict, int]:
    """Return how many there are of each verdict that occurs, in the order of `VERDICTS`."""
    listed = list(outcomes)
    counts = {verdict: sum(each.verdict == verdict for each in listed) for verdict in VERDICTS}
    return {verdict: count for verdict, count in counts.items() if count}


def by_level(report: Report) -> dict[Level, tuple[Outcome, ...]]:
    """Return the outcomes of each level that has any."""
    found = {level: tuple(each for each in report.outcomes if each.level == level) for level in LEVELS}
    return {level: outcomes for level, outcomes in found.items() if outcomes}


def grouped(outcomes: Iterable[Outcome]) -> list[tuple[Outcome, ...]]:
    """Return the outcomes with those together of which the same is to be said.

    These are the failures of one check on several classes, and all errors for one reason: where nothing could be
    derived for a class, every check of it says so.
    """
    found: dict[tuple[str, ...], list[Outcome]] = {}
    for each in outcomes:
        check = "" if each.verdict == "error" and each.reason else each.check
        found.setdefault((check, each.verdict, each.reason), []).append(each)
    return [tuple(group) for group in found.values()]


def title(group: Sequence[Outcome]) -> tuple[str, tuple[str, ...]]:
    """Return what a group of outcomes is called: its check, and the classes."""
    checks = dict.fromkeys(each.check for each in group)
    more = len(checks) - 1
    rest = f" and {more} more check{'' if more == 1 else 's'}" if more else ""
    return f"{group[0].check}{rest}", tuple(dict.fromkeys(each.subject for each in group if each.subject))


def facts(outcome: Outcome, *others: Outcome) -> list[tuple[str, str]]:
    """Return what there is to say of an outcome beside its reason, each with its name.

    Args:
        outcome: the outcome.
        others: those of other classes for the same reason, of which the differences are told.
    """
    also = [f"{each.subject}: {each.difference}" for each in others if each.difference != outcome.difference]
    one_check = all(each.check == outcome.check for each in others)
    named = (
        ("compared", outcome.compared),
        ("first difference", outcome.difference),
        *(("and", text) for text in also),
        ("where", shortened(outcome.where)),
        *((("it hurts", outcome.hurts), ("change", outcome.change)) if one_check else ()),
    )
    return [(name, clean(text)) for name, text in named if text]


def shortened(where: str) -> str:
    """Return a place with a path relative to the current directory, where that is shorter."""
    return where.replace(f"({os.getcwd()}{os.sep}", "(")


def is_native(report: Report) -> bool:
    """Say whether the architecture is one of transformers' own."""
    return report.owner.startswith("transformers ")


def command(report: Report, outcome: Outcome) -> str:
    """Return the command that writes a script in which one outcome can be stepped through."""
    words = ["autoreg", "check", *(["--native"] if is_native(report) else []), report.model_type]
    words += ["--reproduce", outcome.id, *(["--seed", str(report.seed)] if report.seed else [])]
    return shlex.join(words)


def capabilities(report: Report) -> dict[str, dict[str, Capability]]:
    """Return by capability what each class can do."""
    found: dict[str, dict[str, Capability]] = {}
    for each in report.classes:
        for capability in each.capabilities:
            found.setdefault(capability.name, {})[each.name] = capability
    return found


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return each class name without the words that all begin with: `ForCausalLM`, `Model`."""
    words = [re.findall(r"[A-Z]+(?![a-z])|[A-Z][^A-Z]*|[^A-Z]+", name) for name in names]
    same = 0
    while len(words) > 1 and all(len(each) > same + 1 for each in words) and len({each[same] for each in words}) == 1:
        same += 1
    return {name: "".join(each[same:]) for name, each in zip(names, words, strict=True)}


def clean(text: str) -> str:
    """Return the text without what terminals obey and XML forbids: colours, control characters."""
    return _CONTROL.sub("", text)


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"

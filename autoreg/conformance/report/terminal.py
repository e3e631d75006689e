"""A report on a terminal, and the same as plain text in a pipe."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from autoreg.conformance.check import Check
from autoreg.conformance.outcome import Capability, ClassFacts, Outcome, Report, Verdict
from autoreg.conformance.report import words

__all__ = ["explained", "failure", "listed", "plain", "shown", "summary"]

_STYLES: Mapping[Verdict, str] = MappingProxyType(
    {
        "passed": "green",
        "failed": "bold red",
        "error": "bold red",
        "not applicable": "bright_black",
        "expected failure": "yellow",
        "vacuous": "bold magenta",
        "upstream": "cyan",
    }
)
_MARGIN = (0, 0, 0, 2)
_MOST_LINES = 14


def plain(shown: RenderableType) -> str:
    """Return it as plain text in which nothing is wrapped: for a pipe, for pytest."""
    text = io.StringIO()
    Console(file=text, width=100_000, color_system=None, highlight=False, emoji=False).print(shown)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n") + "\n"


# --- the report ------------------------------------------------------------------------------------


def shown(report: Report) -> Group:
    """Return the whole report: what is red, capabilities, notes, and the counts at the end, where eyes are."""
    parts: list[RenderableType] = []
    if report.red:
        parts += [Text("What is wrong", style="bold red")]
        parts += [part for group in words.grouped(report.red) for part in (failure(*group, report=report), Text())]
    if any(facts.capabilities for facts in report.classes):
        parts += [*_capabilities(report), Text()]
    remarks = list(_remarks(report))
    if remarks:
        parts += [Text("Notes", style="bold"), *(Padding(remark, _MARGIN) for remark in remarks), Text()]
    return Group(*parts, summary(report))


def summary(report: Report) -> Group:
    """Return the verdict, the counts by level and the time."""
    colour = "green" if report.conformant else "red"
    title = Text.assemble(
        (f"{report.model_type} is {words.state(report)}", f"bold {colour}"), ("  " + report.owner, "bright_black")
    )
    grid = Table.grid(padding=(0, 2))
    for level, outcomes in words.by_level(report).items():
        grid.add_row(Text(f"  {level}", style="bold"), _counts(outcomes))
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    last = f"{words.results(report)} in {words.duration(report.seconds)} · seed {report.seed} · {versions}"
    return Group(_Rule(colour), title, grid, Padding(Text(last, style="bright_black"), _MARGIN))


class _Rule:
    """A line across a terminal, and nothing in plain text, whose lines have no end."""

    def __init__(self, colour: str) -> None:
        self.colour = colour

    def __rich_console__(self, console: Console, options: object) -> Iterator[RenderableType]:
        if console.is_terminal:
            yield Rule(style=self.colour)


def _counts(outcomes: Iterable[Outcome]) -> Text:
    counts = words.counted(outcomes)
    parts = [(f"{words.SYMBOLS[verdict]} {count} {verdict}", _STYLES[verdict]) for verdict, count in counts.items()]
    return Text("   ").join(Text(*part) for part in parts)


# --- one outcome -----------------------------------------------------------------------------------


def failure(outcome: Outcome, *others: Outcome, report: Report | None = None) -> Group:
    """Return what there is to say of an outcome that is red.

    Args:
        outcome: the outcome.
        others: those of other classes of which the same is said.
        report: the report, for the command to reproduce it.
    """
    facts = words.facts(outcome, *others)
    if report is not None and not outcome.check.startswith("suite."):
        facts.append(("step through it", words.command(report, outcome)))
    parts: list[RenderableType] = [_title(outcome, others), Padding(Text(words.clean(outcome.reason)), _MARGIN)]
    if facts:
        parts.append(Padding(_facts(facts), _MARGIN))
    if outcome.output and outcome.verdict in ("error", "failed"):
        # Without the lines that underline a part of the line above.
        lines = [line for line in words.clean(outcome.output).rstrip().splitlines() if line.strip(" ^~")]
        parts.append(Padding(Text("\n".join(lines[-_MOST_LINES:]), style="bright_black"), (0, 0, 0, 4)))
    return Group(*parts)


def _title(outcome: Outcome, others: Sequence[Outcome]) -> Text:
    style = _STYLES[outcome.verdict]
    name, classes = words.title([outcome, *others])
    title = Text.assemble((f"{words.SYMBOLS[outcome.verdict]} ", style), (name, "bold"))
    if classes:
        title.append("  " + ", ".join(classes), style="cyan")
    if outcome.verdict != "failed":
        title.append(f"  {outcome.verdict}", style=style)
    return title


def _facts(facts: Sequence[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    styles = {"change": "green", "first difference": "yellow", "and": "yellow", "step through it": "cyan"}
    for name, text in facts:
        grid.add_row(Text(name, style="bright_black"), Text(text, style=styles.get(name, "")))
    return grid


# --- capabilities and notes ------------------------------------------------------------------------


def _capabilities(report: Report) -> Iterator[RenderableType]:
    """Yield who can do what: a line for each group of classes, one for each capability that hints speak of."""
    names = words.short_names([facts.name for facts in report.classes if facts.capabilities])
    groups: dict[str, list[str]] = {}
    declared: list[tuple[str, str, Capability]] = []
    for name, found in words.capabilities(report).items():
        having = [short for each, short in names.items() if each in found and found[each].value]
        who = "every class" if len(having) == len(names) else ", ".join(having) or "none"
        told = sorted((each for each in found.values() if each.source != "inferred"), key=lambda each: each.source)
        if told:
            declared.append((who, name, told[0]))  # `contradicted` before `declared`
        else:
            groups.setdefault(who, []).append(name)
    yield Text.assemble(("Capabilities", "bold"), ("  inferred, unless it says otherwise", "bright_black"))
    grid = Table.grid(padding=(0, 2))
    for who, name, one in declared:
        colour = "red" if one.source == "contradicted" else "yellow"
        grid.add_row(Text(who), Text.assemble((f"{name} ", "bold"), (f"{one.source}: {one.why}", colour)))
    for who in sorted(groups, key=lambda who: (who == "none", who != "every class")):
        grid.add_row(Text(who), Text(", ".join(groups[who]), style="bright_black" if who == "none" else "green"))
    yield Padding(grid, _MARGIN)


def _remarks(report: Report) -> Iterator[Text]:
    for facts in report.classes:
        if facts.problem:
            yield Text.assemble((facts.name, "bold red"), f": nothing was derived. {words.clean(facts.problem)}")
    for outcome in report.outcomes:
        if outcome.verdict in ("expected failure", "upstream"):
            sign = (f"{words.SYMBOLS[outcome.verdict]} {outcome.id} ", _STYLES[outcome.verdict])
            yield Text.assemble(sign, f"{outcome.verdict}: {words.clean(outcome.reason)}")
        for note in outcome.notes:
            yield Text.assemble((f"{outcome.id} ", "bold"), words.clean(note))


# --- what was derived, and what there is -----------------------------------------------------------


def explained(classes: Iterable[ClassFacts]) -> Group:
    """Return the tiny config, the inputs and the capabilities of each class."""
    return Group(*(part for facts in classes for part in _explained(facts)))


def _explained(facts: ClassFacts) -> Iterator[RenderableType]:
    place = f"{facts.file}:{facts.line}" if facts.file else ""
    yield Text.assemble((facts.name, "bold"), ("  " + place, "bright_black"))
    if facts.problem:
        yield Padding(Text(words.clean(facts.problem), style="red"), _MARGIN)
        yield Text()
        return
    role = ", ".join(facts.auto_classes) or "no Auto class"
    yield Padding(Text(f"{role} · {facts.parameters:,} parameters"), _MARGIN)
    yield from _section("config", "default", facts.fields)
    yield from _section("inputs", "", facts.inputs)
    rows = [(each.name, "yes" if each.value else "no", f"{each.source}: {each.why}") for each in facts.capabilities]
    yield from _section("capabilities", "", rows)
    yield Text()


def _section(title: str, default: str, rows: Sequence[Sequence[str]]) -> Iterator[RenderableType]:
    """Yield a small table: a name, its value (after its default, where there is one), and why."""
    if not rows:
        return
    grid = Table.grid(padding=(0, 2))
    for name, *values, why in rows:
        old = [Text(values[0], style="bright_black"), Text("→", style="bright_black")] if default else []
        grid.add_row(Text(f"  {name}"), *old, Text(values[-1], style="cyan"), Text(why, style="bright_black"))
    yield Padding(Text(title, style="bold"), _MARGIN)
    yield Padding(grid, _MARGIN)


def listed(checks: Sequence[Check]) -> Table:
    """Return a table of checks."""
    grid = Table.grid(padding=(0, 2))
    for check in checks:
        cost = Text(check.cost, style="yellow" if check.cost == "slow" else "bright_black")
        owner = f" ({check.owner})" if check.owner else ""
        grid.add_row(Text(check.id, style="bold"), Text(check.level), cost, Text(f"{check.summary}{owner}"))
    return grid

"""How values look: with rich on a terminal, as plain lines in a pipe."""

from __future__ import annotations

import json as _json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["busy", "card", "complain", "finding", "json", "notes", "progress", "render", "say", "table"]

_COLOURS = {
    "ok": "green",
    "overrides native": "cyan",
    "broken": "red",
    "conflict": "red",
    "unusable": "red",
    "disabled": "bright_black",
    "stale": "bright_black",
    "not used": "yellow",
    "error": "bold red",
    "warning": "yellow",
}


@lru_cache(maxsize=1)
def _console() -> Console | None:
    """Return the terminal; None in a pipe, which then never imports rich."""
    if not (sys.stdout.isatty() or os.environ.get("FORCE_COLOR")):
        return None
    from rich.console import Console

    return Console(highlight=False)


def json(value: Any) -> None:
    """Print one JSON document."""
    print(_json.dumps(value, indent=2, ensure_ascii=False))


def say(text: str) -> None:
    """Print a sentence."""
    print(text)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; in a pipe tab-separated lines under a header."""
    console = _console()
    if console is None:
        print("\n".join("\t".join(row) for row in [columns, *rows]))
        return
    from rich import box
    from rich.table import Table

    drawn = Table(*columns, box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for row in rows:
        drawn.add_row(*(_coloured(cell) for cell in row))
    console.print(drawn)


def _coloured(text: str) -> Any:
    from rich.text import Text

    return Text(text, style=_COLOURS.get(text, ""))


def notes(lines: Sequence[str]) -> None:
    """Print remarks on a table; nothing in a pipe, where they would be taken for rows."""
    console = _console()
    for line in lines if console is not None else ():
        print(line)


def card(title: str, facts: Sequence[tuple[str, str]]) -> None:
    """Print a title and a list of named facts."""
    console = _console()
    width = max((len(name) for name, _ in facts), default=0)
    if console is None:
        print("\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in facts)]))
        return
    from rich.table import Table
    from rich.text import Text

    console.print(Text(title, style="bold"))
    grid = Table.grid(padding=(0, 2))
    for name, text in facts:
        grid.add_row(Text(f"  {name}", style="cyan"), _coloured(text))
    console.print(grid)


def complain(text: str) -> None:
    """Print why something would fail."""
    finding("error", "would not load", text, "")


def finding(severity: str, subject: str, problem: str, mend: str) -> None:
    """Print one finding and its cure."""
    console = _console()
    lines = [f"{severity}: {subject}: {problem}", *([f"  → {mend}"] if mend else [])]
    if console is None:
        print("\n".join(lines))
        return
    from rich.text import Text

    head = Text.assemble((f"{severity}: ", _COLOURS[severity]), (f"{subject}: ", "bold"), problem)
    console.print(head, soft_wrap=True)
    if mend:
        console.print(Text(f"  → {mend}", style="green"), soft_wrap=True)


def render(shown: RenderableType) -> None:
    """Print what rich draws; in a pipe its plain text, in which no line is cut."""
    from autoreg.conformance.report.terminal import plain

    console = _console()
    if console is None:
        print(plain(shown), end="")
    else:
        console.print(shown)


def _progress_console() -> Console | None:
    """Return the terminal on which progress shows: standard error's, since reports may go to standard output."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def busy(text: str) -> Iterator[None]:
    """Say on a terminal what takes a while."""
    console = _progress_console()
    if console is None:
        yield
        return
    with console.status(f"{text} …"):
        yield


@contextmanager
def progress(text: str) -> Iterator[Callable[[Any, int, int], None]]:
    """Show a bar on a terminal; yield the function that moves it, which is given an answer, how many, of how many."""
    console = _progress_console()
    if console is None:
        yield lambda answer, done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # No thread that draws by itself: workers are forked meanwhile, and a fork copies a lock in whatever state it is.
    with Progress(
        *columns, TextColumn("{task.fields[what]}"), console=console, transient=True, auto_refresh=False
    ) as bar:
        task = bar.add_task(text, total=None, what="")
        bar.refresh()

        def move(answer: Any, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, what=getattr(answer, "id", getattr(answer, "name", "")))
            bar.refresh()

        yield move

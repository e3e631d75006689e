"""The results as a table and as JSON."""

from __future__ import annotations

import datetime
import importlib.metadata
import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.cases import Effort
from benchmarks.rows import Added, Ratio, spread

__all__ = ["machine", "record", "show"]

_PACKAGES = ("autoreg", "transformers", "torch", "pluggy", "huggingface_hub", "safetensors", "packaging", "rich")
_LEGEND = """\
Seconds are medians ± half the interquartile range; [low - high] is the 95 % bootstrap interval over the rounds.
(a) to (c): autoreg ÷ other, smaller is better. (d): other ÷ autoreg, larger is better; "less" is taken off both.
A "?" says that the interval holds the target: noise may have decided, and more runs would tell."""
_COLOURS = {"met": "green", "met?": "yellow", "missed?": "yellow", "missed": "red"}


def machine() -> dict[str, Any]:
    """Return what the figures depend on: versions, processor, load, date."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average_at_start": os.getloadavg(),
        "distributions": sum(1 for _ in importlib.metadata.distributions()),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(names, platform.machine())


def record(rows: Sequence[Ratio | Added], facts: dict[str, Any], effort: Effort) -> dict[str, Any]:
    """Return all that was measured, every single run included."""
    rounds = {"light": effort.light, "heavy": effort.heavy, "pairs": effort.pairs}
    return {"machine": facts, "rounds": rounds, "rows": [row.as_json() for row in rows]}


def show(rows: Sequence[Ratio | Added], facts: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    load = facts["load_average_at_start"][0]
    console.print(f"{facts['date']} · Python {facts['python']} · {facts['cores']} x {facts['processor']} · load {load}")
    console.print(versions, style="dim")
    ratios = [row for row in rows if isinstance(row, Ratio)]
    if ratios:
        console.print(_ratios(ratios))
        console.print(_LEGEND, style="dim", markup=False)
    added = [row for row in rows if isinstance(row, Added)]
    if added:
        console.print(_added(added))


def _ratios(rows: Sequence[Ratio]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", style="bold")
    table.add_column("whole processes", ratio=1)
    for name in ("autoreg s", "other s", "less s", "ratio", "of minima", "of CPU", "target", "", "runs"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Ratio) -> list[str]:
    low, high = row.bounds()
    floor = _seconds(row, row.floor) if row.floor else ""
    return [
        row.case,
        row.what,
        _seconds(row, row.measured),
        _seconds(row, row.baseline),
        floor,
        f"{_times(row.value())} \\[{_times(low)} - {_times(high)}]",
        _times(row.value(summary=min)),
        _times(row.value("cpu")),
        "" if row.target is None else f"{'≥' if row.faster else '≤'} {row.target}",
        _verdict(row.verdict()),
        str(row.rounds),
    ]


def _seconds(row: Ratio, label: str) -> str:
    walls = row.walls(label)
    middle = median(walls)
    return f"{middle:.3f} ±{spread(walls) * middle / 2:.3f}"


def _times(value: float) -> str:
    if not math.isfinite(value):
        return "∞"
    return f"{value:.3f}" if abs(value) < 2 else f"{value:.1f}"  # noqa: PLR2004  two decimals matter near 1 only


def _verdict(text: str) -> str:
    return f"[{_COLOURS[text]}]{text}[/]" if text else ""


def _added(rows: Sequence[Added]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", style="bold")
    table.add_column("warm from_pretrained, one process", ratio=1)
    for name in ("autoreg ms", "plain ms", "added ms", "added %", "target", "", "pairs"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        low, high = (bound * 1000 for bound in row.bounds())
        table.add_row(
            "e",
            row.what,
            f"{median(row.autoreg) * 1000:.2f}",
            f"{median(row.plain) * 1000:.2f}",
            f"{row.added * 1000:.2f} \\[{low:.2f} - {high:.2f}]",
            f"{100 * row.added / median(row.plain):.1f}",
            f"≤ {row.allowed * 1000:.2f} ms",
            _verdict(row.verdict()),
            str(len(row.plain)),
        )
    return table

"""`python -m benchmarks`: measure, print the table, write JSON and a plot."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import plot, report
from benchmarks.cases import CASES, Bench, Effort
from benchmarks.rows import Added, Ratio

QUICK = Effort(light=5, heavy=3, pairs=20)
RESULTS = Path(__file__).parent / "results"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few runs: to see that everything works")
    parser.add_argument("--only", default="".join(CASES), metavar="LETTERS", help="the cases to run, such as ac")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often to run the programs that import torch")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="where bench.json and bench.png go")
    options = parser.parse_args(arguments)
    if unknown := set(options.only) - set(CASES):
        parser.error(f"--only: there is no case {', '.join(sorted(unknown))}; the cases are {', '.join(CASES)}")
    return options


def _measure(letters: str, effort: Effort) -> list[Ratio | Added]:
    """Run the cases in a temporary folder, showing on a terminal what runs now."""
    rows: list[Ratio | Added] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(prefix="autoreg-bench-") as folder,
        Progress(*columns, console=console, disable=not console.is_terminal, refresh_per_second=2) as progress,
    ):
        task = progress.add_task("")
        for letter in sorted(letters):
            bench = Bench(
                folder=Path(folder),
                effort=effort,
                tick=lambda label, letter=letter: progress.update(task, description=f"({letter}) {label}"),
            )
            rows.extend(CASES[letter](bench))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code says whether it ran, not whether the targets were met."""
    options = _options(arguments)
    effort = QUICK if options.quick else Effort()
    if options.rounds:
        effort = replace(effort, heavy=options.rounds)
    facts = report.machine()
    rows = _measure(options.only, effort)
    report.show(rows, facts, Console(width=None if sys.stdout.isatty() else 180))
    options.out.mkdir(parents=True, exist_ok=True)
    result = report.record(rows, facts, effort)
    (options.out / "bench.json").write_text(f"{json.dumps(result, indent=1)}\n", encoding="utf-8")
    plot.draw(rows, facts, options.out / "bench.png")
    print(f"written: {options.out / 'bench.json'} and {options.out / 'bench.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

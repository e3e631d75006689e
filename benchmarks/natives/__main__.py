"""`python -m benchmarks.natives`: sweep transformers' own classes, or summarise what a sweep found."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.natives import summary
from benchmarks.natives.children import run
from benchmarks.natives.derivation import attempt
from benchmarks.natives.subjects import Architecture, architectures

RESULTS = Path(__file__).parents[1] / "results" / "natives.jsonl"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.natives", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("sweep", "summary"), default="sweep")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="one JSON line a class")
    parser.add_argument("--all", action="store_true", help="every task head, not only AutoModel, CausalLM, MaskedLM")
    parser.add_argument("--only", nargs="*", default=(), metavar="NAME", help="Auto classes or model types")
    parser.add_argument("--retry", action="store_true", help="try again what failed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60, help="a class may take")
    parser.add_argument("--gigabytes", type=float, default=12, help="of address space for a process")
    parser.add_argument("--names", type=int, default=6, help="classes named for each kind of failure")
    return parser.parse_args(arguments)


def _left(work: list[Architecture], done: set[tuple[str, str]]) -> Iterator[Architecture]:
    """Leave out what has a row."""
    for one in work:
        subjects = tuple(each for each in one.subjects if (one.model_type, each.name) not in done)
        if subjects:
            yield replace(one, subjects=subjects)


def _sweep(options: argparse.Namespace, console: Console) -> None:
    # The children are forked: what they all need is imported once, and torch must not have started threads.
    torch = importlib.import_module("torch")
    importlib.import_module("transformers.modeling_utils")
    importlib.import_module("autoreg.conformance.derive")
    torch.set_num_threads(1)
    rows = summary.read(options.out)
    done = {(row["model_type"], row["class"]) for row in rows if row["ok"] or not options.retry}
    work = list(_left(architectures(only=options.only, everything=options.all), done))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    limits = {"workers": options.workers, "seconds": options.seconds, "gigabytes": options.gigabytes}
    with (
        options.out.open("a", encoding="utf-8") as file,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("", total=sum(len(one.subjects) for one in work))
        for row in run(work, attempt, **limits):
            file.write(json.dumps(row) + "\n")
            file.flush()
            progress.update(task, advance=1, description=row["class"][:40])


def main(arguments: Sequence[str] | None = None) -> int:
    """Sweep, then print the summary."""
    options = _options(arguments)
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported, which nothing here has done yet
    if options.command == "sweep":
        _sweep(options, Console(stderr=True))
    summary.show(summary.read(options.out), Console(width=None if sys.stdout.isatty() else 200), names=options.names)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks.natives`: derive, or check, transformers' own architectures, and say what came of it."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.natives import accelerator, summary, verdicts
from benchmarks.natives.children import Work, run
from benchmarks.natives.derivation import attempt
from benchmarks.natives.examine import examined
from benchmarks.natives.page import PAGE, page
from benchmarks.natives.subjects import Architecture, architectures

RESULTS = Path(__file__).parents[1] / "results"
_OUT = {"derive": "derived.jsonl", "device": "device.jsonl", "check": "natives.jsonl", "page": "natives.jsonl"}
_COMMANDS = """\
commands:
  derive    derive a subject of every class, and print what failed
  device    run every class on a GPU, beside what the check `forward.device` says of it on the CPU
  check     run the fast checks on every class, an architecture at a time; goes on where it was stopped
  page      write the page of the documentation from what `check` and `device` found, and compress the results
"""


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.natives",
        description=__doc__,
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=tuple(_OUT))
    parser.add_argument("--out", type=Path, metavar="FILE", help="one JSON line a class")
    parser.add_argument("--all", action="store_true", help="every task head, not only AutoModel, CausalLM, MaskedLM")
    parser.add_argument("--only", nargs="*", default=(), metavar="NAME", help="Auto classes or model types")
    parser.add_argument("--retry", action="store_true", help="try again what failed or was red")
    parser.add_argument("--stale", action="store_true", help="check again what another state of the suite looked at")
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


def _each(options: argparse.Namespace, work_on: Work, console: Console) -> None:
    # The children are forked: what they all need is imported once, and torch must not have started threads.
    torch = importlib.import_module("torch")
    importlib.import_module("transformers.modeling_utils")
    importlib.import_module("autoreg.conformance.subject")
    torch.set_num_threads(1)
    before = verdicts.resumed(options.out)
    done = {(row["model_type"], row["class"]) for row in before if row["ok"] or not options.retry}
    work = list(_left(architectures(only=options.only, everything=options.all), done))
    limits = {"workers": options.workers, "seconds": options.seconds, "gigabytes": options.gigabytes}
    rows = ([row] for row in run(work, work_on, **limits))
    _record(options.out, rows, total=sum(len(one.subjects) for one in work), console=console)


def _check(options: argparse.Namespace, console: Console) -> None:
    importlib.import_module("torch").set_num_threads(1)
    importlib.import_module("autoreg.conformance.checks")
    importlib.import_module("autoreg.conformance.run")
    done = verdicts.done(options.out, retry=options.retry, stale=options.stale)
    work = [one for one in architectures(only=options.only, everything=options.all) if one.model_type not in done]
    suite = verdicts.suite()  # now: its files may change while the sweep runs
    found = examined(work, workers=options.workers, gigabytes=options.gigabytes)
    rows = ([{**row, "suite": suite} for row in each] for each in found)
    _record(options.out, rows, total=len(work), console=console)


def _record(out: Path, batches: Iterable[list[dict[str, Any]]], *, total: int, console: Console) -> None:
    """Append the rows as they come, so that nothing is lost where it is stopped, and show how far it is."""
    out.parent.mkdir(parents=True, exist_ok=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with (
        out.open("a", encoding="utf-8") as file,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("", total=total)
        for rows in batches:
            file.writelines(json.dumps(row) + "\n" for row in rows)
            file.flush()
            progress.update(task, advance=1, description=(rows[0]["class"] or rows[0]["model_type"])[:40])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    options = _options(arguments)
    options.out = options.out or RESULTS / _OUT[options.command]
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported, which nothing here has done yet
    if options.command == "derive":
        _each(options, attempt, Console(stderr=True))
        console = Console(width=None if sys.stdout.isatty() else 200)
        summary.show(verdicts.read(options.out), console, names=options.names)
    elif options.command == "device":
        if not importlib.import_module("torch").cuda.device_count():
            sys.exit("torch finds no GPU here: `device` compares with a real one")
        _each(options, accelerator.compare, Console(stderr=True))
        verdicts.compress(options.out)
    elif options.command == "check":
        _check(options, Console(stderr=True))
    else:
        found = verdicts.read(options.out)
        version = importlib.import_module("transformers").__version__
        total = len(architectures(everything=options.all))
        moved = verdicts.read(RESULTS / _OUT["device"])
        PAGE.write_text(page(found, version, total=total, suite=verdicts.suite(), moved=moved), encoding="utf-8")
        verdicts.compress(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

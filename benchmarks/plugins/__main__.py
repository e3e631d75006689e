"""`python -m benchmarks.plugins`: the suite on every installed plugin, and docs/contributor/plugins.md from it.

What is installed is what `autoreg list --json` says. Each architecture is checked in a process of its own; the results
are written after each, so that `--only` can do one again and leave the others as they were.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.plugins.page import PAGE, page

RESULTS = Path(__file__).parents[1] / "results" / "plugins.json"
_COMMAND = (sys.executable, "-m", "autoreg")
_KEPT = ("check", "level", "subject", "verdict", "reason", "difference")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plugins", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only", nargs="*", default=(), metavar="NAME", help="these model types or claimed class names"
    )
    parser.add_argument("--page", action="store_true", help="write the page again from the results, and check nothing")
    parser.add_argument("--slow", action="store_true", help="also the checks that take long")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args(arguments)


def _installed() -> list[str]:
    """Return the names of all usable plugins, by distribution."""
    done = subprocess.run([*_COMMAND, "list", "--json"], capture_output=True, text=True, check=True)
    rows = [row for row in json.loads(done.stdout)["architectures"] if row["state"] in ("ok", "overrides native")]
    return [row["name"] for row in sorted(rows, key=lambda row: (row["distribution"], row["name"]))]


def _check(name: str, *, processes: int, slow: bool) -> dict[str, Any]:
    """Return what the suite says of one architecture, as it is kept.

    Raises:
        RuntimeError: it could not be checked at all.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "report.json")
        flags = ["--processes", str(processes), *(["--slow"] if slow else [])]
        command = [*_COMMAND, "check", name, "--json", str(out), *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not out.exists():
            raise RuntimeError(f"{name} could not be checked:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        report = json.loads(out.read_text(encoding="utf-8"))
    cells = [{key: _anywhere(outcome[key]) for key in _KEPT} for outcome in report["outcomes"]]
    return {
        "name": name,
        "owner": report["owner"],
        "versions": report["versions"],
        "classes": [each["name"] for each in report["classes"]],
        "seconds": report["seconds"],
        "cells": [cell for cell in cells if cell["verdict"] != "not applicable"],
    }


def _anywhere(text: str) -> str:
    """Return the text without the folder that this machine's packages are in."""
    return re.sub(r"[^\s(]*/site-packages/", "", text)


def _run(options: argparse.Namespace, before: Mapping[str, Any]) -> dict[str, Any]:
    names = list(options.only) or _installed()
    found = {name: report for name, report in before.items() if options.only}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(names))
        for name in names:
            progress.update(task, description=name)
            found[name] = _check(name, processes=options.processes, slow=options.slow)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            progress.advance(task)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, write the results and the page; exit code 1 where a cell is red."""
    options = _options(arguments)
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    found = before if options.page else _run(options, before)
    reports = sorted(found.values(), key=lambda report: (report["owner"], report["name"]))
    PAGE.write_text(page(reports), encoding="utf-8")
    red = [cell for report in reports for cell in report["cells"] if cell["verdict"] in ("failed", "error", "vacuous")]
    print(f"{len(reports)} architectures, {len(red)} red cells: {PAGE}")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())

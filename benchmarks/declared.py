"""`python -m benchmarks.declared`: process start to loaded model for declared packages, beside doing it by hand.

By hand means importing the package's classes, registering them, and loading: the least that its users can do. Both
sides load the same tiny checkpoint, in turns, with the same distributions installed.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from autoreg.discovery import installed_version
from benchmarks.measure import Program, Sample, capture, interleave, interval, program

__all__ = ["main"]

RESULTS = Path(__file__).parent / "results" / "declared.json"
PACKAGES = ("chronos-forecasting", "gliclass", "ibm-fms", "transformers", "torch")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One declared architecture: the folder of its checkpoint, its class, and the Auto class that loads it."""

    name: str
    model: str
    auto_class: str = "AutoModel"

    def programs(self, checkpoints: Path) -> tuple[Program, Program]:
        """Return the two programs, autoreg's first."""
        folder, says = checkpoints / self.name, self.model
        ours = program(f"{self.name}: autoreg", "declared_autoreg", folder, self.auto_class, says=says)
        return ours, program(f"{self.name}: by hand", f"declared_{self.name}", folder, says=says)


CASES = (
    Case(name="chronos", model="ChronosBoltModelForForecasting"),
    Case(name="chronos2", model="Chronos2Model"),
    Case(name="gliclass", model="GLiClassModel"),
    Case(name="fms", model="HFAdaptedLLaMAForCausalLM", auto_class="AutoModelForCausalLM"),
)


def _row(ours: Sequence[Sample], plain: Sequence[Sample]) -> dict[str, Any]:
    """Return the medians, the ratio of the medians with its 95 % interval, and every run."""
    walls = [[sample.wall for sample in side] for side in (ours, plain)]
    low, high = interval(walls, lambda medians: medians[0] / medians[1])
    return {
        "autoreg": median(walls[0]),
        "by hand": median(walls[1]),
        "ratio": median(walls[0]) / median(walls[1]),
        "interval": [low, high],
        "ratio of CPU times": median(each.cpu for each in ours) / median(each.cpu for each in plain),
        "runs": {"autoreg": walls[0], "by hand": walls[1]},
    }


def _measure(rounds: int, console: Console) -> dict[str, dict[str, Any]]:
    found = {}
    with tempfile.TemporaryDirectory() as scratch, console.status("saving the checkpoints") as status:
        checkpoints, empty = Path(scratch, "checkpoints"), Path(scratch, "empty")
        empty.mkdir()
        capture(program("save", "save_declared", checkpoints, says="saved"), empty)
        for case in CASES:
            ours, plain = case.programs(checkpoints)
            timings = interleave((ours, plain), rounds=rounds, folder=empty, tick=status.update)
            found[case.name] = _row(timings[ours.label], timings[plain.label])
    return found


def _table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table("process start to loaded model", "autoreg, s", "by hand, s", "ratio", "95 %", "CPU", box=None)
    for name, row in found.items():
        low, high = row["interval"]
        seconds = (f"{row['autoreg']:.2f}", f"{row['by hand']:.2f}")
        cpu = f"{row['ratio of CPU times']:.3f}"
        table.add_row(name, *seconds, f"{row['ratio']:.3f}", f"{low:.3f} to {high:.3f}", cpu)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the ratios and write every run as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.declared", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE")
    options = parser.parse_args(arguments)
    console = Console()
    found = _measure(options.rounds, console)
    console.print(_table(found))
    versions = {name: installed_version(name) for name in PACKAGES}
    facts = {"python": platform.python_version(), "versions": versions, "rounds": options.rounds, "rows": found}
    options.out.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

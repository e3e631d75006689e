"""`python -m tests.faults [--every N] [--plain] [--write]`: the sweep, and its table.

Exits with 1 where a point ended otherwise than it should. `--every N` takes each N-th point, `--plain` adds the same
faults for transformers' own `save_pretrained`, `--write` writes the page in docs/contributor.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.faults import full, sweep
from tests.faults.tracer import available, trace

PAGE = Path(__file__).parents[2] / "docs" / "contributor" / "saving-faults.md"
FULL, LIMIT = "a full tmpfs", "RLIMIT_FSIZE"
STATES = ("nothing", "old", "new", "mixed", "unreadable")
Row = tuple[str, str]


class Table:
    """How many points of each scenario and fault ended how."""

    def __init__(self) -> None:
        self.counts: dict[Row, Counter[str]] = {}
        self.complaints: list[str] = []

    def add(self, scenario: str, fault: str, ending: sweep.Ending, *, where: str) -> None:
        self.counts.setdefault((scenario, fault), Counter())[ending.state] += 1
        if ending.complaint:
            self.complaints.append(f"{scenario}, {fault} {where}: {ending.complaint}")

    def total(self) -> Counter[str]:
        return sum(self.counts.values(), Counter())


def swept(root: Path, save: sweep.Save, *, every: int) -> Table:
    """Bring about every point, or each n-th, and count how they end."""
    table = Table()
    if available():
        for point in sweep.points(root, save=save, every=every):
            _, ending = sweep.run(root, point, save=save)
            table.add(point.scenario.name, point.fault.name, ending, where=str(point.event))
    for fault, results in _limits(root, save, every):
        for scenario, size, _, ending in results:
            table.add(scenario.name, fault, ending, where=f"of {size} bytes")
    return table


def _limits(root: Path, save: sweep.Save, every: int) -> Iterator[tuple[str, Iterable[full.Result]]]:
    if sys.platform == "linux":
        step = max(every // 4, 1)
        yield LIMIT, full.file_size_limit(root, save=save, sizes=full.LIMITED[::step])
        if full.mountable(root):
            yield FULL, full.full_tmpfs(root, save=save, sizes=full.SPACES[::step])


def markdown(atomic: Table, plain: Table | None) -> Iterator[str]:
    """Yield the lines of the table."""
    ablation = " plain: old | new | mixed | unreadable |" if plain else ""
    yield f"| save | fault | points | old | new | else |{ablation}"
    yield "| --- | --- " + "| ---: " * (ablation.count("|") + 4) + "|"
    for (scenario, fault), counts in atomic.counts.items():
        cells = [scenario, fault, counts.total(), counts["old"] + counts["nothing"], counts["new"]]
        cells.append(counts["mixed"] + counts["unreadable"])
        if plain:
            other = plain.counts.get((scenario, fault), Counter())
            theirs = [other["old"] + other["nothing"], other["new"], other["mixed"], other["unreadable"]]
            cells += theirs if other else ["-"] * 4
        yield "| " + " | ".join(map(str, cells)) + " |"


def main() -> int:
    """Run, print, and say by the exit code whether every point ended as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    sweep.quiet()
    with workplace() as root:
        atomic = swept(root, sweep.atomic, every=arguments.every)
        plain = swept(root, sweep.plain, every=arguments.every) if arguments.plain else None
    lines = list(markdown(atomic, plain))
    sys.stdout.write("\n".join([*lines, "", *atomic.complaints, summary(atomic, plain), ""]))
    if arguments.write:
        head = PAGE.read_text(encoding="utf-8").partition("<!-- table -->")[0]
        PAGE.write_text("\n".join([f"{head}<!-- table -->", "", summary(atomic, plain), "", *lines, ""]))
    return 1 if atomic.complaints or not atomic.counts else 0


def order(root: Path, save: sweep.Save) -> list[tuple[str, str]]:
    """Return what a save of one file over shards does to the disk, in its order."""
    scenario = sweep.SCENARIOS[4]
    folder, new = sweep.prepare(root, scenario, save=save), sweep.model(sweep.NEW)
    seen = trace(lambda: save(new, folder, scenario.new), root, lambda _: None)
    return [(event.call, event.path) for event in seen.events if event.changes]


def summary(atomic: Table, plain: Table | None) -> str:
    """Return the totals in a sentence."""
    states = atomic.total()
    text = (
        f"{states.total()} points: {states['old'] + states['nothing']} old, {states['new']} new,"
        f" {states['mixed'] + states['unreadable']} anything else; {len(atomic.complaints)} complaints."
    )
    if plain:
        theirs = plain.total()
        text += (
            f" The same faults in transformers' own `save_pretrained`, {theirs.total()} points:"
            f" {theirs['old'] + theirs['nothing']} old, {theirs['new']} new, {theirs['mixed']} mixed (loaded without an"
            f" error), {theirs['unreadable']} unreadable."
        )
    return text


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """Return a folder for the points, with everything imported and done once that is only done once."""
    memory = Path("/dev/shm")  # syncing costs nothing there
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        root = Path(folder) / "root"
        root.mkdir()
        _warm_up(root)
        yield root


def _warm_up(root: Path) -> None:
    for scenario in sweep.SCENARIOS[1:3]:
        folder = sweep.prepare(root, scenario, save=sweep.atomic)
        sweep.atomic(sweep.model(sweep.NEW), folder, scenario.new)
        sweep.outcome(folder, scenario)


if __name__ == "__main__":
    sys.exit(main())

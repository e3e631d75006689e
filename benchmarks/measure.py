"""Time programs in turns, so that a busy machine slows all of them alike, and compare what they took."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeAlias

__all__ = ["PROGRAMS", "Program", "Sample", "Timings", "capture", "interleave", "interval", "program"]

PROGRAMS = Path(__file__).parent / "programs"
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a process: seconds from its start to its end (or by its own clock), and CPU seconds."""

    wall: float
    cpu: float


Timings: TypeAlias = "Mapping[str, tuple[Sample, ...]]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A process to be timed from its start to its end.

    Attributes:
        label: what it is called in the results.
        command: what is run.
        path: the folders of installed plugins, as PYTHONPATH.
        variables: environment variables besides.
        says: what its output holds when it did its work; looked for once, in an untimed run.
        own_clock: the program times a part of itself, and prints wall and CPU seconds at the end of its output.
    """

    label: str
    command: tuple[str, ...]
    path: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    says: str = ""
    own_clock: bool = False


def program(label: str, name: str, *arguments: str | Path, path: Sequence[Path] = (), says: str = "") -> Program:
    """Return the program of that name in `programs/`, run with the interpreter that runs the benchmark."""
    command = (sys.executable, str(PROGRAMS / f"{name}.py"), *map(str, arguments))
    return Program(label=label, command=command, path=tuple(path), says=says)


def _environment(wanted: Program) -> dict[str, str]:
    ours = ("AUTOREG_", "PYTHON", "HF_", "TRANSFORMERS_", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # Offline, because every checkpoint is a folder and a look at the network would be noise on both sides.
    return {**kept, "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(map(str, wanted.path)), **wanted.variables}


def capture(wanted: Program, folder: Path) -> str:
    """Run the program untimed and return its output.

    Raises:
        RuntimeError: it failed, or did not do its work; timing it would measure a failure.
    """
    done = subprocess.run(
        wanted.command, env=_environment(wanted), cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or wanted.says not in done.stdout:
        shown = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        raise RuntimeError(f"{wanted.label!r} ended with {done.returncode} and without {wanted.says!r}:\n{shown}")
    return done.stdout


def _time(wanted: Program, folder: Path) -> Sample:
    if wanted.own_clock:
        wall, cpu = map(float, capture(wanted, folder).split()[-2:])
        return Sample(wall, cpu)
    environment = _environment(wanted)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(
        wanted.command,
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Sample(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def interleave(programs: Sequence[Program], *, rounds: int, folder: Path, tick: Callable[[str], None]) -> Timings:
    """Time the programs in turns (A B, B A, A B, …), each once a round.

    An untimed run of each comes first: it checks that the program does its work, writes the byte code and
    fills the page cache, so that what is timed is the second start of a program and not its first.

    Args:
        programs: what to compare.
        rounds: how often.
        folder: an empty folder to run in.
        tick: called with a label before each run.
    """
    for each in programs:
        tick(f"{each.label} (warm-up)")
        capture(each, folder)
    taken: dict[str, list[Sample]] = {each.label: [] for each in programs}
    for number in range(rounds):
        for each in programs if number % 2 == 0 else tuple(reversed(programs)):
            tick(each.label)
            taken[each.label].append(_time(each, folder))
    return {label: tuple(samples) for label, samples in taken.items()}


def interval(series: Sequence[Sequence[float]], statistic: Callable[[list[float]], float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a statistic of the medians of several series taken in rounds.

    Whole rounds are drawn, because what disturbs one run of a round disturbs its neighbours too. The
    generator is seeded: the same figures give the same interval.
    """
    values = sorted(statistic([median(column) for column in drawn]) for drawn in _resampled(series))
    return values[int(0.025 * len(values))], values[int(0.975 * len(values))]


def _resampled(series: Sequence[Sequence[float]]) -> Iterator[list[list[float]]]:
    draw = random.Random(0)
    rounds = range(len(series[0]))
    for _ in range(_RESAMPLES):
        chosen = draw.choices(rounds, k=len(rounds))
        yield [[column[index] for index in chosen] for column in series]

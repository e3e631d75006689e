"""From an architecture and a selection to a report: which checks run, where, and what the outcomes mean."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from multiprocessing.connection import wait

from autoreg.conformance.check import LEVELS, Check, Level
from autoreg.conformance.outcome import ClassFacts, Outcome, Report
from autoreg.conformance.target import Target
from autoreg.conformance.upstream import excused
from autoreg.conformance.worker import Job, Worker

__all__ = ["Selection", "jobs", "judged", "run", "versions"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which checks of which classes to run.

    Attributes:
        level: the highest level.
        slow: also checks that cost much.
        only: patterns (`weights.*`, `*[RetNetModel]`) of ids; empty for all.
        classes: names of model classes, `""` for the checks of the architecture; empty for all of them.
        expected_failures: by id, why it is known to fail; joined with those of the hints.
    """

    level: Level = "scales"
    slow: bool = False
    only: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    expected_failures: Mapping[str, str] = field(default_factory=dict)

    def takes(self, check: Check, subject: str) -> bool:
        """Say whether the check of this class is to run."""
        id = f"{check.id}[{subject}]" if subject else check.id  # noqa: A001 - what it is called everywhere
        # A bracket is part of an id, never a set of letters.
        patterns = [pattern.replace("[", "[[]") for pattern in self.only]
        named = any(fnmatchcase(name, pattern) for name in (id, check.id) for pattern in patterns)
        asked = (named or not self.only) and (subject in self.classes or not self.classes)
        affordable = self.slow or check.cost == "fast" or check.id in self.only or id in self.only
        return asked and affordable and LEVELS.index(check.level) <= LEVELS.index(self.level)


def jobs(checks: Iterable[Check], classes: Sequence[str], selection: Selection) -> list[Job]:
    """Return what there is to run, in the order of the registry, class by class."""
    listed = list(checks)
    found = [Job(check=each, subject="") for each in listed if each.scope == "architecture"]
    found += [Job(check=each, subject=name) for name in classes for each in listed if each.scope == "class"]
    return [job for job in found if job.check is not None and selection.takes(job.check, job.subject)]


def judged(outcome: Outcome, expected: Mapping[str, str], transformers_version: str) -> Outcome:
    """Return the outcome in the light of what is expected and of what transformers itself fails."""
    outcome = excused(outcome, transformers_version)
    key = next((key for key in (outcome.id, outcome.check) if key in expected), None)
    if key is None:
        return outcome
    if outcome.verdict in ("failed", "error"):
        return replace(outcome, verdict="expected failure", reason=f"{expected[key]} ({outcome.reason})")
    if outcome.verdict == "passed":
        reason = f"It was expected to fail ({expected[key]}) and passes: take {key!r} out of the expected failures."
        return replace(outcome, verdict="failed", reason=reason)
    return outcome


def unmatched(expected: Mapping[str, str], checks: Iterable[Check], classes: Sequence[str]) -> Iterator[Outcome]:
    """Yield an error for each expected failure that names no check, and for each without a reason."""
    known = {each.id for each in checks}
    known |= {f"{each.id}[{name}]" for each in checks if each.scope == "class" for name in classes}
    for key, why in expected.items():
        problem = "" if key in known else "names no check of this architecture (see `autoreg check --list`)"
        problem = problem or ("" if why.strip() else "has no reason")
        if problem:
            reason = f"The expected failure {key!r} {problem}."
            yield Outcome(check="suite.expected-failures", level="loads", verdict="error", reason=reason)


def run(
    make_target: Callable[[], Target],
    *,
    checks: Sequence[Check],
    selection: Selection,
    seed: int = 0,
    processes: int = 2,
    progress: Callable[[Outcome | ClassFacts, int, int], None] = lambda answer, done, total: None,
) -> Report:
    """Run the selected checks in child processes and return the report.

    Args:
        make_target: imports the architecture; called in each child, never here.
        checks: all the checks there are.
        selection: which of them to run.
        seed: what every random number is drawn from.
        processes: how many children run side by side.
        progress: called after each answer with it, the number done and the number of all.

    Raises:
        AutoregError: the architecture cannot be imported.
        LookupError: the selection names a class that the architecture does not have.
    """
    start = time.perf_counter()
    with ExitStack() as workers:
        lost: dict[str, str] = {}
        first = workers.enter_context(Worker(make_target, checks=checks, seed=seed, lost=lost))
        strange = [name for name in selection.classes if name and name not in first.classes]
        if strange:
            raise LookupError(f"{first.model_type} has no class {strange[0]!r}, only {', '.join(first.classes)}")
        todo = [Job(check=None, subject=name) for name in selection.classes or first.classes if name]
        todo += jobs(checks, first.classes, selection)
        more = (Worker(make_target, checks=checks, seed=seed, lost=lost) for _ in range(min(processes, len(todo)) - 1))
        answers = _answers([first, *map(workers.enter_context, more)], todo, progress)
    return _report(first, answers, checks, selection, seconds=time.perf_counter() - start, seed=seed)


def _answers(
    workers: Sequence[Worker], todo: Sequence[Job], progress: Callable[[Outcome | ClassFacts, int, int], None]
) -> list[Outcome | ClassFacts]:
    """Keep every worker busy, each with one class as long as that lasts: deriving a class takes the longest."""
    queue = list(enumerate(todo))
    found: dict[int, Outcome | ClassFacts] = {}
    busy: dict[Worker, int] = {}
    home: dict[Worker, str] = {}
    while queue or busy:
        for worker in workers:
            if worker not in busy and queue:
                position, job = _next(queue, home.get(worker), set(home.values()))
                busy[worker], home[worker] = position, job.subject
                worker.send(job)
        ready = set(wait([worker.connection for worker in busy], timeout=1.0))
        for worker in [each for each in busy if each.connection in ready or each.overdue]:
            position = busy.pop(worker)
            found[position] = worker.receive()
            progress(found[position], len(found), len(todo))
    return [found[position] for position in range(len(todo))]


def _next(queue: list[tuple[int, Job]], home: str | None, taken: set[str]) -> tuple[int, Job]:
    """Take the next job of the same class; else of a class that nobody has; else the next."""
    same = (entry for entry in queue if entry[1].subject == home)
    free = (entry for entry in queue if entry[1].subject not in taken)
    entry = next(same, None) or next(free, None) or queue[0]
    queue.remove(entry)
    return entry


def _report(
    worker: Worker,
    answers: Sequence[Outcome | ClassFacts],
    checks: Sequence[Check],
    selection: Selection,
    *,
    seconds: float,
    seed: int,
) -> Report:
    found = versions()
    outcomes = [answer for answer in answers if isinstance(answer, Outcome)]
    expected = {**worker.expected_failures, **selection.expected_failures}
    return Report(
        model_type=worker.model_type,
        owner=worker.owner,
        versions=found,
        seed=seed,
        selection={"level": selection.level, "slow": selection.slow, "only": list(selection.only)},
        classes=tuple(answer for answer in answers if isinstance(answer, ClassFacts)),
        outcomes=(
            *(judged(outcome, expected, found["transformers"]) for outcome in outcomes),
            *unmatched(expected, checks, worker.classes),
        ),
        seconds=seconds,
    )


def versions() -> dict[str, str]:
    """Return the versions that a report names."""
    from autoreg.discovery import installed_version

    named = ("autoreg", "transformers", "torch", "safetensors")
    return {"python": platform.python_version(), **{name: installed_version(name) for name in named}}

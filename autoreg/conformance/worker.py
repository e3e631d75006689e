"""One child process that runs checks, one after another, and the parent's end of it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from autoreg.conformance import guard
from autoreg.conformance.check import Check
from autoreg.conformance.compare import shown
from autoreg.conformance.outcome import ClassFacts, Outcome, Verdict
from autoreg.conformance.subject import Subject
from autoreg.conformance.target import Target, where_is
from autoreg.errors import AutoregError, DerivationError, MismatchError, NotApplicableError

__all__ = ["LIMITS", "UNDERIVED", "Job", "Worker"]

LIMITS: Mapping[str, float] = {"fast": 60.0, "slow": 900.0}
"""Seconds that a check may take, by its cost; a tiny model that needs longer hangs."""

UNDERIVED = "Nothing could be derived"
"""How the reason of a check begins that is an `error` for want of a subject."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One check of one class (`""`: of the architecture); without a check: what was derived for the class."""

    check: Check | None
    subject: str

    @property
    def limit(self) -> float:
        """How many seconds it may take."""
        return LIMITS[self.check.cost if self.check else "fast"]


_LEAK_HURTS = "Loading or running this model changes how every other model in the process behaves."
_LEAK_CHANGE = "Set no global state in a model: use context managers, or pass dtype and device to each call."


class Room:
    """What the child knows: the target, and what it has derived so far.

    Args:
        target: the architecture.
        seed: what every random number is drawn from.
        deriving: told which class is being derived, and when it is done.

    Attributes:
        lost: classes over whose derivation a child was lost, and how: nobody tries again.
        tainted: the last check left global state changed, so this process is no place for another one.
    """

    def __init__(self, target: Target, seed: int, *, deriving: Callable[[str], None]) -> None:
        self.target = target
        self.seed = seed
        self.lost: Mapping[str, str] = {}
        self.tainted = False
        self._deriving = deriving
        self._subjects: dict[type | None, Subject] = {}

    def subject(self, name: str, scratch: Path) -> Subject:
        """Return a fresh subject of the class, with what is known of it."""
        first = next(iter(self.target.models), None)
        model_class = self.target.model(name) if name else first
        for each in (first, model_class):  # the base model first: the others start from its config
            if each not in self._subjects:
                base = None if each is first else self._subjects[first]
                self._subjects[each] = Subject(
                    self.target, each, scratch=scratch, seed=self.seed, base=base, deriving=self._deriving
                )
            if each is not None and each.__name__ in self.lost:
                self._subjects[each].give_up(self.lost[each.__name__])
        return self._subjects[model_class].again(scratch)

    def describe(self, name: str, scratch: Path) -> ClassFacts:
        """Return what was derived for a class."""
        subject = self.subject(name, scratch)
        file, line = where_is(subject.model_class)
        facts = ClassFacts(name=name, file=file, line=line, auto_classes=subject.auto_classes)
        try:
            derivation = subject.derivation
            return replace(
                facts,
                parameters=sum(each.numel() for each in subject.model().parameters()),
                fields=tuple((row.path, repr(row.default), repr(row.value), row.why) for row in derivation.fields),
                inputs=_inputs(subject),
                capabilities=tuple(subject.capabilities.values()),
            )
        except DerivationError as error:
            return replace(facts, problem=str(error))

    def run(self, check: Check, name: str, scratch: Path) -> Outcome:
        """Run one check, and watch what it leaves behind."""
        outcome = Outcome(check=check.id, level=check.level, cost=check.cost, subject=name, verdict="passed")
        before, start = guard.state(), time.perf_counter()
        guard.reseed(self.seed)
        with guard.captured() as text:
            try:
                subject = self.subject(name, scratch)
                found = _judge(check, subject, outcome)
            except BaseException as error:  # SystemExit of a plugin must not end the suite
                found = _error(check, self.target, outcome, error)
        found = replace(found, seconds=time.perf_counter() - start, output=text.getvalue()[-4000:] + found.output)
        changed = guard.changed(before)
        self.tainted = bool(changed)
        if changed and found.verdict == "passed":
            reason = f"Running it changed {' and '.join(changed)} for the whole process."
            found = replace(found, verdict="failed", reason=reason, hurts=_LEAK_HURTS, change=_LEAK_CHANGE)
        return found


def _judge(check: Check, subject: Subject, outcome: Outcome) -> Outcome:
    try:
        subject.prepare(check)
        check(subject)
    except NotApplicableError as error:
        return replace(outcome, verdict="not applicable", reason=error.reason)
    except DerivationError as error:
        return replace(outcome, verdict="error", reason=f"{UNDERIVED}: {error.problem}")
    except AssertionError as error:
        seen = replace(outcome, comparisons=subject.comparisons, notes=tuple(subject.notes))
        return _failure(check, subject.target, seen, error)
    verdict: Verdict = "passed" if subject.comparisons or check.owner else "vacuous"
    reason = "" if verdict == "passed" else "It compared nothing: this subject gives it nothing to look at."
    notes = tuple(subject.notes)
    return replace(outcome, verdict=verdict, reason=reason, comparisons=subject.comparisons, notes=notes)


def _failure(check: Check, target: Target, outcome: Outcome, error: AssertionError) -> Outcome:
    mismatch = error if isinstance(error, MismatchError) else None
    problem = mismatch.problem if mismatch else str(error) or "An assertion without a message failed"
    return replace(
        outcome,
        verdict="failed",
        reason=problem,
        compared=mismatch.compared if mismatch else "",
        difference=mismatch.difference if mismatch else "",
        where=_where(target, outcome, error),
        hurts=check.hurts,
        change=check.change,
        output="" if mismatch and error.__cause__ is None else "".join(traceback.format_exception(error)),
    )


def _error(check: Check, target: Target, outcome: Outcome, error: BaseException) -> Outcome:
    return replace(
        outcome,
        verdict="error",
        reason=f"{type(error).__name__}: {error}",
        where=_where(target, outcome, error),
        hurts=check.hurts,
        change=check.change,
        output="".join(traceback.format_exception(error)),
    )


def _where(target: Target, outcome: Outcome, error: BaseException) -> str:
    """Return the class at fault with its file and line; the line of the author's code that raised, if one did."""
    thing = target.model(outcome.subject) if outcome.subject else target.config_class
    file, line = where_is(thing)
    folders = {str(Path(where_is(each)[0]).parent) for each in (thing, target.config_class)}
    cause: BaseException | None = error
    while cause is not None:
        for frame in reversed(traceback.extract_tb(cause.__traceback__)):
            if str(Path(frame.filename).parent) in folders:
                return f"{thing.__module__}.{thing.__qualname__} ({frame.filename}:{frame.lineno}, {frame.line})"
        cause = cause.__cause__
    return f"{thing.__module__}.{thing.__qualname__} ({file}:{line})"


def _inputs(subject: Subject) -> tuple[tuple[str, str, str], ...]:
    values = subject.inputs()
    why = {each.name: each.why for each in subject.derivation.inputs}
    return tuple((name, shown(value), why.get(name, "")) for name, value in values.items())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Introduction:
    """What the parent has to know of the target, whose classes it does not import."""

    model_type: str
    owner: str
    classes: tuple[str, ...]
    expected_failures: Mapping[str, str]

    @classmethod
    def of(cls, target: Target) -> _Introduction:
        return cls(
            model_type=target.name,
            owner=target.owner,
            classes=tuple(model.__name__ for model in target.models),
            expected_failures=dict(target.hints.expected_failures),
        )


# --- the two ends --------------------------------------------------------------------------------


def _serve(
    connection: Connection,
    make_target: Callable[[], Target],
    checks: Sequence[Check],
    *,
    seed: int,
    output: IO[bytes],
    folder: Path,
    deriving: Any,
) -> None:
    guard.prepare(output)
    # What hypothesis keeps of a run would be left in the author's working folder.
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(folder / "hypothesis"))

    def tell(name: str) -> None:
        deriving.value = name.encode()[: len(deriving) - 1]

    try:
        with guard.captured():
            room = Room(make_target(), seed, deriving=tell)
    except BaseException as error:  # whatever the plugin does at import is sent home
        connection.send(error if isinstance(error, AutoregError) else _told(error))
        return
    connection.send(_Introduction.of(room.target))
    known = {check.id: check for check in checks}
    scratch = folder / str(os.getpid())
    gc.freeze()  # what was imported stays: a collection then looks at the models of one class alone
    last = ""
    for check, name, room.lost in iter(connection.recv, None):
        if name != last:
            gc.collect()
            last = name
        if check:
            found = room.run(known[check], name, scratch)
            connection.send((found, room.tainted))
        else:
            with guard.captured():
                connection.send((room.describe(name, scratch), False))
        if scratch.exists():  # most checks need no files, and folders cost more than they do
            shutil.rmtree(scratch, ignore_errors=True)


def _told(error: BaseException) -> RuntimeError:
    """Return the error as one that surely pickles."""
    return RuntimeError("".join(traceback.format_exception(error)))


class Worker:
    """The parent's end of a child that runs checks; a child that dies or hangs is replaced.

    Args:
        make_target: imports the architecture, in the child.
        checks: what it can be asked to run; inherited, since a check need not pickle.
        seed: what every random number is drawn from.
        lost: the classes that cannot be derived, and why; written to where a child is lost over one. Workers that
            share it do not try again what another one has tried.

    Raises:
        AutoregError: the architecture's own error on import.
        RuntimeError: with the traceback of any other.
    """

    def __init__(
        self,
        make_target: Callable[[], Target],
        *,
        checks: Sequence[Check],
        seed: int = 0,
        lost: dict[str, str] | None = None,
    ) -> None:
        self._make_target = make_target
        self._checks = checks
        self._seed = seed
        self.lost = {} if lost is None else lost
        # The parent's to remove: the child may be killed at any time.
        self._folder = tempfile.TemporaryDirectory(prefix="autoreg-check-", ignore_cleanup_errors=True)
        self.job: Job | None = None
        self._since = 0.0
        self._start()

    def _start(self) -> None:
        # Forked, so that transformers is imported once; the parent has run no torch operation by then.
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._deriving = context.RawArray("c", 256)  # memory that outlives the child: what it was doing when it died
        self._process = context.Process(
            target=_serve,
            args=(theirs, self._make_target, self._checks),
            kwargs={
                "seed": self._seed,
                "output": self._output,
                "folder": Path(self._folder.name),
                "deriving": self._deriving,
            },
            daemon=True,
        )
        self._process.start()
        theirs.close()
        try:
            answer = self.connection.recv()
        except EOFError:
            self._process.join()
            answer = RuntimeError(f"importing the architecture ended the process ({self._ending()})")
        if isinstance(answer, BaseException):
            self.close()
            raise answer
        self.model_type, self.owner = answer.model_type, answer.owner
        self.classes, self.expected_failures = answer.classes, answer.expected_failures

    def send(self, job: Job) -> None:
        """Begin a job; `receive` returns what comes of it."""
        self.job, self._since = job, time.perf_counter()
        self.connection.send((job.check.id if job.check else "", job.subject, dict(self.lost)))

    @property
    def overdue(self) -> bool:
        """Say whether the job takes longer than it may."""
        return self.job is not None and time.perf_counter() - self._since > self.job.limit

    def receive(self) -> Outcome | ClassFacts:
        """Wait for the job's result; one that dies or hangs is an `error`, and the child is replaced."""
        assert self.job is not None  # `send` came before
        job, self.job = self.job, None
        try:
            if self.connection.poll(max(0.0, self._since + job.limit - time.perf_counter())):
                answer: Outcome | ClassFacts
                answer, tainted = self.connection.recv()
                if tainted:
                    self._restart()
                return answer
            ending = f"it took longer than {job.limit:.0f} seconds"
        except EOFError:
            self._process.join()
            ending = f"the process ended ({self._ending()})"
        said, deriving = self._said(), self._deriving.value.decode(errors="replace")
        self._restart()
        if deriving:
            self.lost[deriving] = ending
        return _lost(job, f"{UNDERIVED}: {ending}" if deriving else f"The check did not finish: {ending}", said)

    def _restart(self) -> None:
        self._end()
        self._start()

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()
        self._output.close()

    def _said(self) -> str:
        """Return the end of what the child wrote past Python's own streams: what native code said as it died."""
        self._output.seek(0)
        return self._output.read()[-4000:].decode("utf-8", errors="replace")

    def _ending(self) -> str:
        code = self._process.exitcode or 0
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def run(self, job: Job) -> Outcome | ClassFacts:
        """Do one job and return what came of it."""
        self.send(job)
        return self.receive()

    def close(self) -> None:
        """End the child."""
        self._end()
        self._folder.cleanup()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *details: Any) -> None:
        self.close()


def _lost(job: Job, reason: str, said: str) -> Outcome | ClassFacts:
    if job.check is None:
        return ClassFacts(name=job.subject, problem=f"{reason}.")
    check = job.check
    return Outcome(
        check=check.id,
        level=check.level,
        cost=check.cost,
        subject=job.subject,
        verdict="error",
        reason=f"{reason}.",
        output=said,
    )

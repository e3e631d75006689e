"""One act in a process of its own, under limits: forked from one that has everything imported, or begun afresh."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import pickle
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.trial.case import Case, Report
from tests.trial.describe import described
from tests.trial.material import Place

__all__ = ["MEMORY", "PROCESSOR", "WALL", "Job", "forked", "in_fresh_interpreter"]

WALL, PROCESSOR, MEMORY = 60, 20, 4 << 30
"""Seconds by the clock and of the processor, and bytes beyond what the process has when it begins."""

Job = Callable[[], Any]


def forked(job: Job, *, place: Place, case: Case) -> Report:
    """Fork, do the job under the limits, and return what the child reports."""
    reading, writing = os.pipe()
    given, typing = os.openpty()[::-1] if case.tty else os.pipe()
    os.write(typing, case.stdin)
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.close(typing)  # or standard input would never end
        _child(job, writing=writing, given=given, place=place)
    os.close(writing)
    os.close(given)
    if not case.tty:
        os.close(typing)
    told, late = _listen(reading, pid)
    os.close(reading)
    if case.tty:
        os.close(typing)
    return _report(told, pid, late=late)


def _child(job: Job, *, writing: int, given: int, place: Place) -> None:
    import resource  # there is none on Windows, where the tests are collected all the same

    os.setsid()
    output = os.open(place.root / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for source, target in ((given, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 # for as long as the process lives
    _limit()
    report = _done(job)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    content = json.dumps(asdict(report)).encode()
    while content:
        content = content[os.write(writing, content) :]
    os._exit(0)


def _limit() -> None:
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR, PROCESSOR + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _done(job: Job) -> Report:
    with _listening() as said:
        try:
            value = described(job())
        except BaseException as error:  # every way out is an ending to be judged
            return Report(
                ended="raised",
                error=type(error).__name__,
                family=tuple(parent.__name__ for parent in type(error).__mro__),
                text=_text(error),
                trace="".join(traceback.format_exception(error))[-6000:],
                said=tuple(said),
            )
    return Report(ended="returned", value=value, said=tuple(said))


def _text(error: BaseException) -> str:
    try:
        return str(error)[:8000]
    except Exception as failure:
        return f"(no text: {type(failure).__name__})"


@contextlib.contextmanager
def _listening() -> Iterator[list[str]]:
    """Collect what is warned and logged."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                said.append(record.getMessage()[:4000])

    ear = Ear()
    loggers = [logging.getLogger(name) for name in ("transformers", "autoreg", "huggingface_hub")]
    for logger in loggers:
        logger.addHandler(ear)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: said.append(str(message)[:4000])
        yield said


def _listen(reading: int, pid: int) -> tuple[bytes, bool]:
    told, end = b"", time.monotonic() + WALL
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            return told, True
        piece = os.read(reading, 1 << 16)
        if not piece:
            return told, False
        told += piece


def _report(told: bytes, pid: int, *, late: bool) -> Report:
    if late:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)  # what the act has left behind
    if late:
        return Report(ended="hang", error=f"nothing after {WALL} s")
    if os.WIFSIGNALED(status):
        killed = os.WTERMSIG(status)
        hung = killed in (signal.SIGXCPU, signal.SIGKILL) and not told
        return Report(ended="hang" if hung else "crash", error=signal.Signals(killed).name)
    if not told:
        return Report(ended="crash", error=f"exit {os.waitstatus_to_exitcode(status)} without a word")
    return _read(told)


def _read(told: bytes) -> Report:
    fields = json.loads(told)
    return Report(**{**fields, "family": tuple(fields["family"]), "said": tuple(fields["said"])})


# --- a fresh interpreter -----------------------------------------------------------------------------


def in_fresh_interpreter(act: Callable[..., Any], face: str, place: Place) -> Any:
    """Do the act in an interpreter that has imported nothing yet; for the child to call, which is limited already."""
    import subprocess

    module, name = act.__module__, act.__name__
    script = (
        "import importlib, sys, pathlib\n"
        "from tests.trial import child, face, material\n"
        f"child.again({module!r}, {name!r}, {face!r}, {str(place.root)!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the interpreter ended with {done.returncode}: {done.stderr.decode()[-4000:]}")
    return pickle.loads((place.root / "fresh").read_bytes())


def again(module: str, name: str, face: str, root: str) -> None:
    """Do in the fresh interpreter what `in_fresh_interpreter` was asked for."""
    from tests.trial.face import Autoreg, Plain

    place = Place(Path(root))
    act = getattr(importlib.import_module(module), name)
    result = described(act(Plain() if face == "plain" else Autoreg(), place))
    (place.root / "fresh").write_bytes(pickle.dumps(result))

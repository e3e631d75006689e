"""Each architecture in a process of its own, forked from one that has imported torch: time and memory are bounded."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from benchmarks.natives.subjects import Architecture, Subject

__all__ = ["Row", "run"]

Row = dict[str, Any]
Work = Callable[[Architecture, Subject, dict[str, Any]], Row]


@dataclass(kw_only=True, slots=True)
class _Child:
    architecture: Architecture
    left: list[Subject]
    process: Any
    pipe: Connection
    since: float = field(default_factory=time.monotonic)


def run(work: Sequence[Architecture], each: Work, *, workers: int, seconds: float, gigabytes: float) -> Iterator[Row]:
    """Yield a row for each class as it is done; a class that takes too long or dies has a row as well."""
    waiting = [(one, list(one.subjects)) for one in reversed(work)]
    running: list[_Child] = []
    while waiting or running:
        while waiting and len(running) < workers:
            architecture, left = waiting.pop()
            running.append(_start(architecture, left, each, gigabytes))
        wait([child.pipe for child in running], timeout=0.2)
        for child in list(running):
            yield from _receive(child)
            alive, late = child.process.is_alive(), time.monotonic() - child.since > seconds
            if alive and not late:
                continue
            yield from _receive(child)
            running.remove(child)
            child.process.kill()
            child.process.join()
            child.pipe.close()
            if child.left:
                category, error = ("time", f"over {seconds:.0f} s") if late else ("crash", _death(child.process))
                yield _row(child.architecture, child.left.pop(0), seconds=time.monotonic() - child.since) | {
                    "ok": False,
                    "category": category,
                    "error": error,
                }
            if child.left:
                waiting.append((child.architecture, child.left))


def _death(process: Any) -> str:
    return f"the process ended with {process.exitcode}"


def _start(architecture: Architecture, left: list[Subject], each: Work, gigabytes: float) -> _Child:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=((architecture, list(left)), each, sender, gigabytes), daemon=True)
    process.start()
    sender.close()
    return _Child(architecture=architecture, left=left, process=process, pipe=receiver)


def _child(given: tuple[Architecture, list[Subject]], each: Work, pipe: Connection, gigabytes: float) -> None:
    limit = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    architecture, left = given
    kept: dict[str, Any] = {}
    for subject in left:
        start = time.monotonic()
        row = each(architecture, subject, kept)
        pipe.send(_row(architecture, subject, seconds=time.monotonic() - start) | row)


def _receive(child: _Child) -> Iterator[Row]:
    try:
        while child.pipe.poll():
            row = child.pipe.recv()
            child.left.pop(0)
            child.since = time.monotonic()
            yield row
    except EOFError:
        return


def _row(architecture: Architecture, subject: Subject, *, seconds: float) -> Row:
    return {
        "class": subject.name,
        "model_type": architecture.model_type,
        "auto_classes": list(subject.auto_classes),
        "seconds": round(seconds, 2),
    }

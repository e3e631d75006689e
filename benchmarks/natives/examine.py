"""One architecture: run the fast checks on its classes, and say what came of them in rows."""

from __future__ import annotations

import multiprocessing
import re
import resource
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.natives.subjects import Architecture

if TYPE_CHECKING:
    from autoreg.conformance.outcome import ClassFacts, Outcome

__all__ = ["examine", "examined"]


def examined(work: Sequence[Architecture], *, workers: int, gigabytes: float) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each architecture as it is done; each runs in a worker of its own that may be killed."""
    limit = int(gigabytes * 2**30)
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_limit, initargs=(limit,)) as pool:
        futures = [pool.submit(examine, one) for one in work]
        for future in as_completed(futures):
            yield future.result()


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def examine(architecture: Architecture) -> list[dict[str, Any]]:
    """Return a row for each class, and one without a class for the checks of the architecture."""
    from autoreg.conformance.checks import standard
    from autoreg.conformance.run import Selection, run
    from autoreg.conformance.target import native_target

    target = partial(native_target, architecture.model_type)
    start: dict[str, Any] = {"model_type": architecture.model_type, "class": "", "auto_classes": [], "red": []}
    try:
        # Some tables list the text model's class under the type of the whole, whose config it does not take.
        own = {model.__name__ for model in target().models}
        names = ("", *(subject.name for subject in architecture.subjects if subject.name in own))
        report = run(target, checks=standard(), selection=Selection(classes=names), processes=1)
    except Exception as error:  # one that cannot be imported must not end the sweep
        return [{**start, "problem": f"{type(error).__name__}: {error}"[:500], "verdicts": {}}]
    facts = {each.name: each for each in report.classes}
    return [
        start | _row(name, facts.get(name), [outcome for outcome in report.outcomes if outcome.subject == name])
        for name in names
    ]


def _row(name: str, facts: ClassFacts | None, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    from autoreg.conformance.worker import UNDERIVED

    problem = facts.problem if facts else ""
    return {
        "class": name,
        "auto_classes": list(facts.auto_classes) if facts else [],
        "parameters": facts.parameters if facts else 0,
        "problem": problem[:500],
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 2),
        "verdicts": {} if problem else {outcome.check: outcome.verdict for outcome in outcomes},
        # Without a subject the checks that need one are errors: that is counted once, as the problem.
        "red": [_red(outcome) for outcome in outcomes if not (outcome.green or outcome.reason.startswith(UNDERIVED))],
    }


def _red(outcome: Outcome) -> dict[str, str]:
    return {
        "check": outcome.check,
        "verdict": outcome.verdict,
        "reason": _portable(outcome.reason)[:600],
        "difference": _portable(outcome.difference)[:300],
        "where": outcome.where.partition(" (")[0],
    }


def _portable(text: str) -> str:
    """Return the text with the files of packages named from their package on: where they lie is this machine's."""
    return re.sub(r"[^\s('\"]*/site-packages/", "", text)

"""One architecture: run the fast checks on its classes, and say what came of them in rows."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from typing import Any

from benchmarks.natives.subjects import Architecture

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

    # Some tables list the text model's class under the type of the whole, whose config it does not take.
    own = {model.__name__ for model in native_target(architecture.model_type).models}
    names = ("", *(subject.name for subject in architecture.subjects if subject.name in own))
    row: dict[str, Any] = {"model_type": architecture.model_type, "config": architecture.config}
    try:
        report = run(
            partial(native_target, architecture.model_type),
            checks=standard(),
            selection=Selection(classes=names),
            processes=1,
        )
    except Exception as error:
        return [{**row, "class": name, "problem": f"{type(error).__name__}: {error}"[:500]} for name in names]
    facts = {each.name: each for each in report.classes}
    rows = []
    for name in names:
        outcomes = [outcome for outcome in report.outcomes if outcome.subject == name]
        rows.append(
            {
                **row,
                "class": name,
                "auto_classes": list(facts[name].auto_classes) if name in facts else [],
                "parameters": facts[name].parameters if name in facts else 0,
                "problem": facts[name].problem if name in facts else "",
                "seconds": round(sum(outcome.seconds for outcome in outcomes), 2),
                "verdicts": {outcome.check: outcome.verdict for outcome in outcomes},
                "red": [
                    {
                        "check": outcome.check,
                        "verdict": outcome.verdict,
                        "reason": outcome.reason[:600],
                        "difference": outcome.difference[:300],
                        "where": outcome.where[:300],
                    }
                    for outcome in outcomes
                    if not outcome.green
                ],
            }
        )
    return rows

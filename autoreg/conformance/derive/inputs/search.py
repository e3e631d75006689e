"""The search for inputs: run a plan, read the error, try what it points at; the plan that gets furthest goes on."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from autoreg.conformance.derive.evidence import Evidence, evidence_of
from autoreg.conformance.derive.inputs.catalogue import forms_of, modality_of
from autoreg.conformance.derive.inputs.plan import Plan, parameters_of
from autoreg.conformance.derive.trial import Outcome, run

__all__ = ["Found", "search"]

_IMAGES = (32, 64, 96, 128, 224, 256, 448)
_FRAMES = (16, 64, 128, 200, 256, 512, 1024)
_SAMPLES = (2000, 4000, 8000, 16000, 32000)
_LENGTHS = (16, 4, 32, 64)
_LARGEST = 4096

Extra: TypeAlias = Callable[..., Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The best plan, and what came of it."""

    plan: Plan
    outcome: Outcome
    runs: int


def search(
    model: Any,
    config: Any,
    start: Plan,
    *,
    runs: int = 40,
    seconds: float = 8,
    keep: str | None = None,
    extra: Extra | None = None,
) -> Found:
    """Return the first plan with which the model runs, or the one that got furthest.

    Args:
        model: what to run.
        config: what the inputs must fit.
        start: the first plan.
        runs, seconds: how much may be tried.
        keep: an argument that must not be given up.
        extra: from (config, batch size, length, seed) to arguments that the author gives.
    """
    deadline, order = time.monotonic() + seconds, itertools.count()
    seen = {start.key}
    best = Found(plan=start, outcome=_try(model, config, start, extra), runs=1)
    queue = [(-best.outcome.modules, next(order), best)]
    tried = 1
    while queue and best.outcome.error is not None:
        _, _, current = heapq.heappop(queue)
        assert current.outcome.error is not None
        for plan in _neighbours(model, config, current, keep):
            if plan.key in seen:
                continue
            if tried >= runs or time.monotonic() > deadline:
                return Found(plan=best.plan, outcome=best.outcome, runs=tried)
            seen.add(plan.key)
            tried += 1
            found = Found(plan=plan, outcome=_try(model, config, plan, extra), runs=tried)
            if found.outcome.error is None:
                return found
            heapq.heappush(queue, (-found.outcome.modules, next(order), found))
            if found.outcome.modules > best.outcome.modules:
                best = found
                if found.outcome.modules > current.outcome.modules:
                    heapq.heappush(queue, (-current.outcome.modules, next(order), current))
                    break
    return Found(plan=best.plan, outcome=best.outcome, runs=tried)


def _try(model: Any, config: Any, plan: Plan, extra: Extra | None) -> Outcome:
    try:
        inputs = plan.make(config)
        if extra is not None:
            inputs.update(extra(config, 2, plan.sizes.length, 0))
    except Exception as error:  # a form that does not go with this config
        return Outcome(error=error, modules=-1)
    return run(model, inputs)


def _neighbours(model: Any, config: Any, found: Found, keep: str | None) -> Iterator[Plan]:
    """Yield the plans that the error points at, the likeliest first."""
    assert found.outcome.error is not None
    evidence, plan = evidence_of(found.outcome.error), found.plan
    parameters = parameters_of(type(model))
    mentioned = [name for name in evidence.suspects if name in parameters]
    yield from _counts(plan, evidence)
    for name in mentioned:
        if name not in plan.forms:
            for form in forms_of(name)[:2]:
                yield plan.having(name, form, "the model asks for it")
    ordered = [name for name in mentioned if name in plan.forms]
    ordered += [name for name in plan.forms if name not in ordered]
    for name in ordered:
        for form in forms_of(name):
            if form is not plan.forms[name]:
                yield plan.having(name, form)
    yield from _other_sizes(plan, evidence)
    for name in ordered:
        if name != keep and parameters[name].default is not parameters[name].empty and len(plan.forms) > 1:
            yield plan.without(name)


def _counts(plan: Plan, evidence: Evidence) -> Iterator[Plan]:
    """Yield plans with as many placeholders as the error has features (for all rows, or for one)."""
    modalities = {modality for name in plan.forms if (modality := modality_of(name))}
    if "input_ids" not in plan.forms or not modalities:
        return
    for modality in sorted(modalities):
        for number in evidence.numbers:
            for count in (number // 2, number):
                if 0 < count <= _LARGEST:
                    yield plan.sized(placeholders={**plan.sizes.placeholders, modality: count})


def _other_sizes(plan: Plan, evidence: Evidence) -> Iterator[Plan]:
    kinds = {form.kind for form in plan.forms.values()}
    said = tuple(number for number in evidence.numbers if 1 < number <= _LARGEST)
    offers: list[tuple[str, str, tuple[int, ...]]] = [
        ("pixels", "image", _IMAGES),
        ("audio", "frames", _FRAMES),
        ("audio", "samples", _SAMPLES),
    ]
    if "ids" in kinds:
        yield from (plan.sized(length=length) for length in _LENGTHS)
    for kind, name, sizes in offers:
        if kind in kinds:
            yield from (plan.sized(**{name: size}) for size in dict.fromkeys((*said, *sizes)))
    if "pixels" in kinds:
        yield from (plan.sized(clip=count) for count in (1, 4, 8, 16))

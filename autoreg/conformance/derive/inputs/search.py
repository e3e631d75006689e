"""The search for inputs: run a plan, read the error, try what it points at; the plan that gets furthest goes on."""

from __future__ import annotations

import heapq
import inspect
import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias

from autoreg.conformance.derive.evidence import Evidence, evidence_of
from autoreg.conformance.derive.inputs.catalogue import forms_of, modality_of
from autoreg.conformance.derive.inputs.draw import Sizes
from autoreg.conformance.derive.inputs.facts import configs_in, image_size, is_int, read
from autoreg.conformance.derive.inputs.plan import ASKED, Plan, forms_beside, likeliest, parameters_of
from autoreg.conformance.derive.inputs.text import CODES
from autoreg.conformance.derive.trial import Outcome, run

__all__ = ["Found", "for_any_batch", "for_any_length", "search"]

_USUAL: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "length": (16, 4, 32, 64),
        "image": (32, 64, 96, 128, 224, 256, 448),
        "frames": (16, 64, 128, 200, 256, 512, 1024),
        "samples": (2000, 4000, 8000, 16000, 32000),
        "features": (128, 160, 64, 40),
        "clip": (1, 4, 8, 16),
        "crops": (3, 5, 1),
    }
)
_KINDS = MappingProxyType(
    {
        "length": "ids",
        "image": "pixels",
        "clip": "pixels",
        "crops": "pixels",
        "frames": "audio",
        "samples": "audio",
        "features": "audio",
        "codebooks": "codes",
    }
)
_MOST_SAID = 6
_LARGEST = 4096
_LIKELY = 1024  # more is rather the width of a patch than the side of an image, or the bands of a spectrum; and slow
# Words of the errors that count placeholders, of those that only have numbers in them none.
_COUNTED = frozenset(
    {"token", "tokens", "features", "placeholder", "placeholders", "mask", "number", "masked", "indexing"}
)
_EQUAL = re.compile(r"tokens\D*(\d+)\D+features\D*\1\b")
_MOST_PLACEHOLDERS = 600
_WIDTHS = ("hidden_size", "d_model", "n_embd", "out_hidden_size", "projection_dim")

Extra: TypeAlias = Callable[..., Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The best plan, and what came of it."""

    plan: Plan
    outcome: Outcome


def search(
    model: Any,
    config: Any,
    start: Plan,
    *,
    runs: int = 40,
    seconds: float = 8,
    keep: str | None = None,
    settled: frozenset[str] = frozenset(),
    never: frozenset[str] = frozenset(),
    extra: Extra | None = None,
) -> Found:
    """Return the first plan with which the model runs, or the one that got furthest.

    Args:
        model: what to run.
        config: what the inputs must fit.
        start: the first plan.
        runs: how many runs may be made.
        seconds: how long they may compute.
        keep: an argument that must not be given up.
        settled: arguments whose form is known to be right.
        never: arguments that must not be added.
        extra: from (config, batch size, length, seed) to arguments that the author gives.
    """
    hunt = _Hunt(model=model, config=config, extra=extra, runs=runs, deadline=time.thread_time() + seconds)
    rules = _Rules(keep=keep, settled=settled, never=never)
    best = hunt.run(start)
    while hunt.queue and best.outcome.error is not None and not hunt.over():
        step = hunt.pop()
        found = _further(hunt, step, _neighbours(model, config, step, rules), best)
        if found is not None and _final(found):
            return found
        if found is not None:
            best = found
            hunt.push(step)
        elif not step.blunt:
            hunt.push(replace(step, blunt=True, tier=1))
    return best


def _further(hunt: _Hunt, step: _Step, plans: Iterator[Plan], best: Found) -> Found | None:
    """Run the plans until one gets further than the best, or ends the search."""
    for plan in plans:
        if hunt.over():
            return None
        if plan.key not in hunt.seen:
            found = hunt.run(plan, after=step.found)
            if _final(found) or found.outcome.modules > best.outcome.modules:
                return found
    return None


def _final(found: Found) -> bool:
    """Say whether it runs; or has as many tokens as features that do not fit, for which the config is to blame."""
    return found.outcome.error is None or _EQUAL.search(str(found.outcome.error)) is not None


def for_any_batch(model: Any, config: Any, plan: Plan, *, extra: Extra | None = None) -> Plan:
    """Return the plan with other sizes, where it is for them that a single row does not run.

    One row of a small image may be normalised away: it leaves a single value for each channel.
    """
    hunt = _Hunt(model=model, config=config, extra=extra, runs=10, deadline=time.thread_time() + 2, rows=(1,))
    if hunt.run(plan).outcome.error is None:
        return plan
    hunt.rows = (1, 3)
    sides = tuple(times * _side(config, plan) for times in (2, 3, 5))
    for other in _sized(plan, {"image": sides, "frames": _USUAL["frames"]}):
        if not hunt.over() and hunt.run(other).outcome.error is None:
            return other
    return plan


def for_any_length(model: Any, config: Any, plan: Plan, *, extra: Extra | None = None) -> Plan:
    """Return the plan with its ids in other forms, where it runs with a single length of text only.

    Codes of several books pass for ids where the text is just long enough to be reshaped to them.
    """
    hunt = _Hunt(model=model, config=config, extra=extra, runs=20, deadline=time.thread_time() + 2, longer=(0, 1))
    error = hunt.run(plan).outcome.error
    if error is None:
        return plan
    usual, books = Sizes().length, _said(evidence_of(error))
    for name in (name for name, form in plan.forms.items() if form.kind == "ids"):
        for form in forms_beside(name, plan):
            other = plan.having(name, form).sized(length=usual)
            for tried in (other, *_sized(other, {"codebooks": books})):
                if tried.key not in hunt.seen and not hunt.over() and hunt.run(tried).outcome.error is None:
                    return tried
    return plan


def _side(config: Any, plan: Plan) -> int:
    return plan.sizes.image or max(image_size(config))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rules:
    """Which arguments stay, stay as they are, or stay away; see `search`."""

    keep: str | None
    settled: frozenset[str]
    never: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    """A plan whose neighbours are still to be tried.

    Attributes:
        found: the plan, and what came of it.
        blunt: what its error points at was tried, and everything else comes now.
        tier: the smaller the sooner, of plans that got equally far.
    """

    found: Found
    blunt: bool = False
    tier: int = 0


@dataclass(kw_only=True)
class _Hunt:
    """The plans that were run, and those whose neighbours are still to be tried, the one that got furthest first.

    Of those that got equally far the ones come first that fail by something else than the plan before them: what was
    wrong there is right now.
    """

    model: Any
    config: Any
    extra: Extra | None
    runs: int
    deadline: float
    rows: tuple[int, ...] = (2,)
    longer: tuple[int, ...] = (0,)
    seen: set[Any] = field(default_factory=set)
    queue: list[tuple[int, int, int, _Step]] = field(default_factory=list)
    pushed: int = 0

    def over(self) -> bool:
        return len(self.seen) >= self.runs or time.thread_time() > self.deadline

    def run(self, plan: Plan, *, after: Found | None = None) -> Found:
        self.seen.add(plan.key)
        found = Found(plan=plan, outcome=self._outcome(plan))
        same = after is not None and _gist(after.outcome.error) == _gist(found.outcome.error)
        self.push(_Step(found=found, tier=2 if same else 0))
        return found

    def push(self, step: _Step) -> None:
        self.pushed += 1
        heapq.heappush(self.queue, (-step.found.outcome.modules, step.tier, self.pushed, step))

    def pop(self) -> _Step:
        return heapq.heappop(self.queue)[3]

    def _outcome(self, plan: Plan) -> Outcome:
        for count, more in itertools.product(self.rows, self.longer):
            outcome = self._outcome_of(plan.sized(length=plan.sizes.length + more), count)
            if outcome.error is not None:
                break
        return outcome

    def _outcome_of(self, plan: Plan, count: int) -> Outcome:
        try:
            inputs = plan.make(self.config, batch_size=count)
            if self.extra is not None:
                inputs.update(self.extra(self.config, count, plan.sizes.length, 0))
        except Exception as error:  # a form that does not go with this config
            return Outcome(error=error, modules=-1)
        return run(self.model, inputs)


def _gist(error: BaseException | None) -> str:
    return re.sub(r"\d+", "#", f"{type(error).__name__}: {error}")


def _neighbours(model: Any, config: Any, step: _Step, rules: _Rules) -> Iterator[Plan]:
    """Yield the plans that the error points at, the likeliest first; all others in the blunt step."""
    error = step.found.outcome.error
    assert error is not None
    evidence, plan = evidence_of(error), step.found.plan
    parameters = parameters_of(type(model))
    mentioned = [name for name in evidence.suspects if name in parameters]
    # What is `pixel_attention_mask` outside is often plain `attention_mask` where it is missed.
    endings = tuple(f"_{name}" for name in evidence.lines if "_" in name and name in parameters)
    mentioned += [name for name in parameters if endings and name.endswith(endings) and name not in mentioned]
    if step.blunt:
        yield from _others(plan, evidence, mentioned, parameters, rules=rules)
    else:
        asked = [name for name in mentioned if name not in rules.never]
        yield from _pointed(config, plan, evidence, asked, parameters=parameters)


def _pointed(
    config: Any, plan: Plan, evidence: Evidence, mentioned: list[str], *, parameters: Mapping[str, inspect.Parameter]
) -> Iterator[Plan]:
    """Yield the plans with what the error asks for: a number, or an argument."""
    yield from _counts(config, plan, evidence)
    yield from _larger(config, plan, evidence)
    for name in mentioned:
        if name not in plan.forms and not (name == "inputs_embeds" and "input_ids" in plan.forms):
            for form in likeliest(name, parameters)[:2]:
                yield plan.having(name, form, ASKED)
    said = _said(evidence)
    likely = tuple(number for number in said if number <= _LIKELY)
    named = ("image", "frames", "samples", "features", "length", "codebooks")
    yield from _sized(plan, dict.fromkeys(named, said) | dict.fromkeys(("image", "features"), likely))


def _others(
    plan: Plan,
    evidence: Evidence,
    mentioned: list[str],
    parameters: Mapping[str, inspect.Parameter],
    *,
    rules: _Rules,
) -> Iterator[Plan]:
    """Yield the plans with other forms and the usual sizes, and with fewer arguments."""
    said = _said(evidence)
    ordered = [name for name in mentioned if name in plan.forms and name not in rules.settled]
    ordered += [name for name in plan.forms if name not in ordered and name not in rules.settled]
    for name in ordered:
        for form in forms_beside(name, plan):
            if form is not plan.forms[name]:
                yield plan.having(name, form)
    yield from _together(plan, ordered)
    yield from _sized(plan, {**_USUAL, "features": (*_scaled(evidence.numbers), *_USUAL["features"])})
    for name in ordered:
        if name != rules.keep and parameters[name].default is not parameters[name].empty and len(plan.forms) > 1:
            yield plan.without(name)
    unlikely = tuple(number for number in said if number > _LIKELY)
    yield from _sized(plan, {"image": unlikely, "features": unlikely})


def _larger(config: Any, plan: Plan, evidence: Evidence) -> Iterator[Plan]:
    """Yield the plan with larger images, where the error says that they are too small."""
    if "small" in evidence.said:
        side = _side(config, plan)
        yield from _sized(plan, {"image": (2 * side, 4 * side)})


def _together(plan: Plan, names: list[str]) -> Iterator[Plan]:
    """Yield the plan with all series and their masks in their next forms: the one channel that they have given up."""
    series = {name: forms_of(name) for name in names if plan.forms[name].kind in ("series", "mask")}
    moved = {name: forms[1] for name, forms in series.items() if len(forms) > 1 and plan.forms[name] is forms[0]}
    if len(moved) > 1 and any(plan.forms[name].kind == "series" for name in moved):
        yield replace(plan, forms={**plan.forms, **moved})


def _counts(config: Any, plan: Plan, evidence: Evidence) -> Iterator[Plan]:
    """Yield plans with as many placeholders as the error has features: for a row or for all, alone or times a width."""
    modalities = {modality for name in plan.forms if (modality := modality_of(name))}
    if "input_ids" not in plan.forms or not modalities or not _COUNTED & set(evidence.said):
        return
    widths = {width for _, each in configs_in(config) for name in _WIDTHS if is_int(width := read(each, name))}
    counts = {
        number // divisor
        for number in evidence.numbers
        for divisor in (1, 2, *(2 * width for width in widths if width))
        if number % divisor == 0
    }
    for modality in sorted(modalities & _named_in(evidence)) or sorted(modalities):
        for count in sorted(counts):
            if 0 < count <= _MOST_PLACEHOLDERS:
                yield plan.sized(placeholders={**plan.sizes.placeholders, modality: count})


def _named_in(evidence: Evidence) -> set[str]:
    return {word.lower() for word in evidence.said}


def _scaled(numbers: tuple[int, ...]) -> Iterator[int]:
    """Yield 80 features (what is assumed where no config says) times the ratios of the numbers."""
    for first in numbers:
        for second in numbers:
            if first and second and first != second and 80 * second % first == 0:
                yield 80 * second // first


def _said(evidence: Evidence) -> tuple[int, ...]:
    return tuple(number for number in evidence.numbers if 1 < number <= _LARGEST)[:_MOST_SAID]


def _sized(plan: Plan, sizes: Mapping[str, tuple[int, ...]]) -> Iterator[Plan]:
    """Yield the plan with one size changed, of those that its arguments depend on."""
    kinds = {form.kind for form in plan.forms.values()}
    kinds |= {"codes" for form in plan.forms.values() if form in CODES}
    for name, values in sizes.items():
        if _KINDS[name] in kinds:
            yield from (plan.sized(**{name: value}) for value in dict.fromkeys(values))

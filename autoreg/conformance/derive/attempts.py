"""One attempt: make the config, build the model, find inputs; how far it came and what stopped it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoreg.conformance.derive.evidence import last_line
from autoreg.conformance.derive.inputs.modalities import add_modality
from autoreg.conformance.derive.inputs.plan import Plan, first_plan
from autoreg.conformance.derive.inputs.search import Found, search
from autoreg.conformance.derive.tree import Template
from autoreg.conformance.derive.trial import Outcome, build

__all__ = ["Attempt", "Bench"]

_CONFIG, _BUILD, _RUN, _DONE = range(4)
_HEAVY = 60_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What came of one set of values.

    Attributes:
        values: the fields that were set, by path.
        stage: what it stopped at: making the config, building, running; 3 where it runs.
        modules: how many modules ran.
        error: what stopped it.
        config, model, plan: what was made, as far as it came.
    """

    values: Mapping[str, Any]
    stage: int
    modules: int = 0
    error: BaseException | None = None
    config: Any = None
    model: Any = None
    plan: Plan | None = None

    @property
    def runs(self) -> bool:
        """Whether the model ran."""
        return self.stage == _DONE

    @property
    def rank(self) -> tuple[int, int]:
        """The further, the larger."""
        return self.stage, self.modules


@dataclass(kw_only=True)
class Bench:
    """Where attempts are made, counted and timed.

    Attributes:
        model_class: the class.
        template: of its config.
        hints: fields that the author sets: they win over everything.
        auto_classes: its role.
        extra: from (config, batch size, length, seed) to arguments that the author gives.
        most, seconds: how many attempts, for how long (of computing).
        plan: the inputs to begin from.
        adding: an argument that is to be added to them: attempts without it do not count as running.
    """

    model_class: Any
    template: Template
    hints: Mapping[str, Any]
    auto_classes: Sequence[str] = ()
    extra: Callable[..., Mapping[str, Any]] | None = None
    most: int = 60
    seconds: float = 15
    plan: Plan | None = None
    adding: str | None = None
    count: int = 0
    reasons: dict[str, str] = field(default_factory=dict)
    # Of this thread alone: what is derived must not depend on what else the machine is doing.
    began: float = field(default_factory=time.thread_time)

    def restart(self) -> None:
        """Let the time begin now."""
        self.began = time.thread_time()

    @property
    def exhausted(self) -> bool:
        """Whether nothing more may be tried."""
        return self.count >= self.most or time.thread_time() - self.began > self.seconds

    def note(self, before: Mapping[str, Any], after: Mapping[str, Any], error: BaseException) -> None:
        """Remember for which error a field was changed."""
        for path in {*before, *after}:
            if before.get(path) != after.get(path):
                self.reasons.setdefault(path, last_line(error))

    def attempt(self, values: Mapping[str, Any]) -> Attempt:
        """Try one set of values."""
        self.count += 1
        values = {**values, **self.hints}
        try:
            config = self.template.make(values)
        except Exception as error:  # whatever a stranger's class raises
            return Attempt(values=values, stage=_CONFIG, error=error)
        built = self._built(config)
        if built.error is not None:
            return Attempt(values=values, stage=_BUILD, modules=built.modules, error=built.error, config=config)
        model = built.outputs
        found = self._inputs(model, config)
        if found.outcome.error is None:
            self.plan = found.plan if self.adding is None else self.plan
            return Attempt(values=values, stage=_DONE, config=config, model=model, plan=found.plan)
        return Attempt(
            values=values,
            stage=_RUN,
            modules=found.outcome.modules,
            error=found.outcome.error,
            config=config,
            model=model,
            plan=found.plan,
        )

    def _built(self, config: Any) -> Outcome:
        """Build the model; one that may be large first without its memory."""
        if self.count > 1:
            light = build(self.model_class, config, device="meta")
            if light.error is not None:
                return light
            if sum(parameter.numel() for parameter in light.outputs.parameters()) > _HEAVY:
                return Outcome(error=MemoryError("the model is too large to be tried"), modules=light.modules)
        return build(self.model_class, config)

    def _inputs(self, model: Any, config: Any) -> Found:
        """Search the inputs; long the first time, and shorter when a changed config is what is tried."""
        if self.adding is not None and self.plan is not None:
            return add_modality(model, config, self.plan, self.adding, extra=self.extra)
        start = self.plan or first_plan(self.model_class, self.auto_classes)
        found = search(model, config, start, runs=40 if self.count == 1 else 12, seconds=4, extra=self.extra)
        if self.plan is None and found.outcome.error is not None:
            self.plan = found.plan if found.outcome.modules > 0 else None
        return found

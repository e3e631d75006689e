"""Properties: what holds for every config, tried on configs that hypothesis draws from the typed fields."""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Callable, Mapping
from typing import Any

from autoreg.conformance.check import check
from autoreg.conformance.derive.inputs.facts import read
from autoreg.conformance.derive.tree import template_of
from autoreg.conformance.derive.trial import build
from autoreg.conformance.fields import fields_of, plain, tree
from autoreg.conformance.subject import Subject
from autoreg.errors import MismatchError, NotApplicableError

__all__ = ["config_roundtrip", "weights_roundtrip"]

_LARGEST = 4_000_000  # parameters; what is larger takes longer and shows no more


@check("properties.config-roundtrip", level="loads", scope="architecture")
def config_roundtrip(subject: Subject) -> None:
    """Any config that its class accepts survives config.json.

    Fields are drawn from their types near the defaults, or from the hints' `field_values`; each is also tried
    alone. How many of the configs were valid, and which fields never changed, is in the notes.

    Hurts: a setting that nobody tried before training is another one in the checkpoint.

    Change: see `config.roundtrip`; the failure holds a config to paste.
    """
    cls = subject.config_class
    try:
        template = template_of(cls())
    except Exception as error:
        raise NotApplicableError(reason=f"its default config cannot be made ({type(error).__name__})") from error

    def survives(config: Any) -> None:
        loaded = cls.from_dict(json.loads(config.to_json_string()))
        what = "A config that went through config.json differs from the original"
        compared = "`from_dict(json.loads(config.to_json_string()))` with the config"
        subject.same(plain(loaded.to_dict()), plain(config.to_dict()), what=what, compared=compared)
        for field in fields_of(config):
            if not hasattr(field.value, "to_dict"):
                now = {field.name: plain(read(loaded, field.name))}
                subject.same(now, {field.name: plain(field.value)}, what=what, compared=compared)

    _Search(subject, template.config, make=template.make, start={}, examples=25).run(survives)


@check("properties.weights-roundtrip", level="loads", cost="slow")
def weights_roundtrip(subject: Subject) -> None:
    """Every model whose config its class accepts can be saved and loaded bit by bit.

    Fields are drawn from their types near the tiny config, or from the hints' `field_values`. How many of the
    configs gave a model, and which fields never changed, is in the notes.

    Hurts: a model of a size or with a switch that nobody tried loads with other weights than it was saved with.

    Change: see `weights.roundtrip`; the failure holds a config to paste.
    """
    rows = {row.path: row.value for row in subject.derivation.fields if row.value != row.default}
    template = template_of(subject.config_class())
    counter = iter(range(10**6))

    def make(changes: Mapping[str, Any]) -> Any:
        config = template.make(rows | dict(changes))
        sketch = build(subject.model_class, config, device="meta")
        if sketch.error is not None:
            raise sketch.error
        if sum(each.numel() for each in sketch.outputs.parameters()) > _LARGEST:
            raise ValueError("too large to try")
        return config

    def survives(config: Any) -> None:
        model = subject.model(copy.deepcopy(config))
        folder = subject.folder(f"model-{next(counter)}")
        model.save_pretrained(folder)
        subject.same(
            subject.model_class.from_pretrained(folder).state_dict(),
            model.state_dict(),
            what="A tensor of a model that was saved and loaded differs from the original",
            compared="`from_pretrained(save_pretrained(model)).state_dict()` with `model.state_dict()`",
        )

    _Search(subject, subject.config(), make=make, start=rows, examples=15).run(survives)


class _Search:
    """One search for a config for which something does not hold.

    Args:
        subject: of the check.
        config: the config whose fields are changed.
        make: makes a config of changes by path, and raises where the class refuses them.
        start: the changes that lead to the config, for the line to paste.
        examples: how many configs hypothesis draws.
    """

    def __init__(
        self,
        subject: Subject,
        config: Any,
        *,
        make: Callable[[Mapping[str, Any]], Any],
        start: Mapping[str, Any],
        examples: int,
    ) -> None:
        if importlib.util.find_spec("hypothesis") is None:
            raise NotApplicableError(reason="hypothesis is not installed: pip install 'autoreg[conformance]'")
        self.subject, self.config, self.make = subject, config, make
        self.start, self.examples = start, examples
        self.tried = self.valid = 0
        self.exercised: set[str] = set()
        self.failing: tuple[Mapping[str, Any], MismatchError] | None = None

    def run(self, holds: Callable[[Any], None]) -> None:
        """Try each field alone, then what hypothesis draws; raise MismatchError with the smallest example."""
        from autoreg.conformance.draw import one_by_one

        choices = self.subject.hints.field_values
        alone = one_by_one(self.config, choices)
        try:
            for path, candidates in alone.items():
                any(self._try({path: value}, holds) for value in candidates)
            self._draw(choices, holds)
        except MismatchError:
            pass
        self._tell(alone)
        if self.failing is not None:
            changes, error = self.failing
            line = f"{type(self.config).__name__}({_line({**self.start, **changes})})"
            difference = f"{line}: {error.difference}"
            raise MismatchError(problem=error.problem, compared=error.compared, difference=difference) from error

    def _draw(self, choices: Mapping[str, Any], holds: Callable[[Any], None]) -> None:
        import hypothesis

        from autoreg.conformance.draw import changes

        settings = hypothesis.settings(
            max_examples=self.examples,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            print_blob=False,
            verbosity=hypothesis.Verbosity.quiet,
            suppress_health_check=list(hypothesis.HealthCheck),
        )

        @hypothesis.seed(self.subject.seed)
        @settings
        @hypothesis.given(changes(self.config, choices))
        def each(drawn: dict[str, Any]) -> None:
            hypothesis.assume(self._try(drawn, holds))

        try:
            each()
        except hypothesis.errors.Unsatisfiable:
            self.subject.note("warning: hypothesis drew no config that the class accepts")

    def _try(self, changes: Mapping[str, Any], holds: Callable[[Any], None]) -> bool:
        """Say whether the class accepts the changes; MismatchError where the property does not hold then."""
        self.tried += 1
        try:
            config = self.make(changes)
        except Exception:  # a validator's answer
            return False
        self.valid += 1
        self.exercised.update(changes)
        try:
            holds(config)
        except MismatchError as error:
            self.failing = changes, error
            raise
        except Exception as error:
            problem = f"Saving and loading fails: {type(error).__name__}: {error}"
            self.failing = changes, MismatchError(problem=problem)
            raise self.failing[1] from error
        return True

    def _tell(self, alone: Mapping[str, list[Any]]) -> None:
        rate = round(100 * self.valid / max(self.tried, 1))
        self.subject.note(f"{self.valid} of {self.tried} configs were valid ({rate} %)")
        unknown = [path for path, values in alone.items() if not values and path not in self.exercised]
        refused = [path for path, values in alone.items() if values and path not in self.exercised]
        if self.failing is not None:
            return  # a search that was cut short has not come to all of them
        if unknown:
            told = ", ".join(unknown)
            self.subject.note(
                f"warning: never exercised, since their types say too little (see `field_values`): {told}"
            )
        if refused:
            self.subject.note(f"warning: never exercised, since the class refused every value: {', '.join(refused)}")


def _line(changes: Mapping[str, Any]) -> str:
    """Return the changes as arguments."""
    return ", ".join(f"{name}={value!r}" for name, value in tree(changes).items())

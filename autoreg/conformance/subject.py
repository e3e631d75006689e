"""The subject of a check: one model class, tiny, with everything that can be made of it."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from autoreg.conformance import guard
from autoreg.conformance.capabilities import NAMES, infer
from autoreg.conformance.compare import Tolerance, difference
from autoreg.conformance.derive import Derivation, derive
from autoreg.conformance.outcome import Capability
from autoreg.conformance.target import Target
from autoreg.errors import DerivationError, MismatchError, NotApplicableError

if TYPE_CHECKING:
    from autoreg.conformance.check import Check

__all__ = ["Subject", "enliven", "excuse_library"]


class Subject:
    """One model class of the architecture, from which a check makes configs, models and inputs.

    A check of scope `architecture` is given the subject of the first class (the base model).

    Args:
        target: the architecture.
        model_class: the class; None where the architecture has no model.
        scratch: where files of this check alone may lie; made when it is first asked for.
        seed: what every random number is drawn from.
        derivation: what was derived before; None to derive it when it is first asked for.
        base: the subject of the base model, whose config this class starts from.
        deriving: told the name of the class when its derivation begins, and nothing when it ends.
    """

    def __init__(
        self,
        target: Target,
        model_class: type | None,
        *,
        scratch: Path,
        seed: int = 0,
        derivation: Derivation | None = None,
        base: Subject | None = None,
        deriving: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.target = target
        self.hints = target.hints
        self._scratch = scratch
        self.seed = seed
        self.comparisons = 0
        self.factor = 1.0
        self.notes: list[str] = []
        self._model_class = model_class
        self._base = base
        self._deriving = deriving
        self._known = _Known(derivation=derivation)

    def again(self, scratch: Path) -> Subject:
        """Return a subject for another check of the same class, which shares what is known of the class."""
        made = Subject(self.target, self._model_class, scratch=scratch, seed=self.seed, base=self._base)
        made._deriving = self._deriving
        made._known = self._known
        return made

    def give_up(self, reason: str) -> None:
        """Take it that nothing can be derived for the class."""
        problem = DerivationError(
            subject=self.model_class.__name__,
            tried="it was tried once",
            problem=reason,
            advice="Give the fields that make it small as hints: `config` of `conformance` hints.",
        )
        self._known.derivation = self._known.derivation or problem

    # --- what is looked at ---------------------------------------------------------------------------

    @property
    def model_class(self) -> Any:
        """The model class; NotApplicableError where the architecture has none."""
        if self._model_class is None:
            raise NotApplicableError(reason="it declares no model class")
        return self._model_class

    @property
    def config_class(self) -> Any:
        """The config class."""
        return self.target.config_class

    @property
    def auto_classes(self) -> tuple[str, ...]:
        """The Auto classes under which the class is registered: its role."""
        return self.target.models.get(self.model_class, ())

    @property
    def derivation(self) -> Derivation:
        """The tiny config and the plan of the inputs.

        Raises:
            DerivationError: nothing was found with which the class runs.
        """
        if self._known.derivation is None:
            try:
                self._known.derivation = self._derive()
            except DerivationError as error:
                self._known.derivation = error
        if isinstance(self._known.derivation, DerivationError):
            raise self._known.derivation.again()
        return self._known.derivation

    def _derive(self) -> Derivation:
        start = None
        if self._base is not None:
            with suppress(DerivationError):  # the head may derive where the base model does not
                start = self._base.derivation
        self._deriving(self.model_class.__name__)
        try:
            return derive(
                self.model_class,
                config_class=self.config_class,
                auto_classes=self.auto_classes,
                config_hints=self.hints.config,
                input_hints=self.hints.inputs,
                start=start,
            )
        finally:
            self._deriving("")

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of the arguments of `forward`; `**kwargs` is not among them."""
        signature = inspect.signature(self.model_class.forward).parameters.values()
        return tuple(each.name for each in signature if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL))[1:]

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        """What the class can do, by name; what the hints say counts."""
        return {name: self.capability(name) for name in NAMES}

    def capability(self, name: str) -> Capability:
        """Return one capability, found out when it is first asked for; KeyError if there is none of that name."""
        if name not in self._known.capabilities:
            self._known.capabilities[name] = _declared(infer(self, name), self.hints.capabilities.get(name))
        return self._known.capabilities[name]

    def can(self, capability: str) -> bool:
        """Say whether it has the capability."""
        return self.capability(capability).value

    def prepare(self, check: Check) -> None:
        """Make ready for one check: its tolerance; NotApplicableError where a capability that it needs is lacking."""
        for name in check.needs:
            capability = self.capability(name)
            self.need(capability.value, f"{name}: {capability.why}")
        self.factor = self.hints.tolerances.get(check.id, 1.0)

    def need(self, condition: object, reason: str) -> None:
        """Raise NotApplicableError unless the condition holds."""
        if not condition:
            raise NotApplicableError(reason=reason)

    # --- what can be made of it ----------------------------------------------------------------------

    def config(self, **fields: Any) -> Any:
        """Return a fresh copy of the tiny config, with these fields set."""
        made = copy.deepcopy(self.derivation.config)
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    def model(self, config: Any = None, *, seed: int | None = None, lively: bool = True, **options: Any) -> Any:
        """Return a new model on the CPU in eval mode, float32, the same for the same seed.

        Args:
            config: the config to build from; the tiny one if None.
            seed: another seed than the subject's.
            lively: move every parameter away from what initialisation leaves (zeros, ones, tied norms), so
                that whatever a parameter does shows in the outputs.
            options: for `_from_config`, for example `attn_implementation="eager"`.
        """
        drawn = self.seed if seed is None else seed
        guard.seed_torch(drawn)
        # `AutoModel.from_config` ends here too; the constructor alone would not resolve the attention.
        made = self.model_class._from_config(self.config() if config is None else config, **options)
        return enliven(made, drawn).eval() if lively else made.eval()

    def inputs(self, *, batch_size: int = 2, length: int | None = None, seed: int = 0, config: Any = None) -> Any:
        """Return keyword arguments for `forward`; see `derive.Derivation.make_inputs`."""
        return self.derivation.make_inputs(batch_size=batch_size, length=length, seed=self.seed + seed, config=config)

    def labels(self, *, batch_size: int = 2, length: int | None = None, seed: int = 0, config: Any = None) -> Any:
        """Return the further arguments that make it return a loss."""
        return self.derivation.make_labels(batch_size=batch_size, length=length, seed=self.seed + seed, config=config)

    @torch.no_grad()
    def outputs(self, model: Any, inputs: Mapping[str, Any], **options: Any) -> Any:
        """Return what the model makes of the inputs, without gradients."""
        guard.seed_torch(self.seed)
        return model(**copy.deepcopy(dict(inputs)), **options)

    @property
    def scratch(self) -> Path:
        """The folder of this check alone."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch

    def folder(self, name: str) -> Path:
        """Return a new empty folder in the scratch folder."""
        made = self.scratch / name
        made.mkdir()
        return made

    # --- what a check may say ------------------------------------------------------------------------

    def same(self, actual: Any, expected: Any, *, what: str, compared: str) -> None:
        """Compare two nested values bit by bit; MismatchError with the first difference says `what` is wrong."""
        self.comparisons += difference(actual, expected, tolerance=Tolerance(0), what=what, compared=compared)

    def close(self, actual: Any, expected: Any, *, what: str, compared: str, factor: float = 1.0) -> None:
        """Compare as `same` does, but floats within what their dtype allows, times the factor."""
        tolerance = Tolerance(factor * self.factor)
        self.comparisons += difference(actual, expected, tolerance=tolerance, what=what, compared=compared)

    def differs(self, actual: Any, expected: Any) -> bool:
        """Say whether two nested values lie further apart than `close` allows; counts as no comparison."""
        try:
            difference(actual, expected, tolerance=Tolerance(self.factor), what="", compared="")
        except MismatchError:
            return True
        return False

    def require(self, condition: object, problem: str, *, compared: str = "", found: str = "") -> None:
        """Count one comparison and raise MismatchError with the problem unless the condition holds."""
        self.comparisons += 1
        if not condition:
            raise MismatchError(problem=problem, compared=compared, difference=found)

    def note(self, text: str) -> None:
        """Say something that the report shows whatever the verdict: how much was covered, what was left out."""
        self.notes.append(text)

    @contextmanager
    def raising(self, problem: str) -> Iterator[None]:
        """Turn any error inside the block into the failure of this property, with the error's own words."""
        try:
            yield
        except (MismatchError, NotApplicableError, DerivationError):
            raise
        except Exception as error:
            excuse_library(error)
            text = f"{type(error).__name__}: {error}"
            raise MismatchError(problem=f"{problem}: {text}") from error
        self.comparisons += 1


_LACKING = re.compile(r"requires the (\S+) library but it was not found")  # transformers' `requires_backends`


def excuse_library(error: Exception) -> None:
    """Raise NotApplicableError where transformers says that a library is needed which is not installed."""
    lacking = _LACKING.search(str(error)) if isinstance(error, ImportError) else None
    if lacking:
        raise NotApplicableError(reason=f"it needs the library {lacking[1]}, which is not installed") from error


@dataclass(slots=True)
class _Known:
    """What is found out once for each class."""

    derivation: Derivation | DerivationError | None = None
    capabilities: dict[str, Capability] = field(default_factory=dict)


def _declared(capability: Capability, value: bool | None) -> Capability:
    if value is None:
        return capability
    source: Literal["declared", "contradicted"] = "declared" if value == capability.value else "contradicted"
    return Capability(name=capability.name, value=value, source=source, why=f"the hints say so; {capability.why}")


def enliven(model: Any, seed: int) -> Any:
    """Move every parameter by a little noise, each storage once, the same for the same seed; return the model."""
    generator = torch.Generator().manual_seed(seed + 1)
    seen: set[int] = set()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.data_ptr() in seen or not parameter.is_floating_point():
                continue
            seen.add(parameter.data_ptr())
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.1 * noise.to(parameter.dtype))
    return model

"""A plan of the inputs: which arguments, each in which form, at which sizes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from autoreg.conformance.derive.derivation import Recipe
from autoreg.conformance.derive.inputs.catalogue import SWITCHES, forms_of, modality_of
from autoreg.conformance.derive.inputs.draw import Draw, Sizes
from autoreg.conformance.derive.inputs.form import Form, of_choices
from autoreg.conformance.derive.inputs.generic import EMBEDDED
from autoreg.conformance.derive.inputs.vision import PATCH_ROWS, PATCH_ROWS_MASK, STRIP

__all__ = ["ASKED", "Plan", "first_plan", "forms_beside", "likeliest", "optional_modalities", "parameters_of"]


ASKED = "the model asks for it"
"""Why an argument is passed that an error pointed at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Which arguments are passed and how they are made; changed by copying.

    Attributes:
        forms: the form of each argument.
        sizes: what no config says.
        reasons: why each argument is passed.
    """

    forms: Mapping[str, Form]
    sizes: Sizes = field(default_factory=Sizes)
    reasons: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def having(self, name: str, form: Form, why: str = "") -> Plan:
        """Return the plan with this argument in this form."""
        reasons = {**self.reasons, name: why or self.reasons.get(name, "")}
        return replace(self, forms={**self.forms, name: form}, reasons=reasons)

    def without(self, name: str) -> Plan:
        """Return the plan with one argument fewer."""
        return replace(self, forms={key: form for key, form in self.forms.items() if key != name})

    def sized(self, **sizes: Any) -> Plan:
        """Return the plan with other sizes."""
        return replace(self, sizes=replace(self.sizes, **sizes))

    @property
    def key(self) -> tuple[Any, ...]:
        """What two equal plans have in common."""
        forms = tuple(sorted((name, id(form)) for name, form in self.forms.items()))
        sizes = self.sizes
        counts = tuple(sorted(sizes.placeholders.items()))
        return (
            forms,
            sizes.length,
            sizes.image,
            sizes.frames,
            sizes.samples,
            sizes.clip,
            sizes.features,
            sizes.codebooks,
            sizes.crops,
            counts,
        )

    def recipes(self) -> tuple[Recipe, ...]:
        """Return the recipes of the arguments."""
        return tuple(form.recipe(name, self.reasons.get(name, "")) for name, form in self.forms.items())

    def make(self, config: Any, *, batch_size: int = 2, seed: int = 0) -> dict[str, Any]:
        """Return the arguments; raises whatever cannot be made for this config."""
        asked = Draw(config=config, batch_size=batch_size, length=self.sizes.length, seed=seed, sizes=self.sizes)
        return {name: form.make(asked, name) for name, form in self.forms.items()}


def parameters_of(model_class: Any) -> Mapping[str, inspect.Parameter]:
    """Return the arguments of `forward` but `self`; `**kwargs` is not among them."""
    found = inspect.signature(model_class.forward).parameters
    return {
        name: each
        for name, each in found.items()
        if name != "self" and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    }


def first_plan(model_class: Any, auto_classes: Sequence[str] = ()) -> Plan:
    """Return the most plausible plan: the required arguments, the main input, the mask and the decoder's ids."""
    plan = _first_plan(model_class)
    if "AutoModelForMultipleChoice" in auto_classes and "input_ids" in plan.forms:
        return replace(plan, forms={name: of_choices(form) for name, form in plan.forms.items()})
    return plan


def _first_plan(model_class: Any) -> Plan:
    parameters = parameters_of(model_class)
    plan = Plan(forms={})
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and forms_of(name):
            plan = plan.having(name, likeliest(name, parameters)[0], "required")
    main: Any = getattr(model_class, "main_input_name", None)
    mains: list[str] = list(main) if isinstance(main, (list, tuple)) else [main]
    for name in mains:
        if name in parameters and name not in plan.forms and forms_of(name):
            plan = plan.having(name, likeliest(name, parameters)[0], "the main input")
    if not plan.forms:
        known = [each for each in parameters if forms_of(each) and not SWITCHES.match(each)]
        plan = plan.having(known[0], forms_of(known[0])[0], "the first argument") if known else plan
    if "input_ids" in plan.forms and "attention_mask" in parameters:
        plan = plan.having("attention_mask", forms_of("attention_mask")[0], "beside the ids")
    for name in ("decoder_input_ids", "decoder_input_values"):
        if name in parameters:
            plan = plan.having(name, forms_of(name)[0], "the decoder's input")
    return plan


def likeliest(name: str, parameters: Mapping[str, inspect.Parameter]) -> tuple[Form, ...]:
    """Return the forms of an argument; beside a grid or the shapes of patches, those with flattened patches first."""
    forms = forms_of(name)
    flat = [form for form in forms if form.kind == "pixels" and form.batch_axis is None]
    rows = [form for form in forms if form is PATCH_ROWS or form is PATCH_ROWS_MASK]
    gridded = any("grid" in other and (other == "grid_thw" or "image" in other) for other in parameters)
    strips = [form for form in forms if form is STRIP and "target_sizes" in parameters]
    first = flat if gridded else rows if "spatial_shapes" in parameters else strips
    return (*first, *(form for form in forms if form not in first))


def forms_beside(name: str, plan: Plan) -> tuple[Form, ...]:
    """Return the forms of an argument beside the others.

    The mask that goes with ids is one of text; what goes with the sound of a decoder is a sequence like it, for
    models that leave out what makes one of samples.
    """
    forms = forms_of(name)
    if name == "input_values" and "decoder_input_values" in plan.forms:
        return (EMBEDDED[0], *forms)
    if name == "attention_mask" and "input_ids" in plan.forms:
        return tuple(form for form in forms if form.length_axis is not None)
    return forms


def optional_modalities(model_class: Any, plan: Plan) -> list[str]:
    """Return the arguments that would bring in a further modality."""
    taken = {modality_of(name) for name in plan.forms}
    found: dict[str, str] = {}
    for name in parameters_of(model_class):
        modality = modality_of(name)
        if modality and modality not in taken and name not in plan.forms and modality not in found:
            found[modality] = name
    return list(found.values())

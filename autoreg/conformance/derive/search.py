"""The search: propose a tiny config and inputs, run them, and give back what does not work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from autoreg.conformance.derive import repair
from autoreg.conformance.derive.attempts import Attempt, Bench
from autoreg.conformance.derive.depth import every_kind
from autoreg.conformance.derive.derivation import Derivation, Field, Recipe
from autoreg.conformance.derive.enrich import enrich
from autoreg.conformance.derive.evidence import last_line
from autoreg.conformance.derive.inputs.catalogue import forms_of
from autoreg.conformance.derive.inputs.lean import lean
from autoreg.conformance.derive.inputs.plan import parameters_of
from autoreg.conformance.derive.inputs.search import for_any_batch, for_any_length
from autoreg.conformance.derive.inputs.shown import shown
from autoreg.conformance.derive.labels import labels_for
from autoreg.conformance.derive.lighten import lighten
from autoreg.conformance.derive.shrink import Change, Policy, shrink
from autoreg.conformance.derive.tree import Template, config_class_for, default_config, substitutes, template_of
from autoreg.conformance.derive.trial import offline, quiet
from autoreg.errors import DerivationError

__all__ = ["derive"]


def derive(
    model_class: Any,
    *,
    config_class: Any = None,
    auto_classes: Sequence[str] = (),
    config_hints: Mapping[str, Any] | None = None,
    input_hints: Callable[..., Mapping[str, Any]] | None = None,
    start: Derivation | None = None,
) -> Derivation:
    """Find a tiny config with which the class runs, and inputs for it.

    Args:
        model_class: the class.
        config_class: its config class; `model_class.config_class` if None.
        auto_classes: the Auto classes under which it is registered: its role.
        config_hints: fields by dotted path that the author sets.
        input_hints: from `(config, batch_size, length, seed)` to arguments of `forward` that replace or
            extend what is derived.
        start: what was derived for another class of the same architecture.

    Raises:
        DerivationError: nothing was found with which it runs.
    """
    _require_forward(model_class)
    _require_makeable(model_class, input_hints)
    with offline(), quiet():
        try:
            template = template_of(default_config(config_class_for(model_class, config_class)))
        except Exception as error:
            raise _failure(model_class, error, "the default config was made") from error
        bench = Bench(model_class=model_class, template=template, hints=dict(config_hints or {}), extra=input_hints)
        bench.auto_classes = tuple(auto_classes)
        bench, changes, best = _best(bench, start, _of_role(template, auto_classes))
        if not best.runs:
            raise _failure(model_class, best.error, _tried(bench.count)) from best.error
        best = _finished(bench, every_kind(bench, best, changes) if start is None else best, changes)
        assert best.plan is not None
        labels = labels_for(best.model, best.config, best.plan, auto_classes, extra=input_hints)
    return _derivation(bench, best, fields=tuple(_fields(changes, best, bench)), labels=labels)


def _finished(bench: Bench, best: Attempt, changes: Mapping[str, Change]) -> Attempt:
    """Return what runs made light, with every input that can be had, for any batch."""
    best = lighten(bench, best, changes)
    assert best.plan is not None
    if bench.extra is None:  # what the author gives is right
        best = replace(best, plan=lean(best.model, best.config, best.plan))
    best = enrich(bench, best, changes)
    assert best.plan is not None
    plan = for_any_batch(best.model, best.config, best.plan, extra=bench.extra)
    plan = for_any_length(best.model, best.config, plan, extra=bench.extra)
    return replace(best, plan=plan if bench.extra else shown(best.model, best.config, plan))


def _require_forward(model_class: Any) -> None:
    if getattr(model_class, "forward", torch.nn.Module.forward) is torch.nn.Module.forward:
        raise DerivationError(
            subject=model_class.__name__,
            tried="nothing was tried",
            problem="it has no `forward`",
            advice="A class that only generates is checked through the classes it is made of.",
        )


def _require_makeable(model_class: Any, input_hints: Callable[..., Mapping[str, Any]] | None) -> None:
    """Raise where `forward` cannot do without an object of a class of the architecture's own, such as a session."""
    module = sys.modules.get(model_class.__module__)
    for name, parameter in () if input_hints else parameters_of(model_class).items():
        given = parameter.annotation
        kind: Any = getattr(module, given, None) if isinstance(given, str) else given
        own = isinstance(kind, type) and kind.__module__ == model_class.__module__
        if own and parameter.default is parameter.empty and not forms_of(name):
            raise DerivationError(
                subject=model_class.__name__,
                tried="nothing was tried",
                problem=f"its `forward` needs `{name}`, an object of {kind.__name__}",
                advice="Make one in the hint `inputs` of `conformance`.",
            )


def _derivation(bench: Bench, best: Attempt, *, fields: tuple[Field, ...], labels: tuple[Recipe, ...]) -> Derivation:
    assert best.plan is not None
    recipes = best.plan.recipes()
    return Derivation(
        model_class=bench.model_class,
        config=best.config,
        fields=fields,
        inputs=tuple(recipe.about for recipe in recipes),
        attempts=bench.count,
        recipes=recipes,
        label_recipes=labels,
        sizes=best.plan.sizes,
        input_hints=bench.extra,
    )


def _best(
    bench: Bench, start: Derivation | None, role: Mapping[str, Any]
) -> tuple[Bench, Mapping[str, Change], Attempt]:
    """Repair until it runs; where a part needs a package that is not here, with a native part in its place."""
    changes = shrink(bench.template, Policy())
    best = repair.repair(bench, {**_first_values(bench.template, changes, start), **role}, changes)
    if best.runs or not repair.hopeless(best.error):
        return bench, changes, best
    for template in substitutes(bench.template):
        other = replace(bench, template=template)
        others = shrink(template, Policy())
        found = repair.repair(other, {path: change.value for path, change in others.items()}, others)
        if found.runs:
            return other, others, found
    return bench, changes, best


def _of_role(template: Template, auto_classes: Sequence[str]) -> dict[str, Any]:
    """Return the switches that a role asks for: an encoder's class is a causal model only as a decoder."""
    if "AutoModelForCausalLM" not in auto_classes:
        return {}
    return {leaf.path: True for leaf in template.leaves() if leaf.path == "is_decoder" and leaf.value is False}


def _first_values(template: Template, changes: Mapping[str, Change], start: Derivation | None) -> dict[str, Any]:
    """Return the values to try first: those of the base model where its config is of the same class."""
    if start is not None and type(start.config) is type(template.config):
        return {field.path: field.value for field in start.fields}
    return {path: change.value for path, change in changes.items()}


def _tried(count: int) -> str:
    if count == 1:
        return "one config was tried, the class's default made small"
    return f"{count} configs were tried, from the class's default made small to less and less small ones"


def _failure(model_class: Any, error: BaseException | None, tried: str) -> DerivationError:
    problem = "no inputs were found" if error is None else last_line(error)
    advice = "Give the fields or the inputs that it needs as hints: `config` and `inputs` of `conformance` hints."
    for cause in repair.causes(error):
        if isinstance(cause, ImportError):
            advice = "It needs a package that is not installed here."
        elif isinstance(cause, (OfflineModeIsEnabled, LocalEntryNotFoundError)):
            problem = f"it downloads a part of itself when it is built ({last_line(cause)})"
            advice = "Let the config say what the part is, so that a model with random weights can be built offline."
    return DerivationError(subject=model_class.__name__, tried=tried, problem=problem, advice=advice)


def _fields(changes: Mapping[str, Change], best: Attempt, bench: Bench) -> Iterator[Field]:
    """Yield a row for each field that was set, and for each that should have been smaller and is not."""
    defaults = {leaf.path: leaf.value for leaf in bench.template.leaves()}
    for path, value in best.values.items():
        default, change = defaults.get(path), changes.get(path)
        if path in bench.hints:
            why = "hint"
        elif change is None:
            why = "set: the role" if path == "is_decoder" else "set: the model does not run without"
        elif value == change.value:
            why = f"shrunk: {change.kind}"
        else:
            why = f"shrunk less: {change.kind} ({bench.reasons.get(path, 'of the base model')})"
        yield Field(path=path, default=default, value=value, why=why)
    for path, change in changes.items():
        if path not in best.values:
            reason = bench.reasons.get(path, "of the base model")
            why = f"kept: the model does not run with {change.value!r} ({reason})"
            yield Field(path=path, default=change.default, value=change.default, why=why)

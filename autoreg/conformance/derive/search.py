"""The search: propose a tiny config and inputs, run them, and give back what does not work."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autoreg.conformance.derive.derivation import Derivation, Field, Recipe
from autoreg.conformance.derive.inputs import text
from autoreg.conformance.derive.inputs.draw import Draw, Sizes
from autoreg.conformance.derive.shrink import Policy, shrink
from autoreg.conformance.derive.trial import build, offline, quiet, run
from autoreg.conformance.derive.tree import template_of
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
    with offline(), quiet():
        template = template_of((config_class or model_class.config_class)())
        changes = shrink(template, Policy())
        values = {path: change.value for path, change in changes.items()} | dict(config_hints or {})
        config = template.make(values)
        try:
            model = build(model_class, config)
            parameters = inspect.signature(model_class.forward).parameters
            recipes: list[Recipe] = [text.ids("input_ids")]
            if "attention_mask" in parameters:
                recipes.append(text.ones("attention_mask"))
            if "decoder_input_ids" in parameters:
                recipes.append(text.ids("decoder_input_ids", decoder=True))
            asked = Draw(config=config, batch_size=2, length=8, seed=0, sizes=Sizes())
            outcome = run(model, {recipe.about.name: recipe.make(asked) for recipe in recipes})
            if outcome.error is not None:
                raise outcome.error
        except Exception as error:
            raise DerivationError(
                subject=model_class.__name__,
                tried="one config was tried",
                problem=f"{type(error).__name__}: {error}",
                advice="Give hints.",
            ) from error
    return Derivation(
        model_class=model_class,
        config=config,
        fields=tuple(
            Field(path=c.path, default=c.default, value=c.value, why=f"shrunk: {c.kind}") for c in changes.values()
        ),
        inputs=tuple(recipe.about for recipe in recipes),
        attempts=1,
        recipes=tuple(recipes),
        label_recipes=_labels(recipes, parameters),
        input_hints=input_hints,
    )


def _labels(recipes: list[Recipe], parameters: Mapping[str, Any]) -> tuple[Recipe, ...]:
    if "labels" not in parameters:
        return ()
    return (text.ids("labels", decoder=any(r.about.name == "decoder_input_ids" for r in recipes)),)

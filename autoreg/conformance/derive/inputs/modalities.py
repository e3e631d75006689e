"""Further modalities: images, videos and sound beside a text that runs without them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from autoreg.conformance.derive.inputs import facts
from autoreg.conformance.derive.inputs.catalogue import forms_of, modality_of
from autoreg.conformance.derive.inputs.plan import Plan, likeliest, parameters_of
from autoreg.conformance.derive.inputs.search import Found, search
from autoreg.conformance.derive.inputs.vision import GRIDS_WITH_TARGETS, IMAGES_PER_SAMPLE

__all__ = ["add_modality"]


def add_modality(
    model: Any, config: Any, plan: Plan, name: str, *, extra: Callable[..., Mapping[str, Any]] | None = None
) -> Found:
    """Return the plan with an argument added that brings in a further modality, or the best that was found."""
    best: Found | None = None
    for start in _starts(model, config, plan, name):
        settled = frozenset(plan.forms)
        found = search(model, config, start, runs=25, seconds=4, keep=name, settled=settled, extra=extra)
        if found.outcome.error is None:
            return found
        if best is None or found.outcome.modules > best.outcome.modules:
            best = found
    assert best is not None
    return best


def _starts(model: Any, config: Any, plan: Plan, name: str) -> list[Plan]:
    """Return the plans to begin from: with placeholders in the text where the config has an id for them."""
    modality = modality_of(name) or ""
    parameters = parameters_of(type(model))
    forms = likeliest(name, parameters)
    grid = {"image": "image_grid_thw", "video": "video_grid_thw"}.get(modality, "")
    start = plan.having(name, forms[0], f"brings in {modality}")
    if grid in parameters:
        flat = next(form for form in forms if form.batch_axis is None)
        start = plan.having(name, flat, f"brings in {modality}").having(grid, forms_of(grid)[0], "the patches' grid")
        if "mm_token_type_ids" in parameters:
            start = start.having("mm_token_type_ids", forms_of("mm_token_type_ids")[0], "where the patches are")
    starts = [start, *_with_targets(start, parameters)]
    if facts.placeholder(config, modality)[1] is None or "input_ids" not in plan.forms:
        return starts
    placed = [each.sized(placeholders={**plan.sizes.placeholders, modality: 1}) for each in starts]
    return [placed[0], start, *placed[1:]]


def _with_targets(start: Plan, parameters: Mapping[str, inspect.Parameter]) -> Iterator[Plan]:
    """Yield the plan that says how many grids a row has: one for its image, and one of an image that is to be made."""
    counted, grid = "images_per_sample", "image_grid_thw"
    if counted in parameters and grid in start.forms:
        why = "the grids of each row"
        yield start.having(grid, GRIDS_WITH_TARGETS).having(counted, IMAGES_PER_SAMPLE[1], why)

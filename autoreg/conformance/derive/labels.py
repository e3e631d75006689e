"""Labels: the arguments that make a model return a loss, by its role, and proved by running."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from autoreg.conformance.derive.derivation import Recipe
from autoreg.conformance.derive.inputs import facts, series, text
from autoreg.conformance.derive.inputs.draw import Draw
from autoreg.conformance.derive.inputs.form import Form
from autoreg.conformance.derive.inputs.plan import Plan, parameters_of
from autoreg.conformance.derive.trial import run

__all__ = ["labels_for"]

_MOST = 14


def _classes(draw: Draw) -> int:
    return max(int(getattr(draw.config, "num_labels", None) or 2), 1)


def _class(draw: Draw, name: str) -> torch.Tensor:
    return torch.randint(_classes(draw), (draw.batch_size,), generator=draw.generator(name))


def _token_class(draw: Draw, name: str) -> torch.Tensor:
    return torch.randint(_classes(draw), (draw.batch_size, len(draw.layout)), generator=draw.generator(name))


def _number(draw: Draw, name: str) -> torch.Tensor:
    return torch.rand(draw.batch_size, generator=draw.generator(name))


def _numbers(draw: Draw, name: str) -> torch.Tensor:
    return torch.rand(draw.batch_size, _classes(draw), generator=draw.generator(name))


def _position(draw: Draw, name: str) -> torch.Tensor:
    return torch.randint(max(draw.length // 2, 1), (draw.batch_size,), generator=draw.generator(name))


def _class_map(draw: Draw, name: str) -> torch.Tensor:
    return torch.randint(_classes(draw), (draw.batch_size, *draw.image), generator=draw.generator(name))


def _depth_map(draw: Draw, name: str) -> torch.Tensor:
    return torch.rand((draw.batch_size, *draw.image), generator=draw.generator(name))


def _short_ids(draw: Draw, name: str) -> torch.Tensor:
    """Return a few ids a row, for losses that align them to longer sound."""
    vocab = facts.vocabulary(draw.config, decoder=True) or 2
    return draw.ids(name, (draw.batch_size, 2), vocab=vocab)


def _targets(draw: Draw, name: str) -> list[dict[str, torch.Tensor]]:
    """Return the objects of each image: classes and boxes `(cx, cy, w, h)` within it, and their masks."""
    generator = draw.generator(name)
    made = []
    for _ in range(draw.batch_size):
        boxes = 0.3 + 0.2 * torch.rand((2, 4), generator=generator)
        masks = torch.rand((2, *draw.image), generator=generator).round()
        classes = torch.randint(_classes(draw), (2,), generator=generator)
        made.append({"class_labels": classes, "boxes": boxes, "masks": masks})
    return made


def _mask_list(draw: Draw, name: str) -> list[torch.Tensor]:
    generator = draw.generator(name)
    return [torch.rand((2, *draw.image), generator=generator).round() for _ in range(draw.batch_size)]


def _class_list(draw: Draw, name: str) -> list[torch.Tensor]:
    generator = draw.generator(name)
    return [torch.randint(_classes(draw), (2,), generator=generator) for _ in range(draw.batch_size)]


def _true(draw: Draw, name: str) -> bool:
    return True


def _label(make: Callable[[Draw, str], Any], *, length_axis: int | None = None, batch: int | None = 0) -> Form:
    return Form(make=make, kind="labels", length_axis=length_axis, batch_axis=batch)


_IDS = replace(text.IDS, kind="labels")
_DECODER_IDS = replace(text.DECODER_IDS, kind="labels")
_CLASS, _TOKEN_CLASS = _label(_class), _label(_token_class, length_axis=1)
_MAP, _DEPTH, _TARGETS, _SHORT = _label(_class_map), _label(_depth_map), _label(_targets), _label(_short_ids)
_NUMBER, _NUMBERS = _label(_number), _label(_numbers)
_CODES = tuple(replace(form, kind="labels") for form in text.CODES)
_ALL = (_IDS, _DECODER_IDS, _CLASS, _TOKEN_CLASS, _MAP, _DEPTH, _TARGETS, _SHORT, _NUMBERS, _NUMBER, *_CODES)
# A word of the Auto class's name, and what its labels are.
_ROLES: tuple[tuple[str, tuple[Form, ...]], ...] = (
    ("TokenClassification", (_TOKEN_CLASS,)),
    ("FrameClassification", (_TOKEN_CLASS, _NUMBERS)),
    ("Classification", (_CLASS, _NUMBERS)),
    ("XVector", (_CLASS,)),
    ("MultipleChoice", (_CLASS,)),
    ("NextSentence", (_CLASS,)),
    ("ObjectDetection", (_TARGETS,)),
    ("InstanceSegmentation", (_TARGETS,)),
    ("Segmentation", (_MAP, _TARGETS)),
    ("Depth", (_DEPTH,)),
    ("CTC", (_SHORT,)),
    ("RNNT", (_SHORT,)),
    ("TDT", (_SHORT,)),
    ("VisualQuestion", (_NUMBERS, _IDS)),
)


def labels_for(
    model: Any,
    config: Any,
    plan: Plan,
    auto_classes: Sequence[str],
    *,
    extra: Callable[..., Mapping[str, Any]] | None = None,
) -> tuple[Recipe, ...]:
    """Return the recipes of the arguments with which the model returns a finite loss; empty if none were found."""
    for forms in itertools.islice(_offers(model, plan, auto_classes), _MOST):
        labelled = Plan(forms={**plan.forms, **forms}, sizes=plan.sizes)
        if _has_loss(model, config, labelled, extra):
            return tuple(form.recipe(name, "labels") for name, form in forms.items())
    return ()


def _offers(model: Any, plan: Plan, auto_classes: Sequence[str]) -> Iterator[dict[str, Form]]:
    """Yield what could make the model return a loss, the likeliest first."""
    parameters = parameters_of(type(model))
    for names, form in _PAIRS:
        if set(names) <= set(parameters):
            yield dict(zip(names, form, strict=True))
    if "labels" in parameters:
        yield from _labels(plan, auto_classes, paired="next_sentence_label" in parameters)
    for name, forms in _OTHERS:
        if name in parameters and name not in plan.forms:
            yield from ({name: form} for form in forms)


def _labels(plan: Plan, auto_classes: Sequence[str], *, paired: bool) -> Iterator[dict[str, Form]]:
    by_role = [form for auto in auto_classes for word, forms in _ROLES if word in auto for form in forms]
    usual = _DECODER_FIRST if "decoder_input_ids" in plan.forms else _ALL
    for form in dict.fromkeys((*by_role, *usual)):
        if paired:
            yield {"labels": form, "next_sentence_label": _CLASS}
        yield {"labels": form}


_PAIRS = (
    (("start_positions", "end_positions"), (_label(_position), _label(_position))),
    (("mask_labels", "class_labels"), (_label(_mask_list), _label(_class_list))),
)
_SERIES = tuple(replace(form, kind="labels") for form in series.PAST)
_OTHERS = (
    ("next_sentence_label", (_CLASS,)),
    ("return_loss", (_label(_true, batch=None),)),
    ("future_values", _SERIES),
    ("target_values", (_CLASS, _NUMBERS, *_SERIES)),
)
_DECODER_FIRST = (_DECODER_IDS, *(form for form in _ALL if form is not _DECODER_IDS))


def _has_loss(model: Any, config: Any, plan: Plan, extra: Callable[..., Mapping[str, Any]] | None) -> bool:
    try:
        inputs = plan.make(config)
    except Exception:
        return False
    if extra is not None:
        inputs.update(extra(config, 2, plan.sizes.length, 0))
    outputs = run(model, inputs).outputs
    loss = getattr(outputs, "loss", None)
    if loss is None or not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        return False
    return math.isfinite(float(loss))

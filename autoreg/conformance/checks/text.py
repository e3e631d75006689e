"""Text to run a subject on: other tokens at some places, rows of different lengths, prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch

from autoreg.conformance.checks.outputs import following, named
from autoreg.conformance.derive.inputs.facts import configs_in, vocabulary
from autoreg.conformance.subject import Subject
from autoreg.errors import NotApplicableError

__all__ = [
    "PADDING",
    "Ragged",
    "Side",
    "changed",
    "counted",
    "has_encoder",
    "places",
    "ragged",
    "rows",
    "shortened",
    "text",
]

Side: TypeAlias = Literal["left", "right"]

PADDING = 2
"""How many tokens of the shorter row are padding."""


def text(subject: Subject, **asked: Any) -> dict[str, Any]:
    """Return inputs of the subject, with an attention mask of ones wherever `forward` takes one."""
    made: dict[str, Any] = subject.inputs(**asked)
    subject.need("input_ids" in made, f"it is given no text but {', '.join(made)}")
    subject.need(made["input_ids"].dim() == len(("batch", "length")), "a row holds several texts")
    for ids, mask in (("input_ids", "attention_mask"), ("decoder_input_ids", "decoder_attention_mask")):
        if ids in made and mask in subject.parameters and made.get(mask) is None:
            made[mask] = torch.ones_like(made[ids])
    given = made.get("attention_mask")
    subject.need(given is None or given.shape == made["input_ids"].shape, "its attention mask is no row of tokens")
    return made


def has_encoder(subject: Subject) -> bool:
    """Say whether the class has a decoder with ids of its own; its config may speak of a larger model."""
    return "decoder_input_ids" in subject.parameters


def rows(subject: Subject, inputs: Mapping[str, Any], index: Sequence[int]) -> dict[str, Any]:
    """Return the inputs of these rows of a batch."""
    axes = {each.name: each.batch_axis for each in subject.derivation.inputs}
    chosen = torch.tensor(list(index))
    return {
        name: value.index_select(axes.get(name, 0) or 0, chosen) if isinstance(value, torch.Tensor) else value
        for name, value in inputs.items()
    }


def shortened(subject: Subject, inputs: Mapping[str, Any], begin: int, end: int) -> dict[str, Any]:
    """Return the inputs with the text from `begin` to before `end` only; a decoder's own text stays."""
    axes = _length_axes(subject, "input_ids")
    return {
        name: value.narrow(axes[name], begin, end - begin)
        if name in axes and isinstance(value, torch.Tensor)
        else value
        for name, value in inputs.items()
    }


def _length_axes(subject: Subject, ids: str) -> dict[str, int]:
    """Return the axis of the text of each input that goes along with these ids."""
    axes = {each.name: each.length_axis for each in subject.derivation.inputs if each.length_axis is not None}
    axes = {"attention_mask": axes.get("input_ids", 1), "decoder_attention_mask": 1} | axes
    decoder = ids.startswith("decoder_")
    return {name: axis for name, axis in axes.items() if name.startswith("decoder_") == decoder}


def places(subject: Subject, model: Any, *, ids: str = "input_ids", alone: bool = True) -> dict[str, int]:
    """Return the axis in which each output follows the text of these ids: found by running a longer text.

    Args:
        subject: the subject.
        model: one of its models.
        ids: the name of the ids.
        alone: the outputs must have one place for each token; else patches or prompts may stand beside them.

    Raises:
        NotApplicableError: there is one length only with which it runs, or the places are not those of the tokens.
    """
    short = text(subject)
    length = subject.derivation.sizes.length if subject.derivation.sizes else short[ids].shape[-1]
    longer = text(subject, length=length + 1)
    mixed = {**short, **{name: longer[name] for name in _length_axes(subject, ids) if name in longer}}
    if mixed[ids].shape == short[ids].shape:
        raise NotApplicableError(reason=f"the length of `{ids}` is fixed")
    try:
        larger = named(subject.outputs(model, mixed))
    except Exception as error:
        raise NotApplicableError(reason=f"it runs with one length of text only ({type(error).__name__})") from error
    found = named(subject.outputs(model, short))
    axes = following(found, larger)
    odd = [name for name, axis in axes.items() if found[name].shape[axis] != short[ids].shape[-1]]
    subject.need(not (alone and odd), f"`{next(iter(odd), '')}` has places beside those of the tokens")
    return axes


def changed(
    subject: Subject, inputs: Mapping[str, Any], where: slice, *, ids: str = "input_ids", row: int | None = None
) -> dict[str, Any]:
    """Return the inputs with other tokens at these places (of one row only, if given).

    Placeholders of images and the like stay: only tokens that another seed draws differently are changed.

    Raises:
        NotApplicableError: all tokens there are fixed.
    """
    kept, made = inputs[ids], inputs[ids].clone()
    span = {"length": subject.derivation.sizes.length} if subject.derivation.sizes else {}
    for seed in (1, 2, 3):
        other = text(subject, batch_size=len(kept), seed=seed, **span)[ids]
        if other.shape != kept.shape:
            other = other[..., : kept.shape[-1]]
        chosen = slice(None) if row is None else slice(row, row + 1)
        made[chosen, ..., where] = torch.where(made == kept, other, made)[chosen, ..., where]
    if torch.equal(made, kept):
        raise NotApplicableError(reason=f"the tokens of `{ids}` cannot be changed there")
    return {**inputs, ids: made}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ragged:
    """Two texts of different lengths, padded into one batch, and each alone.

    Attributes:
        batch: the two together; the first is `PADDING` tokens shorter and padded.
        alone: each by itself, without padding.
        spans: where the tokens of each lie in the batch, `(begin, end)`.
    """

    batch: dict[str, Any]
    alone: tuple[dict[str, Any], dict[str, Any]]
    spans: tuple[tuple[int, int], tuple[int, int]]


def ragged(subject: Subject, side: Side) -> Ragged:
    """Return two texts of different lengths, the shorter of which is padded on this side of the batch."""
    full = text(subject)
    length = full["input_ids"].shape[-1]
    subject.need(length > PADDING + 1, "the text is too short to be padded")
    padded = slice(0, PADDING) if side == "left" else slice(length - PADDING, length)
    span = (PADDING, length) if side == "left" else (0, length - PADDING)
    batch = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in full.items()}
    batch["input_ids"][0, ..., padded] = _pad_id(subject)
    batch["attention_mask"][0, ..., padded] = 0
    short = shortened(subject, rows(subject, full, [0]), *span)
    return Ragged(batch=batch, alone=(short, rows(subject, full, [1])), spans=(span, (0, length)))


def _pad_id(subject: Subject) -> int:
    size = vocabulary(subject.derivation.config) or 1
    for _, each in configs_in(subject.derivation.config):
        pad = getattr(each, "pad_token_id", None)
        if isinstance(pad, int) and 0 <= pad < size:
            return pad
    return 0


def counted(mask: torch.Tensor) -> torch.Tensor:
    """Return the positions that `generate` passes: the real tokens of each row counted from 0."""
    return (mask.long().cumsum(-1) - 1).clamp(min=0)

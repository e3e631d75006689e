"""Who may see whom in a text: masks, padding on both sides, and the future."""

from __future__ import annotations

from typing import Any

import torch

from autoreg.conformance.check import check
from autoreg.conformance.checks.outputs import named, narrowed, picked, unless_sampling
from autoreg.conformance.checks.text import (
    PADDING,
    Ragged,
    changed,
    counted,
    has_encoder,
    places,
    ragged,
    shortened,
    text,
)
from autoreg.conformance.subject import Subject
from autoreg.errors import MismatchError

__all__ = ["causal", "default_mask", "left_padding", "mask", "prefix", "right_padding"]


@check("forward.mask", level="runs", needs=("text", "attention_mask"))
def mask(subject: Subject) -> None:
    """A token that the attention mask hides influences no other.

    Two tokens in the middle of the first row are hidden and changed; the other places must not notice. Without the
    mask they do notice, or the check does not apply.

    Hurts: the padding of a batch changes the results of its texts.

    Change: pass `attention_mask` on to every layer that mixes tokens, made additive by
    `create_causal_mask` or `create_bidirectional_mask`, and use it when you pool.
    """
    model, inputs = subject.model(), text(subject)
    axes = places(subject, model)
    length = inputs["input_ids"].shape[-1]
    subject.need(length > PADDING + 1, "the text is too short to hide some of it")
    hole = slice(1, 1 + PADDING)
    others = changed(subject, inputs, hole, row=0)
    first, second = (_visible(named(subject.outputs(model, each)), axes, hole) for each in (inputs, others))
    subject.need(subject.differs(second, first), "no token influences what is returned for another")
    hidden = inputs["attention_mask"].clone()
    hidden[0, ..., hole] = 0
    first, second = (
        _visible(named(subject.outputs(model, {**each, "attention_mask": hidden})), axes, hole)
        for each in (inputs, others)
    )
    subject.close(
        second,
        first,
        what="A token that `attention_mask` hides influences the others: the mask is ignored, or not used everywhere",
        compared=f"the outputs at the visible places with two different texts at the hidden places {hole.start} and "
        f"{hole.stop - 1} of row 0",
    )


def _visible(values: dict[str, torch.Tensor], axes: dict[str, int], hole: slice) -> dict[str, torch.Tensor]:
    """Return the outputs without those of the hidden places; attentions, with two axes of places, are left out."""
    length = max((values[name].shape[axis] for name, axis in axes.items() if name in values), default=0)
    made = {}
    for name, value in values.items():
        if name not in axes:
            if list(value.shape).count(length) < 2:  # noqa: PLR2004
                made[name] = value
            continue
        kept = [*range(hole.start), *range(hole.stop, value.shape[axes[name]])]
        made[name] = value.index_select(axes[name], torch.tensor(kept))
    return made


@check("forward.default-mask", level="runs", needs=("text", "attention_mask"))
def default_mask(subject: Subject) -> None:
    """No attention mask means the same as one that hides nothing.

    Hurts: the same text gives two results, depending on whether the tokenizer's mask was passed on.

    Change: build the same mask for `attention_mask=None` as for ones; a causal model is causal with and without.
    """
    model, inputs = subject.model(), text(subject)
    masks = [name for name in ("attention_mask", "decoder_attention_mask") if name in inputs]
    given = named(subject.outputs(model, {**inputs, **{name: torch.ones_like(inputs[name]) for name in masks}}))
    with subject.raising("It fails without an attention mask"):
        without = named(subject.outputs(model, {**inputs, **dict.fromkeys(masks)}))
    subject.close(
        without,
        given,
        what="Without an attention mask the outputs are not those with one that hides nothing",
        compared="the outputs without a mask and with a mask of ones",
    )


@check("forward.right-padding", level="runs", needs=("text", "attention_mask", "batching"))
def right_padding(subject: Subject) -> None:
    """A text that is padded on the right and masked gives the results that it gives alone.

    Hurts: the results of a text depend on the longest text of its batch.

    Change: use `attention_mask` in attention, in convolutions and in pooling; find the last real token by the mask,
    not by the shape.
    """
    model, pair = subject.model(), ragged(subject, "right")
    with unless_sampling(subject, model, pair.batch):
        _compare(subject, model, pair, pair.batch, side="on the right")


@check("forward.left-padding", level="runs", needs=("text", "attention_mask", "batching", "causal"))
def left_padding(subject: Subject) -> None:
    """A prompt that is padded on the left and masked gives the results that it gives alone.

    As `generate` does, positions are counted from the first real token where `forward` takes `position_ids`.

    Hurts: prompts of different lengths cannot be generated from in one batch.

    Change: take positions from `position_ids`, or from the cumulated mask, not from the place in the batch; let no
    real token attend to padding.
    """
    model, pair = subject.model(), ragged(subject, "left")
    batches = [pair.batch]
    if subject.can("position_ids"):
        batches.insert(0, {**pair.batch, "position_ids": counted(pair.batch["attention_mask"])})
    for index, batch in enumerate(batches):
        try:
            _compare(subject, model, pair, batch, side="on the left")
        except (MismatchError, ValueError, RuntimeError, TypeError, IndexError):
            # Classes with positions of several axes refuse plain ones, and count for themselves.
            if index == len(batches) - 1:
                raise
        else:
            return


def _compare(subject: Subject, model: Any, pair: Ragged, batch: dict[str, Any], *, side: str) -> None:
    """Compare each text of the batch with itself alone."""
    together = named(subject.outputs(model, batch))
    axes = places(subject, model)
    for row, (inputs, (begin, end)) in enumerate(zip(pair.alone, pair.spans, strict=True)):
        alone = named(subject.outputs(model, inputs))
        rowwise = {
            name: 0
            for name, value in together.items()
            if name in alone and value.dim() and len(value) == 2 * len(alone[name])
        }
        here = picked(together, rowwise, [row])
        along = {name: axis for name, axis in axes.items() if name in rowwise and axis}
        whole = {name: value for name, value in here.items() if name not in axes and value.shape == alone[name].shape}
        subject.need(along or whole, "none of its outputs has an axis for the batch")
        subject.close(
            {**narrowed(here, along, begin, end), **whole},
            {name: alone[name] for name in [*along, *whole]},
            what=f"A text that is padded {side} and masked gives other results than alone"
            if row == 0
            else f"A text gives other results beside one that is padded {side}",
            compared=f"the outputs of row {row} at its real tokens, in a batch padded {side} and alone",
        )


def _decoder(subject: Subject) -> str:
    """Return the name of the ids that must not see their future; NotApplicableError if none need to."""
    names = {each.name for each in subject.derivation.inputs}
    if has_encoder(subject) and "decoder_input_ids" in names:
        return "decoder_input_ids"
    capability = subject.capability("causal")
    subject.need(capability.value and "input_ids" in names, capability.why)
    return "input_ids"


@check("forward.causal", level="runs", needs=("text",))
def causal(subject: Subject) -> None:
    """A decoder's output at a place depends on no later token.

    With an attention mask and without.

    Hurts: the loss looks splendid and generation is nonsense, since the answer was visible in training.

    Change: make the mask with `create_causal_mask`; set `is_causal = True` on the attention module; pad
    convolutions on the left only.
    """
    ids = _decoder(subject)
    model, inputs = subject.model(), text(subject)
    axes = places(subject, model, ids=ids)
    length = inputs[ids].shape[-1]
    first = max(1, length - 2)
    masks = ("attention_mask", "decoder_attention_mask")
    bare = {name: value for name, value in inputs.items() if name not in masks}
    for given, told in ((inputs, "with an attention mask"), (bare, "without an attention mask")):
        other = changed(subject, given, slice(first, length), ids=ids)
        before, after = (named(subject.outputs(model, each)) for each in (given, other))
        now = narrowed(before, axes, first, length), narrowed(after, axes, first, length)
        subject.need(subject.differs(*now), "its outputs do not follow the text")
        subject.close(
            narrowed(after, axes, 0, first),
            narrowed(before, axes, 0, first),
            what=f"Future tokens leak: {told}, the outputs at a place depend on later tokens",
            compared=f"the outputs before place {first} with two different texts from there on",
        )


@check("forward.prefix", level="runs", needs=("text",))
def prefix(subject: Subject) -> None:
    """A decoder gives the beginning of a text the results that it has in the longer text.

    Hurts: training, scoring and generation, which see texts of different lengths, disagree.

    Change: count positions from the beginning; norm, pool and chunk over nothing that depends on the length.
    """
    ids = _decoder(subject)
    subject.need(ids == "input_ids", "it is asked of decoders without an encoder")
    model, inputs = subject.model(), text(subject)
    axes = places(subject, model)
    length = inputs[ids].shape[-1] - 3
    subject.need(length > 0, "the text is too short to be cut")
    whole = named(subject.outputs(model, inputs))
    short = named(subject.outputs(model, shortened(subject, inputs, 0, length)))
    subject.close(
        {name: short[name] for name in axes},
        narrowed(whole, axes, 0, length),
        what="The beginning of a text gives other results alone than in the longer text",
        compared=f"the outputs for the first {length} tokens alone, and in the text of {length + 3}",
    )

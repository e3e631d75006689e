"""A vocabulary that grows: `resize_token_embeddings` and everything that must follow it."""

from __future__ import annotations

from typing import Any

import torch

from autoreg.conformance.check import check
from autoreg.conformance.checks.outputs import named
from autoreg.conformance.checks.perturbation import ties_switched
from autoreg.conformance.compare import shown
from autoreg.conformance.subject import Subject, enliven
from autoreg.errors import NotApplicableError

__all__ = ["resize", "resize_saved", "resize_untied"]

_MORE = 3
_VOCABULARY = frozenset({"AutoModelForCausalLM", "AutoModelForMaskedLM", "AutoModelForSeq2SeqLM"})


@check("generation.resize", level="runs", needs=("embeddings", "text"))
def resize(subject: Subject) -> None:
    """`resize_token_embeddings` resizes the embeddings, the head, its bias and the config, and keeps what was there.

    Hurts: adding a token for fine-tuning breaks the model, or trains a head that cannot say the token.

    Change: return the embedding and the head from `get_input_embeddings`/`get_output_embeddings` (or name them so
    that the inherited ones find them), declare ties in `_tied_weights_keys`, and read `config.vocab_size` in
    `forward`, not a copy.
    """
    _grown(subject, subject.config())


@check("generation.resize-untied", level="runs", needs=("embeddings", "text"))
def resize_untied(subject: Subject) -> None:
    """`resize_token_embeddings` does the same with ties switched the other way.

    Hurts: adding a token works for checkpoints with tied embeddings and breaks those without, or the reverse.

    Change: as for `generation.resize`; a bias that is a parameter of its own beside the head is resized by
    `_resize_lm_head`'s rules only if it belongs to the module that `get_output_embeddings` returns.
    """
    config = subject.config()
    subject.need(subject.model().get_output_embeddings() is not None, "it has no output embeddings")
    tied = getattr(config, "tie_word_embeddings", None)
    subject.need(tied is not None, "the config has no `tie_word_embeddings`")
    switched = ties_switched(config, tie=not tied)
    subject.need(switched is not None, "the config refuses ties the other way")
    subject.need(switched.tie_word_embeddings != tied, "the config keeps `tie_word_embeddings`")
    _grown(subject, switched)


def _grown(subject: Subject, config: Any) -> Any:
    with subject.raising("It cannot be built with ties switched the other way"):
        model = subject.model(config)
    inputs = subject.inputs()
    before = named(subject.outputs(model, inputs))
    old, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and getattr(head, "weight", None) is old.weight
    count = old.weight.shape[0]
    _resize(subject, model, count + _MORE)
    _sizes(subject, model, count + _MORE, tied=tied, had_head=head is not None)
    inputs["input_ids"] = inputs["input_ids"].clone()
    with subject.raising("`forward` fails after `resize_token_embeddings`"):
        after = named(subject.outputs(model, inputs))
    _kept(subject, after, before, count)
    changed = inputs["input_ids"].clone()
    changed[..., -1] = count + _MORE - 1
    with subject.raising("`forward` fails for a token that `resize_token_embeddings` added"):
        subject.outputs(model, {**inputs, "input_ids": changed})
    labels = subject.labels()
    if labels and _VOCABULARY & set(subject.auto_classes):
        with subject.raising("The loss fails after `resize_token_embeddings`"):
            subject.outputs(model, {**inputs, **labels})
    return model


def _resize(subject: Subject, model: Any, size: int) -> None:
    with subject.raising("`resize_token_embeddings` fails"):
        try:
            model.resize_token_embeddings(size)
        except NotImplementedError as error:
            raise NotApplicableError(reason=f"it refuses: {error}") from error


def _sizes(subject: Subject, model: Any, size: int, *, tied: bool, had_head: bool) -> None:
    found = model.get_input_embeddings()
    subject.require(
        found.weight.shape[0] == size,
        "`resize_token_embeddings` does not resize the input embeddings",
        compared="the rows of the input embeddings",
        found=f"weight: {shown(found.weight)}, {size} rows are due",
    )
    stated = model.config.get_text_config().vocab_size
    subject.require(
        stated == size,
        "`resize_token_embeddings` does not change `config.vocab_size`",
        compared="`config.vocab_size` with what was asked for",
        found=f"{stated}, {size} are due",
    )
    if not had_head:
        return
    head = model.get_output_embeddings()
    for name in ("weight", "bias"):
        value = getattr(head, name, None)
        subject.require(
            not isinstance(value, torch.Tensor) or value.shape[0] == size,
            f"`resize_token_embeddings` does not resize the {name} of the head",
            compared=f"the rows of the head's {name}",
            found=f"{name}: {shown(value)}, {size} rows are due",
        )
    subject.require(
        not tied or head.weight is found.weight,
        "`resize_token_embeddings` unties the head from the embeddings",
        compared="the memory of the head with that of the embeddings",
    )


def _kept(subject: Subject, after: dict[str, torch.Tensor], before: dict[str, torch.Tensor], count: int) -> None:
    if "logits" in after and _VOCABULARY & set(subject.auto_classes):
        subject.require(
            after["logits"].shape[-1] == before["logits"].shape[-1] + _MORE,
            "The embeddings are resized and the logits are not",
            compared="the last axis of `logits` after `resize_token_embeddings`",
            found=f"logits: {shown(after['logits'])}, {before['logits'].shape[-1] + _MORE} are due",
        )
    cut = {
        name: value[..., : before[name].shape[-1]] if value.dim() else value
        for name, value in after.items()
        if name in before
    }
    subject.close(
        cut,
        {name: before[name] for name in cut},
        what="`resize_token_embeddings` changes the outputs for the old tokens",
        compared=f"the outputs for the {count} old tokens after `resize_token_embeddings` and before",
    )


@check("generation.resize-saved", level="runs", needs=("embeddings", "text"))
def resize_saved(subject: Subject) -> None:
    """A model whose vocabulary has grown is saved and loaded as it is.

    With embeddings tied, and with ties off, where the config has the switch.

    Hurts: the checkpoint of a model fine-tuned with added tokens does not load, or its new rows are random.

    Change: build every layer from `config.vocab_size`, and let `resize_token_embeddings` reach all of them; a bias
    beside the head is the head's own (`nn.Linear(…, bias=True)`), not a second parameter that is assigned to it.
    """
    config = subject.config()
    _saved(subject, config, told="")
    tied = getattr(config, "tie_word_embeddings", None)
    switched = None if tied is None else ties_switched(config, tie=not tied)
    changed = switched is not None and switched.to_dict() != config.to_dict()
    if changed and subject.model().get_output_embeddings() is not None:
        _saved(subject, switched, told=f" with `tie_word_embeddings={not tied}`")


def _saved(subject: Subject, config: Any, *, told: str) -> None:
    model = subject.model(config)
    size = model.get_input_embeddings().weight.shape[0] + _MORE
    _resize(subject, model, size)
    enliven(model, subject.seed)  # new rows and biases are zero, and so would be those that were lost
    folder = subject.folder("switched" if told else "model")
    with subject.raising(f"A model whose vocabulary has grown{told} cannot be saved"):
        model.save_pretrained(folder)
    with subject.raising(f"A model whose vocabulary has grown{told} cannot be loaded"):
        loaded = subject.model_class.from_pretrained(folder)
    # Others may differ for reasons of their own, which the checks of the weights name.
    there, before = ({n: v for n, v in each.state_dict().items() if size in v.shape} for each in (loaded, model))
    subject.same(
        there,
        before,
        what=f"A model whose vocabulary has grown{told} comes back with other tensors",
        compared="the tensors after `resize_token_embeddings`, saving and loading, with those before saving",
    )

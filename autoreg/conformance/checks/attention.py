"""What can be asked of a model besides its results: hidden states, attentions, another way to attend or to embed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch

from autoreg.conformance.check import check
from autoreg.conformance.checks.outputs import named, narrowed, picked
from autoreg.conformance.checks.text import has_encoder, places, ragged, text
from autoreg.conformance.compare import shown
from autoreg.conformance.derive.inputs.facts import configs_in
from autoreg.conformance.subject import Subject
from autoreg.errors import MismatchError, NotApplicableError

__all__ = ["any_length", "attentions", "eager_and_sdpa", "eager_and_sdpa_padded", "hidden_states", "inputs_embeds"]


@check("forward.inputs-embeds", level="runs", needs=("text", "inputs_embeds", "embeddings"))
def inputs_embeds(subject: Subject) -> None:
    """Passing the embeddings of the ids gives the same as passing the ids.

    Hurts: prompt tuning, soft prompts, attribution and multimodal wrappers, which pass embeddings, get other results.

    Change: scale, norm and add positions after the choice between `input_ids` and `inputs_embeds`, and let
    `get_input_embeddings` return the module that is applied to the ids.
    """
    names = {each.name for each in subject.derivation.inputs if not each.name.startswith("decoder_")}
    # Of a larger model the ids also say where the images go, which the embeddings cannot.
    subject.need(names <= _TEXT, "it takes more than text")
    model, inputs = subject.model(), text(subject)
    ids = inputs["input_ids"]
    expected = named(subject.outputs(model, inputs))
    with torch.no_grad():
        embedded = model.get_input_embeddings()(ids)
    given = {name: value for name, value in inputs.items() if name != "input_ids"}
    with subject.raising("`inputs_embeds` in place of `input_ids` fails"):
        try:
            found = named(subject.outputs(model, {**given, "inputs_embeds": embedded}))
        except NotImplementedError as error:
            raise NotApplicableError(reason=f"it says that it takes no embeddings: {error}") from error
    subject.close(
        found,
        expected,
        what="`inputs_embeds` gives other outputs than the `input_ids` they were made from",
        compared="the outputs for `inputs_embeds=get_input_embeddings()(input_ids)` and for `input_ids`",
    )


_TEXT = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})


class _Calls(torch.overrides.TorchFunctionMode):
    """Counts the calls of torch's fused attention."""

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            self.count += 1
        return func(*args, **(kwargs or {}))


def _pair(subject: Subject) -> tuple[Any, Any]:
    with subject.raising('It cannot be built with `attn_implementation="eager"`'):
        eager = subject.model(attn_implementation="eager")
    with subject.raising('It declares `_supports_sdpa` and cannot be built with `attn_implementation="sdpa"`'):
        sdpa = subject.model(attn_implementation="sdpa")
    return eager, sdpa


@check("forward.eager-and-sdpa", level="runs", needs=("sdpa",))
def eager_and_sdpa(subject: Subject) -> None:
    """The attention implementations "eager" and "sdpa" give the same outputs.

    Hurts: results change with the version of torch, the hardware, or when somebody asks for the attentions.

    Change: use one scaling, one mask, one handling of key and value groups and of bias terms in both; go through
    `ALL_ATTENTION_FUNCTIONS` rather than branch by hand.
    """
    eager, sdpa = _pair(subject)
    inputs = subject.inputs()
    expected = named(subject.outputs(eager, inputs))
    with _Calls() as calls, subject.raising('It fails with `attn_implementation="sdpa"`'):
        found = named(subject.outputs(sdpa, inputs))
    subject.need(calls.count, "torch's `scaled_dot_product_attention` is not called with these inputs")
    subject.close(
        found,
        expected,
        what='`attn_implementation="sdpa"` gives other outputs than "eager"',
        compared='the outputs with "sdpa" and with "eager"',
    )


@check("forward.eager-and-sdpa-padded", level="runs", needs=("sdpa", "text", "attention_mask", "batching"))
def eager_and_sdpa_padded(subject: Subject) -> None:
    """The attention implementations "eager" and "sdpa" give the same outputs for padded batches.

    On the right for all, on the left too for a causal model; compared at the real tokens.

    Hurts: results of batches change with the version of torch, the hardware, or when somebody asks for attentions.

    Change: hand the same mask to both; never drop it because `is_causal` is set.
    """
    eager, sdpa = _pair(subject)
    axes = places(subject, eager)
    for side in ("right", "left") if subject.can("causal") else ("right",):
        pair = ragged(subject, "right" if side == "right" else "left")
        expected = named(subject.outputs(eager, pair.batch))
        with _Calls() as calls:
            found = named(subject.outputs(sdpa, pair.batch))
        subject.need(calls.count, "torch's `scaled_dot_product_attention` is not called with these inputs")
        for row, (begin, end) in enumerate(pair.spans):
            rowwise = {name: 0 for name, axis in axes.items() if axis}
            both = (narrowed(picked(each, rowwise, [row]), axes, begin, end) for each in (found, expected))
            subject.close(
                *both,
                what=f'With padding on the {side} "sdpa" gives other outputs than "eager"',
                compared=f'the outputs of row {row} at its real tokens with "sdpa" and with "eager"',
            )


@check("forward.any-length", level="runs", needs=("text",))
def any_length(subject: Subject) -> None:
    """A text of one token and texts of odd length run, with finite outputs.

    Hurts: generation without a prompt, or a text whose length is no multiple of a chunk, fails.

    Change: take lengths from the shape of the inputs; pad inside where a kernel needs a multiple, and cut again.
    """
    model = subject.model()
    axes = places(subject, model, alone=False)
    inputs = text(subject)
    usual = named(subject.outputs(model, inputs))
    # Beside a text there may be patches or prompts, and some classes pool it.
    axes = {name: axis for name, axis in axes.items() if usual[name].shape[axis] == inputs["input_ids"].shape[-1]}
    for length in (5, 11, 1):
        inputs = text(subject, length=length)
        with subject.raising(f"A text of {length} tokens fails"):
            found = named(subject.outputs(model, inputs))
        _finite_text(subject, found, length)
        for name in axes.keys() & found.keys() & {"logits", "last_hidden_state"}:
            subject.require(
                found[name].shape[axes[name]] == inputs["input_ids"].shape[-1] or has_encoder(subject),
                f"`{name}` has not one place for each token",
                compared=f"the shape of the outputs for {length} tokens",
                found=f"{name}: {shown(found[name])}",
            )


def _finite_text(subject: Subject, found: dict[str, torch.Tensor], length: int) -> None:
    for name, value in found.items():
        bad = value.is_floating_point() and bool((value.isnan() | (value == torch.inf)).any())
        subject.require(
            not bad, f"`{name}` is not finite for a text of {length} tokens", compared="the outputs with infinity"
        )


def _asked(subject: Subject, model: Any, flag: str, ending: str) -> tuple[Any, dict[str, Any]]:
    """Return the outputs asked for, and by name those that should then be there."""
    inputs = subject.inputs()
    try:
        outputs = subject.outputs(model, inputs, **{flag: True})
    except TypeError as error:
        outputs = subject.outputs(model, inputs)
        told = getattr(type(outputs), "__dataclass_fields__", {})
        subject.need(any(name.endswith(ending) and "last" not in name for name in told), str(error))
        raise MismatchError(problem=f"`{flag}=True` fails: {error}") from error
    fields = getattr(type(outputs), "__dataclass_fields__", {})
    names = [name for name in fields if name.endswith(ending) and "last" not in name]
    subject.need(names, f"{type(outputs).__name__} has no field for them")
    values = {name: getattr(outputs, name, None) for name in names}
    # `image_hidden_states` and the like are one tensor, and come unasked.
    return outputs, {n: each for n, each in values.items() if n == ending or not isinstance(each, torch.Tensor)}


def _present(subject: Subject, found: dict[str, Any], flag: str) -> dict[str, tuple[torch.Tensor, ...]]:
    """Return those that are there, as tuples of tensors; none at all is a failure."""
    there = {name: value for name, value in found.items() if value is not None and any(x is not None for x in value)}
    subject.require(
        there,
        f"`{flag}=True` is ignored: the output has the field{'s' * (len(found) > 1)} "
        f"{', '.join(f'`{name}`' for name in found)} and nothing in it",
        compared=f"the output with `{flag}=True`",
    )
    for name, value in there.items():
        subject.require(
            isinstance(value, (tuple, list)) and all(isinstance(each, torch.Tensor) for each in value),
            f"`{name}` is no tuple of tensors",
            compared=f"the output with `{flag}=True`",
            found=f"{name}: {type(value).__name__}",
        )
    return there


def _by_config(subject: Subject, model: Any, flag: str, outputs: Any, **options: Any) -> None:
    """Compare with what the config asks for, and with what comes unasked."""
    inputs = subject.inputs()
    plain = named(subject.outputs(model, inputs))
    asked = named(outputs)
    both = plain.keys() & asked.keys()
    subject.close(
        {name: asked[name] for name in both},
        {name: plain[name] for name in both},
        what=f"`{flag}=True` changes the other outputs",
        compared=f"the outputs with `{flag}=True` and without",
    )
    config = subject.config()
    # Inner models copy the config when they are built, and the parts of a larger model read their own.
    for _, each in configs_in(config):
        if "attn_implementation" in options:
            # It has no public setter that does without a model.
            each._attn_implementation = options["attn_implementation"]
        setattr(each, flag, True)
    subject.close(
        named(subject.outputs(subject.model(config, **options), inputs)),
        asked,
        what=f"`config.{flag} = True` gives something else than the argument",
        compared=f"the outputs with `config.{flag} = True` and with `{flag}=True`",
    )


@check("forward.hidden-states", level="runs")
def hidden_states(subject: Subject) -> None:
    """Asked for by the argument or the config, the hidden states of every layer are there.

    Of a text model without an encoder: one before the first layer and one after each, the last of which is
    `last_hidden_state`.

    Hurts: probing, distillation and layer-wise pooling get nothing, or states of other layers than they believe.

    Change: let `forward` pass `output_hidden_states` on, or declare `_can_record_outputs` and decorate with
    `capture_outputs`; fall back on the config where the argument is None.
    """
    model = subject.model()
    outputs, found = _asked(subject, model, "output_hidden_states", "hidden_states")
    there = _present(subject, found, "output_hidden_states")
    if "hidden_states" in there and _flat_text(subject) and hasattr(model.config, "num_hidden_layers"):
        _one_a_layer(subject, model, there["hidden_states"], outputs)
    _by_config(subject, model, "output_hidden_states", outputs)


def _flat_text(subject: Subject) -> bool:
    config = subject.derivation.config
    plain = (
        subject.can("text")
        and subject.inputs()["input_ids"].dim() == len(("batch", "length"))
        and not has_encoder(subject)
        and config.get_text_config() is config
    )
    return plain and {each.name for each in subject.derivation.inputs} <= _TEXT


def _one_a_layer(subject: Subject, model: Any, states: Any, outputs: Any) -> None:
    layers = model.config.num_hidden_layers
    # Only where the layers are one plain stack: others (Funnel, CANINE) have more, and of several lengths.
    lists = [name for name, each in model.named_modules() if isinstance(each, torch.nn.ModuleList)]
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    if len(outer) != 1 or len(model.get_submodule(outer[0])) != layers:
        return
    subject.require(
        len(states) == layers + 1,
        f"There are {len(states)} `hidden_states` for `config.num_hidden_layers` = {layers}: one more is due",
        compared="the number of `hidden_states`",
    )
    shapes = {tuple(each.shape) for each in states}
    subject.require(
        len(shapes) == 1 and next(iter(shapes))[:2] == tuple(subject.inputs()["input_ids"].shape),
        "The `hidden_states` are not all of the shape (batch, length, width)",
        compared="the shapes of `hidden_states`",
        found=", ".join(map(str, sorted(shapes))),
    )
    last = getattr(outputs, "last_hidden_state", None)
    if last is not None:
        subject.close(
            states[-1],
            last,
            what="`hidden_states[-1]` is not `last_hidden_state`",
            compared="the last of `hidden_states` with `last_hidden_state`",
        )


@check("forward.attentions", level="runs")
def attentions(subject: Subject) -> None:
    """Asked for by the argument or the config, the attention weights of every layer are there, and sum to one.

    With the eager implementation, the only one that has them.

    Hurts: tools that show or use attention get nothing, or weights that are none.

    Change: return the weights after the softmax from each attention module and let `forward` collect them, or declare
    `_can_record_outputs`; fall back on the config where the argument is None.
    """
    subject.need(_has_attention(subject), "nothing says that it has attentions to return")
    with subject.raising('It cannot be built with `attn_implementation="eager"`'):
        model = subject.model(attn_implementation="eager")
    outputs, found = _asked(subject, model, "output_attentions", "attentions")
    if not any(found.values()):
        subject.need(_attends(subject), "no layer of the tiny model attends")
    there = _present(subject, found, "output_attentions")
    for name, weights in there.items():
        for layer, each in enumerate(weights):
            sums = each.sum(-1)
            # Sinks take a part of the weight; nothing adds to it.
            low, high = float(each.min()), float(sums.max())
            subject.require(
                each.dim() < len(("batch", "heads", "queries", "keys")) or (low >= 0 and high <= 1 + 1e-3),
                f"`{name}[{layer}]` are no weights: they are negative, or sum to more than one",
                compared="the attention weights and their sums over the last axis",
                found=f"smallest weight {low:.4g}, largest sum {high:.4g}",
            )
    _by_config(subject, model, "output_attentions", outputs, attn_implementation="eager")


def _has_attention(subject: Subject) -> bool:
    """Say whether the class says that it attends: by an argument, by what it records, or by what it supports."""
    recorded = getattr(subject.model_class, "_can_record_outputs", None) or {}
    return "output_attentions" in subject.parameters or "attentions" in recorded or subject.can("sdpa")


def _attends(subject: Subject) -> bool:
    """Say whether any layer attends: among those of a hybrid may be none that does. Told by torch's fused attention."""
    if not subject.can("sdpa"):
        return True
    with _Calls() as calls, suppress(Exception):  # what fails is for forward.eager-and-sdpa to tell
        subject.outputs(subject.model(attn_implementation="sdpa"), subject.inputs())
        return bool(calls.count)
    return True

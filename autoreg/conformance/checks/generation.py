"""Generation: the cache, prompts of different lengths, beams, and a vocabulary that grows."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from transformers import GenerationMixin

from autoreg.conformance.check import check
from autoreg.conformance.checks.speech import (
    Speech,
    agree,
    decoder_only,
    greedy,
    own_generate,
    prompt,
    speaker,
    try_greedy,
)
from autoreg.conformance.checks.text import ragged, text
from autoreg.conformance.compare import shown
from autoreg.conformance.subject import Subject

__all__ = [
    "beams",
    "cache",
    "chunks",
    "config_roundtrip",
    "continued",
    "embeds",
    "left_padding",
    "logits_to_keep",
    "mixin",
    "runs",
    "sampling",
    "static_cache",
    "untouched",
]

_GENERATING = frozenset(
    {
        "AutoModelForCausalLM",
        "AutoModelForSeq2SeqLM",
        "AutoModelForImageTextToText",
        "AutoModelForSpeechSeq2Seq",
        "AutoModelForMultimodalLM",
    }
)


@check("generation.mixin", level="runs")
def mixin(subject: Subject) -> None:
    """A class registered for generating text can generate.

    Hurts: `model.generate` and the text-generation pipeline fail with an AttributeError.

    Change: inherit from `GenerationMixin` as well as from your `PreTrainedModel`; the mixin left `PreTrainedModel`
    in transformers 4.50.
    """
    roles = _GENERATING & set(subject.auto_classes)
    subject.need(roles, "it is registered under no Auto class that generates")
    told = f"It is registered under {', '.join(sorted(roles))}"
    subject.require(
        issubclass(subject.model_class, GenerationMixin) or callable(getattr(subject.model_class, "generate", None)),
        f"{told} and does not inherit from `GenerationMixin`: it has no `generate`",
        compared="the base classes of the model class",
    )
    subject.require(
        subject.model_class.can_generate(),
        f"{told}, and `can_generate()` is False",
        compared="the value of `can_generate()`",
    )


@check("generation.runs", level="runs", needs=("generation",))
def runs(subject: Subject) -> None:
    """`generate` continues the prompt by as many tokens as asked for, and stops at the end token.

    Hurts: nobody can use the model for what it was made.

    Change: accept in `forward` what `prepare_inputs_for_generation` passes (`past_key_values`, `attention_mask`,
    `position_ids`, `use_cache`), and return `logits` of the shape (batch, length, vocabulary).
    """
    model, inputs = speaker(subject), prompt(subject)
    if own_generate(subject):
        free = try_greedy(subject, model, inputs, tokens=3)
    else:
        with subject.raising("`generate` fails"):
            free = greedy(subject, model, inputs, tokens=3)
    subject.require(
        len(free.logits) == 3,  # noqa: PLR2004 - as many as asked for
        f"`generate` with `max_new_tokens=3` and no end token made {len(free.logits)} tokens",
        compared="the number of new tokens",
    )
    if not decoder_only(subject) or own_generate(subject):
        return
    ids = inputs["input_ids"]
    subject.require(
        torch.equal(free.sequences[:, : ids.shape[1]], ids),
        "What `generate` returns does not begin with the prompt",
        compared="the first tokens of the result with the prompt",
    )
    end = int(free.new[0, 0])
    ended = greedy(subject, model, inputs, tokens=3, eos_token_id=end)
    rest = ended.sequences[0, ids.shape[1] + 1 :]
    subject.require(
        bool((rest == model.generation_config.pad_token_id).all()),
        "`generate` goes on after the end token",
        compared="the tokens after the end token with padding",
        found=f"the end token is {end}, after it come {rest.tolist()}",
    )


@check("generation.cache", level="runs", needs=("generation", "cache"))
def cache(subject: Subject) -> None:
    """Generating with the cache gives the logits that generating without gives.

    Token by token, up to the first near-tie; by `generate`, as a user does.

    Hurts: generation is nonsense after the first token, or is without the cache, which evaluations use.

    Change: update the cache in every layer with its own `layer_idx`; take positions from the length of the cache;
    cut convolution and recurrent states at the right end; let a mask cover the cached tokens as well.
    """
    model, inputs = speaker(subject), prompt(subject)
    expected = try_greedy(subject, model, inputs, use_cache=False)
    with subject.raising("`generate` with `use_cache=True` fails"):
        found = greedy(subject, model, inputs, use_cache=True)
    agree(
        subject,
        found,
        expected,
        what="`generate` gives other logits with the cache than without",
        compared="the logits of `generate` with `use_cache=True` and with `use_cache=False`",
    )


def _steps(subject: Subject, model: Any, ids: torch.Tensor, sizes: tuple[int, ...]) -> torch.Tensor:
    """Return the logits of the text, passed piece by piece with the cache of the pieces before."""
    own = "past_key_values" if "past_key_values" in subject.parameters else "cache_params"
    kept, pieces = None, []
    for piece in torch.split(ids, list(sizes), dim=1):
        # Not `subject.outputs`, which copies its arguments: a cache is updated in place.
        with torch.no_grad():
            outputs = model(input_ids=piece, use_cache=True, **{own: kept})
        kept = outputs[own]
        pieces.append(outputs["logits"])
    return torch.cat(pieces, dim=1)


@check("generation.chunks", level="runs", needs=("text", "causal", "cache", "generation"))
def chunks(subject: Subject) -> None:
    """A text passed in pieces, each with the cache of those before, has the logits of the whole text.

    Pieces of one token and of several: what chunked prefill, speculative decoding and chats do.

    Hurts: a second turn of a conversation, or a draft of several tokens, is read with wrong positions or sees its own
    future.

    Change: make the mask with `create_causal_mask(past_key_values=…)`, which knows of the cached tokens; let
    positions begin at `past_key_values.get_seq_length()`, for pieces of any length.
    """
    model, inputs = subject.model(), text(subject)
    names = {each.name for each in subject.derivation.inputs}
    subject.need(names <= {"input_ids", "attention_mask"}, "it takes more than text")
    length = inputs["input_ids"].shape[1]
    subject.need(length > 5, "the text is too short to be cut")  # noqa: PLR2004 - three pieces, one of several tokens
    whole = subject.outputs(model, inputs)["logits"]
    cuts = [(length - 2, 1, 1), (length - 4, 3, 1)]
    if _one_by_one(subject):
        cuts = cuts[:1]
    for sizes in cuts:
        _same_in_pieces(subject, model, inputs["input_ids"], whole=whole, sizes=sizes)


def _one_by_one(subject: Subject) -> bool:
    """Say whether what is kept are states of recurrent layers, which transformers continues by single tokens only."""
    stateful = getattr(subject.model_class, "_is_stateful", False)
    return bool(stateful) or "past_key_values" not in subject.parameters


def _same_in_pieces(subject: Subject, model: Any, ids: torch.Tensor, *, whole: torch.Tensor, sizes: Any) -> None:
    told = ", ".join(map(str, sizes))
    with subject.raising(f"A text passed in pieces of {told} tokens with the cache fails"):
        found = _steps(subject, model, ids, sizes)
    subject.close(
        {"logits": found},
        {"logits": whole},
        what=f"A text passed in pieces of {told} tokens with the cache has other logits than the whole text",
        compared="the logits of the pieces, one after another, and of the whole text",
    )


@check("generation.left-padding", level="runs", needs=("generation", "text", "attention_mask", "batching"))
def left_padding(subject: Subject) -> None:
    """Prompts of different lengths, padded on the left into one batch, generate what each generates alone.

    Hurts: serving and evaluating in batches gives worse answers than one by one.

    Change: pass `attention_mask` on in `prepare_inputs_for_generation`, take positions from it, and let no real token
    attend to padding, with the cache and without; mask the states of recurrent layers.
    """
    subject.need(decoder_only(subject), "its prompt is not continued")
    model, pair = speaker(subject), ragged(subject, "left")
    expected = [try_greedy(subject, model, each) for each in pair.alone]
    with subject.raising("`generate` fails for a batch that is padded on the left"):
        found = greedy(subject, model, pair.batch)
    for row, alone in enumerate(expected):
        mine = Speech(
            sequences=found.sequences[row : row + 1],
            logits=tuple(each[row : row + 1] for each in found.logits),
            cache=None,
        )
        agree(
            subject,
            mine,
            alone,
            what="A prompt that is padded on the left generates other logits than alone"
            if row == 0
            else "A prompt generates other logits beside one that is padded on the left",
            compared=f"the logits of `generate` for row {row} in a batch padded on the left, and alone",
        )


@check("generation.beams", level="runs", needs=("generation", "cache"))
def beams(subject: Subject) -> None:
    """Beam search finds beams of the same scores with the cache as without.

    On inputs with which beams overtake each other, so that the cache has to be reordered.

    Hurts: beam search, with which translation and summarisation are decoded, goes on with the states of other beams.

    Change: keep all state of generation in the cache object, with the batch as first axis, and let its layers
    implement `reorder_cache`; keep nothing on `self`. Inputs beside the text need one row for each example, or an
    expansion of their own: `generate` repeats every tensor of its inputs row by row, once for each beam.
    """
    subject.need(not own_generate(subject), "it brings a `generate` of its own")
    model = speaker(subject)
    for seed in range(3):
        inputs = prompt(subject, seed=seed)
        try_greedy(subject, model, inputs, tokens=1)
        with subject.raising("Beam search without the cache fails"):
            try:
                expected = _beams(subject, model, inputs, use_cache=False)
            except (ValueError, NotImplementedError) as error:
                subject.need("not supported" not in str(error), f"the class refuses: {error}")
                raise
        if _overtaken(expected.beam_indices):
            break
    else:
        subject.need(False, "no beam overtakes another with these inputs")
    with subject.raising("Beam search with the cache fails"):
        try:
            found = _beams(subject, model, inputs, use_cache=True)
        except (ValueError, NotImplementedError) as error:
            subject.need("reorder" not in str(error), f"the class refuses: {error}")
            raise
    subject.close(
        {"sequences_scores": found.sequences_scores},
        {"sequences_scores": expected.sequences_scores},
        what="Beam search gives other scores with the cache than without",
        compared="the scores of three beams of five tokens with `use_cache=True` and with `use_cache=False`",
    )


@torch.no_grad()
def _beams(subject: Subject, model: Any, inputs: dict[str, Any], *, use_cache: bool) -> Any:
    torch.manual_seed(subject.seed)
    return model.generate(
        **copy.deepcopy(inputs),
        max_new_tokens=5,
        do_sample=False,
        num_beams=3,
        num_return_sequences=3,
        use_cache=use_cache,
        return_dict_in_generate=True,
        output_scores=True,
    )


def _overtaken(indices: torch.Tensor) -> bool:
    """Say whether a beam went on in another's place, past the first step, where all are equal."""
    later = indices[:, 1:]
    return bool(((later[:, 1:] != later[:, :-1]) & (later[:, 1:] >= 0)).any())


@check("generation.untouched", level="runs", needs=("generation",))
def untouched(subject: Subject) -> None:
    """Generating changes neither the config nor the generation config nor the prompt.

    Hurts: a second call generates something else; the next save writes settings that nobody chose.

    Change: copy before you change, in `forward` and in `prepare_inputs_for_generation`.
    """
    model, inputs = speaker(subject), prompt(subject)
    config, chosen = copy.deepcopy(model.config.to_dict()), copy.deepcopy(model.generation_config.to_dict())
    given = copy.deepcopy(inputs)
    try_greedy(subject, model, inputs, tokens=2)
    with torch.no_grad():
        model.generate(**given, max_new_tokens=2, do_sample=False)
    for what, now, before in (
        ("the config", model.config.to_dict(), config),
        ("the generation config", model.generation_config.to_dict(), chosen),
        ("the prompt", given, inputs),
    ):
        subject.same(now, before, what=f"`generate` changes {what}", compared=f"{what} after `generate` and before")


@check("generation.sampling", level="runs", needs=("generation",))
def sampling(subject: Subject) -> None:
    """Sampling with the same seed gives the same tokens.

    Hurts: no sampled result can be reproduced.

    Change: draw from torch's generators only, and keep nothing of a call for the next.
    """
    model, inputs = speaker(subject), prompt(subject)
    first = try_greedy(subject, model, inputs, tokens=4, do_sample=True)
    second = greedy(subject, model, inputs, tokens=4, do_sample=True)
    subject.same(
        second.sequences,
        first.sequences,
        what="Sampling twice with the same seed gives different tokens",
        compared="the tokens of `generate(do_sample=True)` after `torch.manual_seed`, twice",
    )


@check("generation.continued", level="runs", needs=("generation", "cache", "text"))
def continued(subject: Subject) -> None:
    """Generating on from the cache that `generate` returned gives what generating on from the text gives.

    Hurts: chats that keep the cache between turns, and every server with a prefix cache, answer nonsense.

    Change: return in `past_key_values` a cache that holds all tokens but the last, and take positions and masks from
    its length.
    """
    subject.need(decoder_only(subject), "its prompt is not continued")
    names = {each.name for each in subject.derivation.inputs}
    subject.need(names <= {"input_ids", "attention_mask"}, "it takes more than text")
    subject.need("past_key_values" in subject.parameters, "`forward` takes no `past_key_values`")
    model = speaker(subject)
    first = try_greedy(subject, model, prompt(subject), tokens=2)
    subject.need(first.cache is not None, "`generate` returns no `past_key_values`")
    # The next turn: more tokens than one that the cache does not hold.
    said = first.sequences
    subject.need(said.dim() == len(("batch", "length")), "what it says is no text")
    if not _one_by_one(subject):
        said = torch.cat([said, prompt(subject, seed=1)["input_ids"][:, :2]], dim=1)
    inputs = {"input_ids": said, "attention_mask": torch.ones_like(said)}
    expected = try_greedy(subject, model, inputs, tokens=3)
    with subject.raising("`generate` fails with the `past_key_values` that it returned"):
        found = greedy(subject, model, inputs, tokens=3, past_key_values=first.cache)
    agree(
        subject,
        found,
        expected,
        what="Generating on from the returned `past_key_values` gives other logits than from the text alone",
        compared="the logits of `generate` with the cache of the call before, and without",
    )


@check("generation.static-cache", level="runs", needs=("generation", "cache", "text"))
def static_cache(subject: Subject) -> None:
    """A static cache gives the logits that a growing one gives, where the class says that it takes one.

    Hurts: compiled generation, which needs it, answers nonsense.

    Change: let the mask hide the places of the cache that are not filled yet (`create_causal_mask` does), and take
    no length from the shape of the cached keys; or leave `_can_compile_fullgraph` False.
    """
    subject.need(getattr(subject.model_class, "_can_compile_fullgraph", False), "`_can_compile_fullgraph` is False")
    model, inputs = speaker(subject), prompt(subject)
    expected = try_greedy(subject, model, inputs)
    with subject.raising('`generate` with `cache_implementation="static"` fails'):
        found = greedy(subject, model, inputs, cache_implementation="static")
    agree(
        subject,
        found,
        expected,
        what="`generate` gives other logits with a static cache than with a growing one",
        compared='the logits of `generate` with `cache_implementation="static"` and without',
    )


@check("generation.inputs-embeds", level="runs", needs=("generation", "text", "inputs_embeds", "embeddings"))
def embeds(subject: Subject) -> None:
    """Generating from the embeddings of a prompt gives what generating from the prompt gives.

    Hurts: soft prompts and multimodal wrappers generate something else.

    Change: use `inputs_embeds` on the first step only and `input_ids` afterwards, as the inherited
    `prepare_inputs_for_generation` does.
    """
    subject.need(decoder_only(subject), "its prompt is not continued")
    names = {each.name for each in subject.derivation.inputs}
    subject.need(names <= {"input_ids", "attention_mask"}, "it takes more than text")
    takes = inspect.signature(subject.model_class.prepare_inputs_for_generation).parameters
    subject.need("inputs_embeds" in takes, "its `prepare_inputs_for_generation` refuses `inputs_embeds`")
    model, inputs = speaker(subject), prompt(subject)
    expected = try_greedy(subject, model, inputs)
    with torch.no_grad():
        embedded = model.get_input_embeddings()(inputs["input_ids"])
    given = {name: value for name, value in inputs.items() if name != "input_ids"}
    with subject.raising("`generate` fails with `inputs_embeds`"):
        found = greedy(subject, model, {**given, "inputs_embeds": embedded})
    agree(
        subject,
        found,
        expected,
        what="`generate` gives other logits for `inputs_embeds` than for the `input_ids` they were made from",
        compared="the logits of `generate` for `inputs_embeds` and for `input_ids`",
    )


@check("generation.logits-to-keep", level="runs", needs=("logits_to_keep",))
def logits_to_keep(subject: Subject) -> None:
    """`logits_to_keep` returns the logits of the last so many places, or of those given by a tensor.

    Hurts: `generate` passes 1: a model that ignores it makes logits of the whole prompt, which take gigabytes; one
    that counts wrongly answers from the wrong place.

    Change: `kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep`, then
    `self.lm_head(hidden_states[:, kept, :])`; 0 keeps all.
    """
    model, inputs = subject.model(), subject.inputs()
    whole: Any = getattr(subject.outputs(model, inputs), "logits", None)
    subject.need(whole is not None, "it returns no `logits`")
    length = whole.shape[1]
    asked: list[tuple[Any, Any]] = [(1, slice(-1, None)), (min(3, length), slice(-min(3, length), None))]
    asked.append((torch.tensor([0, length - 1]), torch.tensor([0, length - 1])))
    for kept, place in asked:
        told = kept if isinstance(kept, int) else f"tensor({kept.tolist()})"
        with subject.raising(f"`logits_to_keep={told}` fails"):
            found = subject.outputs(model, inputs, logits_to_keep=kept)["logits"]
        subject.require(
            found.shape[1] == whole[:, place].shape[1],
            f"`logits_to_keep={told}` is ignored: logits of {found.shape[1]} of {length} places come back",
            compared="the shape of `logits`",
            found=f"logits: {shown(found)}",
        )
        subject.close(
            {"logits": found},
            {"logits": whole[:, place]},
            what=f"`logits_to_keep={told}` returns the logits of other places",
            compared=f"the logits with `logits_to_keep={told}` and the same places of all logits",
        )


@check("generation.config-roundtrip", level="runs", needs=("generation",))
def config_roundtrip(subject: Subject) -> None:
    """A generation config that is set on a model is saved and loaded with it.

    Hurts: the sampling settings and end tokens that the author of a checkpoint chose are lost.

    Change: let `save_pretrained` and `from_pretrained` call their parents', and set no `generation_config` in
    `__init__`.
    """
    model = subject.model()
    chosen = {"max_new_tokens": 7, "repetition_penalty": 1.25, "eos_token_id": [1, 2]}
    for name, value in chosen.items():
        setattr(model.generation_config, name, value)
    folder = subject.folder("model")
    model.save_pretrained(folder)
    loaded = subject.model_class.from_pretrained(folder)
    subject.same(
        {name: getattr(loaded.generation_config, name) for name in chosen},
        chosen,
        what="A setting of `generation_config` is lost by saving and loading",
        compared="`generation_config` of the loaded model with what was set",
    )

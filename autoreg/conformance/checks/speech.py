"""Letting a subject generate, and comparing what two ways of generating say, step by step."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationMixin

from autoreg.conformance.checks.text import has_encoder, text
from autoreg.conformance.derive.inputs.facts import configs_in
from autoreg.conformance.subject import Subject
from autoreg.errors import MismatchError, NotApplicableError

__all__ = ["Speech", "agree", "decoder_only", "greedy", "prompt", "speaker", "try_greedy"]

# They end a text early, or force and forbid tokens: comparisons need free texts of one length.
_INTERFERING = (
    "eos_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beams",
    "cache_implementation",
)
_SPECIAL = re.compile(r"_token_(id|index)$")
# What `generate` makes itself, or what it is never given.
_OWN = ("decoder_input_ids", "decoder_attention_mask", "position_ids", "decoder_position_ids", "use_cache", "labels")


@dataclass(frozen=True, kw_only=True, slots=True)
class Speech:
    """What was generated.

    Attributes:
        sequences: the token ids, int64, `(rows, length)`.
        logits: of each new token, `(rows, vocabulary)`.
        cache: what came back in `past_key_values`.
    """

    sequences: torch.Tensor
    logits: tuple[torch.Tensor, ...]
    cache: Any

    @property
    def new(self) -> torch.Tensor:
        """The new tokens."""
        return self.sequences[:, -len(self.logits) :]


def decoder_only(subject: Subject) -> bool:
    """Say whether the prompt is continued, rather than answered by a decoder of its own."""
    return not has_encoder(subject) and "input_ids" in {each.name for each in subject.derivation.inputs}


def speaker(subject: Subject, **options: Any) -> Any:
    """Return a model whose generation config lets it speak freely."""
    capability = subject.capability("causal")
    subject.need(capability.value or "AutoModelForCausalLM" not in subject.auto_classes, capability.why)
    model = subject.model(**options)
    config = model.generation_config
    for name in _INTERFERING:
        setattr(config, name, None)
    if any(each.kind not in ("ids", "mask") for each in subject.derivation.inputs):
        # What stands for an image in the prompt must not be said: read again without a cache, it has no image.
        config.suppress_tokens = _placeholders(subject) or None
    if config.pad_token_id is None:
        config.pad_token_id = 0
    if config.decoder_start_token_id is None:
        config.decoder_start_token_id = config.bos_token_id or 0
    return model


def _placeholders(subject: Subject) -> list[int]:
    """Return the ids of tokens that a config gives a meaning of their own."""
    values = (item for _, each in configs_in(subject.derivation.config) for item in vars(each).items())
    return sorted({value for name, value in values if type(value) is int and value >= 0 and _SPECIAL.search(name)})


def prompt(subject: Subject, **asked: Any) -> dict[str, Any]:
    """Return the arguments of `generate`: the inputs, without what it makes itself."""
    return bare(text(subject, **asked))


def bare(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs without what `generate` makes itself."""
    return {name: value for name, value in inputs.items() if name not in _OWN}


@torch.no_grad()
def greedy(subject: Subject, model: Any, inputs: Mapping[str, Any], *, tokens: int = 4, **options: Any) -> Speech:
    """Generate so many tokens, each the likeliest, and return them with their logits."""
    torch.manual_seed(subject.seed)
    asked = {"do_sample": False, "return_dict_in_generate": True, "output_logits": True} | options
    found = model.generate(**copy.deepcopy(bare(inputs)), max_new_tokens=tokens, **asked)
    logits = getattr(found, "logits", None) or ()
    subject.need(logits, "its own `generate` returns no logits")
    return Speech(sequences=found.sequences, logits=tuple(logits), cache=getattr(found, "past_key_values", None))


def try_greedy(subject: Subject, model: Any, inputs: Mapping[str, Any], *, tokens: int = 4, **options: Any) -> Speech:
    """Generate as `greedy` does; where that fails, the check does not apply: `generation.runs` says why."""
    try:
        return greedy(subject, model, inputs, tokens=tokens, **options)
    except NotApplicableError:
        raise
    except Exception as error:
        reason = f"`generate` fails, see generation.runs ({type(error).__name__}: {error})".splitlines()[0]
        raise NotApplicableError(reason=reason) from error


def own_generate(subject: Subject) -> bool:
    """Say whether the class brings a `generate` of its own."""
    return subject.model_class.generate is not GenerationMixin.generate


def agree(subject: Subject, found: Speech, expected: Speech, *, what: str, compared: str) -> None:
    """Compare the logits of each step, in each row as long as both have said the same.

    Two logits may be so close that rounding decides which is the larger: what follows then differs legitimately.
    """
    if len(found.logits) != len(expected.logits):
        told = f"{len(found.logits)} and {len(expected.logits)} tokens"
        raise MismatchError(problem=what, compared=compared, difference=told)
    alike = torch.ones(len(expected.sequences), dtype=torch.bool)
    for step, (mine, theirs) in enumerate(zip(found.logits, expected.logits, strict=True)):
        subject.close(
            {"logits": mine[alike]}, {"logits": theirs[alike]}, what=what, compared=f"{compared}: new token {step}"
        )
        alike &= (found.new[:, step] == expected.new[:, step]).reshape(len(alike), -1).all(-1)
        if not alike.any():
            break

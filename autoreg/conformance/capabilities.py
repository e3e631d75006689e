"""What a class can do, read from its attributes, its signature and one run of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationMixin

from autoreg.conformance.outcome import Capability
from autoreg.errors import DerivationError

if TYPE_CHECKING:
    from autoreg.conformance.subject import Subject

__all__ = ["NAMES", "infer"]

_Finding = tuple[bool, str]


def infer(subject: Subject, name: str) -> Capability:
    """Return the capability of that name, as the class shows it; KeyError if there is none."""
    test = _TESTS[name]
    try:
        value, why = test(subject)
    except DerivationError:
        raise
    except Exception as error:  # whatever the class raises, it does not show the capability
        value, why = False, f"{type(error).__name__}: {error}".splitlines()[0]
    return Capability(name=name, value=bool(value), source="inferred", why=why)


def _text(subject: Subject) -> _Finding:
    names = {each.name for each in subject.derivation.inputs}
    return "input_ids" in names, f"the inputs are {', '.join(sorted(names))}"


def _argument(name: str) -> Callable[[Subject], _Finding]:
    def test(subject: Subject) -> _Finding:
        found = name in subject.parameters
        return found, f"`forward` has {'an' if found else 'no'} argument `{name}`"

    return test


def _attribute(name: str) -> Callable[[Subject], _Finding]:
    def test(subject: Subject) -> _Finding:
        value = getattr(subject.model_class, name, None)
        return bool(value), f"`{name}` is {value!r}"

    return test


def _batching(subject: Subject) -> _Finding:
    odd = [each.name for each in subject.derivation.inputs if each.batch_axis is None]
    return not odd, f"{', '.join(odd)} has no axis for the batch" if odd else "every input has an axis for the batch"


def _generation(subject: Subject) -> _Finding:
    if not issubclass(subject.model_class, GenerationMixin):
        return False, "it does not inherit from `GenerationMixin`"
    value = subject.model_class.can_generate()
    return value, f"`can_generate()` is {value}"


def _causal(subject: Subject) -> _Finding:
    if "AutoModelForCausalLM" not in subject.auto_classes:
        return False, "it is not registered under AutoModelForCausalLM"
    if "AutoModelForMaskedLM" in subject.auto_classes:
        # XLM, Flaubert and the like: one head for both, and masked by default.
        return False, "it is registered under AutoModelForMaskedLM as well"
    # Families such as BERT register one decoder for a config that says whether it is one; others have the field and
    # are decoders whatever it says.
    both = any("AutoModelForMaskedLM" in roles for roles in subject.target.models.values())
    decoder = getattr(subject.config(), "is_decoder", True) or not both or subject.config().is_encoder_decoder
    return decoder, "it is registered under AutoModelForCausalLM" if decoder else "`config.is_decoder` is False"


def _cache(subject: Subject) -> _Finding:
    if "past_key_values" not in subject.parameters and "cache_params" not in subject.parameters:
        return False, "`forward` takes no cache"
    outputs = subject.outputs(subject.model(), subject.inputs(), use_cache=True)
    found = [name for name in ("past_key_values", "cache_params") if getattr(outputs, name, None) is not None]
    return bool(found), f"`use_cache=True` returns {found[0] if found else 'no cache'}"


def _returned(flag: str, *names: str) -> Callable[[Subject], _Finding]:
    def test(subject: Subject) -> _Finding:
        model = subject.model(attn_implementation="eager") if "attentions" in flag else subject.model()
        outputs = subject.outputs(model, subject.inputs(), **{flag: True})
        found = [name for name in names if _some(getattr(outputs, name, None))]
        return bool(found), f"`{flag}=True` returns {', '.join(found) or 'none of ' + ', '.join(names)}"

    return test


def _some(value: Any) -> bool:
    return value is not None and len(value) > 0 and any(isinstance(each, torch.Tensor) for each in value)


def _loss(subject: Subject) -> _Finding:
    labels = subject.labels()
    return bool(labels), f"a loss comes of {', '.join(labels)}" if labels else "no labels give a loss"


def _head(subject: Subject) -> _Finding:
    model = subject.model()
    return model.base_model is not model, f"its base model is `{type(model).base_model_prefix}`"


def _tied(subject: Subject) -> _Finding:
    pointers: dict[int, str] = {}
    for name, parameter in subject.model().named_parameters(remove_duplicate=False):
        if parameter.data_ptr() in pointers and parameter.numel():
            return True, f"{pointers[parameter.data_ptr()]} and {name} share their memory"
        pointers[parameter.data_ptr()] = name
    return False, "no two parameters share their memory"


def _embeddings(subject: Subject) -> _Finding:
    found = subject.model().get_input_embeddings()
    return isinstance(found, torch.nn.Embedding), f"`get_input_embeddings()` returns {type(found).__name__}"


def _plan(subject: Subject) -> _Finding:
    plan = getattr(subject.config(), "base_model_tp_plan", None) or getattr(subject.model_class, "_tp_plan", None)
    return bool(plan), f"the config and the class declare {'a' if plan else 'no'} tensor-parallel plan"


_TESTS: Mapping[str, Callable[[Subject], _Finding]] = MappingProxyType(
    {
        "text": _text,
        "batching": _batching,
        "attention_mask": _argument("attention_mask"),
        "inputs_embeds": _argument("inputs_embeds"),
        "position_ids": _argument("position_ids"),
        "logits_to_keep": _argument("logits_to_keep"),
        "encoder_decoder": lambda subject: (
            bool(getattr(subject.config(), "is_encoder_decoder", False)),
            f"`is_encoder_decoder` is {getattr(subject.config(), 'is_encoder_decoder', False)}",
        ),
        "causal": _causal,
        "head": _head,
        "embeddings": _embeddings,
        "tied_weights": _tied,
        "hidden_states": _returned("output_hidden_states", "hidden_states", "decoder_hidden_states"),
        "attentions": _returned("output_attentions", "attentions", "decoder_attentions", "cross_attentions"),
        "sdpa": _attribute("_supports_sdpa"),
        "cache": _cache,
        "generation": _generation,
        "loss": _loss,
        "gradient_checkpointing": _attribute("supports_gradient_checkpointing"),
        "device_map": _attribute("_no_split_modules"),
        "tensor_parallel": _plan,
    }
)

NAMES: tuple[str, ...] = tuple(_TESTS)

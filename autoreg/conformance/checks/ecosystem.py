"""Beyond the model alone: what other libraries do to it (LoRA, quantisation, the Trainer)."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from typing import Any

import torch

from autoreg.conformance.check import check
from autoreg.conformance.checks.blame import blaming
from autoreg.conformance.checks.outputs import named
from autoreg.conformance.subject import Subject
from autoreg.errors import NotApplicableError

__all__ = ["linear_replaced", "lora", "trainer"]


@check("beyond.linear-replaced", level="scales")
def linear_replaced(subject: Subject) -> None:
    """The linear layers can be replaced by ones that keep their weight in eight bits.

    The replacement stores whole numbers and a scale, as bitsandbytes and torchao do, and is held against plain
    layers with the very weights that those stand for.

    Hurts: a quantised model crashes, or casts its states to the integers that the weights are stored as.

    Change: call linear layers; do not read their `weight` or its dtype (`states.to(self.proj.weight.dtype)`), ask
    the states for theirs.
    """
    name = subject.model_class.__name__
    plain, inputs = subject.model(), subject.inputs()
    quantised = copy.deepcopy(plain)
    replaced = [key for key, module in plain.named_modules() if _replaceable(plain, key, module)]
    subject.need(replaced, "it has no linear layers that quantisation replaces")
    for key in replaced:
        eight = _EightBitLinear(quantised.get_submodule(key))
        _put(quantised, key, eight)
        with torch.no_grad():
            plain.get_submodule(key).weight.copy_(eight.dequantised())
    with blaming(subject, f"{name} does not run with linear layers of eight bits"):
        outputs = subject.outputs(quantised, inputs)
    subject.close(
        named(outputs),
        named(subject.outputs(plain, inputs)),
        what=f"{name} gives other outputs with linear layers of eight bits than with plain ones of the same weights",
        compared="the outputs with replaced linear layers with those of plain ones that have the same weights",
    )


class _EightBitLinear(torch.nn.Linear):
    """A linear layer that stores its weight as int8 with one scale."""

    def __init__(self, original: Any) -> None:
        super().__init__(original.in_features, original.out_features, original.bias is not None, device="meta")
        weight = original.weight.detach()
        self.scale = float(weight.abs().max().clamp_min(1e-8) / 127)
        self.weight = torch.nn.Parameter((weight / self.scale).round().to(torch.int8), requires_grad=False)
        self.bias = original.bias

    def dequantised(self) -> torch.Tensor:
        return self.weight.float() * self.scale

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(states, self.dequantised(), self.bias)


def _replaceable(model: Any, key: str, module: torch.nn.Module) -> bool:
    """Say whether quantisation would replace the module: no output layer, nothing tied or kept in float32."""
    if type(module) is not torch.nn.Linear or module is model.get_output_embeddings():
        return False
    kept = (*_names(model, "_keep_in_fp32_modules"), *_names(model, "_keep_in_fp32_modules_strict"))
    owners = [name for name, each in model.named_parameters(remove_duplicate=False) if each is module.weight]
    inside_attention = isinstance(model.get_submodule(key.rpartition(".")[0]), torch.nn.MultiheadAttention)
    return len(owners) == 1 and not inside_attention and not any(f".{part}." in f".{key}." for part in kept)


def _names(model: Any, attribute: str) -> tuple[str, ...]:
    return tuple(getattr(model, attribute, None) or ())


def _put(model: torch.nn.Module, key: str, module: torch.nn.Module) -> None:
    parent, _, name = key.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


@check("beyond.lora", level="scales", cost="slow")
def lora(subject: Subject) -> None:
    """PEFT's LoRA attaches to all linear layers, changes nothing at first, and merges into the weights exactly.

    Hurts: nobody can fine-tune the model on one accelerator.

    Change: call linear layers instead of reading their weights; define `get_input_embeddings` and
    `get_output_embeddings`; accept further keyword arguments in `forward`.
    """
    name = subject.model_class.__name__
    subject.need(find_spec("peft"), "peft is not installed")
    model, inputs = subject.model(), subject.inputs()
    before = named(subject.outputs(model, inputs))
    with blaming(subject, f'LoRA does not attach to {name} with `target_modules="all-linear"`'):
        adapted = _adapted(subject, model)
        fresh = named(subject.outputs(adapted, inputs))
    what = f"A new LoRA adapter changes the outputs of {name}"
    subject.close(fresh, before, what=what, compared="the outputs with a new LoRA adapter with those without")
    _teach(adapted)
    learned = named(subject.outputs(adapted, inputs))
    subject.require(
        subject.differs(learned, before),
        f"A LoRA adapter on all linear layers of {name} has no influence on its outputs",
        compared="the outputs with a LoRA adapter that has learned something with those without",
    )
    with blaming(subject, f"A LoRA adapter does not merge into {name}"):
        merged = named(subject.outputs(adapted.merge_and_unload(), inputs))
    what = f"Merging a LoRA adapter changes the outputs of {name}"
    subject.close(merged, learned, what=what, compared="the outputs after merging with those before", factor=10)


def _adapted(subject: Subject, model: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    linear = [each for each in model.modules() if type(each) is torch.nn.Linear]
    subject.need(
        any(each is not model.get_output_embeddings() for each in linear),
        "it has no linear layers but its output layer",
    )
    try:
        asked = LoraConfig(r=4, target_modules="all-linear", exclude_modules=_read_by_torch(model) or None)
        return get_peft_model(model, asked).eval()
    except ValueError as error:
        if "incompatible with" in str(error):
            raise NotApplicableError(reason=f"peft refuses it: {str(error).splitlines()[0]}") from error
        raise


def _read_by_torch(model: Any) -> list[str]:
    """Return the linear layers whose weights `nn.MultiheadAttention` reads, so that no adapter is ever called."""
    inside = [key for key, each in model.named_modules() if isinstance(each, torch.nn.MultiheadAttention)]
    return [f"{key}.out_proj" for key in inside]


def _teach(adapted: Any) -> None:
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "lora_B" in key:
                parameter.normal_(std=0.1)


@check("beyond.trainer", level="scales", cost="slow", needs=("loss", "batching"))
def trainer(subject: Subject) -> None:
    """`transformers.Trainer` takes a step, and what it saves is what it trained.

    Hurts: the first thing that most users do with the model fails.

    Change: return the loss first (`loss` of the output class) where labels are given; name in `forward` every
    input that it needs, for the Trainer drops columns whose names it does not find there.
    """
    name = subject.model_class.__name__
    subject.need(find_spec("accelerate"), "accelerate is not installed, which the Trainer needs")
    from transformers import Trainer, TrainingArguments

    model = subject.model()
    rows = _rows(subject)
    folder = subject.folder("trainer")
    before = {key: each.detach().clone() for key, each in model.named_parameters()}
    with blaming(subject, f"The Trainer cannot train {name}"):
        arguments = TrainingArguments(
            str(folder), max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True, learning_rate=1e-2
        )
        teacher = Trainer(model=model, args=arguments, train_dataset=rows)
        loss = teacher.train().training_loss
        teacher.save_model(str(folder / "saved"))
    subject.require(torch.tensor(loss).isfinite(), f"The loss of {name} under the Trainer is {loss}")
    moved = any(not torch.equal(each, before[key]) for key, each in model.named_parameters())
    subject.require(moved, f"A step of the Trainer changes no weight of {name}")
    loaded = subject.model_class.from_pretrained(folder / "saved").eval()
    subject.close(
        named(subject.outputs(loaded, subject.inputs())),
        named(subject.outputs(model.eval(), subject.inputs())),
        what=f"What the Trainer saved of {name} is not what it trained",
        compared="the outputs of the model that the Trainer saved with those of the model that it trained",
    )


def _rows(subject: Subject) -> list[dict[str, Any]]:
    """Return the derived inputs and labels as a data set: one mapping a row."""
    values = {**subject.inputs(batch_size=2), **subject.labels(batch_size=2)}
    axes = {each.name: each.batch_axis for each in subject.derivation.inputs}
    subject.need(
        all(isinstance(each, torch.Tensor) and axes.get(key, 0) == 0 for key, each in values.items()),
        "its inputs are no tensors with one row for each example",
    )
    return [{key: each[row] for key, each in values.items()} for row in range(2)]

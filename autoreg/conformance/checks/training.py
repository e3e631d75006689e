"""Training: where the loss comes from, and whom its gradient reaches."""

from __future__ import annotations

import copy
import inspect
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from transformers.modeling_layers import GradientCheckpointingLayer

from autoreg.conformance.check import check
from autoreg.conformance.checks.outputs import exactly
from autoreg.conformance.checks.parts import reads, roots, unbuilt
from autoreg.conformance.checks.perturbation import set_everywhere
from autoreg.conformance.checks.text import has_encoder
from autoreg.conformance.compare import leaves
from autoreg.conformance.derive.inputs.facts import configs_in
from autoreg.conformance.guard import reseed
from autoreg.conformance.subject import Subject
from autoreg.errors import NotApplicableError

__all__ = [
    "bfloat16",
    "checkpointing",
    "derivative",
    "dropout",
    "finite",
    "gradients",
    "ignored_labels",
    "input_gradients",
    "loss",
    "num_items",
    "overfit",
    "required_input_gradients",
]

_IGNORED = -100
_FEEDS_NOTHING = re.compile(
    r"(decoder_|encoder_|cross_attn_)?(input_ids|attention_mask|position_ids|inputs_embeds|token_type_ids|head_mask)"
    r"|(class_|mask_)?labels|next_sentence_label|(start|end)_positions|use_cache|cache_params|past_key_values"
    r"|cache_position|logits_to_keep|return_dict|return_loss|output_\w+|interpolate_pos_encoding|num_items_in_batch"
)
"""Arguments of `forward` that serve no parameter of their own, so that leaving them out leaves none unused."""


# --- one pass with gradients -----------------------------------------------------------------------


def _inputs(subject: Subject, seed: int = 0, length: int | None = None) -> dict[str, Any]:
    """Return inputs and labels, without a cache, which training has no use for."""
    options = {"use_cache": False} if "use_cache" in subject.parameters else {}
    return {**subject.inputs(seed=seed, length=length), **subject.labels(seed=seed, length=length), **options}


def _model(subject: Subject, config: Any = None, **options: Any) -> Any:
    """Return the model, whose masking of the input while training fits inputs as short as these."""
    config = subject.config() if config is None else config
    for name in ("mask_time_length", "mask_feature_length"):
        set_everywhere(config, name, value=1)
    return subject.model(config, **options)


def _run(subject: Subject, model: Any, inputs: Mapping[str, Any], *, seed: int = 0) -> Any:
    """Return what the model makes of the inputs, with gradients; one check says if it fails in train mode."""
    reseed(subject.seed + seed)  # SpecAugment draws from numpy
    try:
        return model(**copy.deepcopy(dict(inputs)))
    except Exception as error:
        if not model.training:
            raise
        reason = f"it does not run in train mode (see training.finite): {type(error).__name__}: {error}"
        raise NotApplicableError(reason=reason) from error


def _objective(outputs: Any) -> torch.Tensor | None:
    """Return the loss; without one a fixed random projection of everything that the model returns."""
    found = getattr(outputs, "loss", None)
    if isinstance(found, torch.Tensor) and found.requires_grad:
        return _summed(found)
    return _projection(outputs)


def _summed(tensor: torch.Tensor) -> torch.Tensor:
    """Return the sum, in float32 at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32)).sum()


def _projection(outputs: Any) -> torch.Tensor | None:
    total, generator = None, torch.Generator().manual_seed(7)
    for name, leaf in leaves(outputs):
        # A cache is for generating; checkpointing does without.
        if "past_key_values" in name or "cache_params" in name:
            continue
        if isinstance(leaf, torch.Tensor) and leaf.requires_grad and leaf.is_floating_point():
            # Not the plain sum: that of a norm or a softmax is a constant.
            weights = torch.randn(leaf.shape, generator=generator).to(leaf.dtype)
            # Scores that are masked out are infinite, and have no gradient.
            part = _summed((leaf * weights).masked_fill(~leaf.isfinite(), 0)) / max(leaf.numel(), 1) ** 0.5
            total = part if total is None else total + part
    return total


def _everything(outputs: Any) -> torch.Tensor | None:
    found, projected = getattr(outputs, "loss", None), _projection(outputs)
    if isinstance(found, torch.Tensor) and found.requires_grad and projected is not None:
        return projected + _summed(found)
    return projected


def _gradients(model: Any, objective: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the gradients of the trainable parameters that it depends on, by name."""
    named = {name: each for name, each in model.named_parameters() if each.requires_grad}
    found = torch.autograd.grad(objective, list(named.values()), allow_unused=True)
    return {name: each for name, each in zip(named, found, strict=True) if each is not None}


_NOISE = 1e-6  # of the largest gradient: what float32 makes of a sum that is zero


def rounding(gradients: Mapping[str, torch.Tensor]) -> set[str]:
    """Return the names of those that are zero but for rounding: of a bias that moves all scores alike, say."""
    sizes = {name: each.abs().max().item() for name, each in gradients.items() if each.numel()}
    return {name for name, size in sizes.items() if size < _NOISE * max(sizes.values())}


# --- the gradient ----------------------------------------------------------------------------------


@check("training.gradients", level="runs")
def gradients(subject: Subject) -> None:
    """Every parameter that is to be trained gets a gradient.

    Looked at over several inputs, in eval and in train mode, from the loss and from everything else that is returned.

    Hurts: what gets no gradient is never trained, and DistributedDataParallel stops at the first step.

    Change: use the parameter in `forward`, without `detach()`, `.data`, `no_grad` or a detour through numbers or
    integers between it and the outputs; remove a parameter that nothing uses.
    """
    model = _model(subject)
    wanted = {name for name, each in model.named_parameters() if each.requires_grad and each.is_floating_point()}
    subject.need(wanted, "it has no parameter that is trained")
    missing = _without(subject, model, wanted)
    cut = [name for name in missing[:_LOOKED_AT] if _influences(subject, model, name)]
    if len(missing) > _LOOKED_AT:
        subject.note(f"of {len(missing)} parameters without gradient {_LOOKED_AT} were moved")
    subject.require(
        not cut,
        "The outputs depend on a parameter, and no gradient reaches it",
        compared="the parameters on which the outputs depend with those that get a gradient",
        found=", ".join(cut[:5]),
    )
    passed = _inputs(subject)
    others = [name for name in subject.parameters if name not in passed and not _FEEDS_NOTHING.fullmatch(name)]
    decoder = "AutoModelForCausalLM" in subject.auto_classes
    if subject.can("encoder_decoder") and not decoder and "encoder_outputs" in others:
        others.remove("encoder_outputs")  # its own encoder makes them
    if missing and others:
        # Cross attention, a mask token, another modality: what they serve is not asked for here.
        subject.note(f"{len(missing)} parameters get no gradient; they may serve {', '.join(others)}")
    subject.require(
        not missing or others,
        "A parameter is used neither by the loss nor by any output",
        compared="the parameters that get a gradient with all that are to be trained",
        found=", ".join(missing[:5]),
    )


_LOOKED_AT = 8  # each costs two passes


def _without(subject: Subject, model: Any, wanted: set[str]) -> list[str]:
    """Return the parameters that get no gradient from any of several passes."""
    left = set(wanted)
    for seed, training in ((0, False), (0, True), (1, True), (2, False), (3, False), (4, False)):
        if not left:
            break
        model.train(training)
        objective = _everything(_run(subject, model, _inputs(subject, seed), seed=seed))
        if objective is not None:
            left -= _gradients(model, objective).keys()
    model.eval()
    for objective in _of_longer_texts(subject, model) if left else ():
        left -= _gradients(model, objective).keys()
    return sorted(left)


def _of_longer_texts(subject: Subject, model: Any) -> Iterator[torch.Tensor]:
    """Yield the objective for longer and longer texts, as long as they run: a short one may never fill a block."""
    usual = subject.derivation.sizes
    for length in (4 * usual.length, 16 * usual.length) if usual is not None and subject.can("text") else ():
        try:
            found = _everything(_run(subject, model, _inputs(subject, length=length)))
        except Exception:  # too long for its table of positions
            return
        if found is not None:
            yield found


def _influences(subject: Subject, model: Any, name: str) -> bool:
    """Say whether the outputs change with the parameter, which is put back."""
    parameter, inputs = model.get_parameter(name), _inputs(subject)
    expected, before = subject.outputs(model, inputs), parameter.detach().clone()
    with torch.no_grad():
        parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)).to(parameter.dtype))
        changed = subject.outputs(model, inputs)
        parameter.copy_(before)
    # A parameter that decides how long the output is, does so by rounding.
    return _shapes(changed) == _shapes(expected) and subject.differs(changed, expected)


def _shapes(outputs: Any) -> list[tuple[int, ...]]:
    return [tuple(leaf.shape) for _, leaf in leaves(outputs) if isinstance(leaf, torch.Tensor)]


@check("training.finite", level="runs")
def finite(subject: Subject) -> None:
    """In train mode loss and gradients are finite; in eval mode the loss is the same each time.

    Hurts: one NaN ends a training run; an evaluation that changes from call to call picks the wrong checkpoint.

    Change: guard divisions and logarithms, mask with the smallest number of the dtype and not with infinity where a
    whole row can be masked, and draw no random numbers outside of training.
    """
    model, inputs = _model(subject).train(), _inputs(subject)
    with subject.raising("A forward pass in train mode fails"):
        torch.manual_seed(subject.seed)
        try:
            objective = _objective(model(**copy.deepcopy(inputs)))
        except ValueError as error:
            subject.need(subject.can("loss") or "label" not in str(error), f"no labels were derived, and {error}")
            raise
    subject.need(objective is not None, "nothing that it returns depends on a trained parameter")
    assert objective is not None
    subject.require(objective.isfinite(), "In train mode the loss is not finite", found=f"{objective.item()}")
    with subject.raising("The backward pass in train mode fails"):
        found = _gradients(model, objective)
    bad = [name for name, each in found.items() if not each.isfinite().all()]
    subject.require(
        not bad,
        "In train mode a gradient is not finite",
        compared="the gradients of the loss with finite numbers",
        found=", ".join(bad[:5]),
    )
    model.eval()
    if getattr(subject.outputs(model, inputs), "loss", None) is not None:
        first = subject.outputs(model, inputs).loss
        with torch.no_grad():
            second = model(**copy.deepcopy(inputs)).loss
        subject.same(
            {"loss": second},
            {"loss": first},
            what="In eval mode the loss of the same batch differs from pass to pass",
            compared="the losses of two passes over the same inputs and labels, in eval mode",
        )


@check("training.derivative", level="runs")
def derivative(subject: Subject) -> None:
    """The loss changes with the weights as its gradient says.

    All weights are moved a little to and fro, at random, and the change of the loss is compared with what the gradient
    foretells. It must be right twice, of several times with smaller and smaller steps, since a router may choose
    another expert on the way. (Along the gradient itself a detached branch would not show: what is missing is nearly
    perpendicular to it.) A loss so steep that it bends within every step that float32 can tell apart is looked at
    once more in float64.

    Hurts: a gradient that is not that of the loss (a branch is detached, a custom backward is wrong) trains slowly,
    badly or not at all, and nothing fails.

    Change: look for `detach()`, `.data`, `no_grad` and custom `autograd.Function` in `forward`.
    """
    model, inputs = _model(subject, _flowing(subject)), _inputs(subject)
    right, text = _foretold(subject, model, inputs, _SMALL)
    facts = {
        "problem": "The loss (or a projection of the outputs) changes with the weights by something else than the"
        " gradient says",
        "compared": "the change of the loss when all weights are moved a little with what its gradient foretells",
        "found": text,
    }

    def once_more(double: Any, doubled: Mapping[str, Any]) -> None:
        subject.require(_foretold(subject, double, doubled, _SMALLER)[0], **facts)

    subject.require(right or exactly(model, inputs, once_more), **facts)


def _flowing(subject: Subject) -> Any:
    """Return a config which does not say itself that gradients are stopped somewhere."""
    config = subject.config()
    for _, each in configs_in(config):
        for name, value in list(vars(each).items()):
            if value is True and "stop_grad" in name:
                setattr(each, name, False)
    return config


def _foretold(subject: Subject, model: Any, inputs: Mapping[str, Any], steps: Sequence[float]) -> tuple[bool, str]:
    """Say whether the gradient foretells the change of the loss, and how far it was out the last time."""
    here = _objective(_run(subject, model, inputs))
    subject.need(here is not None, "nothing that it returns depends on a trained parameter")
    assert here is not None
    found = _gradients(model, here)
    length = float(sum(each.double().pow(2).sum() for each in found.values())) ** 0.5
    subject.need(length > 0, "the gradient is zero")
    generator, right, text = torch.Generator().manual_seed(subject.seed), 0, ""
    for small in steps:
        wanted = small * max(abs(here.item()), 0.1 * length)
        how = {"here": here.item(), "size": wanted / length, "generator": generator}
        error, text = _error(subject, model, inputs, found, **how)
        right += error < _WRONG * wanted
        if right > 1:
            break
    return right > 1, text


# Parts of the loss: above the rounding of float32, or float64, and below what bends.
_SMALL = (5e-4, 5e-4, 5e-4, 5e-5, 5e-5, 5e-5, 2e-5, 2e-5)
_SMALLER = (1e-8, 1e-8, 1e-8, 1e-9, 1e-9, 1e-9)
_WRONG = 0.05  # of a typical change; transformers' own architectures lie within one per cent


def _error(
    subject: Subject,
    model: Any,
    inputs: Mapping[str, Any],
    found: Mapping[str, torch.Tensor],
    *,
    here: float,
    size: float,
    generator: torch.Generator,
) -> tuple[float, str]:
    """Move the weights at random, by steps of that size; return how far the gradient is out, and both changes."""
    move = {name: size * torch.randn(each.shape, generator=generator) for name, each in found.items()}
    for name, module in model.named_modules():
        weight = f"{name}.weight" if name else "weight"
        if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None and weight in move:
            move[weight][module.padding_idx] = 0  # no gradient by design, also where RoCBert takes it for a default
    foretold = float(sum((each.double() * move[name]).sum() for name, each in found.items()))
    ahead = _moved(subject, model, inputs, move) - here
    behind = here - _moved(subject, model, inputs, {name: -each for name, each in move.items()})
    # The mean is free of what bends; of a router that jumps on one side the other side is free.
    seen = min(((ahead + behind) / 2, ahead, behind), key=lambda each: abs(each - foretold))
    return abs(seen - foretold), f"the loss changes by {seen:.3g}, the gradient says by {foretold:.3g}"


def _moved(subject: Subject, model: Any, inputs: Mapping[str, Any], move: Mapping[str, torch.Tensor]) -> float:
    """Return the objective with the parameters moved, and put them back."""
    before = {name: model.get_parameter(name).detach().clone() for name in move}
    with torch.no_grad():
        for name, each in move.items():
            model.get_parameter(name).add_(each)
    objective = _objective(_run(subject, model, inputs))  # with gradients: else nothing is projected
    with torch.no_grad():
        for name, each in before.items():
            model.get_parameter(name).copy_(each)
    return float("nan") if objective is None else objective.item()


@check("training.checkpointing", level="runs", needs=("gradient_checkpointing",))
def checkpointing(subject: Subject) -> None:
    """With gradient checkpointing layers are computed again on the way back, and loss and gradients stay the same.

    Hurts: who turns it on to fit a model into memory gets no memory back, or trains on other gradients.

    Change: derive the layers from `GradientCheckpointingLayer` and call them with `hidden_states` as a positional
    argument, or set `supports_gradient_checkpointing = False`.
    """
    model, inputs = _model(subject).train(), _inputs(subject)
    with torch.no_grad():
        _run(subject, model, inputs)  # BigBird rebuilds its layers when it first sees a short text
    plain = _objective(_run(subject, model, inputs))
    subject.need(plain is not None, "nothing that it returns depends on a trained parameter")
    assert plain is not None
    expected = _gradients(model, plain)
    layers = any(isinstance(each, GradientCheckpointingLayer) for each in model.modules())
    other = [each.__name__ for each in unbuilt(model, [type(model)]) if issubclass(each, GradientCheckpointingLayer)]
    subject.need(layers or not other, f"this config builds none of the layers that can be: {', '.join(sorted(other))}")
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    with subject.raising("`supports_gradient_checkpointing` is True, and turning it on fails"):
        enable()
        checkpointed = _objective(_run(subject, model, inputs))
    assert checkpointed is not None
    with _counted() as modules, subject.raising("The backward pass fails with gradient checkpointing"):
        found = _gradients(model, checkpointed)
    subject.require(
        modules,
        "`supports_gradient_checkpointing` is True, and with it nothing is computed again on the way back",
        compared="the modules that run during the backward pass with at least one",
    )
    noise = rounding(found) & rounding(expected)
    for name in noise:
        del found[name], expected[name]
    subject.close(
        {"loss": checkpointed.detach(), **found},
        {"loss": plain.detach(), **expected},
        what="Gradient checkpointing changes the loss or a gradient",
        compared="loss and gradients with gradient checkpointing and without, in train mode, from the same seed",
        factor=10,
    )


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Collect the modules that run inside the block."""
    found: list[str] = []
    hook = register_module_forward_hook(lambda module, *_: found.append(type(module).__name__))
    try:
        yield found
    finally:
        hook.remove()


@check("training.input-gradients", level="runs", needs=("inputs_embeds", "embeddings", "text"))
def input_gradients(subject: Subject) -> None:
    """The gradient reaches `inputs_embeds`.

    Hurts: prompt tuning, saliency maps and adversarial training work on the embeddings, and stand still.

    Change: use `inputs_embeds` as it is given, without `detach()`, `.data` or a copy through another dtype.
    """
    model, inputs = _model(subject), _inputs(subject)
    embeds = model.get_input_embeddings()(inputs.pop("input_ids")).detach().requires_grad_()
    try:
        objective = _objective(_run_with(subject, model, inputs, embeds))
    except Exception as error:  # whether `inputs_embeds` works at all is another check's question
        subject.need(False, f"it does not run with `inputs_embeds` alone: {type(error).__name__}: {error}")
    found = torch.autograd.grad(objective, embeds, allow_unused=True)[0] if objective is not None else None
    subject.require(
        found is not None and bool(found.any()),
        "No gradient reaches `inputs_embeds`",
        compared="the gradient of the loss by `inputs_embeds` with zero",
        found="none" if found is None else "zero everywhere",
    )


def _run_with(subject: Subject, model: Any, inputs: Mapping[str, Any], embeds: torch.Tensor) -> Any:
    torch.manual_seed(subject.seed)
    return model(**copy.deepcopy(dict(inputs)), inputs_embeds=embeds)


@check("training.frozen-base", level="runs", needs=("embeddings", "text"))
def required_input_gradients(subject: Subject) -> None:
    """With every weight frozen and `enable_input_require_grads()` the outputs still carry a gradient.

    Hurts: this is how adapters (LoRA) are trained together with gradient checkpointing; without it their
    gradients are None.

    Change: return the module that embeds `input_ids` from `get_input_embeddings()`, call that module in `forward`, not
    its weight, and add to what it returns out of place (`x = x + y`, not `x += y`).
    """
    model, inputs = _model(subject), _inputs(subject)
    model.requires_grad_(False)
    with subject.raising("With frozen weights and `enable_input_require_grads()` the forward pass fails"):
        model.enable_input_require_grads()
        objective = _objective(_run(subject, model, inputs))
    subject.require(
        objective is not None,
        "With frozen weights and `enable_input_require_grads()` no output requires a gradient",
        compared="`requires_grad` of the outputs with True",
        found=f"`get_input_embeddings()` returns {type(model.get_input_embeddings()).__name__}",
    )


# --- the loss --------------------------------------------------------------------------------------

_SHIFTS: Mapping[str, int] = MappingProxyType(
    {
        "AutoModelForMaskedLM": 0,  # first: one head for both, as in XLM, is masked by default
        "AutoModelForCausalLM": 1,
        "AutoModelForImageTextToText": 1,
        "AutoModelForMultimodalLM": 1,
        "AutoModelForSeq2SeqLM": 0,
        "AutoModelForTokenClassification": 0,
        "AutoModelForSequenceClassification": 0,
        "AutoModelForImageClassification": 0,
        "AutoModelForAudioClassification": 0,
        "AutoModelForMultipleChoice": 0,
        "AutoModelForNextSentencePrediction": 0,
    }
)
"""By role how many places the labels lie to the right of the logits that predict them."""


def _role(subject: Subject) -> str:
    """Return the Auto class whose loss is a plain cross entropy; NotApplicableError where there is none."""
    found = [name for name in _SHIFTS if name in subject.auto_classes]
    subject.need(found, "the loss of its role is no plain cross entropy")
    return found[0]


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor, shift: int) -> float:
    if shift:
        logits, labels = logits[:, :-shift], labels[:, shift:]
    flat = logits.reshape(-1, logits.shape[-1]).float()
    return float(nn.functional.cross_entropy(flat, labels.reshape(-1), ignore_index=_IGNORED))


def _labelled(subject: Subject, model: Any, labels: torch.Tensor | None = None, **options: Any) -> Any:
    """Return the labels and the outputs; NotApplicableError where cross entropy of the logits is not defined."""
    inputs = _inputs(subject)
    if labels is not None:
        inputs["labels"] = labels
    labels = inputs.get("labels")
    subject.need(isinstance(labels, torch.Tensor) and labels.dtype == torch.long, "its labels are no class numbers")
    outputs = subject.outputs(model, inputs, **options)
    subject.need(getattr(outputs, "loss", None) is not None, "the labels give no loss")
    logits = getattr(outputs, "logits", None)
    subject.need(isinstance(logits, torch.Tensor), "it returns no logits")
    assert labels is not None
    assert logits is not None
    subject.need(logits.shape[:-1] == labels.shape, "its logits and labels are not one to one")
    subject.need(logits.shape[-1] > 1, "it has a single class, which is a regression")
    subject.need(getattr(outputs, "aux_loss", None) is None, "an auxiliary loss is added")
    return labels, outputs


@check("training.loss", level="runs", needs=("loss",))
def loss(subject: Subject) -> None:
    """The loss is the cross entropy of logits and labels, shifted by one place in a causal model and in no other.

    Recomputed from the logits that come with it, according to the Auto class.

    Hurts: a model whose labels are shifted twice learns to predict the token after the next, one whose labels are not
    shifted learns to copy; both reach a fine loss and generate nonsense.

    Change: call `self.loss_function(logits, labels, vocab_size=…, **kwargs)` with the unshifted labels, or shift once.
    """
    role, model = _role(subject), _model(subject)
    # A decoder with ids of its own is given the labels shifted already.
    due = 0 if has_encoder(subject) else _SHIFTS[role]
    labels, outputs = _labelled(subject, model)
    expected = _cross_entropy(outputs.logits, labels, due)
    places = range(3) if labels.ndim > 1 and labels.shape[1] > 3 else ()  # noqa: PLR2004 - shifted twice, one is left
    told = [each for each in places if _near(_cross_entropy(outputs.logits, labels, each), outputs.loss)]
    # Two kinds of loss are known where there is one label a token: that of other places, and one of the model's own.
    plain = not places or told or _near(expected, outputs.loss)
    subject.need(plain, "its loss is no plain cross entropy of its logits, at whatever places")
    subject.require(
        _near(expected, outputs.loss),
        f"The loss is not the cross entropy of the logits with labels shifted by {due}, as for {role}",
        compared="`outputs.loss` with the cross entropy of `outputs.logits` and `labels`",
        found=f"{outputs.loss.item():.6g} and {expected:.6g}"
        + (f"; it is that of labels shifted by {told[0]}" if told else ""),
    )


def _near(left: Any, right: Any) -> bool:
    return bool(
        torch.isclose(torch.as_tensor(left), torch.as_tensor(right).detach().float().cpu(), rtol=1e-3, atol=1e-5)
    )


def _shift(subject: Subject, model: Any) -> int:
    """Return by how many places this class shifts, whatever it should; NotApplicableError where that is unclear."""
    _role(subject)
    labels, outputs = _labelled(subject, model)
    subject.need(labels.ndim == 2 and labels.shape[1] > 3, "its labels are not one a token")  # noqa: PLR2004
    losses = {each: _cross_entropy(outputs.logits, labels, each) for each in range(3)}
    found = [each for each, loss in losses.items() if _near(loss, outputs.loss)]
    subject.need(found, "its loss is no plain cross entropy (see training.loss)")
    # Two of them may be near each other by chance.
    return min(found, key=lambda each: abs(losses[each] - outputs.loss.item()))


@check("training.ignored-labels", level="runs", needs=("loss",))
def ignored_labels(subject: Subject) -> None:
    """A label of -100 does not count: neither in the sum nor in the number that it is divided by.

    Hurts: padding and prompts are masked by -100 everywhere in transformers; a model that counts them learns to
    predict padding, or fails in the cross entropy.

    Change: `ignore_index=-100`, and divide by the number of labels that count; do not clamp or replace labels first.
    """
    model = _model(subject)
    shift = _shift(subject, model)
    labels = subject.labels()["labels"].clone()
    labels[:, ::2] = _IGNORED
    labels[0, labels.shape[1] // 2 :] = _IGNORED
    with subject.raising("With labels of -100 the forward pass fails"):
        _, outputs = _labelled(subject, model, labels)
    expected = _cross_entropy(outputs.logits, labels, shift)
    subject.require(
        _near(expected, outputs.loss),
        "A label of -100 counts in the loss",
        compared="`outputs.loss` with the cross entropy over the labels that are not -100",
        found=f"{outputs.loss.item():.6g} and {expected:.6g}",
    )


@check("training.num-items", level="runs", needs=("loss",))
def num_items(subject: Subject) -> None:
    """A model whose `forward` takes `**kwargs` divides its loss by `num_items_in_batch` when it is given.

    Hurts: the Trainer takes `**kwargs` for the promise to do so, and does not divide by the steps of gradient
    accumulation itself: the loss and its gradient are too large by that factor.

    Change: pass `**kwargs` on to `self.loss_function`, or say `accepts_loss_kwargs = False` on the class.
    """
    model = _model(subject)
    signature = inspect.signature(model.forward).parameters.values()
    # What transformers' Trainer asks.
    accepts = getattr(model, "accepts_loss_kwargs", any(each.kind == each.VAR_KEYWORD for each in signature))
    subject.need(accepts, "its `forward` takes no `**kwargs`, and the Trainer divides")
    shift = _shift(subject, model)
    labels, outputs = _labelled(subject, model)
    count = int((labels[:, shift:] != _IGNORED).sum())
    with subject.raising("With `num_items_in_batch` the forward pass fails"):
        _, divided = _labelled(subject, model, num_items_in_batch=torch.tensor(4 * count))
    subject.require(
        _near(outputs.loss.item() / 4, divided.loss),
        "`num_items_in_batch` is ignored, although `forward` takes `**kwargs`",
        compared="the loss with `num_items_in_batch` four times as large as the batch with a quarter of the loss",
        found=f"{divided.loss.item():.6g} and {outputs.loss.item() / 4:.6g}",
    )


# --- train mode ------------------------------------------------------------------------------------

_DROP = re.compile(r"drop")


_OF_A_HEAD = re.compile("classif|summary")  # a base model has no use for these


@check("training.dropout", level="runs")
def dropout(subject: Subject) -> None:
    """With dropout in the config two passes in train mode differ.

    Every field of the config that says `drop` is set to 0.5.

    Hurts: the model overfits in fine-tuning, although the config says what should prevent it.

    Change: apply the dropout of the config where it is meant, with `training=self.training`; never call `eval()` in
    `__init__` or `forward`.
    """
    config = subject.config()
    fields = list(_rates(subject, config))
    refused = [name for each, name in fields if not _takes(each, name, 0.5)]
    subject.require(
        not fields or len(refused) < len(fields),
        "No dropout of the config can be set: a rate of 0.5 is refused",
        compared="the types of the fields with a rate",
        found=", ".join(sorted(set(refused))),
    )
    model, inputs = _with_rates(subject, config, [name for _, name in fields]).train(), _inputs(subject)
    modules = [each for each in model.modules() if isinstance(each, nn.modules.dropout._DropoutNd) and each.p > 0]
    subject.need(fields or modules, "its config has no dropout")
    with torch.no_grad():
        first = _run(subject, model, inputs)
        others = (_run(subject, model, inputs, seed=seed) for seed in range(1, 5))
        differ = any(subject.differs(each, first) for each in others)
    subject.need(differ or _follows(subject, model), "its outputs do not depend on what it is given")
    subject.need(differ or not _serves_others(model, fields), "this config builds no part that has a dropout")
    subject.require(
        differ,
        "With every dropout of the config at 0.5 all passes in train mode are the same",
        compared="the outputs of passes in train mode with different seeds",
        found=", ".join(sorted({name for _, name in fields})),
    )


def _follows(subject: Subject, model: Any) -> bool:
    """Say whether other inputs give other outputs: behind a codebook that only a checkpoint fills all is the same."""
    one, other = (_run(subject, model.eval(), _inputs(subject, seed)) for seed in (0, 1))
    return subject.differs(other, one)


def _with_rates(subject: Subject, config: Any, names: Sequence[str]) -> Any:
    """Return the model; NotApplicableError where it says itself that it takes no such rate."""
    try:
        return _model(subject, config)
    except ValueError as error:
        subject.need(not any(name in str(error) for name in names), f"it refuses: {error}")
        raise


def _rates(subject: Subject, config: Any) -> Iterator[tuple[Any, str]]:
    """Yield each rate of dropout, as a config and the name of a field."""
    for _, each in configs_in(config):
        for name, value in vars(each).items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            used = subject.can("head") or not _OF_A_HEAD.search(name)
            # Layers that are dropped whole are no dropout: two passes may well drop the same.
            if number and used and _DROP.search(name) and "layer" not in name:
                yield each, name


def _serves_others(model: Any, fields: Sequence[tuple[Any, str]]) -> bool:
    """Say whether parts that were not built, such as the attention of a hybrid, read each rate, and no other part."""
    built = {type(each) for each in model.modules()}
    others = unbuilt(model, roots(model, (config for config, _ in fields)))
    names = {name for _, name in fields}
    return bool(names) and all(
        any(reads(each, name) for each in others) and not any(reads(each, name) for each in built) for name in names
    )


def _takes(config: Any, name: str, value: float) -> bool:
    """Set the field if its type allows the value, and say whether it does."""
    try:
        setattr(config, name, value)
    except StrictDataclassError:
        return False
    return True


@check("training.bfloat16", level="runs")
def bfloat16(subject: Subject) -> None:
    """A bfloat16 model runs forward and backward, with finite gradients.

    Hurts: nearly all training is done in bfloat16; a float32 tensor among them stops the first matrix product.

    Change: create tensors in `forward` with the dtype and device of its inputs, and cast back what was computed in
    float32.
    """
    model, inputs = _model(subject, dtype=torch.bfloat16), _inputs(subject)
    lowered = {name: _lowered(value) for name, value in inputs.items()}
    bad = _not_finite(subject, model, lowered)
    if bad:
        with _without_onednn():
            bad = _not_finite(subject, model, lowered)
    subject.require(
        not bad,
        "In bfloat16 a gradient is not finite",
        compared="the gradients of the loss in bfloat16 with finite numbers",
        found=", ".join(bad[:5]),
    )


@contextmanager
def _without_onednn() -> Iterator[None]:
    """Compute without oneDNN, whose gradient of a convolution has holes: weights that see nothing but padding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it speaks of GPUs when its flags are put back
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def _not_finite(subject: Subject, model: Any, inputs: Mapping[str, Any]) -> list[str]:
    """Return the parameters of the bfloat16 model whose gradient is not finite."""
    with subject.raising("A bfloat16 model does not run"):
        objective = _objective(_run(subject, model, inputs))
    subject.need(objective is not None, "nothing that it returns depends on a trained parameter")
    assert objective is not None
    with subject.raising("The backward pass of a bfloat16 model fails"):
        found = _gradients(model, objective)
    return [name for name, each in found.items() if not each.isfinite().all()]


def _lowered(value: Any) -> Any:
    floating = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.to(torch.bfloat16) if floating else value


@check("training.overfit", level="runs", cost="slow", needs=("loss",))
def overfit(subject: Subject) -> None:
    """The model learns one batch by heart.

    Hurts: an architecture that cannot do this learns nothing else either.

    Change: see first whether `training.gradients`, `training.derivative` and `training.loss` pass.
    """
    model, inputs = _model(subject, lively=False), _inputs(subject)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=3e-3, weight_decay=0)
    losses = []
    for _ in range(150):
        found = _run(subject, model, inputs).loss
        losses.append(found.item())
        if losses[-1] < 0.3 * losses[0]:
            break
        optimizer.zero_grad()
        found.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    subject.require(
        losses[-1] < 0.6 * losses[0],
        "150 steps of AdamW on one batch do not bring the loss down by half",
        compared="the loss on one batch after training on it with that before",
        found=f"{losses[-1]:.4g} and {losses[0]:.4g}",
    )

"""Weights that no checkpoint holds: a fresh model, a new head, a missing parameter, another dtype, no memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from autoreg.conformance import guard
from autoreg.conformance.check import check
from autoreg.conformance.checks.perturbation import (
    perturb,
    snapshot,
    storages,
    tensors,
    unsaved_buffers,
)
from autoreg.conformance.subject import Subject
from autoreg.errors import NotApplicableError

__all__ = [
    "base_into_head",
    "base_prefix",
    "dtype",
    "first_use",
    "head_into_base",
    "ignored_missing",
    "initialised",
    "meta_device",
    "missing",
    "partly_missing",
    "post_init",
    "structure",
]

_ENOUGH = 64  # numbers: the spread of fewer says nothing of the distribution they come from


def _rebuilt(subject: Subject, state: Mapping[str, torch.Tensor], *, seed: int = 1, model_class: Any = None) -> Any:
    """Return the model and the report that `from_pretrained` makes of the state."""
    guard.seed_torch(subject.seed + seed)
    with subject.raising("`from_pretrained` cannot load a state that lacks parameters"):
        return (model_class or subject.model_class).from_pretrained(
            None, config=subject.config(), state_dict=dict(state), output_loading_info=True
        )


def _garbage(named: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of parameters without memory, or with memory that nobody wrote, which reads as NaN here."""
    return sorted(name for name, each in named.items() if _unwritten(each))


def _unwritten(tensor: torch.Tensor) -> bool:
    return tensor.is_meta or (tensor.is_floating_point() and bool(tensor.isnan().any()))


@check("weights.structure", level="loads")
def structure(subject: Subject) -> None:
    """Two models of one config have tensors of the same names, shapes and dtypes, and the same unsaved buffers.

    Hurts: a checkpoint fits the process that wrote it and no other.

    Change: decide about modules and shapes by the config; draw what is random into a parameter or a persistent
    buffer, which is saved.
    """
    first, second = subject.model(lively=False), subject.model(lively=False, seed=subject.seed + 1)
    subject.same(
        {name: f"{each.dtype} {list(each.shape)}" for name, each in tensors(second).items()},
        {name: f"{each.dtype} {list(each.shape)}" for name, each in tensors(first).items()},
        what="The structure of the model depends on the random state",
        compared="names, shapes and dtypes of the tensors of two models built from one config with two seeds",
    )
    subject.same(
        snapshot(unsaved_buffers(second)),
        snapshot(unsaved_buffers(first)),
        what="A buffer that is not saved depends on the random state",
        compared="the non-persistent buffers of two models built from one config with two seeds",
    )


@check("weights.first-use", level="runs")
def first_use(subject: Subject) -> None:
    """The first forward pass neither makes, nor removes, nor changes a tensor of the model.

    Hurts: an optimizer made before the first pass does not know the parameter, a checkpoint holds it or not depending
    on when it was saved, and loading reports it as unexpected.

    Change: make parameters and buffers in `__init__`, from the sizes in the config.
    """
    model = subject.model()
    before = snapshot(tensors(model))
    subject.outputs(model, subject.inputs())
    subject.same(
        snapshot(tensors(model)),
        before,
        what="A forward pass in eval mode changes which tensors the model has, or their values",
        compared="the parameters and persistent buffers after the first pass with those before",
    )


@check("weights.post-init", level="loads")
def post_init(subject: Subject) -> None:
    """`post_init()` runs at the end of the constructor, and with it `_init_weights` for every module.

    Hurts: without it ties, fp32 modules and parallel plans are not collected and `from_pretrained` fails; modules
    made after it keep torch's own initialisation, not the config's.

    Change: call `self.post_init()` in the last line of `__init__`, after every module is made.
    """
    model = subject.model(lively=False)
    subject.require(
        "all_tied_weights_keys" in vars(model),
        f"{type(model).__name__}.__init__ does not call `self.post_init()`",
        compared="what `post_init` leaves on the model (`all_tied_weights_keys`) with the model's attributes",
    )
    late = [
        name
        for name, module in model.named_modules()
        if any(True for _ in module.parameters(recurse=False))
        # The mark that `_init_weights` was called for a module; there is no public one.
        and not vars(module).get("_is_hf_initialized", False)
    ]
    subject.require(
        not late,
        "`_init_weights` was not called for a module: it was made after `post_init()`, or replaced since",
        compared="the modules that were initialised with all modules that have parameters",
        found=", ".join(late[:5]),
    )


@check("weights.initialised", level="loads")
def initialised(subject: Subject) -> None:
    """A model built from a config has no uninitialised memory in it.

    Hurts: training from scratch starts from whatever was in memory: zeros today, NaN tomorrow.

    Change: initialise each `torch.empty` parameter in `_init_weights`.
    """
    model = subject.model(lively=False)
    found = _garbage(tensors(model))
    subject.require(
        not found,
        "A model built from a config holds memory that nobody wrote",
        compared="the tensors of a fresh model with NaN, with which unwritten memory is filled",
        found=", ".join(found[:5]),
    )


@check("weights.missing", level="loads")
def missing(subject: Subject) -> None:
    """What a checkpoint lacks is initialised as in a model built from the config.

    `from_pretrained` is given a checkpoint with no weights at all. Each parameter must be written, be constant
    where a fresh one is, and have the spread of a fresh one.

    Hurts: a new head starts from garbage when the base is fine-tuned: `from_pretrained` builds the model without
    memory, so what only `__init__` sets is lost.

    Change: have `_init_weights` set every parameter and persistent buffer, with the functions of `torch.nn.init`,
    the same way as `__init__` does.
    """
    fresh = subject.model(lively=False)
    loaded, _ = _rebuilt(subject, {})
    expected, found = tensors(fresh), tensors(loaded)
    garbage = sorted(set(_garbage(found)) - set(_garbage(expected)))
    subject.require(
        not garbage,
        "A tensor that the checkpoint lacks is left uninitialised by `from_pretrained`",
        compared="the tensors after loading an empty checkpoint with NaN, with which unwritten memory is filled",
        found=", ".join(garbage[:5]),
    )
    for name, each in expected.items():
        told = _other_spread(found[name], each) if name in found else "it is gone"
        subject.require(
            not told,
            f"`{name}` is initialised in another way when a checkpoint lacks it than when the model is built",
            compared="mean and spread of the tensor after loading an empty checkpoint with those in a fresh model",
            found=told,
        )


def _other_spread(actual: torch.Tensor, expected: torch.Tensor) -> str:
    """Return how the two differ in distribution; empty where they do not."""
    if not expected.is_floating_point() or not expected.numel():
        return ""
    left, right = (each.detach().double().flatten() for each in (actual, expected))
    if not left.isfinite().all() or not right.isfinite().all():
        return ""
    constant = bool((right == right[0]).all())
    if constant or bool((left == left[0]).all()):
        same = torch.allclose(left, right) or min(left.numel(), right.numel()) == 1
        # One number may be drawn at random; two that are equal are not.
        return "" if same or _drawn(left, right) else f"{left[0]:.6g}… and {right[0]:.6g}…"
    if left.numel() < _ENOUGH:
        return ""
    ratio = float(left.std() / right.std().clamp_min(1e-30))
    shift = float((left.mean() - right.mean()).abs() / right.std().clamp_min(1e-30))
    if 0.5 < ratio < 2 and shift < 1:  # noqa: PLR2004 - ten and more standard errors from what is drawn
        return ""
    return f"mean {left.mean():.4g}, spread {left.std():.4g} and mean {right.mean():.4g}, spread {right.std():.4g}"


def _drawn(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.numel() == 1 and bool(left[0] != right[0])


@check("weights.partly-missing", level="loads")
def partly_missing(subject: Subject) -> None:
    """Initialising what a checkpoint lacks leaves alone what it holds.

    From each module one tensor is left out of the checkpoint; all others must come back bit by bit.

    Hurts: a checkpoint from before a parameter was added loses its neighbours: trained weights are drawn again.

    Change: use the functions of `torch.nn.init` in `_init_weights`, which pass over what was loaded; in-place
    arithmetic and `.data.normal_()` do not. Initialise in it only the module's own tensors, not those of its children.
    """
    model = subject.model()
    perturb(model, subject.seed)
    named, left_out = tensors(model), set()
    for prefix, module in model.named_modules():
        own = [name for name, each in module.named_parameters(recurse=False) if each.numel()]
        own += [name for name, _ in module.named_buffers(recurse=False)]
        full = [f"{prefix}.{name}".lstrip(".") for name in own]
        left_out.update([name for name in full if name in named][:1] if len(full) > 1 else [])
    shared = {each for names in storages(named).values() if len(names) > 1 for each in names}
    left_out -= shared
    subject.need(left_out, "no module has two tensors of its own")
    kept = {name: each for name, each in snapshot(named).items() if name not in left_out}
    # A copy: loading may take the very tensors that it is given.
    loaded, _ = _rebuilt(subject, snapshot(kept))
    found = tensors(loaded)
    subject.same(
        {name: found[name].detach() for name in kept},
        kept,
        what="A weight that the checkpoint holds is initialised again because its neighbour is missing",
        compared="what was in the checkpoint with the loaded model, one tensor of each module being left out",
    )


@check("weights.ignored-missing", level="loads")
def ignored_missing(subject: Subject) -> None:
    """`_keys_to_ignore_on_load_missing` hides no weight that is drawn at random when it is missing.

    Hurts: a truncated or mismatched checkpoint loads without a warning, and the model answers nonsense.

    Change: list there only what tying or the config restores.
    """
    model, report = _rebuilt(subject, {})
    tied = {each for names in storages(tensors(model)).values() if len(names) > 1 for each in names}
    hidden = dict(model.named_parameters()).keys() - set(map(str, report["missing_keys"])) - tied
    other, _ = _rebuilt(subject, {}, seed=2)
    known, again = tensors(model), tensors(other)
    drawn = [name for name in sorted(hidden) if known[name].is_meta or not torch.equal(known[name], again[name])]
    subject.require(
        not drawn,
        "`_keys_to_ignore_on_load_missing` hides a parameter that is drawn at random when the checkpoint lacks it",
        compared="the ignored keys after loading an empty checkpoint with two seeds",
        found=", ".join(drawn[:5]),
    )


# --- base model and head ---------------------------------------------------------------------------


def _base_class(subject: Subject) -> Any:
    """Return the architecture's base class, which this class has inside; NotApplicableError where it has none."""
    base = subject.target.class_of("AutoModel")
    subject.need(base is not subject.model_class, "it is the base model")
    return base


def _inner(subject: Subject, model: Any) -> list[tuple[str, Any]]:
    base = _base_class(subject)
    found = [(name, each) for name, each in model.named_modules() if name and type(each) is base]
    if not found:
        raise NotApplicableError(reason=f"it has no {base.__name__} inside")
    return found


@check("weights.base-prefix", level="loads")
def base_prefix(subject: Subject) -> None:
    """`base_model_prefix` names the attribute that holds the base model.

    Hurts: a base checkpoint does not load into a model with a head, nor the reverse: all weights are new, with no more
    than a warning; PEFT and the Trainer do not find the base model.

    Change: set `base_model_prefix` on the common parent class to the attribute under which every head keeps the base.
    """
    model = subject.model(lively=False)
    names = [name for name, _ in _inner(subject, model)]
    subject.require(
        model.base_model_prefix in names,
        f"`base_model_prefix` is {model.base_model_prefix!r}, and the base model is `{names[0]}`",
        compared="`base_model_prefix` with the attribute that holds the base model",
    )


def _common(subject: Subject) -> tuple[Any, Any, str]:
    """Return the model with its tensors moved, a base model of its own, and the name of the one inside."""
    model, base_class = subject.model(), _base_class(subject)
    perturb(model, subject.seed)
    _inner(subject, model)
    prefix = type(model).base_model_prefix
    subject.need(hasattr(model, prefix), f"it has no attribute {prefix!r} (see weights.base-prefix)")
    with subject.raising(f"{base_class.__name__} cannot be built from the config of its head"):
        base = base_class._from_config(subject.config()).eval()
    return model, base, prefix


@check("weights.head-into-base", level="loads")
def head_into_base(subject: Subject) -> None:
    """A checkpoint saved with a head loads into the base model, bit by bit.

    Hurts: embeddings, feature extraction and every other head start from a checkpoint like this one; a weight that
    does not arrive is random.

    Change: keep the base model whole under `base_model_prefix`, with the same names as when it stands alone.
    """
    model, base, prefix = _common(subject)
    folder = subject.folder("head")
    with subject.raising("`save_pretrained` fails"):
        model.save_pretrained(folder)
    guard.seed_torch(subject.seed + 1)
    with subject.raising(f"{type(base).__name__}.from_pretrained cannot load the checkpoint of {type(model).__name__}"):
        loaded = type(base).from_pretrained(folder)
    own = type(base).base_model_prefix
    why = "" if own == prefix else f": its `base_model_prefix` is {own!r}, that of the head {prefix!r}"
    what = f"saved with its head and loaded into the base model{why}"
    _same_where_both(subject, loaded, getattr(model, prefix), what)


@check("weights.base-into-head", level="loads")
def base_into_head(subject: Subject) -> None:
    """A checkpoint of the base model loads into the class with a head, and only the head is new.

    Hurts: this is how every fine-tuning starts. A weight of the base that does not arrive is random; a head that is
    not initialised is garbage.

    Change: keep the base model whole under `base_model_prefix`; initialise the head in `_init_weights`.
    """
    model, base, prefix = _common(subject)
    inner = getattr(model, prefix)
    folder = subject.folder("base")
    with subject.raising("`save_pretrained` of the base model fails"):
        inner.save_pretrained(folder)
    guard.seed_torch(subject.seed + 1)
    with subject.raising(f"{type(model).__name__}.from_pretrained cannot load a checkpoint of {type(base).__name__}"):
        loaded, report = type(model).from_pretrained(folder, output_loading_info=True)
    _same_where_both(subject, getattr(loaded, prefix), inner, "of the base model that was loaded into a head")
    garbage = _garbage(tensors(loaded))
    subject.require(not garbage, "A parameter of the new head is left uninitialised", found=", ".join(garbage[:5]))
    lost = [key for key in map(str, report["missing_keys"]) if key.startswith(f"{prefix}.")]
    lost = [key for key in lost if key.removeprefix(f"{prefix}.") in tensors(inner)]
    subject.require(
        not lost,
        "Loading a base checkpoint into a head reports weights of the base as missing",
        compared="the report of `from_pretrained` with the names of the head",
        found=", ".join(lost[:5]),
    )


def _same_where_both(subject: Subject, actual: nn.Module, expected: nn.Module, what: str) -> None:
    found, wanted = tensors(actual), tensors(expected)
    # A base model on its own may have a pooler that it has not under a head.
    both = sorted(found.keys() & wanted.keys())
    subject.require(both, f"No tensor has the same name {what}", compared="the names of both")
    subject.same(
        {name: found[name].detach() for name in both},
        {name: wanted[name].detach() for name in both},
        what=f"A weight differs {what}",
        compared="the weights of the loaded model with those that were saved, name by name",
    )


# --- dtype and device ------------------------------------------------------------------------------


@check("weights.dtype", level="loads")
def dtype(subject: Subject) -> None:
    """The dtype of a checkpoint survives, and `dtype=` sets that of every float weight.

    What `_keep_in_fp32_modules_strict` names stays in float32, and so does what a bfloat16 model built from the
    config holds in float32.

    Hurts: a model loads with twice the memory that was asked for, or mixes dtypes and fails in the first
    matrix product.

    Change: make parameters in torch's default dtype (no `.float()` and no `dtype=torch.float32` in `__init__`), and
    pass the arguments of `from_pretrained` on.
    """
    half = torch.bfloat16
    model = subject.model(dtype=half)
    expected = {name: each.dtype for name, each in tensors(model).items()} | _strictly_float32(model)
    floats = {name: each for name, each in tensors(model).items() if isinstance(each, nn.Parameter)}
    floats = {name: each for name, each in floats.items() if each.is_floating_point()}
    subject.require(
        any(each.dtype == half for each in floats.values()),
        "Built with `dtype=torch.bfloat16` not one parameter is bfloat16",
        compared="the dtypes of the parameters with the dtype that was asked for",
    )
    folder = subject.folder("model")
    model.save_pretrained(folder)
    for asked, wanted in (({}, expected), ({"dtype": torch.float32}, _in_float32(expected))):
        with subject.raising(f"`from_pretrained` fails with {asked}"):
            loaded = subject.model_class.from_pretrained(folder, **asked)
        found = {name: each.dtype for name, each in tensors(loaded).items()}
        subject.same(
            {name: str(found[name]) for name in wanted if name in found},
            {name: str(each) for name, each in wanted.items() if name in found},
            what=f"A bfloat16 checkpoint loads in another dtype than `dtype={asked.get('dtype', 'auto')}` asks for",
            compared="the dtypes of the tensors of the loaded model with those of the saved one, or with float32",
        )


def _strictly_float32(model: Any) -> dict[str, torch.dtype]:
    """Return the tensors that loading keeps in float32 whatever was asked for; building the model does not."""
    patterns = [
        rf"(^|\.){re.escape(each)}($|\.)" for each in getattr(model, "_keep_in_fp32_modules_strict", None) or ()
    ]
    floats = [name for name, each in tensors(model).items() if each.is_floating_point()]
    return {name: torch.float32 for name in floats if any(re.search(pattern, name) for pattern in patterns)}


def _in_float32(expected: Mapping[str, torch.dtype]) -> dict[str, torch.dtype]:
    return {name: torch.float32 if each == torch.bfloat16 else each for name, each in expected.items()}


@check("weights.meta-device", level="loads")
def meta_device(subject: Subject) -> None:
    """The model can be built on the meta device, with the same names and shapes and no memory.

    Hurts: `from_pretrained`, `device_map="auto"` and `init_empty_weights` build it so; a model larger than memory
    cannot be loaded otherwise.

    Change: read no value of a tensor in `__init__` (no `.item()`, `.tolist()` or `if tensor`); compute numbers with
    Python or with `device="cpu"`, and name no other device.
    """
    real = tensors(subject.model(lively=False))
    with subject.raising("The model cannot be built on the meta device"), torch.device("meta"):
        model = subject.model_class(subject.config())
    subject.same(
        {name: f"{each.dtype} {list(each.shape)}" for name, each in tensors(model).items()},
        {name: f"{each.dtype} {list(each.shape)}" for name, each in real.items()},
        what="Built on the meta device the model has other tensors",
        compared="names, shapes and dtypes on the meta device with those on the CPU",
    )
    heavy = [name for name, each in model.named_parameters() if each.device.type != "meta"]
    subject.require(
        not heavy,
        "Built on the meta device the model holds a parameter with memory",
        compared="the devices of the parameters with meta",
        found=", ".join(heavy[:5]),
    )

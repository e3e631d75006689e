"""The forward pass: what goes in, what comes out, and who influences whom."""

from __future__ import annotations

import ast
import copy
import linecache
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.utils.generic import ModelOutput

from autoreg.conformance.check import check
from autoreg.conformance.checks.elsewhere import Elsewhere, outside, there
from autoreg.conformance.checks.outputs import exactly, following, named, picked, unless_sampling
from autoreg.conformance.checks.text import rows
from autoreg.conformance.compare import leaves, shown
from autoreg.conformance.subject import Subject
from autoreg.errors import MismatchError, NotApplicableError

__all__ = [
    "any_batch",
    "deterministic",
    "device",
    "inputs_untouched",
    "instances",
    "logits_shape",
    "return_dict",
    "rows_alone",
    "rows_leak",
    "stateless",
]

# Where a class says itself that it samples: ViTMAE's `noise`, the `noise_scale` of VITS, Reformer's `hash_seed`.
_SAMPLES = re.compile(r"noise|seed|generator")
_DROPOUT = re.compile(r"dropout|bernoulli")
_LOSS = re.compile(r"(^|[._])loss(es)?$")


class _Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's modes are not typed
    """Notes the operations that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.found.append(func.name())
        return func(*args, **(kwargs or {}))


@check("forward.deterministic", level="runs")
def deterministic(subject: Subject) -> None:
    """In eval mode the same inputs give the same outputs.

    A class that samples by design is one whose `forward` or config has a field of noise, of a seed or a generator.

    Hurts: predictions change from call to call, and no bug report can be reproduced.

    Change: use `nn.Dropout`, or pass `training=self.training` to the functional form; draw no random numbers
    outside of training.
    """
    model, inputs = subject.model(), subject.inputs()
    first = named(subject.outputs(model, inputs))
    with torch.no_grad():
        # Not `subject.outputs`, which sets the seed.
        second = named(model(**copy.deepcopy(inputs)))
    what, compared = "In eval mode two passes over the same inputs differ", "the outputs of two passes in eval mode"
    try:
        subject.same(second, first, what=what, compared=compared)
    except MismatchError as error:
        spy = _Draws()
        with torch.no_grad(), spy:
            model(**copy.deepcopy(inputs))
        fields = [*subject.parameters, *vars(subject.derivation.config)]
        declared = [each for each in fields if _SAMPLES.search(each)]
        if declared and spy.found and not any(_DROPOUT.search(each) for each in spy.found):
            raise NotApplicableError(reason=f"it samples by design: see `{declared[0]}`") from error
        told = f" (it draws random numbers: {', '.join(sorted(set(spy.found)))})" if spy.found else ""
        raise MismatchError(problem=what + told, compared=compared, difference=error.difference) from None


@check("forward.return-dict", level="runs")
def return_dict(subject: Subject) -> None:
    """The tuple that `return_dict=False` gives holds the same tensors, in the same order, as the default output.

    Hurts: pipelines, `torch.jit` and older code that unpack a tuple get other tensors than those that use names.

    Change: decorate `forward` with `can_return_tuple` and return one `ModelOutput`, with `return_dict=True` on calls
    of inner models.
    """
    model, inputs = subject.model(), subject.inputs()
    whole = subject.outputs(model, inputs)
    subject.need(not isinstance(whole, torch.Tensor), "it returns a bare tensor")
    subject.require(
        isinstance(whole, ModelOutput),
        f"`forward` returns {type(whole).__name__}, not a `ModelOutput`",
        compared="the type of the output",
    )
    expected = _tensors(whole.to_tuple())
    with subject.raising("`return_dict=False` fails"):
        by_argument = subject.outputs(model, inputs, return_dict=False)
    _is_tuple(subject, by_argument, expected, "`return_dict=False`")


def _is_tuple(subject: Subject, found: Any, expected: list[torch.Tensor], asked: str) -> None:
    subject.require(
        isinstance(found, tuple),
        f"{asked} is ignored: `forward` returns {type(found).__name__}",
        compared=f"the type of the output with {asked}",
    )
    subject.close(
        _tensors(found),
        expected,
        what=f"The tuple of {asked} differs from the default output",
        compared=f"the tensors of the output with {asked} and without",
    )


def _tensors(value: Any) -> list[torch.Tensor]:
    return [each for _, each in leaves(value) if isinstance(each, torch.Tensor)]


@check("forward.inputs-untouched", level="runs")
def inputs_untouched(subject: Subject) -> None:
    """`forward` leaves the tensors that it is given as they are.

    Hurts: a second pass over the same batch (evaluation, gradient accumulation, generation) sees other inputs.

    Change: replace in-place operations on arguments (`mask[...] = …`, `ids.masked_fill_`, `embeds += …`) by ones
    that return a new tensor.
    """
    model, inputs = subject.model(), subject.inputs()
    before = copy.deepcopy(inputs)
    with torch.no_grad():
        model(**inputs)
    subject.same(
        inputs,
        before,
        what="`forward` changes its inputs in place",
        compared="the arguments of `forward` after the call and before it",
    )


@check("forward.instances", level="runs")
def instances(subject: Subject) -> None:
    """Two models of one class share nothing: making and running another changes no output of the first.

    Hurts: an ensemble, a teacher with its student, or two checkpoints in one process give wrong results.

    Change: make tensors, modules and caches in `__init__`, not in the class body, at module level or in a default
    argument; key what is cached by the instance.
    """
    inputs = subject.inputs()
    model = subject.model()
    first = named(subject.outputs(model, inputs))
    other = subject.model(seed=subject.seed + 1)
    theirs = named(subject.outputs(other, inputs))
    again = named(subject.outputs(model, inputs))
    subject.same(
        again,
        first,
        what="The outputs of a model change when another model of the class is made and run",
        compared="the outputs of a model before and after another of another seed was made and run",
    )
    mine = {each.data_ptr() for each in model.parameters() if each.numel()}
    shared = [name for name, each in other.named_parameters() if each.numel() and each.data_ptr() in mine]
    subject.require(
        not shared,
        f"Two models of the class share the parameter {next(iter(shared), '')}",
        compared="the memory of the parameters of two models",
    )
    subject.require(
        subject.differs(theirs, first) or not any(each.is_floating_point() for each in first.values()),
        "Two models with different weights give the same outputs",
        compared="the outputs of two models of different seeds",
    )


@check("forward.stateless", level="runs")
def stateless(subject: Subject) -> None:
    """A model forgets one call before the next: other inputs in between change nothing.

    A shorter and a longer text lie in between where the length is free, and a new model is first called with the
    other text.

    Hurts: results depend on what was asked before; the first long text after a short one fails or is wrong.

    Change: keep nothing of a call on `self`: no cache, no mask or table of positions made for the first length.
    """
    model, inputs = subject.model(), subject.inputs()
    first = named(subject.outputs(model, inputs))
    others = [other for other in _others(subject) if _runs(subject, model, other)]
    subject.need(others, "it runs with one input only")
    subject.same(
        named(subject.outputs(model, inputs)),
        first,
        what="The outputs of a model depend on what it was called with before",
        compared="the outputs for the same inputs before and after calls with others",
    )
    fresh = subject.model()
    with subject.raising("A model that was first called with other inputs fails"):
        subject.outputs(fresh, others[0])
        second = named(subject.outputs(fresh, inputs))
    subject.same(
        second,
        first,
        what="The outputs of a model depend on what it was first called with",
        compared="the outputs of a new model that was called with other inputs first, and of one that was not",
    )


def _others(subject: Subject) -> list[Any]:
    """Return other inputs, of which a class may refuse some: a shorter and a longer text, other contents."""
    made = [subject.inputs(seed=1)]
    if any(each.length_axis is not None for each in subject.derivation.inputs):
        length = subject.derivation.sizes.length if subject.derivation.sizes else 8
        made = [subject.inputs(seed=1, length=other) for other in (max(1, length // 2), length + 3)] + made
    return made


def _runs(subject: Subject, model: Any, inputs: Any) -> bool:
    try:
        subject.outputs(model, inputs)
    except Exception:
        return False
    return True


@check("forward.rows-alone", level="runs", needs=("batching",))
def rows_alone(subject: Subject) -> None:
    """A row gives the same outputs alone as in a batch.

    Hurts: results depend on the batch size, and what was tested with one example is wrong for many.

    Change: mix no two rows: look for a norm or a maximum over the axis of the batch, for `squeeze()` without an
    axis, for views that swap axes, and for tables that are indexed without the row.
    """
    model, inputs = subject.model(), subject.inputs(batch_size=3)
    with unless_sampling(subject, model, inputs):
        try:
            _alone(subject, model, inputs)
        except MismatchError:
            if not exactly(model, inputs, lambda *both: _alone(subject, *both, factor=1000)):
                raise


def _alone(subject: Subject, model: Any, inputs: Mapping[str, Any], *, factor: float = 1.0) -> None:
    together = named(subject.outputs(model, inputs))
    with subject.raising("A batch of one row fails"):
        alone = named(subject.outputs(model, rows(subject, inputs, [1])))
    axes = _rows(named(subject.outputs(model, rows(subject, inputs, [0, 1]))), together)
    subject.need(axes, "none of its outputs has an axis for the batch")
    together, alone = _as_long(together, alone, axes)
    for name in axes:
        subject.require(
            name in alone and alone[name].dim() == together[name].dim(),
            f"`{name}` loses an axis, or is missing, for a batch of one row",
            compared="the shapes of the outputs for one row and for three",
            found=f"{name}: {shown(alone.get(name))} and {shown(together[name])}",
        )
    subject.close(
        picked(alone, axes, [0]),
        picked(together, axes, [1]),
        what="A row of a batch gives other outputs alone",
        compared="the outputs of row 1 alone, and in a batch of three",
        factor=factor,
    )


def _as_long(
    first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor], rows_at: Mapping[str, int]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return both as far as both go: what a model makes up the length of is padded to the longest row."""
    both = [dict(first), dict(second)]
    for name, batch in rows_at.items():
        one, other = first.get(name), second.get(name)
        if one is not None and other is not None and one.dim() == other.dim():
            sizes = zip(one.shape, other.shape, strict=True)
            place = tuple(slice(None) if axis == batch else slice(min(each)) for axis, each in enumerate(sizes))
            both[0][name], both[1][name] = one[place], other[place]
    return both[0], both[1]


@check("forward.rows-leak", level="runs", needs=("batching",))
def rows_leak(subject: Subject) -> None:
    """No row of a batch influences another: other contents or another place of its neighbours change nothing.

    Hurts: users of one server see what others asked; an evaluation depends on the order of the examples.

    Change: mix no two rows: look for statistics over the axis of the batch (batch norm in train mode, `mean()`
    without an axis), for `roll`, `flip` and `view` over it, and for a mask of the first row used for all.
    """
    model, inputs = subject.model(), subject.inputs(batch_size=3)
    first = named(subject.outputs(model, inputs))
    axes = _rows(named(subject.outputs(model, subject.inputs(batch_size=2))), first)
    subject.need(axes, "none of its outputs has an axis for the batch")
    moved = named(subject.outputs(model, rows(subject, inputs, [2, 0, 1])))
    other = subject.inputs(batch_size=3, seed=1)
    mixed = {name: _with_row(subject, name, value, other[name]) for name, value in inputs.items()}
    changed = named(subject.outputs(model, mixed))
    with unless_sampling(subject, model, inputs):
        subject.close(
            picked(moved, axes, [1, 2, 0]),
            picked(first, axes, [0, 1, 2]),
            what="The order of the rows of a batch changes the outputs",
            compared="the outputs of a batch of three rows in two orders",
        )
        axes = {name: axis for name, axis in axes.items() if changed[name].shape == first[name].shape}
        own = picked(changed, axes, [2]), picked(first, axes, [2])
        subject.need(subject.differs(*own), "the contents of a row do not change its own outputs")
        subject.close(
            picked(changed, axes, [0, 1]),
            picked(first, axes, [0, 1]),
            what="One row of a batch influences another",
            compared="the outputs of rows 0 and 1 with two different rows 2",
        )


def _rows(pair: dict[str, torch.Tensor], three: dict[str, torch.Tensor]) -> dict[str, int]:
    """Return the axis of each output that has one place for each row of the batch; a loss is of the whole batch."""
    axes = {name: axis for name, axis in following(pair, three).items() if three[name].shape[axis] == 3}  # noqa: PLR2004
    return {name: axis for name, axis in axes.items() if not _LOSS.search(name)}


def _with_row(subject: Subject, name: str, value: Any, other: Any) -> Any:
    """Return the input with its last row from the other one."""
    axis = {each.name: each.batch_axis for each in subject.derivation.inputs}.get(name, 0)
    if not isinstance(value, torch.Tensor) or axis is None or value.shape != other.shape:
        return value
    made = value.clone()
    made.select(axis, -1).copy_(other.select(axis, -1))
    return made


@check("forward.any-batch", level="runs")
def any_batch(subject: Subject) -> None:
    """Batches of one and of three rows run, with finite outputs that have as many rows.

    Hurts: the last, smaller batch of a data set fails, or a single request does.

    Change: take sizes from the shape of the inputs, never from the config; `squeeze` one axis by number.
    """
    model = subject.model()
    found = {}
    for size in (1, 2, 3):
        with subject.raising(f"A batch of {size} rows fails"):
            found[size] = named(subject.outputs(model, subject.inputs(batch_size=size)))
        _finite(subject, found[size], f"a batch of {size}")
    subject.need(found[1], "it returns no tensors")
    told = "; ".join(f"{name}: {shown(value)}" for name, value in found[1].items())
    ranks = [{name: value.dim() for name, value in each.items()} for each in found.values()]
    subject.require(
        ranks[0] == ranks[1] == ranks[2],
        "The outputs for a batch of one row have other axes than for more",
        compared="the shapes of the outputs for 1, 2 and 3 rows",
        found=f"for one row {told}",
    )
    subject.require(
        all(each.batch_axis is None for each in subject.derivation.inputs) or _grows(found[1], found[3]),
        "No output has a row for each row of the batch",
        compared="the shapes of the outputs for 1 and 3 rows",
        found=f"for one row {told}",
    )


def _grows(small: dict[str, torch.Tensor], large: dict[str, torch.Tensor]) -> bool:
    return any(name in large and large[name].numel() > value.numel() for name, value in small.items())


def _finite(subject: Subject, values: dict[str, torch.Tensor], asked: str) -> None:
    for name, value in values.items():
        if not value.is_floating_point():
            continue
        # Minus infinity is how a head says "never this one".
        bad = value.isnan() | (value == torch.inf)
        subject.require(
            not bad.any(),
            f"`{name}` is not finite for {asked}",
            compared="the outputs with NaN and infinity",
            found=f"{name}: {int(bad.sum())} of {value.numel()} numbers are NaN or infinite",
        )


_VOCABULARY = frozenset({"AutoModelForCausalLM", "AutoModelForMaskedLM", "AutoModelForSeq2SeqLM"})
_LABELS = frozenset(
    {
        "AutoModelForSequenceClassification",
        "AutoModelForTokenClassification",
        "AutoModelForImageClassification",
        "AutoModelForVideoClassification",
        "AutoModelForAudioClassification",
    }
)


@check("forward.logits-shape", level="runs")
def logits_shape(subject: Subject) -> None:
    """The last axis of the logits is what the Auto class promises: the vocabulary, or `num_labels`.

    Hurts: losses, metrics and pipelines read other classes than the model means, or fail on the shape.

    Change: size the head by `config.vocab_size` (a language model) or `config.num_labels` (a classifier), and
    return the logits of every place, or one row an example, as the Auto class promises.
    """
    roles = set(subject.auto_classes)
    size: int | None = 5
    if roles & _LABELS:
        config = subject.config(num_labels=size)
        wanted = f"`config.num_labels` = {size}"
    else:
        subject.need(roles & _VOCABULARY, "no Auto class under which it is registered promises a shape of the logits")
        config = subject.config()
        size = getattr(config.get_text_config(decoder=True), "vocab_size", None)
        subject.need(size, "the config has no `vocab_size`")
        wanted = f"`config.vocab_size` = {size}"
    with subject.raising(f"It cannot be built or run with {wanted}"):
        outputs = subject.outputs(subject.model(config), subject.inputs(config=config))
    logits: Any = next((outputs[name] for name in ("logits", "prediction_logits") if name in outputs), None)
    subject.require(
        isinstance(logits, torch.Tensor),
        f"It is registered under {', '.join(sorted(roles))} and returns no `logits`",
        compared="the names of the outputs",
        found=", ".join(outputs),
    )
    subject.require(
        logits.shape[-1] == size,
        f"The last axis of `logits` is not {wanted}",
        compared="the shape of `logits` with the role of the class",
        found=f"logits: {shown(logits)}",
    )


@check("forward.device", level="runs")
def device(subject: Subject) -> None:
    """Every tensor that `forward` makes is made on the device of its inputs and parameters.

    Parameters, buffers and inputs are put on a device that is none and computes on the CPU; a tensor made without
    saying where is then the only one on the CPU, and an operation that mixes it with the others is seen.

    Hurts: the model fails on every GPU with "expected all tensors to be on the same device".

    Change: pass `device=hidden_states.device` to `torch.arange`, `zeros`, `tensor` and the like in the line named;
    register tensors made in `__init__` as buffers.
    """
    model, inputs = subject.model(), subject.inputs()
    expected = named(subject.outputs(model, inputs))
    state = {name: there(value) for name, value in [*model.named_parameters(), *model.named_buffers()]}
    place = Elsewhere()
    problem: Exception | None = None
    outputs: Any = None
    with torch.no_grad(), place:
        torch.manual_seed(subject.seed)
        try:
            outputs = torch.func.functional_call(model, state, kwargs=there(inputs))
        except Exception as error:
            problem = error
    _not_mixed(subject, place, problem)
    found = named(outputs)
    stray = [name for name, value in found.items() if value.device.type == "cpu" and name in expected]
    subject.require(
        not stray,
        f"The output `{next(iter(stray), '')}` is on the CPU, whatever the device of the inputs",
        compared="the device of the outputs",
    )


def _not_mixed(subject: Subject, place: Elsewhere, problem: Exception | None) -> None:
    if place.mixed:
        operation, file, line = place.mixed[0]
        # The device that is none says that it is "meta", and some make an exception of that one.
        subject.need(not _names_meta(file, line), f'it treats the device "meta" on its own ({Path(file).name}:{line})')
        raise MismatchError(
            problem=f"A tensor is made on the CPU, whatever the device of the model ({file}:{line})",
            compared="the devices of the tensors of every operation of `forward`",
            difference=f"{operation} mixes two devices in {file}:{line}",
        )
    if problem is not None and {"meta", "cpu"} <= set(re.findall(r"\w+", str(problem))):
        # Some functions of torch compare the devices themselves, before any operation is seen.
        file, line = outside(problem)
        raise MismatchError(
            problem=f"A tensor is on the CPU, whatever the device of the model ({file}:{line})",
            compared="the devices of the tensors that the functions of torch are given",
            difference=f"{type(problem).__name__}: {problem}",
        ) from problem
    if problem is not None:
        reason = f"it does not run with tensors that only say they are elsewhere ({type(problem).__name__}: {problem})"
        raise NotApplicableError(reason=reason.splitlines()[0]) from problem
    subject.comparisons += 1


def _names_meta(file: str, line: int) -> bool:
    """Say whether the function around the line speaks of the device "meta"."""
    text = "".join(linecache.getlines(file))
    if not text:
        return False
    functions = (each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.FunctionDef))
    around = [each for each in functions if each.lineno <= line <= (each.end_lineno or 0)]
    inner = [node for each in around[-1:] for node in ast.walk(each)]
    return any(isinstance(node, ast.Constant) and node.value == "meta" for node in inner)

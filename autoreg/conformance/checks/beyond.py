"""Beyond one float32 model in one process: copies, pickles, half precision, threads, hooks."""

from __future__ import annotations

import contextlib
import copy
import functools
import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.utils.parametrize import is_parametrized

from autoreg.conformance.check import check
from autoreg.conformance.checks.blame import blaming
from autoreg.conformance.checks.observing import Turns, called_directly
from autoreg.conformance.checks.outputs import named
from autoreg.conformance.subject import Subject, enliven
from autoreg.errors import NotApplicableError

__all__ = ["deep_copy", "half_precision", "pickling", "submodules_called", "threads"]


@check("beyond.pickling", level="scales")
def pickling(subject: Subject) -> None:
    """A model, its classes and its outputs come through pickle as they were.

    Hurts: `torch.save(model)`, data loaders and servers that start processes, Ray, joblib and caches on disk all
    fail with a PicklingError.

    Change: define classes and functions at the top of a module, under the name they are called by; store no
    lambda, local function, generator, lock or open file on a model or in what it returns.
    """
    name = subject.model_class.__name__
    for thing in (subject.config_class, subject.model_class):
        with subject.raising(f"The class {thing.__name__} does not pickle by reference"):
            found = pickle.loads(pickle.dumps(thing))
        subject.require(found is thing, f"The class {thing.__name__} comes out of pickle as another class")
    # Before it has run: transformers hangs local functions on a model that returned hidden states once.
    model, inputs = subject.model(), subject.inputs()
    pickled = b""
    # torch refuses to pickle parametrized modules, whoever uses them.
    if any(is_parametrized(module) for module in model.modules()):
        subject.note("The model was not pickled: torch pickles no parametrized modules (weight norm and the like).")
    else:
        with subject.raising(f"A {name} does not pickle"):
            pickled = pickle.dumps(model)
    outputs = subject.outputs(model, inputs)
    with subject.raising(f"What {name} returns ({type(outputs).__name__}) does not pickle"):
        returned = pickle.loads(pickle.dumps(outputs))
    subject.same(
        named(returned),
        named(outputs),
        what=f"What {name} returns comes out of pickle changed",
        compared="`pickle.loads(pickle.dumps(outputs))` with the outputs",
    )
    if pickled:
        _same_again(subject, model, pickled, outputs)


def _same_again(subject: Subject, model: Any, pickled: bytes, outputs: Any) -> None:
    name = subject.model_class.__name__
    with subject.raising(f"A {name} does not come out of pickle again"):
        loaded = pickle.loads(pickled)
    _ties_kept(subject, loaded, model, through="pickle")
    subject.close(
        named(subject.outputs(loaded, subject.inputs())),
        named(outputs),
        what=f"A {name} that came through pickle gives other outputs",
        compared="the outputs of `pickle.loads(pickle.dumps(model))` with those of the model",
    )


@check("beyond.deep-copy", level="scales")
def deep_copy(subject: Subject) -> None:
    """`copy.deepcopy(model)` is a model of its own, with the same outputs and the same ties.

    The original's weights are changed afterwards: the copy must not notice.

    Hurts: exponential moving averages, reference models for preference training, and quantisation all begin with
    a deep copy; one that shares weights with its original is trained along with it, without an error.

    Change: keep no function on the model that has captured `self` or one of its tensors (a lambda, a
    `functools.partial`, a closure), and no `__deepcopy__` that shares tensors.
    """
    name = subject.model_class.__name__
    model, inputs = subject.model(), subject.inputs()
    outputs = named(subject.outputs(model, inputs))
    with subject.raising(f"A {name} cannot be deep-copied"):
        copied = copy.deepcopy(model)
    _ties_kept(subject, copied, model, through="`copy.deepcopy`")
    compared = "the outputs of `copy.deepcopy(model)` with those of the model"
    subject.close(
        named(subject.outputs(copied, inputs)),
        outputs,
        what=f"A deep copy of {name} gives other outputs",
        compared=compared,
    )
    enliven(model, seed=subject.seed + 7)
    subject.need(
        subject.differs(named(subject.outputs(model, inputs)), outputs), "its outputs do not depend on its weights"
    )
    subject.close(
        named(subject.outputs(copied, inputs)),
        outputs,
        what=f"A deep copy of {name} changes when the weights of its original do: the two share something",
        compared=f"{compared}, whose weights were changed after copying",
    )


def _ties_kept(subject: Subject, copied: Any, model: Any, *, through: str) -> None:
    subject.same(
        _ties(copied),
        _ties(model),
        what=f"Weights that are tied in {type(model).__name__} come untied through {through}, or the other way round",
        compared="which parameters are one and the same tensor, in the copy and in the model",
    )


def _ties(model: torch.nn.Module) -> list[tuple[str, ...]]:
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return sorted(tuple(group) for group in names.values() if len(group) > 1)


# --- half precision ------------------------------------------------------------------------------


@check("beyond.half-precision", level="scales")
def half_precision(subject: Subject) -> None:
    """A checkpoint loaded in bfloat16 or float16 runs, stays in that dtype, and means the same as in float32.

    The outputs are held against those of the same rounded weights computed in float32; what the CPU has no
    kernel for is left out.

    Hurts: nobody can run the model at the precision that everybody runs models at.

    Change: create tensors with `dtype=` and `device=` of the states they meet; cast what is computed in float32
    back with `.to(states.dtype)`; fill masks with `torch.finfo(states.dtype).min`, never with -1e9; name what must
    stay in float32 in `_keep_in_fp32_modules_strict`.
    """
    folder = subject.folder("model")
    original = subject.model()
    original.save_pretrained(folder)
    without: list[str] = []
    for dtype in (torch.bfloat16, torch.float16):
        try:
            _in_half(subject, original, folder, dtype)
        except _NoKernelError as error:
            without.append(f"{dtype}: {error}")
    subject.need(subject.comparisons, f"this CPU cannot run it in half precision ({'; '.join(without)})")


_NO_KERNEL = re.compile("not implemented for '|not implemented yet for|Unsupported dtype")


class _NoKernelError(Exception):
    """The CPU lacks a kernel for the dtype; that is nobody's fault."""


def _in_half(subject: Subject, original: Any, folder: Any, dtype: torch.dtype) -> None:
    name, inputs = subject.model_class.__name__, subject.inputs()
    with subject.raising(f"{name} does not load in {dtype}"):
        half = subject.model_class.from_pretrained(folder, dtype=dtype).eval()
    cast = {key: _cast(value, dtype) for key, value in inputs.items()}
    missing, outputs = "", None
    with blaming(subject, f"{name} does not run in {dtype}"):
        try:
            outputs = subject.outputs(half, cast)
        except (RuntimeError, NotImplementedError) as error:
            missing = str(error).splitlines()[0]
            if not _NO_KERNEL.search(missing):
                raise
    if missing:
        raise _NoKernelError(missing)
    rounded = copy.deepcopy(half).float()
    with _largest(rounded) as sizes:
        exact = subject.outputs(rounded, {key: _cast(value, torch.float32) for key, value in cast.items()})
    if max(sizes, default=0.0) > torch.finfo(dtype).max / 4:
        # Random weights with nothing that normalises between them: training would not leave them so.
        subject.note(f"{name} was not compared in {dtype}: its layers give {max(sizes):.0g}, in float32 as well")
        return
    before = _floats(subject.outputs(original, inputs))
    coarse = functools.cache(lambda: _coarse(subject, rounded, cast, dtype))
    _near(subject, _floats(outputs), _floats(exact), before, coarse=coarse)


def _coarse(
    subject: Subject, model: torch.nn.Module, inputs: dict[str, Any], dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Return what the float32 model gives when the output of every layer is rounded to the dtype."""

    def hook(_module: object, _inputs: object, output: object) -> object:
        if isinstance(output, torch.Tensor) and output.dtype == torch.float32:
            return output.to(dtype).float()
        return output

    handles = [each.register_forward_hook(hook) for each in model.modules() if not list(each.children())]
    try:
        return _floats(subject.outputs(model, {key: _cast(value, torch.float32) for key, value in inputs.items()}))
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _largest(model: torch.nn.Module) -> Iterator[list[float]]:
    """Collect the largest number that each layer with weights gives; what fills a mask is not among them."""
    found: list[float] = []

    def hook(_module: object, _inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.is_floating_point() and output.numel():
            found.append(float(output.abs().max()))

    layers = [each for each in model.modules() if not list(each.children()) and list(each.parameters())]
    handles = [each.register_forward_hook(hook) for each in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _near(
    subject: Subject,
    found: dict[str, torch.Tensor],
    exact: dict[str, torch.Tensor],
    original: dict[str, torch.Tensor],
    *,
    coarse: Callable[[], dict[str, torch.Tensor]],
) -> None:
    """Hold each float of the half-precision outputs against float32, within what rounding the weights moves it.

    Not where rounding what each layer gives moves it much in float32 already: a small difference of large numbers.
    """
    name = subject.model_class.__name__
    for key, value in found.items():
        expected, before = exact.get(key), original.get(key)
        if expected is None or before is None or value.shape != expected.shape or before.shape != expected.shape:
            continue
        broken = expected.isfinite() & ~value.isfinite()
        subject.require(
            not broken.any(),
            f"In {value.dtype} the output {key} of {name} has numbers that are not finite",
            compared="the outputs in half precision with those of the same weights in float32",
            found=f"{key}{broken.nonzero()[:1].flatten().tolist()} is {value[broken][:1].tolist()}",
        )
        # A router or a top-k that falls the other way moves everything behind it; then rounding alone does so too.
        noise, moved = _distance(expected, before), _distance(value, expected)
        near = moved <= max(_NEAR, 5 * noise)
        if not near and coarse()[key].shape == expected.shape and _distance(coarse()[key], expected) > _ROUGH:
            subject.note(f"{key} was not compared in {value.dtype}: rounding what the layers give moves it in float32")
            continue
        subject.require(
            near,
            f"In half precision the output {key} of {name} is not what it is in float32",
            compared="the outputs in half precision with those of the same weights in float32",
            found=f"{key}: half of the numbers are off by {moved:.0%} of their mean size or more"
            f" (rounding the weights alone: {noise:.1%})",
        )


_NEAR = 0.5
"""Median error as a share of the mean size; bfloat16 leaves some 0.01 to 0.05 after a few layers, 0.25 behind sines."""
_ROUGH = 0.3
"""The same, where float32 with rounded layers says it: beyond that, the output is mostly rounding."""


def _distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    left, right = actual.double(), expected.double()
    both = left.isfinite() & right.isfinite()
    if not both.any():
        return 0.0
    return float((left - right)[both].abs().median() / right[both].abs().mean().clamp_min(1e-6))


def _floats(outputs: Any) -> dict[str, torch.Tensor]:
    return {name: value for name, value in named(outputs).items() if value.is_floating_point() and value.numel()}


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    return [_cast(each, dtype) for each in value] if isinstance(value, list) else value


# --- hooks and threads ---------------------------------------------------------------------------


@check("beyond.submodules-called", level="scales")
def submodules_called(subject: Subject) -> None:
    """Every submodule runs by being called, never by its `forward`.

    Hurts: `forward` skips hooks, so that offloading finds no weights there, FSDP does not gather them, LoRA
    and activation recording see nothing, and gradient checkpointing does not happen.

    Change: write `self.layer(states)`, not `self.layer.forward(states)`.
    """
    model, inputs = subject.model(), subject.inputs()
    with called_directly(model) as found:
        model(**inputs)
    # The model itself was called by this check, and so was at least one module.
    where = "; ".join(f"{name} at {place}" for name, place in list(found.items())[:3])
    subject.require(
        not found,
        f"{subject.model_class.__name__} calls `forward` of {next(iter(found), '')} instead of calling the module",
        compared="the calls of each submodule's `forward` with the calls of the submodule",
        found=where,
    )


@check("beyond.threads", level="scales")
def threads(subject: Subject) -> None:
    """Two threads that run the same model at the same time do not disturb each other.

    They take turns at every submodule, so that each meets whatever the other left on the model.

    Hurts: a server that runs requests in threads mixes up its users' data, under load and only then.

    Change: pass what belongs to one call through arguments and return values; keep nothing of it on `self`.
    """
    model = subject.model()
    first, second = subject.inputs(), subject.inputs(seed=1)
    alone = [named(subject.outputs(model, each)) for each in (first, second)]
    with torch.no_grad():
        again = named(model(**first))
    if subject.differs(again, alone[0]):
        raise NotApplicableError(reason="it draws random numbers in eval mode, from a generator that threads share")
    subject.need(subject.differs(*alone), "its outputs do not depend on the contents of its inputs")
    turns = Turns()
    with blaming(subject, f"{subject.model_class.__name__} fails when two threads run it at the same time"):
        together = turns.run(model, lambda: _quiet(model, first), lambda: _quiet(model, second))
    subject.need(turns.switches, "it has no submodules between which threads could change")
    subject.close(
        [named(each) for each in together],
        alone,
        what=f"{subject.model_class.__name__} gives other outputs when another thread runs it at the same time",
        compared="the outputs of two passes in two threads at once with those of each pass alone",
    )


def _quiet(model: Any, inputs: Any) -> Any:
    # Whether gradients are recorded is a setting of the thread.
    with torch.no_grad():
        return model(**inputs)

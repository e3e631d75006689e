"""Beyond eager mode: `torch.compile` and `torch.export`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from autoreg.conformance.check import check
from autoreg.conformance.checks.blame import blaming
from autoreg.conformance.checks.outputs import named
from autoreg.conformance.fields import nested
from autoreg.conformance.subject import Subject
from autoreg.errors import NotApplicableError

__all__ = ["compiled", "exported"]

_LONGER = (3, 5)
"""How many tokens are added to the text in further passes."""


@check("beyond.compile", level="scales", cost="slow")
def compiled(subject: Subject) -> None:
    """`torch.compile` with `fullgraph=True` turns the model into one graph, once for all inputs of the same sizes.

    The graph runs in eager mode, so no compiler is needed.

    Hurts: users who compile get an error, or a model that is compiled again with each call and is slower than before.

    Change: decide nothing by the values of tensors (`if mask.any():`, `.item()`, `.tolist()`), loop over layers and
    not over positions, and count nothing on `self` in `forward`. Where that cannot be, declare
    `_can_compile_fullgraph = False` on the class.
    """
    name = subject.model_class.__name__
    _need_graph(subject)
    model = subject.model(uncached(subject.config()))
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, example: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    with _fresh():
        fast = torch.compile(model, backend=backend, fullgraph=True)
        counts = []
        for inputs in _passes(subject):
            with blaming(subject, f"`torch.compile(model, fullgraph=True)` of {name} fails"):
                outputs = named(subject.outputs(fast, inputs))
            counts.append(len(graphs))
            subject.close(
                outputs,
                named(subject.outputs(model, inputs)),
                what=f"{name} gives other outputs when it is compiled",
                compared="the outputs of `torch.compile(model, backend=…, fullgraph=True)` with those of the model",
            )
    subject.require(
        counts[1] == counts[0],
        f"{name} is compiled anew for every call",
        compared="the number of graphs after the first pass and after one over other contents of the same sizes",
        found=f"{counts[0]} and {counts[1]}",
    )
    _note_lengths(subject, counts)


def _note_lengths(subject: Subject, counts: list[int]) -> None:
    # A recurrence in plain torch is a loop over positions, which is unrolled: slow to compile, and not wrong.
    if len(counts) > _SAME and counts[-1] - counts[0] == len(counts) - _SAME:
        subject.note("It is compiled anew for every length of the text.")


_SAME = 2
"""How many of the passes have the sizes of the first."""


@check("beyond.export", level="scales", cost="slow")
def exported(subject: Subject) -> None:
    """`torch.export` turns the model into a program that gives the same outputs, for batches of any size.

    Hurts: no ONNX, ExecuTorch, AOTInductor or TensorRT, and no check of the graph by anybody.

    Change: decide nothing by the values of tensors (`if mask.any():`, `.item()`, `.tolist()`); do not turn sizes
    into constants (`int(length)` in a Python loop, a table of fixed length). Where that cannot be, declare
    `_can_compile_fullgraph = False` on the class.
    """
    name = subject.model_class.__name__
    _need_graph(subject)
    model, inputs = subject.model(uncached(subject.config())), subject.inputs()
    shapes = {key: _dynamic(subject, key, value) for key, value in inputs.items()}
    with torch.no_grad(), blaming(subject, f"`torch.export` of {name} fails"):
        program = torch.export.export(model, args=(), kwargs=dict(inputs), dynamic_shapes=shapes, strict=False)
    run = program.module()
    compared = "the outputs of `torch.export.export(model, …).module()` with those of the model"
    other = subject.inputs(batch_size=3) if subject.can("batching") else subject.inputs(seed=1)
    for changed in (inputs, other):
        with blaming(subject, f"The exported {name} runs for the batch that it was exported with only"):
            outputs = named(subject.outputs(run, changed))
        what = f"{name} gives other outputs when it is exported"
        subject.close(outputs, named(subject.outputs(model, changed)), what=what, compared=compared)
    length = _length(subject)
    if length is not None:
        longer = subject.inputs(length=length + _LONGER[0])
        try:
            outputs = named(subject.outputs(run, longer))
        except (AssertionError, RuntimeError):
            # A recurrence in plain torch is a loop over positions, which is unrolled.
            subject.note("The exported program is for texts of one length.")
            return
        what = f"{name} gives other outputs for longer texts when it is exported"
        subject.close(outputs, named(subject.outputs(model, longer)), what=what, compared=compared)


def _need_graph(subject: Subject) -> None:
    """Raise NotApplicableError where the class itself declares that it makes no single graph."""
    for ancestor in subject.model_class.__mro__:
        if ancestor is PreTrainedModel:
            return
        if vars(ancestor).get("_can_compile_fullgraph") is False:
            raise NotApplicableError(reason=f"{ancestor.__name__} declares `_can_compile_fullgraph = False`")
        if "_can_compile_fullgraph" in vars(ancestor):
            return


def uncached(config: Any) -> Any:
    """Switch off the cache, whose growing is not what is looked at, in the config and its parts, and return it."""
    for each in (config, *nested(config).values()):
        if hasattr(each, "use_cache"):
            each.use_cache = False
    return config


@contextmanager
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    try:
        yield
    finally:
        torch._dynamo.reset()


def _passes(subject: Subject) -> Iterator[Any]:
    yield subject.inputs()
    yield subject.inputs(seed=1)
    length = _length(subject)
    if length is not None:
        for more in _LONGER:
            yield subject.inputs(length=length + more)


def _length(subject: Subject) -> int | None:
    """Return how long the text of the derived inputs is; None where none of them has a length."""
    inputs = subject.inputs()
    for each in subject.derivation.inputs:
        if each.length_axis is not None and isinstance(inputs[each.name], torch.Tensor):
            return int(inputs[each.name].shape[each.length_axis])
    return None


def _dynamic(subject: Subject, name: str, value: Any) -> Any:
    about = next((each for each in subject.derivation.inputs if each.name == name), None)
    if about is None or not isinstance(value, torch.Tensor):
        return None
    axes = [axis for axis in (about.batch_axis, about.length_axis) if axis is not None]
    return dict.fromkeys(axes, torch.export.Dim.AUTO) or None

"""Arguments that count for nothing: where two are given of which a model reads one, the other one is idle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from autoreg.conformance.derive.inputs.plan import Plan
from autoreg.conformance.derive.trial import run

__all__ = ["differ", "idle"]

_CONTENTS = frozenset({"ids", "pixels", "audio", "series", "values"})


def idle(model: Any, config: Any, plan: Plan) -> frozenset[str]:
    """Return the arguments with contents of their own that may hold anything: the outputs stay what they are."""
    inputs, others = plan.make(config, seed=0), plan.make(config, seed=1)
    usual = run(model, inputs)
    if usual.error is not None:
        return frozenset()
    found = set()
    for name in (name for name, form in plan.forms.items() if form.kind in _CONTENTS):
        changed = run(model, {**inputs, name: others[name]})
        if changed.error is None and not differ(usual.outputs, changed.outputs):
            found.add(name)
    return frozenset(found)


def differ(first: Any, second: Any) -> bool:
    """Say whether a tensor of two nested values differs."""
    pairs = zip(_tensors(first), _tensors(second), strict=False)
    return any(one.shape != other.shape or not torch.equal(one, other) for one, other in pairs)


def _tensors(outputs: Any) -> Iterator[torch.Tensor]:
    if isinstance(outputs, torch.Tensor):
        yield outputs
    elif isinstance(outputs, (dict, list, tuple)):
        for each in outputs.values() if isinstance(outputs, dict) else outputs:
            yield from _tensors(each)

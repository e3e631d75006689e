"""Masks that hide: where ones mean padding, a mask of ones leaves nothing of what it lies over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from autoreg.conformance.derive.inputs import audio
from autoreg.conformance.derive.inputs.plan import Plan
from autoreg.conformance.derive.trial import run

__all__ = ["shown"]


def shown(model: Any, config: Any, plan: Plan) -> Plan:
    """Return the plan with a mask of zeros over the sound, where the outputs depend on nothing with one of ones."""
    masks = [name for name, form in plan.forms.items() if form in audio.FRAME_MASK]
    if not masks or _depends(model, config, plan):
        return plan
    others = (plan.having(name, form) for name in masks for form in audio.FRAME_PADDING)
    return next((other for other in others if _depends(model, config, other)), plan)


def _depends(model: Any, config: Any, plan: Plan) -> bool:
    """Say whether the outputs are others with other numbers in the inputs."""
    first, second = (run(model, plan.make(config, seed=seed)) for seed in (0, 1))
    if first.error is not None or second.error is not None:
        return False
    pairs = zip(_tensors(first.outputs), _tensors(second.outputs), strict=False)
    return any(one.shape != other.shape or not torch.equal(one, other) for one, other in pairs)


def _tensors(outputs: Any) -> Iterator[torch.Tensor]:
    if isinstance(outputs, torch.Tensor):
        yield outputs
    elif isinstance(outputs, (dict, list, tuple)):
        for each in outputs.values() if isinstance(outputs, dict) else outputs:
            yield from _tensors(each)

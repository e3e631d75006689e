"""Masks that hide: where ones mean padding, a mask of ones leaves nothing of what it lies over."""

from __future__ import annotations

from typing import Any

from autoreg.conformance.derive.inputs import audio
from autoreg.conformance.derive.inputs.idle import differ
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
    return first.error is None and second.error is None and differ(first.outputs, second.outputs)

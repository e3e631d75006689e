"""One class on a real accelerator, beside what `forward.device` says of it on the CPU."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.natives.subjects import Architecture, Subject

__all__ = ["compare"]

_MIXED = ("same device", "tensor for argument", "indices should be either on", "is on cpu", "at least two devices")


def compare(architecture: Architecture, subject: Subject, kept: dict[str, Any]) -> dict[str, Any]:
    """Return the row of one class: the check's verdict, and what happens where everything is moved to the GPU.

    `kept` holds the subject of the base model for the classes after it.
    """
    import torch
    import transformers
    from torch.utils._pytree import tree_map

    from autoreg.conformance import subject as conformance
    from autoreg.conformance.target import native_target
    from autoreg.errors import DerivationError

    target = kept.setdefault("target", native_target(architecture.model_type))
    model_class = getattr(transformers, subject.name)
    with tempfile.TemporaryDirectory() as folder:
        try:
            looked_at = conformance.Subject(target, model_class, scratch=Path(folder), base=kept.get("base"))
            kept.setdefault("base", looked_at)
            inputs, model = looked_at.inputs(), looked_at.model()
        except DerivationError as error:
            return {"ok": False, "error": error.problem[:200]}
        row = {"ok": True, "on": f"{torch.cuda.get_device_name()}, torch {torch.__version__}", **_verdict(looked_at)}
        looked_at.outputs(model, inputs)  # the check does too, before it moves the model: what is kept stays behind
        try:
            moved = tree_map(lambda each: each.cuda() if isinstance(each, torch.Tensor) else each, inputs)
            outputs = dict(looked_at.outputs(model.cuda(), moved))
        except Exception as error:  # what a user of the GPU would see
            text = " ".join(str(error).split())
            kind = "mixes devices" if any(each in text for each in _MIXED) else "another error"
            return row | {"gpu": kind, "gpu_error": f"{type(error).__name__}: {text}"[:300]}
        stray = [name for name, each in outputs.items() if isinstance(each, torch.Tensor) and not each.is_cuda]
        return row | {"gpu": "mixes devices" if stray else "runs", "gpu_error": ", ".join(stray)}


def _verdict(looked_at: Any) -> dict[str, str]:
    from autoreg.conformance.checks.forward import device
    from autoreg.errors import MismatchError, NotApplicableError

    try:
        device(looked_at)
    except MismatchError as error:
        return {"check": "failed", "reason": f"{error.problem}; {error.difference}"[:300]}
    except NotApplicableError as error:
        return {"check": "not applicable", "reason": error.reason[:300]}
    return {"check": "passed", "reason": ""}

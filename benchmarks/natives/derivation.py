"""One class: derive it, and say what came of it in a row."""

from __future__ import annotations

from typing import Any

from benchmarks.natives.subjects import Architecture, Subject

__all__ = ["attempt"]


def attempt(architecture: Architecture, subject: Subject, kept: dict[str, Any]) -> dict[str, Any]:
    """Return the row of one class; `kept` holds the derivation of the base model for the classes after it."""
    import transformers

    from autoreg.conformance.derive import derive
    from autoreg.errors import DerivationError

    try:
        derived = derive(
            getattr(transformers, subject.name),
            config_class=getattr(transformers, architecture.config),
            auto_classes=subject.auto_classes,
            start=kept.get("start"),
        )
    except DerivationError as error:
        return _failed(category(error), error.problem, tried=error.tried)
    except MemoryError as error:
        return _failed("memory", str(error))
    except ImportError as error:
        return _failed("needs package", str(error))
    except Exception as error:
        return _failed("bug", f"{type(error).__name__}: {error}")
    kept.setdefault("start", derived)
    size = sum(each.numel() for each in derived.model_class(derived.config).parameters())
    return {
        "ok": True,
        "attempts": derived.attempts,
        "parameters": size,
        "inputs": [each.name for each in derived.inputs],
        "loss": bool(derived.label_recipes),
        **_varied(derived),
    }


def _varied(derived: Any) -> dict[str, Any]:
    """Run what was derived with other rows, length and seed; say what went wrong, and whether NaN came."""
    import torch

    torch.manual_seed(0)
    model = derived.model_class._from_config(derived.config).eval()
    inputs = derived.make_inputs(batch_size=3, length=derived.sizes.length + 3, seed=1)
    try:
        with torch.no_grad():
            outputs = model(**inputs)
    except Exception as error:  # a finding, not a failure of the sweep
        return {"varied": f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]}
    values = outputs.values() if hasattr(outputs, "values") else outputs
    tensors = [value for value in values if isinstance(value, torch.Tensor) and value.is_floating_point()]
    return {"varied": "", "nan": any(bool(value.isnan().any()) for value in tensors)}


def category(error: Any) -> str:
    """Return why a derivation failed: for want of a package, of the network, or of wit."""
    cause = error.__cause__
    while cause is not None:
        if isinstance(cause, ImportError):
            return "needs package"
        if "offline" in type(cause).__name__.lower() or "LocalEntryNotFound" in type(cause).__name__:
            return "download"
        cause = cause.__cause__ or cause.__context__
    return "derivation failed"


def _failed(kind: str, error: str, *, tried: str = "") -> dict[str, Any]:
    lines = [line for line in error.strip().splitlines() if line.strip()] or [""]
    return {
        "ok": False,
        "category": kind,
        "error": lines[0][:300] + (f" … {lines[-1][:200]}" if lines[1:] else ""),
        "tried": tried,
    }

"""An image captioner for transformers; the classes load on first use, so importing this package costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .configuration_captioner import CaptionerConfig
    from .modeling_captioner import CaptionerForConditionalGeneration, CaptionerModel
    from .processing_captioner import CaptionerProcessor

__all__ = [
    "CaptionerConfig",
    "CaptionerForConditionalGeneration",
    "CaptionerModel",
    "CaptionerProcessor",
]

_MODULES = {
    "CaptionerConfig": "configuration_captioner",
    "CaptionerForConditionalGeneration": "modeling_captioner",
    "CaptionerModel": "modeling_captioner",
    "CaptionerProcessor": "processing_captioner",
}


def __getattr__(name: str) -> Any:
    """Import the module that holds `name`, and hand out its class; AttributeError for anything else."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

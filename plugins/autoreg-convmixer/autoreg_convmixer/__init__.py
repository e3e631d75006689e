"""ConvMixer for transformers; the classes load on first use, so importing this package costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .configuration_convmixer import ConvMixerConfig
    from .image_processing_convmixer import ConvMixerImageProcessor
    from .image_processing_pil_convmixer import ConvMixerImageProcessorPil
    from .modeling_convmixer import ConvMixerBackbone, ConvMixerForImageClassification, ConvMixerModel

__all__ = [
    "ConvMixerBackbone",
    "ConvMixerConfig",
    "ConvMixerForImageClassification",
    "ConvMixerImageProcessor",
    "ConvMixerImageProcessorPil",
    "ConvMixerModel",
]

_MODULES = {
    "ConvMixerBackbone": "modeling_convmixer",
    "ConvMixerConfig": "configuration_convmixer",
    "ConvMixerForImageClassification": "modeling_convmixer",
    "ConvMixerImageProcessor": "image_processing_convmixer",
    "ConvMixerImageProcessorPil": "image_processing_pil_convmixer",
    "ConvMixerModel": "modeling_convmixer",
}


def __getattr__(name: str) -> Any:
    """Import the module that holds `name`, and hand out its class.

    Raises:
        AttributeError: There is no such name.
        ImportError: `ConvMixerImageProcessor` where torchvision is not installed.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

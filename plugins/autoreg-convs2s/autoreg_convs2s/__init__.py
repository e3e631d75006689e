"""ConvS2S for transformers; the classes load on first use, so importing this package costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .configuration_convs2s import ConvS2SConfig
    from .modeling_convs2s import ConvS2SForConditionalGeneration, ConvS2SModel
    from .tokenization_convs2s import ConvS2STokenizer

__all__ = [
    "ConvS2SConfig",
    "ConvS2SForConditionalGeneration",
    "ConvS2SModel",
    "ConvS2STokenizer",
]

_MODULES = {
    "ConvS2SConfig": "configuration_convs2s",
    "ConvS2SForConditionalGeneration": "modeling_convs2s",
    "ConvS2SModel": "modeling_convs2s",
    "ConvS2STokenizer": "tokenization_convs2s",
}


def __getattr__(name: str) -> Any:
    """Import the module that holds `name`, and hand out its class; AttributeError for anything else."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

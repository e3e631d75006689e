"""gMLP for transformers; the classes load on first use, so importing this package costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .configuration_gmlp import GMLPConfig
    from .modeling_gmlp import (
        GMLPForMaskedLM,
        GMLPForSequenceClassification,
        GMLPForTokenClassification,
        GMLPModel,
    )
    from .tokenization_gmlp import GMLPTokenizer

__all__ = [
    "GMLPConfig",
    "GMLPForMaskedLM",
    "GMLPForSequenceClassification",
    "GMLPForTokenClassification",
    "GMLPModel",
    "GMLPTokenizer",
]

_MODULES = {
    "GMLPConfig": "configuration_gmlp",
    "GMLPForMaskedLM": "modeling_gmlp",
    "GMLPForSequenceClassification": "modeling_gmlp",
    "GMLPForTokenClassification": "modeling_gmlp",
    "GMLPModel": "modeling_gmlp",
    "GMLPTokenizer": "tokenization_gmlp",
}


def __getattr__(name: str) -> Any:
    """Import the module that holds `name`, and hand out its class; AttributeError for anything else."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

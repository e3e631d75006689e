"""RetNet for transformers; the classes load on first use, so importing this package costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .configuration_retnet import RetNetConfig
    from .modeling_retnet import RetNetForCausalLM, RetNetForSequenceClassification, RetNetModel
    from .tokenization_retnet import RetNetTokenizer

__all__ = [
    "RetNetConfig",
    "RetNetForCausalLM",
    "RetNetForSequenceClassification",
    "RetNetModel",
    "RetNetTokenizer",
]

_MODULES = {
    "RetNetConfig": "configuration_retnet",
    "RetNetForCausalLM": "modeling_retnet",
    "RetNetForSequenceClassification": "modeling_retnet",
    "RetNetModel": "modeling_retnet",
    "RetNetTokenizer": "tokenization_retnet",
}


def __getattr__(name: str) -> Any:
    """Import the module that holds `name`, and hand out its class; AttributeError for anything else."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

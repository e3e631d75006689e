"""N-HiTS for transformers; the classes load on first use, so importing this package costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .configuration_nhits import NHitsConfig
    from .feature_extraction_nhits import NHitsFeatureExtractor
    from .modeling_nhits import NHitsForPrediction, NHitsModel

__all__ = ["NHitsConfig", "NHitsFeatureExtractor", "NHitsForPrediction", "NHitsModel"]

_MODULES = {
    "NHitsConfig": "configuration_nhits",
    "NHitsFeatureExtractor": "feature_extraction_nhits",
    "NHitsForPrediction": "modeling_nhits",
    "NHitsModel": "modeling_nhits",
}


def __getattr__(name: str) -> Any:
    """Import the module that holds `name`, and hand out its class; AttributeError for anything else."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

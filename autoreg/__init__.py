"""A model architecture as an ordinary Python package.

`import autoreg` costs nothing: every name here is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

_HOME = {
    "Architecture": "architecture",
    "AutoregError": "errors",
    "AutoregWarning": "errors",
    "CheckpointError": "errors",
    "CheckpointNotFoundError": "errors",
    "ClassRef": "architecture",
    "ConflictError": "errors",
    "DeclarationError": "errors",
    "PluginError": "errors",
    "RemoteCodeError": "errors",
    "StrictError": "errors",
    "UnknownArchitectureError": "errors",
    "activate": "runtime",
    "hookimpl": "hookspecs",
    "isolated": "runtime",
}

__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"autoreg.{_HOME[name]}"), name)
    elif name.startswith("Auto"):
        value = importlib.import_module("autoreg.auto").drop_in(name)
    elif name == "__version__":
        value = importlib.import_module("importlib.metadata").version("autoreg")
    else:
        raise AttributeError(f"module 'autoreg' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from autoreg import natives

    return sorted({*__all__, *natives.auto_classes(), *natives.PROCESSING_AUTO_CLASSES})

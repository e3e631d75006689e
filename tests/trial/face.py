"""The two faces of a load or a save: plain transformers with the classes registered by hand, and autoreg."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from tests.trial.architecture import MODELS

__all__ = ["Autoreg", "Face", "Plain", "register"]

_OURS = frozenset({"strict", "allow_pickle", "verify", "isolate"})


class Face:
    """What a case calls."""

    name = ""

    def load(self, source: Any, auto_class: str = "AutoModelForCausalLM", **options: Any) -> Any:
        """Load with an Auto class."""
        raise NotImplementedError

    def save(self, obj: Any, folder: Any, **options: Any) -> Any:
        """Save."""
        raise NotImplementedError

    def plug(self, site: Path) -> None:
        """Make the plugins in a folder known."""
        raise NotImplementedError


class Plain(Face):
    """transformers, as its users use it."""

    name = "plain"

    def load(self, source: Any, auto_class: str = "AutoModelForCausalLM", **options: Any) -> Any:
        import transformers

        plain = {name: value for name, value in options.items() if name not in _OURS}
        return getattr(transformers, auto_class).from_pretrained(source, **plain)

    def save(self, obj: Any, folder: Any, **options: Any) -> Any:
        return obj.save_pretrained(folder, **options)

    def plug(self, site: Path) -> None:
        sys.path.insert(0, str(site))
        for package in sorted(path.parent.name for path in site.glob("*/configuration.py")):
            register(package)


class Autoreg(Face):
    """autoreg's drop-in classes."""

    name = "autoreg"

    def load(self, source: Any, auto_class: str = "AutoModelForCausalLM", **options: Any) -> Any:
        import autoreg

        return getattr(autoreg, auto_class).from_pretrained(source, **options)

    def save(self, obj: Any, folder: Any, **options: Any) -> Any:
        import autoreg

        return autoreg.save_pretrained(obj, folder, **options)

    def plug(self, site: Path) -> None:
        sys.path.insert(0, str(site))


def register(package: str) -> None:
    """Register a plugin's classes as its README would have one do without autoreg."""
    import transformers

    configuration = importlib.import_module(f"{package}.configuration")
    config: Any = next(value for value in vars(configuration).values() if _own(value, configuration, "Config"))
    transformers.AutoConfig.register(config.model_type, config)
    modeling = importlib.import_module(f"{package}.modeling")
    for auto_class, reference in MODELS.items():
        suffix = reference.partition("{0}")[2]
        model = next((value for value in vars(modeling).values() if _own(value, modeling, suffix)), None)
        if model is not None and not model.__name__.endswith("PreTrainedModel"):
            getattr(transformers, auto_class).register(config, model)


def _own(value: Any, module: Any, suffix: str) -> bool:
    own = isinstance(value, type) and value.__module__ == module.__name__
    return own and value.__name__.endswith(suffix) and "PreTrained" not in value.__name__

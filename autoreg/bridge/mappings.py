"""The dicts that answer `in` from the installed metadata and import a class on `[]`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from autoreg.bridge.classes import Classes
from autoreg.errors import PluginError

__all__ = ["Configs", "Content", "Models", "Names", "Processing"]


class Content(dict[Any, Any]):
    """A mapping's `_extra_content`: what users registered and what was resolved is stored, the rest is lazy.

    `keys`, `items`, `len` and pickling see what is stored and so never import or raise.
    """

    def __init__(self, stored: Mapping[Any, Any], classes: Classes) -> None:
        super().__init__(stored)
        self.classes = classes
        self.resolved: dict[Any, Any] = {}

    def model_type(self, key: Any) -> str | None:
        """Return the model type behind a key, if a plugin answers for it."""
        raise NotImplementedError

    def offered(self, model_type: str) -> bool:
        """Say whether the plugin's declaration has a value for this mapping."""
        raise NotImplementedError

    def resolve(self, model_type: str) -> Any:
        """Import and return the value."""
        raise NotImplementedError

    def demoted(self, key: Any) -> bool:
        """Say whether what others registered under this key is to be ignored: the user chose the owner."""
        name = key if isinstance(key, str) else getattr(key, "model_type", None)
        foreign = super().__contains__(key) and self.resolved.get(key) is not super().__getitem__(key)
        return foreign and isinstance(name, str) and self.classes.plugins.preferred(name)

    def __contains__(self, key: object) -> bool:
        if super().__contains__(key) and not self.demoted(key):
            return True
        model_type = self.model_type(key)
        return model_type is not None and self.offered(model_type)

    def __getitem__(self, key: Any) -> Any:
        stored = super().__contains__(key)
        if stored and not self.demoted(key):
            return super().__getitem__(key)
        model_type = self.model_type(key)
        if model_type is None or not self.offered(model_type):
            raise KeyError(key)
        value = self.resolve(model_type)
        if stored:  # what others registered stays theirs, for when the bridge goes
            return value
        self.resolved[key] = value
        return self.setdefault(key, value)

    def get(self, key: Any, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def registered(self) -> dict[Any, Any]:
        """Return what was stored by others than the bridge."""
        return {key: value for key, value in self.items() if self.resolved.get(key) is not value}


class Configs(Content):
    """CONFIG_MAPPING: model type → config class."""

    def model_type(self, key: Any) -> str | None:
        return key if isinstance(key, str) and self.classes.plugins.owns(key) else None

    def offered(self, model_type: str) -> bool:
        return True

    def resolve(self, model_type: str) -> Any:
        return self.classes.config(model_type)


class ByConfig(Content):
    """A mapping keyed by config class: the key is recognised by identity, never by its name."""

    def model_type(self, key: Any) -> str | None:
        name = getattr(key, "model_type", None)
        if not isinstance(name, str) or not self.classes.plugins.owns(name):
            return None
        return name if self.classes.config(name) is key else None


class Models(ByConfig):
    """One Auto class's mapping: config class → model class, or several."""

    def __init__(self, stored: Mapping[Any, Any], classes: Classes, *, auto_class: str, names: Any) -> None:
        super().__init__(stored, classes)
        self.auto_class = auto_class
        self.names = names

    def offered(self, model_type: str) -> bool:
        return self.auto_class in self.classes.architecture(model_type).models

    def resolve(self, model_type: str) -> Any:
        value = self.classes.models(model_type, self.auto_class)
        # The Trainer and some pipelines know models only from these tables of names (label smoothing shifts
        # the labels of what they list as a causal language model, and of nothing else).
        if isinstance(self.names, dict):
            names = tuple(item.__name__ for item in value) if isinstance(value, tuple) else value.__name__
            self.names.setdefault(model_type, names)
        return value

    def values(self) -> Any:  # typeshed's `dict_values` cannot be named
        """Return the classes of every plugin that is in use, though its model was built without an Auto class."""
        for model_type in self.classes.plugins.imported():
            self._notice(model_type)
        return super().values()

    def _notice(self, model_type: str) -> None:
        """Store the plugin's class if its module is imported already; import and raise nothing."""
        try:
            architecture = self.classes.plugins.architecture(model_type)
            references = architecture.models.get(self.auto_class, ())
            listed = references if isinstance(references, tuple) else (references,)
            wanted = [*listed, architecture.config] if listed else []
            if wanted and all(reference and reference.module in sys.modules for reference in wanted):
                self.get(self.classes.config(model_type))
        except (PluginError, ValueError):
            return


class Processing(ByConfig):
    """A tokenizer or processor mapping: config class → class, or backend → class."""

    def __init__(self, stored: Mapping[Any, Any], classes: Classes, *, field: str) -> None:
        super().__init__(stored, classes)
        self.field = field

    def offered(self, model_type: str) -> bool:
        return getattr(self.classes.architecture(model_type), self.field) is not None

    def resolve(self, model_type: str) -> Any:
        return self.classes.processing(model_type, self.field)


class Names(dict[str, Any]):
    """`transformers._objects`: what `getattr(transformers, name)` and every by-name look-up fall back on."""

    def __init__(self, stored: Mapping[str, Any], classes: Classes, module: ModuleType) -> None:
        super().__init__(stored)
        self.classes = classes
        self.module = module

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        if not isinstance(name, str) or not name[:1].isupper() or self._native(name):
            return False
        return self.classes.plugins.named(name) is not None

    def __getitem__(self, name: str) -> Any:
        if super().__contains__(name):
            return super().__getitem__(name)
        found = self.classes.plugins.named(name)
        if found is None:
            raise KeyError(name)
        return self.classes.by_name(*found)

    def _native(self, name: str) -> bool:
        # This dict is asked before transformers' own names, at each first access to any of them.
        return any(name in getattr(self.module, table, ()) for table in ("_class_to_module", "_modules"))

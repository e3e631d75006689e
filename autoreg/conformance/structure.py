"""The modules and parameters of an architecture, as the names in a class's tables have to match them."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch

__all__ = ["Structure"]

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
_WORD = re.compile(r"[A-Za-z_]\w*")


class Structure:
    """What one or several models are made of.

    Args:
        models: on whichever device; nothing is run.
    """

    def __init__(self, models: Iterable[Any]) -> None:
        self.models = tuple(models)

    @cached_property
    def classes(self) -> frozenset[type]:
        """The classes of all modules, with the classes that they inherit from."""
        kinds = {type(module) for model in self.models for module in model.modules()}
        return frozenset(parent for kind in kinds for parent in kind.__mro__)

    @cached_property
    def tensors(self) -> frozenset[str]:
        """The names of all parameters and buffers, tied ones under each of their names."""
        found: set[str] = set()
        for model in self.models:
            found.update(name for name, _ in model.named_parameters(remove_duplicate=False))
            found.update(name for name, _ in model.named_buffers(remove_duplicate=False))
        return frozenset(found)

    @cached_property
    def paths(self) -> frozenset[str]:
        """The dotted names of all modules and tensors, and the same with `*` for the number of a layer."""
        found = set(self.tensors)
        for model in self.models:
            found.update(name for name, _ in model.named_modules(remove_duplicate=False))
        return frozenset(found | {_NUMBER.sub("*", name) for name in found})

    @cached_property
    def words(self) -> frozenset[str]:
        """The single names in the dotted ones."""
        return frozenset(word for path in self.paths for word in _WORD.findall(path))

    @cached_property
    def arguments(self) -> frozenset[str]:
        """The names of the arguments of every module's `forward`."""
        kinds = {type(module) for model in self.models for module in model.modules()}
        return frozenset(name for kind in kinds for name in inspect.signature(kind.forward).parameters)

    @cached_property
    def source(self) -> str:
        """The text of every file that defines one of the classes; torch's own are left out."""
        names = {kind.__module__ for kind in self.classes} - {"builtins", "typing", "abc"}
        texts = []
        for name in sorted(name for name in names if not name.startswith("torch.")):
            with contextlib.suppress(OSError, TypeError, KeyError):
                texts.append(inspect.getsource(sys.modules[name]))
        return "\n".join(texts)

    def has(self, entry: str) -> bool:
        """Say whether a module or tensor has this name, as seen from a model or from one of its parts."""
        name = _NUMBER.sub("*", entry)
        # The plan of a nested config is written as seen from the part that is built from it.
        return name in self.paths or any(path.endswith(f".{name}") for path in self.paths)

    def possible(self, entry: str) -> bool:
        """Say whether another config may give what the entry names: the source sets a name that is not here now."""
        absent = [word for word in _WORD.findall(entry) if word not in self.words]
        return bool(absent) and all(re.search(rf"\bself\.{word}\b", self.source) for word in absent)

    def defines(self, name: str) -> bool:
        """Say whether a module is of a class of this name, or the files that define the modules have one."""
        if any(kind.__name__ == name for kind in self.classes):
            return True
        found = (getattr(sys.modules.get(kind.__module__), name, None) for kind in self.classes)
        return any(isinstance(each, type) and issubclass(each, torch.nn.Module) for each in found)

    def records(self, recorder: Any) -> bool:
        """Say whether there may be a module that an entry of `_can_record_outputs` stands for."""
        name = recorder if isinstance(recorder, str) else getattr(recorder, "class_name", None)
        if name is not None and any(path.endswith(name) for path in self.paths):
            return True
        kind = recorder if isinstance(recorder, type) else getattr(recorder, "target_class", None)
        return kind is not None and (kind in self.classes or self.defines(kind.__name__))

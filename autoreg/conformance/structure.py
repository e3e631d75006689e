"""The modules and parameters of an architecture, as the names in a class's tables have to match them."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
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
        """The names of the arguments of every `forward`, those of module classes that no model is made of included."""
        kinds = {*(type(module) for model in self.models for module in model.modules()), *self._idle()}
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
        """Say whether another config may give what the entry names.

        It may where the source sets a name that is nowhere now; where a module class that is not in use now (a dense
        layer beside sparse ones) sets the last name of the entry; and where one of the names before it is given
        modules of different classes.
        """
        words = _WORD.findall(entry)
        absent = [word for word in words if word not in self.words]
        if absent:
            return all(re.search(rf"\bself\.{word}\b", self.source) for word in absent)
        if words and re.search(rf"\bself\.{words[-1]}\b", self.idle):
            return True
        return any(len(self._made(word)) > 1 for word in words[:-1])

    def _made(self, word: str) -> set[str]:
        """Return the names of the classes that the source calls where it sets an attribute of this name."""
        statements = re.findall(rf"\bself\.{word} *= *((?:(?!\bself\.).){{1,200}})", self.source, re.DOTALL)
        return {name for statement in statements for name in re.findall(r"\b([A-Z]\w*)\(", statement)}

    @cached_property
    def idle(self) -> str:
        """The text of the module classes in those files that no model is made of."""
        texts = []
        for kind in self._idle():
            with contextlib.suppress(OSError, TypeError):
                texts.append(inspect.getsource(kind))
        return "\n".join(texts)

    def _idle(self) -> Iterator[Any]:
        for name in {kind.__module__ for kind in self.classes}:
            for found in list(vars(sys.modules[name]).values()):
                own = isinstance(found, type) and found.__module__ == name and not name.startswith("torch.")
                if own and issubclass(found, torch.nn.Module) and found not in self.classes:
                    yield found

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

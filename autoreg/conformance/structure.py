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

    def possible(self, entry: str) -> bool:
        """Say whether another config may give what the entry names: the source sets a name that is not here now."""
        absent = [word for word in _WORD.findall(entry) if word not in self.words]
        return bool(absent) and all(
            re.search(rf"\b(self|module)\.{word}\b|[\"']{word}[\"']", self._code) for word in absent
        )

    @cached_property
    def _code(self) -> str:
        # The tables themselves hold every entry, right or wrong.
        return re.sub(
            r"^    _?[a-z_]+(plan|keys|modules|strict|missing|unexpected|outputs|placement)\w* *(:[^=]*)?= *[\[{(][^\]})]*[\]})]",
            "",
            self.source,
            flags=re.MULTILINE,
        )

    def defines(self, name: str) -> bool:
        """Say whether one of the modules that define the classes has a module class of this name."""
        for kind in self.classes:
            found = getattr(sys.modules.get(kind.__module__), name, None)
            if isinstance(found, type) and issubclass(found, torch.nn.Module):
                return True
        return False

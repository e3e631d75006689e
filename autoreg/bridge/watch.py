"""Calls back when a module has been imported, so that installing the bridge need not import it."""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

__all__ = ["Watch"]


class Watch(importlib.abc.MetaPathFinder):
    """A finder that finds nothing itself and notices what the others find."""

    def __init__(self) -> None:
        self.waiting: dict[str, Callable[[ModuleType], None]] = {}

    def when_imported(self, name: str, act: Callable[[ModuleType], None]) -> None:
        """Call `act(module)` now if the module is imported, or as soon as it is."""
        module = sys.modules.get(name)
        initializing = getattr(getattr(module, "__spec__", None), "_initializing", False)
        if module is not None and not initializing:
            act(module)
        else:
            self.waiting[name] = act

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.waiting:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(fullname, path, target) for finder in others if hasattr(finder, "find_spec"))
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module
            # On the instance, which serves this one import: the module keeps its own loader.
            spec.loader.exec_module = functools.partial(self._execute, run)  # type: ignore[method-assign]
        return spec

    def _execute(self, run: Callable[[ModuleType], None], module: ModuleType) -> None:
        run(module)
        act = self.waiting.pop(module.__name__, None)
        if act is not None:
            act(sys.modules.get(module.__name__, module))  # transformers puts another object in its place

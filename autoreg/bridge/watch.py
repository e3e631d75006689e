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
        self.waiting[name] = act
        self.catch_up()

    def catch_up(self) -> None:
        """Call back for what was imported past this finder: begun by another thread before, or by a loader alone."""
        for name in list(self.waiting):
            module = sys.modules.get(name)
            if module is not None and not getattr(module.__spec__, "_initializing", False):
                self._tell(module, name)

    def _tell(self, module: ModuleType, name: str) -> None:
        act = self.waiting.pop(name, None)
        if act is not None:
            act(module)

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
        self._tell(sys.modules.get(module.__name__, module), module.__name__)  # transformers replaces itself there

"""transformers' mappings with the plugins in them: put in place, taken out."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from autoreg.bridge.classes import Classes
from autoreg.bridge.mappings import Configs, Content, Models, Names, Processing
from autoreg.bridge.plugins import Plugins
from autoreg.bridge.remote_code import RUN, TRUST, judged, trusted
from autoreg.bridge.tables import AUTO_PACKAGE, PROCESSING_TABLES, descendants
from autoreg.bridge.watch import Watch
from autoreg.bridge.weights import (
    BUILD,
    FILL,
    MOVE,
    RESOLVE,
    WRITE,
    Originals,
    building,
    filling,
    moving,
    resolving,
    writing,
)

__all__ = ["Bridge"]


class Bridge:
    """transformers' mappings with the plugins in them, for as long as it is installed.

    Attributes:
        unknown: the names for look-ups that this transformers does not have: plugins are registered by hand.
        unseen: the names for loading that it does not have: what is wrong in a load may go unnoticed.
    """

    def __init__(self, plugins: Plugins) -> None:
        self.unknown: list[str] = []
        self.unseen: list[str] = []
        self._watch = Watch()
        self._undo: list[Callable[[], None]] = []
        self.originals = Originals()
        self.classes = Classes(plugins, self._undo)

    def install(self) -> None:
        """Put the lazy mappings in place, in what is imported of transformers and in what will be. Imports nothing."""
        sys.meta_path.insert(0, self._watch)
        self._watch.when_imported("transformers", self._install_names)
        # This module executes transformers' `__init__` a second time: from then on there are two objects.
        self._watch.when_imported("transformers.processing_utils", self._install_names_again)
        self._watch.when_imported(f"{AUTO_PACKAGE}configuration_auto", self._install_configs)
        # Another package's Auto class may be all that is imported of them: it needs the base class alone.
        self._watch.when_imported(f"{AUTO_PACKAGE}auto_factory", self._install_models)
        # `pipeline()` runs code for a `custom_pipelines` entry in the config.
        self._watch.when_imported("transformers.pipelines", self._forbid_remote_code)
        for module in PROCESSING_TABLES:
            self._watch.when_imported(module, self._install_processing)
        self._watch.when_imported("transformers.modeling_utils", self._install_observers)

    def catch_up(self) -> None:
        """Put the lazy mappings in place where transformers was being imported when the bridge was installed."""
        self._watch.catch_up()

    def uninstall(self) -> None:
        """Leave transformers as if the bridge had never been there; what users registered stays."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self._watch]
        self._watch.waiting.clear()
        while self._undo:
            self._undo.pop()()
        self.unknown.clear()
        self.unseen.clear()
        self.classes.forget()

    def _install_names(self, module: ModuleType) -> None:
        stored = getattr(module, "_objects", None)
        if type(stored) is not dict:
            self.unknown.append("transformers._objects")
            return
        self._put(module, "_objects", Names(stored, self.classes, module))

    def _install_names_again(self, module: ModuleType) -> None:
        latest = sys.modules["transformers"]
        for each in (latest, *_earlier(latest)):
            if not isinstance(getattr(each, "_objects", None), Names):
                self._install_names(each)

    def _install_configs(self, module: ModuleType) -> None:
        self._replace(module, "CONFIG_MAPPING", Configs)
        self._forbid_remote_code(module)

    def _install_models(self, module: ModuleType) -> None:
        """Fill every Auto class for models: transformers' own, other packages', and those yet to be defined."""
        self._forbid_remote_code(module)
        base: Any = getattr(module, "_BaseAutoModelClass", None)
        if base is None:
            self.unknown.append(f"{AUTO_PACKAGE}auto_factory._BaseAutoModelClass")
            return
        for auto_class in descendants(base):
            self._install_auto_class(auto_class)

        def defined(auto_class: type, /, **options: Any) -> None:
            super(base, auto_class).__init_subclass__(**options)  # type: ignore[misc]  # `base` is found at run time
            self._install_auto_class(auto_class)

        base.__init_subclass__ = classmethod(defined)
        self._undo.append(lambda: delattr(base, "__init_subclass__"))

    def _install_auto_class(self, auto_class: type) -> None:
        mapping = vars(auto_class).get("_model_mapping")
        own = auto_class.__module__.startswith(AUTO_PACKAGE)
        if mapping is None or not (own or hasattr(mapping, "_extra_content")):
            return
        key = auto_class.__name__ if own else f"{auto_class.__module__}:{auto_class.__name__}"
        names = getattr(mapping, "_model_mapping", None)
        self._replace(auto_class, "_model_mapping", functools.partial(Models, auto_class=key, names=names))
        if isinstance(names, dict):
            before = dict(names)
            self._undo.append(lambda: _restore(names, before))

    def _install_processing(self, module: ModuleType) -> None:
        mapping, field = PROCESSING_TABLES[module.__name__]
        self._replace(module, mapping, functools.partial(Processing, field=field))
        self._forbid_remote_code(module)

    def _replace(self, holder: Any, attribute: str, content: Callable[[Mapping[Any, Any], Classes], Content]) -> None:
        mapping = getattr(holder, attribute, None)
        stored = getattr(mapping, "_extra_content", None)
        if isinstance(stored, Content):  # an Auto class of another package, over a mapping of transformers'
            return
        if type(stored) is not dict:
            self.unknown.append(f"{getattr(holder, '__name__', holder)}.{attribute}._extra_content")
            return
        lazy = content(stored, self.classes)
        mapping._extra_content = lazy  # type: ignore[union-attr]  # mypy knows only getattr's None
        self._undo.append(lambda: setattr(mapping, "_extra_content", lazy.registered()))

    def _put(self, holder: Any, attribute: str, value: Any) -> None:
        before = vars(holder)[attribute]  # `getattr` would hand out a class's function without its wrapper
        setattr(holder, attribute, value)
        self._undo.append(lambda: setattr(holder, attribute, before))

    def _install_observers(self, module: ModuleType) -> None:
        self.originals.remember()
        base: Any = module.PreTrainedModel
        plugins = self.classes.plugins
        fill, build, move = map(vars(base).get, (FILL, BUILD, MOVE))
        if hasattr(module, RESOLVE) and isinstance(fill, staticmethod):
            self._put(module, RESOLVE, resolving(getattr(module, RESOLVE), plugins))
            self._put(base, FILL, staticmethod(filling(fill.__func__, plugins)))
        else:
            self.unseen.append(f"{module.__name__}.{RESOLVE} and PreTrainedModel.{FILL}")
        if isinstance(build, classmethod) and callable(move):
            self._put(base, BUILD, classmethod(building(build.__func__, plugins)))
            self._put(base, MOVE, moving(move, plugins))
        else:
            self.unseen.append(f"PreTrainedModel.{BUILD} and PreTrainedModel.{MOVE}")
        if hasattr(module, WRITE):  # without it, the files are read once more after they were written
            self._put(module, WRITE, writing(getattr(module, WRITE), plugins))

    def _forbid_remote_code(self, module: ModuleType) -> None:
        _, field = PROCESSING_TABLES.get(module.__name__, ("", ""))
        for name, guard in ((RUN, judged), (TRUST, trusted)):
            function = getattr(module, name, None)
            if function is not None:
                self._put(module, name, guard(function, self.classes, field=field))
            elif module.__name__.startswith(AUTO_PACKAGE):
                self.unknown.append(f"{module.__name__}.{name}")


def _earlier(latest: ModuleType) -> Iterator[ModuleType]:
    """Yield the objects that modules hold as `transformers` since before there was the latest: vLLM's do."""
    found: dict[int, ModuleType] = {}
    for module in list(sys.modules.values()):
        held = getattr(module, "__dict__", {}).get("transformers")
        if isinstance(held, type(latest)) and held is not latest and held.__name__ == "transformers":
            found[id(held)] = held
    yield from found.values()


def _restore(table: dict[Any, Any], before: dict[Any, Any]) -> None:
    for key in set(table) - set(before):
        del table[key]

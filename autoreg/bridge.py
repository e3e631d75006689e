"""The only room that touches transformers' mappings: install lazily, read back, undo.

transformers keeps what people register in plain dicts (`CONFIG_MAPPING._extra_content` and its like).
The bridge puts dicts in their place that answer `in` from the installed metadata and import a class on
`[]`. Everything that reads those mappings (AutoConfig, nested configs, pipelines, PEFT, hosts) then sees
plugins, and nobody pays for a plugin that is not looked up. Nothing here decides who owns a model type.

Depth: installing is free (it waits until transformers is imported); a look-up reaches the classes.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol

from autoreg.architecture import Architecture, BackendRefs, ClassRef, ModelRefs
from autoreg.errors import PluginError, RemoteCodeError

__all__ = ["Bridge", "Plugins", "snapshot"]

_AUTO = "transformers.models.auto."
# Where transformers keeps each kind of processing class: module, mapping, and our field of `Architecture`.
_PROCESSING = {
    f"{_AUTO}tokenization_auto": ("TOKENIZER_MAPPING", "tokenizer"),
    f"{_AUTO}processing_auto": ("PROCESSOR_MAPPING", "processor"),
    f"{_AUTO}feature_extraction_auto": ("FEATURE_EXTRACTOR_MAPPING", "feature_extractor"),
    f"{_AUTO}image_processing_auto": ("IMAGE_PROCESSOR_MAPPING", "image_processor"),
    f"{_AUTO}video_processing_auto": ("VIDEO_PROCESSOR_MAPPING", "video_processor"),
}
_RUN, _TRUST = "get_class_from_dynamic_module", "resolve_trust_remote_code"


class Plugins(Protocol):
    """What the bridge asks about plugins; the runtime answers."""

    def owns(self, model_type: str) -> bool:
        """Say whether a look-up of the model type is a plugin's to answer (be it with an error)."""

    def native(self, model_type: str) -> bool:
        """Say whether the user demanded transformers' own, whatever somebody registered."""

    def architecture(self, model_type: str) -> Architecture:
        """Return the winner's declaration; raise `ConflictError` or `PluginError`."""

    def failure(self, model_type: str, declared: str, error: BaseException) -> PluginError:
        """Return the error that blames the plugin for a class that cannot be used."""

    def named(self, class_name: str) -> tuple[str, ClassRef] | None:
        """Return the model type and reference that declare a class of this name; raise `ConflictError`."""

    def imported(self) -> Iterable[str]:
        """Return the model types whose plugin's package this process has imported already."""

    def owner_of(self, source: Any, options: Mapping[str, Any]) -> Architecture | None:
        """Return the architecture of the plugin that owns a checkpoint, if one does."""

    def refusal(self, source: Any, options: Mapping[str, Any], reference: str, auto_class: str) -> RemoteCodeError:
        """Return the error for code of a checkpoint that a plugin owns; the Auto class may be unknown (empty)."""


class _Content(dict[Any, Any]):
    """A mapping's `_extra_content`: what users registered and what was resolved is stored, the rest is lazy.

    `keys`, `items`, `len` and pickling see what is stored and so never import or raise.
    """

    def __init__(self, stored: Mapping[Any, Any], bridge: Bridge) -> None:
        super().__init__(stored)
        self.bridge = bridge
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
        """Say whether what somebody registered under this key is to be ignored."""
        name = key if isinstance(key, str) else getattr(key, "model_type", None)
        return isinstance(name, str) and self.bridge.plugins.native(name)

    def __contains__(self, key: object) -> bool:
        if self.demoted(key):
            return False
        if super().__contains__(key):
            return True
        model_type = self.model_type(key)
        return model_type is not None and self.offered(model_type)

    def __getitem__(self, key: Any) -> Any:
        if self.demoted(key):
            raise KeyError(key)
        if super().__contains__(key):
            return super().__getitem__(key)
        model_type = self.model_type(key)
        if model_type is None or not self.offered(model_type):
            raise KeyError(key)
        value = self.resolve(model_type)
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


class _Configs(_Content):
    """CONFIG_MAPPING: model type → config class."""

    def model_type(self, key: Any) -> str | None:
        return key if isinstance(key, str) and self.bridge.plugins.owns(key) else None

    def offered(self, model_type: str) -> bool:
        return True

    def resolve(self, model_type: str) -> Any:
        return self.bridge.config(model_type)


class _ByConfig(_Content):
    """A mapping keyed by config class: the key is recognised by identity, never by its name."""

    def model_type(self, key: Any) -> str | None:
        name = getattr(key, "model_type", None)
        if not isinstance(name, str) or not self.bridge.plugins.owns(name):
            return None
        return name if self.bridge.config(name) is key else None


class _Models(_ByConfig):
    """One Auto class's mapping: config class → model class, or several."""

    def __init__(self, stored: Mapping[Any, Any], bridge: Bridge, *, auto_class: str, names: Any) -> None:
        super().__init__(stored, bridge)
        self.auto_class = auto_class
        self.names = names

    def offered(self, model_type: str) -> bool:
        return self.auto_class in self.bridge.plugins.architecture(model_type).models

    def resolve(self, model_type: str) -> Any:
        value = self.bridge.models(model_type, self.auto_class)
        # The Trainer and some pipelines know models only from these tables of names (label smoothing shifts
        # the labels of what they list as a causal language model, and of nothing else).
        if isinstance(self.names, dict):
            names = tuple(item.__name__ for item in value) if isinstance(value, tuple) else value.__name__
            self.names.setdefault(model_type, names)
        return value

    def values(self) -> Any:  # typeshed's `dict_values` cannot be named
        """Return the classes of every plugin that is in use, though its model was built without an Auto class."""
        for model_type in self.bridge.plugins.imported():
            self.bridge.notice(model_type, self)
        return super().values()


class _Processing(_ByConfig):
    """A tokenizer or processor mapping: config class → class, or backend → class."""

    def __init__(self, stored: Mapping[Any, Any], bridge: Bridge, *, field: str) -> None:
        super().__init__(stored, bridge)
        self.field = field

    def offered(self, model_type: str) -> bool:
        return getattr(self.bridge.plugins.architecture(model_type), self.field) is not None

    def resolve(self, model_type: str) -> Any:
        return self.bridge.processing(model_type, self.field)


class _Names(dict[str, Any]):
    """`transformers._objects`: what `getattr(transformers, name)` and every by-name look-up fall back on."""

    def __init__(self, stored: Mapping[str, Any], bridge: Bridge, module: ModuleType) -> None:
        super().__init__(stored)
        self.bridge = bridge
        self.module = module

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        if not isinstance(name, str) or not name[:1].isupper() or self._native(name):
            return False
        return self.bridge.plugins.named(name) is not None

    def __getitem__(self, name: str) -> Any:
        if super().__contains__(name):
            return super().__getitem__(name)
        found = self.bridge.plugins.named(name)
        if found is None:
            raise KeyError(name)
        return self.bridge.load(*found)

    def _native(self, name: str) -> bool:
        # This dict is asked before transformers' own names, at each first access to any of them.
        return any(name in getattr(self.module, table, ()) for table in ("_class_to_module", "_modules"))


class _Backends(dict[str, Any]):
    """The classes of one image or video processor by backend.

    transformers' `ProcessorMixin.get_possibly_dynamic_module` asks every registered value for a
    `__name__`, and a plain dict of backends (what `register` itself stores) makes it fail.
    """

    __name__ = "backends"


class _Watch(importlib.abc.MetaPathFinder):
    """Calls back when a module has been imported, so that installing need not import it."""

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


class Bridge:
    """transformers' mappings with the plugins in them, for as long as it is installed."""

    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins
        self.unknown: list[str] = []
        self._watch = _Watch()
        self._undo: list[Callable[[], None]] = []
        self._configs: dict[str, type] = {}
        self._converted: set[str] = set()

    # --- installing and undoing --------------------------------------------------------------------

    def install(self) -> None:
        """Put the lazy mappings in place, in what is imported of transformers and in what will be. Imports nothing."""
        sys.meta_path.insert(0, self._watch)
        self._watch.when_imported("transformers", self._install_names)
        # This module executes transformers' `__init__` a second time: from then on there are two objects.
        self._watch.when_imported("transformers.processing_utils", self._install_names_again)
        self._watch.when_imported(f"{_AUTO}configuration_auto", self._install_configs)
        self._watch.when_imported(f"{_AUTO}modeling_auto", self._install_models)
        self._watch.when_imported(f"{_AUTO}auto_factory", self._forbid_remote_code)
        for module in _PROCESSING:
            self._watch.when_imported(module, self._install_processing)

    def uninstall(self) -> None:
        """Leave transformers as if the bridge had never been there; what users registered stays."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self._watch]
        self._watch.waiting.clear()
        while self._undo:
            self._undo.pop()()
        self.unknown.clear()
        self._configs.clear()
        self._converted.clear()

    def _install_names(self, module: ModuleType) -> None:
        stored = getattr(module, "_objects", None)
        if type(stored) is not dict:
            self.unknown.append("transformers._objects")
            return
        self._put(module, "_objects", _Names(stored, self, module))

    def _install_names_again(self, module: ModuleType) -> None:
        latest = sys.modules["transformers"]
        if not isinstance(getattr(latest, "_objects", None), _Names):
            self._install_names(latest)

    def _install_configs(self, module: ModuleType) -> None:
        self._replace(module, "CONFIG_MAPPING", _Configs)
        self._forbid_remote_code(module)

    def _install_models(self, module: ModuleType) -> None:
        """Fill every Auto class for models: transformers' own, other packages', and those yet to be defined."""
        base: Any = getattr(sys.modules[f"{_AUTO}auto_factory"], "_BaseAutoModelClass", None)
        if base is None:
            self.unknown.append(f"{_AUTO}auto_factory._BaseAutoModelClass")
            return
        for auto_class in _descendants(base):
            self._install_auto_class(auto_class)

        def defined(auto_class: type, /, **options: Any) -> None:
            super(base, auto_class).__init_subclass__(**options)  # type: ignore[misc]  # `base` is found at run time
            self._install_auto_class(auto_class)

        base.__init_subclass__ = classmethod(defined)
        self._undo.append(lambda: delattr(base, "__init_subclass__"))

    def _install_auto_class(self, auto_class: type) -> None:
        mapping = vars(auto_class).get("_model_mapping")
        own = auto_class.__module__.startswith(_AUTO)
        if mapping is None or not (own or hasattr(mapping, "_extra_content")):
            return
        key = auto_class.__name__ if own else f"{auto_class.__module__}:{auto_class.__name__}"
        names = getattr(mapping, "_model_mapping", None)
        self._replace(auto_class, "_model_mapping", functools.partial(_Models, auto_class=key, names=names))
        if isinstance(names, dict):
            before = dict(names)
            self._undo.append(lambda: _restore(names, before))

    def _install_processing(self, module: ModuleType) -> None:
        mapping, field = _PROCESSING[module.__name__]
        self._replace(module, mapping, functools.partial(_Processing, field=field))
        self._forbid_remote_code(module)

    def _replace(self, holder: Any, attribute: str, content: Callable[[Mapping[Any, Any], Bridge], _Content]) -> None:
        mapping = getattr(holder, attribute, None)
        stored = getattr(mapping, "_extra_content", None)
        if type(stored) is not dict:
            self.unknown.append(f"{getattr(holder, '__name__', holder)}.{attribute}._extra_content")
            return
        lazy = content(stored, self)
        mapping._extra_content = lazy  # type: ignore[union-attr]  # mypy knows only getattr's None
        self._undo.append(lambda: setattr(mapping, "_extra_content", lazy.registered()))

    def _put(self, holder: Any, attribute: str, value: Any) -> None:
        before = getattr(holder, attribute)
        setattr(holder, attribute, value)
        self._undo.append(lambda: setattr(holder, attribute, before))

    def _forbid_remote_code(self, module: ModuleType) -> None:
        """Stand between the Auto classes and the code of a checkpoint that a plugin owns.

        AutoTokenizer runs that code although a local tokenizer is registered for the config, and every
        Auto class runs it for a head that the plugin does not have.
        """
        run, trust = getattr(module, _RUN, None), getattr(module, _TRUST, None)
        if run is None or trust is None:
            self.unknown.append(f"{module.__name__}.{_TRUST}, {_RUN}")
            return
        self._put(module, _RUN, self._judged(run, module.__name__))
        self._put(module, _TRUST, self._trusted(trust, module.__name__))

    def _judged(self, run: Callable[..., Any], module: str) -> Callable[..., Any]:
        _, field = _PROCESSING.get(module, ("", ""))

        @functools.wraps(run)
        def judged(class_reference: str, pretrained_model_name_or_path: Any, *rest: Any, **options: Any) -> Any:
            owner = self.plugins.owner_of(pretrained_model_name_or_path, options)
            if owner is None:
                return run(class_reference, pretrained_model_name_or_path, *rest, **options)
            if field and getattr(owner, field) is not None:
                return _Local(self.default_class(owner, field))
            auto_class = f"Auto{field.title().replace('_', '')}" if field else ""
            raise self.plugins.refusal(pretrained_model_name_or_path, options, class_reference, auto_class)

        return judged

    def _trusted(self, trust: Callable[..., Any], module: str) -> Callable[..., Any]:
        @functools.wraps(trust)
        def trusted(given: Any, name: Any, has_local_code: bool, has_remote_code: bool, *rest: Any, **more: Any) -> Any:
            if not has_remote_code or self.plugins.owner_of(name, {}) is None:
                return trust(given, name, has_local_code, has_remote_code, *rest, **more)
            # Nobody is asked: what is then "run" is `judged`, which has the plugin's own class or refuses.
            return module in _PROCESSING or not has_local_code

        return trusted

    # --- from declarations to classes --------------------------------------------------------------

    def load(self, model_type: str, reference: ClassRef) -> type:
        """Import a declared class; whatever goes wrong is the plugin's `PluginError`."""
        try:
            return reference.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a plugin must not end the program
            raise self.plugins.failure(model_type, f"the class {reference}", error) from error

    def config(self, model_type: str) -> type | None:
        """Return the plugin's config class, imported and checked; None where a claim keeps the native one."""
        if model_type in self._configs:
            return self._configs[model_type]
        architecture = self.plugins.architecture(model_type)
        if architecture.config is None:
            return None
        config = self.load(model_type, architecture.config)
        self._check_config(config, architecture.config, model_type)
        return self._configs.setdefault(model_type, config)

    def _check_config(self, config: type, reference: ClassRef, model_type: str) -> None:
        from transformers import PreTrainedConfig

        if not issubclass(config, PreTrainedConfig):
            self._refuse(model_type, reference, "it is no PreTrainedConfig")
        elif config.model_type != model_type:
            self._refuse(model_type, reference, f"its `model_type` is {config.model_type!r}, not {model_type!r}")

    def _refuse(self, model_type: str, reference: ClassRef, problem: str) -> None:
        raise self.plugins.failure(model_type, f"the class {reference}", TypeError(problem))

    def models(self, model_type: str, auto_class: str) -> Any:
        """Return the model class, or the tuple of them, imported and checked."""
        architecture = self.plugins.architecture(model_type)
        return self.model_classes(architecture, architecture.models[auto_class])

    def model_classes(self, architecture: Architecture, references: ModelRefs) -> Any:
        """Return the classes behind the references, each checked to fit the architecture's config."""
        listed = references if isinstance(references, tuple) else (references,)
        classes = tuple(self.load(architecture.model_type, reference) for reference in listed)
        for model, reference in zip(classes, listed, strict=True):
            self._check_model(model, reference, architecture)
        self._convert_weights(architecture)
        return classes if isinstance(references, tuple) else classes[0]

    def _check_model(self, model: type, reference: ClassRef, architecture: Architecture) -> None:
        expected = self._configs.get(architecture.model_type)
        declared = getattr(model, "config_class", None)
        if isinstance(declared, str):
            # transformers reads it from the annotation `config: MyConfig`, a string under the future import.
            problem = (
                f"its `config_class` is the string {declared!r}; set `config_class = {declared}` in the class body"
            )
            self._refuse(architecture.model_type, reference, problem)
        if expected is None or declared is None or issubclass(expected, declared):
            return
        # A composite config may name a text model for AutoModelForCausalLM, as transformers' own do.
        if declared not in getattr(expected, "sub_configs", {}).values():
            problem = f"its `config_class` is {declared.__module__}.{declared.__name__}, not {architecture.config}"
            self._refuse(architecture.model_type, reference, problem)

    def processing(self, model_type: str, field: str) -> Any:
        """Return the tokenizer, feature extractor or processor class, or backend → class."""
        references: BackendRefs = getattr(self.plugins.architecture(model_type), field)
        if isinstance(references, ClassRef):
            loaded = self.load(model_type, references)
            return _Backends({_backend(loaded): loaded}) if field in ("image_processor", "video_processor") else loaded
        return self._backends(model_type, references)

    def default_class(self, architecture: Architecture, field: str) -> type:
        """Return the class of a processing field, the first choice among its backends."""
        references: BackendRefs = getattr(architecture, field)
        if isinstance(references, ClassRef):
            return self.load(architecture.model_type, references)
        classes = self._backends(architecture.model_type, references)
        found: type = classes.get("torchvision") or next(value for value in classes.values() if value is not None)
        return found

    def _backends(self, model_type: str, references: Mapping[str, ClassRef]) -> Any:
        classes = _Backends()
        failure: PluginError | None = None
        for backend, reference in references.items():
            try:
                classes[backend] = self.load(model_type, reference)
            except PluginError as error:  # one backend's library (torchvision, say) may be missing
                failure = error
                classes[backend] = None
        if failure is not None and not any(classes.values()):
            raise failure
        return classes

    def _convert_weights(self, architecture: Architecture) -> None:
        """Declare the plugin's weight conversions to transformers, which ignores its own out of tree."""
        wanted, model_type = architecture.weight_conversions, architecture.model_type
        if wanted is None or model_type in self._converted:
            return
        table: Any = importlib.import_module("transformers.conversion_mapping")  # its functions are not typed
        before = table.get_checkpoint_conversion_mapping(model_type)
        conversions = self._conversions(wanted, model_type, table)
        table.register_checkpoint_conversion_mapping(model_type, conversions, overwrite=True)
        self._converted.add(model_type)
        self._undo.append(lambda: _forget_conversion(table, model_type, before))

    def _conversions(self, wanted: ClassRef | str, model_type: str, table: Any) -> Any:
        if isinstance(wanted, str):
            inherited = table.get_checkpoint_conversion_mapping(wanted)
            if inherited is None:
                error = LookupError(f"transformers has no conversions for {wanted!r}")
                raise self.plugins.failure(model_type, f"weight_conversions={wanted!r}", error)
            return inherited
        try:
            found: Any = wanted.load_object()
            return list(found() if callable(found) else found)
        except Exception as error:
            raise self.plugins.failure(model_type, f"weight_conversions={str(wanted)!r}", error) from error

    def registered_by_user(self, model_type: str) -> bool:
        """Say whether somebody registered a config class for the model type: the user himself goes first."""
        from transformers import CONFIG_MAPPING

        content = CONFIG_MAPPING._extra_content
        return isinstance(content, _Content) and model_type in content.registered()

    def notice(self, model_type: str, mapping: _Models) -> None:
        """Store the classes of this mapping whose modules are imported already; import and raise nothing."""
        try:
            architecture = self.plugins.architecture(model_type)
            references = architecture.models.get(mapping.auto_class, ())
            listed = references if isinstance(references, tuple) else (references,)
            wanted = [*listed, architecture.config] if listed else []
            if wanted and all(reference and reference.module in sys.modules for reference in wanted):
                mapping.get(self.config(model_type))
        except (PluginError, ValueError):
            return

    # --- checkpoints of a native model type that a plugin claims ------------------------------------

    def claimed_config_class(self, architecture: Architecture) -> Any:
        """Return the config class of a claimed checkpoint: the plugin's, or transformers' for the model type."""
        from transformers import CONFIG_MAPPING

        if architecture.config is not None:
            return self.load(architecture.model_type, architecture.config)
        return CONFIG_MAPPING[architecture.model_type]

    def claiming(self, auto_class: Any, architecture: Architecture, references: ModelRefs) -> Any:
        """Return the Auto class with a mapping of one entry, so that nothing else of that model type changes."""
        config = self.claimed_config_class(architecture)
        mapping = {config: self.model_classes(architecture, references)}
        return type(auto_class.__name__, (auto_class,), {"_model_mapping": mapping, "__module__": "autoreg"})

    # --- without the lazy mappings -----------------------------------------------------------------

    def register(self, model_type: str) -> None:
        """Register one architecture through transformers' public calls, all its classes at once.

        For a transformers whose mappings the bridge does not recognise (`unknown` names what it missed).
        """
        transformers: Any = importlib.import_module("transformers")  # its `register` functions are not typed
        architecture = self.plugins.architecture(model_type)
        config = self.config(model_type)
        transformers.AutoConfig.register(model_type, config, exist_ok=True)
        for key in architecture.models:
            auto_class: Any = ClassRef.parse(key).load() if ":" in key else getattr(transformers, key)
            auto_class.register(config, self.models(model_type, key), exist_ok=True)
        if architecture.tokenizer is not None:
            transformers.AutoTokenizer.register(config, self.processing(model_type, "tokenizer"), exist_ok=True)
        if architecture.feature_extractor is not None:
            extractor = self.processing(model_type, "feature_extractor")
            transformers.AutoFeatureExtractor.register(config, extractor, exist_ok=True)
        if architecture.processor is not None:
            transformers.AutoProcessor.register(config, self.processing(model_type, "processor"), exist_ok=True)
        if architecture.image_processor is not None:
            classes = self.processing(model_type, "image_processor")
            transformers.AutoImageProcessor.register(config, image_processor_classes=classes, exist_ok=True)
        if architecture.video_processor is not None:
            classes = self.processing(model_type, "video_processor")
            transformers.AutoVideoProcessor.register(config, video_processor_classes=classes, exist_ok=True)


class _Local:
    """A plugin's class where transformers expects one from a checkpoint's code.

    It takes the place for one call only: `register_for_auto_class` on the class itself would make every
    later `save_pretrained` copy the plugin's source files beside the weights.
    """

    def __init__(self, local: type) -> None:
        self._local: Any = local

    def register_for_auto_class(self, auto_class: object = None) -> None:
        """Do nothing."""

    def from_pretrained(self, *inputs: Any, **options: Any) -> Any:
        """Load with the plugin's class."""
        options.pop("trust_remote_code", None)
        return self._local.from_pretrained(*inputs, **options)


HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
"""The keywords of `from_pretrained` that say where files come from."""


def auto_class_named(name: str) -> Any | None:
    """Return transformers' own Auto class of this name; None if it has none."""
    import transformers

    found = getattr(transformers, name, None) if name.startswith("Auto") else None
    ours = isinstance(found, type) and found.__module__.startswith(_AUTO)
    return found if ours and hasattr(found, "from_pretrained") else None


def pin_revision(source: Any, options: dict[str, Any]) -> bool:
    """Resolve the revision of a hub id once, as transformers does, so that no file is asked for twice.

    Returns:
        Whether files can be had now: a folder, or a hub id whose commit is known.
    """
    from transformers.utils.hub import resolve_revision

    known = {name: options[name] for name in ("token", "local_files_only", "cache_dir") if options.get(name)}
    revision = resolve_revision(source, options.get("revision"), **known)
    if revision is not None:
        options["revision"] = revision
    return os.path.exists(source) or hasattr(revision, "resolved")


def has_model_type(model_type: str) -> bool:
    """Say whether transformers, a plugin or the user's own `register` has the model type."""
    from transformers import CONFIG_MAPPING

    return model_type in CONFIG_MAPPING


def has_head(auto_class: Any, bridge: Bridge, architecture: Architecture) -> bool:
    """Say whether somebody registered a class of this Auto class for the architecture's config."""
    return bridge.config(architecture.model_type) in auto_class._model_mapping


def overriding_class(auto_class: Any, model_type: str | None) -> type | None:
    """Return the class outside transformers that somebody registered for one of transformers' own model types."""
    from transformers import CONFIG_MAPPING

    native = getattr(CONFIG_MAPPING, "_mapping", {})
    if model_type is None or model_type not in native:
        return None
    config = CONFIG_MAPPING[model_type]
    registered = auto_class._model_mapping[config] if config in auto_class._model_mapping._extra_content else config
    found = registered[0] if isinstance(registered, tuple) else registered
    return None if found.__module__.startswith("transformers.") else found


def load_backbone(auto_class: Any, source: Any, *inputs: Any, **options: Any) -> Any:
    """Load a backbone from a folder, past the question to the hub whether there is such a repository."""
    plain = next(parent for parent in auto_class.__mro__ if parent.__name__ == "_BaseAutoModelClass")
    options.pop("use_timm_backbone", None)
    return plain.from_pretrained.__func__(auto_class, source, *inputs, **options)


def tokenizer_class_name(source: Any, options: Mapping[str, Any]) -> str | None:
    """Return the `tokenizer_class` that the checkpoint's tokenizer_config.json names."""
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    known = {name: options[name] for name in HUB_OPTIONS if name in options}
    name = get_tokenizer_config(source, **known).get("tokenizer_class")
    return name if isinstance(name, str) else None


def has_tokenizer_class(name: str) -> bool:
    """Say whether transformers or a plugin has a tokenizer class of this name."""
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    return tokenizer_class_from_name(name) is not None


def _descendants(parent: type) -> Iterator[type]:
    child: type
    for child in parent.__subclasses__():
        yield child
        yield from _descendants(child)


def _backend(processor: type) -> str:
    names = {parent.__name__ for parent in processor.__mro__}
    return "torchvision" if names & {"TorchvisionBackend", "BaseVideoProcessor"} else "pil"


def _restore(table: dict[Any, Any], before: dict[Any, Any]) -> None:
    for key in set(table) - set(before):
        del table[key]


def _forget_conversion(table: Any, model_type: str, before: Any) -> None:
    # transformers offers no way back from `register_checkpoint_conversion_mapping`.
    conversions = getattr(table, "_checkpoint_conversion_mapping_cache", {})
    conversions.pop(model_type, None)
    if before is not None:
        conversions[model_type] = before
    getattr(table, "USER_REGISTERED_MAPPINGS", set()).discard(model_type)


def snapshot() -> Callable[[], None]:
    """Remember all that is registered in transformers now; return the function that puts it back.

    To be taken and used while no bridge is installed. Where transformers is first imported in between,
    what is put back is what it comes with: nothing registered.
    """
    before = {name: dict(table) for name, table in _tables()}

    def put_back() -> None:
        for name, table in _tables():
            table.clear()
            table.update(before.get(name, {}))

    return put_back


def _tables() -> Iterator[tuple[str, dict[Any, Any]]]:
    """Yield every table of transformers' that registering writes to, under a name that stays the same."""
    for name in (f"{_AUTO}configuration_auto", f"{_AUTO}modeling_auto", *_PROCESSING):
        for attribute, value in list(vars(sys.modules[name]).items()) if name in sys.modules else ():
            table = value if attribute.startswith("REGISTERED_") else getattr(value, "_extra_content", None)
            if isinstance(table, dict):
                yield f"{name}.{attribute}", table


def overridden_types() -> Iterator[tuple[str, str]]:
    """Yield `(model type, class)` for each of transformers' own that somebody registered a class in place of."""
    from transformers import CONFIG_MAPPING

    native, content = getattr(CONFIG_MAPPING, "_mapping", {}), CONFIG_MAPPING._extra_content
    for model_type, config in (content.registered() if isinstance(content, _Content) else content).items():
        if model_type in native and not config.__module__.startswith("transformers."):
            yield model_type, f"{config.__module__}.{config.__name__}"

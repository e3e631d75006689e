"""From declarations to classes: imported, checked, and the plugin blamed for whatever goes wrong."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from autoreg.architecture import Architecture, BackendRefs, ClassRef, ModelRefs
from autoreg.bridge.plugins import Plugins
from autoreg.bridge.registered import Registered, completed, registrations
from autoreg.errors import PluginError

__all__ = ["Backends", "Classes"]


class Backends(dict[str, Any]):
    """The classes of one image or video processor by backend.

    transformers' `ProcessorMixin.get_possibly_dynamic_module` asks every registered value for a
    `__name__`, and a plain dict of backends (what `register` itself stores) makes it fail.
    """

    __name__ = "backends"


class Classes:
    """The classes of all plugins in use. Depth: classes."""

    def __init__(self, plugins: Plugins, undo: list[Callable[[], None]]) -> None:
        """Take the plugins, and the list of what undoing the bridge must undo."""
        self.plugins = plugins
        self._undo = undo
        self._configs: dict[str, type] = {}
        self._converted: set[str] = set()
        self._registered: dict[ClassRef, Registered] = {}
        self._completed: dict[tuple[ClassRef, str], Architecture] = {}

    def forget(self) -> None:
        """Forget every class: the plugins in use may be others next time."""
        self._configs.clear()
        self._converted.clear()

    def architecture(self, model_type: str) -> Architecture:
        """Return the winner's declaration, completed."""
        return self.complete(self.plugins.architecture(model_type))

    def complete(self, architecture: Architecture) -> Architecture:
        """Return the declaration with its classes named, which a package's own function may first have to register.

        The function is called once, in isolation: of what it registers only what a plugin declares comes into use.

        Raises:
            PluginError: it registered nothing for this model type.
        """
        function, model_type = architecture.registered_by, architecture.model_type
        if function is None:
            return architecture
        if (function, model_type) not in self._completed:
            found = self.registered(function)
            try:
                self._completed[function, model_type] = completed(architecture, found)
            except LookupError as error:
                error.__cause__ = found.error
                raise self.plugins.failure(model_type, f"the register function {function}", error) from error
        return self._completed[function, model_type]

    def completed_already(self, architecture: Architecture) -> Architecture:
        """Return the declaration, completed if that costs nothing any more."""
        function = architecture.registered_by
        return (
            architecture if function is None else self._completed.get((function, architecture.model_type), architecture)
        )

    def registered(self, function: ClassRef) -> Registered:
        """Return what a package's register function registers, called at the first question."""
        with self.plugins.recording():
            found = self._registered.get(function) or registrations(lambda: _call(function))
            if found.types:  # what failed altogether may be mended, and is tried again
                self._registered[function] = found
            return found

    def load(self, model_type: str, reference: ClassRef) -> type:
        """Import a declared class; whatever goes wrong is the plugin's `PluginError`."""
        try:
            with self.plugins.importing(model_type):
                return reference.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a plugin must not end the program
            raise self.plugins.failure(model_type, f"the class {reference}", error) from error

    def config(self, model_type: str) -> type | None:
        """Return the plugin's config class, imported and checked; None where a claim keeps the native one."""
        if model_type in self._configs:
            return self._configs[model_type]
        architecture = self.architecture(model_type)
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
        architecture = self.architecture(model_type)
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
        references: BackendRefs = getattr(self.architecture(model_type), field)
        if isinstance(references, ClassRef):
            loaded = self.load(model_type, references)
            return Backends({_backend(loaded): loaded}) if field in ("image_processor", "video_processor") else loaded
        return self._backends(model_type, references)

    def default(self, architecture: Architecture, field: str) -> type:
        """Return the class of a processing field, the first choice among its backends."""
        references: BackendRefs = getattr(architecture, field)
        if isinstance(references, ClassRef):
            return self.load(architecture.model_type, references)
        classes = self._backends(architecture.model_type, references)
        found: type = classes.get("torchvision") or next(value for value in classes.values() if value is not None)
        return found

    def by_name(self, model_type: str, reference: ClassRef) -> type:
        """Return the class; where its backend's library is missing, that of another backend, as transformers does."""
        try:
            return self.load(model_type, reference)
        except PluginError:
            architecture = self.architecture(model_type)
            for field in ("image_processor", "video_processor"):
                references = getattr(architecture, field)
                if isinstance(references, Mapping) and reference in references.values():
                    return self.default(architecture, field)
            raise

    def _backends(self, model_type: str, references: Mapping[str, ClassRef]) -> Any:
        classes = Backends()
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


def _call(function: ClassRef) -> None:
    found: Any = function.load_object()
    found()


def _backend(processor: type) -> str:
    names = {parent.__name__ for parent in processor.__mro__}
    return "torchvision" if names & {"TorchvisionBackend", "BaseVideoProcessor"} else "pil"


def _forget_conversion(table: Any, model_type: str, before: Any) -> None:
    # transformers offers no way back from `register_checkpoint_conversion_mapping`.
    conversions = getattr(table, "_checkpoint_conversion_mapping_cache", {})
    conversions.pop(model_type, None)
    if before is not None:
        conversions[model_type] = before
    getattr(table, "USER_REGISTERED_MAPPINGS", set()).discard(model_type)

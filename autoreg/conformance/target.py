"""The architecture that is looked at: its classes, who owns it, what the author said of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from autoreg import natives
from autoreg.architecture import Architecture, ClassRef
from autoreg.conformance.hints import Hints
from autoreg.errors import NotApplicableError, PluginError

if TYPE_CHECKING:
    from autoreg.discovery import Offer
    from autoreg.registry import Choice
    from autoreg.runtime import Runtime

__all__ = ["Target", "from_name", "look_up", "native_target", "plugin_target", "preload", "where_is"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One architecture with its classes imported.

    Attributes:
        model_type: its model type.
        owner: the distribution and version that it comes from.
        config_class: its config class.
        models: each model class → the Auto classes under which it is registered, base model first.
        processing: tokenizer, processor and so on, by the field of `Architecture`.
        hints: what its author said.
        architecture: the declaration; None for one of transformers' own.
        offer: the entry point; None for one of transformers' own.
        claim: the class name in `architectures` by which checkpoints of a native model type are claimed; empty for a
            model type of its own.
        import_effects: what importing the classes changed of the process, a line each; None where the package had
            been imported before.
        registrations: `(table, key, class)` of what importing them registered with transformers.
    """

    model_type: str
    owner: str
    config_class: type
    models: Mapping[type, tuple[str, ...]]
    processing: Mapping[str, type] = field(default_factory=dict)
    hints: Hints = field(default_factory=Hints)
    architecture: Architecture | None = None
    offer: Offer | None = None
    claim: str = ""
    import_effects: tuple[str, ...] | None = None
    registrations: tuple[tuple[str, Any, Any], ...] = ()

    @property
    def name(self) -> str:
        """What it is looked up by: the model type, or the class name that is claimed."""
        return self.claim or self.model_type

    def model(self, name: str) -> type:
        """Return the model class of that name; KeyError if there is none."""
        return {model.__name__: model for model in self.models}[name]

    def class_of(self, auto_class: str) -> type:
        """Return the model class registered under the Auto class; NotApplicableError if there is none."""
        for model, registered in self.models.items():
            if auto_class in registered:
                return model
        raise NotApplicableError(reason=f"it has no class for {auto_class}")


def plugin_target(runtime: Runtime, name: str) -> Target:
    """Import the classes of a plugin's architecture, by model type or claimed class name. Depth: classes.

    Raises:
        LookupError: no plugin declares it.
        ConflictError, PluginError: as for any look-up.
    """
    # Here, because it imports torch, and reading a declaration must not.
    from autoreg.conformance.footprint import watched

    choice = _choice(runtime, name)
    with watched(choice.offer.module.partition(".")[0] if choice.offer else "") as watch:
        target = _plugin_target(runtime, choice)
    return replace(target, import_effects=watch.found, registrations=watch.registered)


def _choice(runtime: Runtime, name: str) -> Choice:
    return (runtime.claims if name in runtime.claims else runtime.types).choose(name)


def _plugin_target(runtime: Runtime, choice: Choice) -> Target:
    architecture = runtime.resolved(choice)
    model_type, offer = architecture.model_type, choice.offer
    assert offer is not None  # else `declaration` has raised
    named = architecture.conformance
    hints = Hints() if named is None else named.load_object()
    if not isinstance(hints, Hints):
        problem = f"{named} is {type(hints).__name__}; autoreg.conformance.Hints is needed"
        raise offer.error(problem, declared=f"conformance = {named}", advice="Mend the declaration.")
    models: dict[type, tuple[str, ...]] = {}
    for auto_class, reference in _models(architecture):
        loaded = _load(runtime, model_type, reference)
        models[loaded] = (*models.get(loaded, ()), auto_class)
    return Target(
        model_type=model_type,
        owner=offer.owner,
        config_class=runtime.bridge.classes.claimed_config_class(architecture),
        models=models,
        processing=dict(_processing(runtime, architecture)),
        hints=hints,
        architecture=architecture,
        offer=offer,
        claim=choice.name if architecture.architectures else "",
    )


def _load(runtime: Runtime, model_type: str, reference: ClassRef) -> type:
    try:
        return reference.load()
    except Exception as error:
        raise runtime.failure(model_type, f"the class {reference}", error) from error


def _processing(runtime: Runtime, architecture: Architecture) -> Iterator[tuple[str, type]]:
    for name in ("tokenizer", "image_processor", "video_processor", "feature_extractor", "processor"):
        declared = getattr(architecture, name)
        if isinstance(declared, ClassRef):
            yield name, _load(runtime, architecture.model_type, declared)
        elif declared is not None:
            yield name, _backend(runtime, architecture.model_type, declared)


def _backend(runtime: Runtime, model_type: str, references: Mapping[str, ClassRef]) -> type:
    """Return the class that transformers prefers of those whose library is installed; the others are passed over."""
    found: dict[str, type] = {}
    lacking: PluginError | None = None
    for backend, reference in references.items():
        try:
            found[backend] = _load(runtime, model_type, reference)
        except PluginError as error:
            if not _lacks_library(error.__cause__, reference):
                raise
            lacking = error
    if lacking is not None and not found:
        raise lacking
    return found.get("torchvision") or next(iter(found.values()))


def _lacks_library(error: BaseException | None, reference: ClassRef) -> bool:
    """Whether what failed is the import of another package than the plugin's own."""
    package = reference.module.partition(".")[0]
    return isinstance(error, ModuleNotFoundError) and (error.name or package).partition(".")[0] != package


def _models(architecture: Architecture) -> Iterator[tuple[str, ClassRef]]:
    # The base model first: the others are derived from its config.
    for auto_class in sorted(architecture.models, key=lambda name: name != "AutoModel"):
        references = architecture.models[auto_class]
        for reference in references if isinstance(references, tuple) else (references,):
            yield auto_class, reference


def native_target(model_type: str) -> Target:
    """Import the classes of one of transformers' own architectures. Depth: classes.

    Raises:
        LookupError: transformers has no such model type.
    """
    import transformers

    if model_type not in transformers.CONFIG_MAPPING:
        raise LookupError(f"transformers {transformers.__version__} has no model type {model_type!r}")
    config_class = transformers.CONFIG_MAPPING[model_type]
    models: dict[type, tuple[str, ...]] = {}
    for auto_class in sorted(natives.auto_classes(), key=lambda name: (name != "AutoModel", name)):
        for model in _registered(getattr(transformers, auto_class, None), config_class):
            models[model] = (*models.get(model, ()), auto_class)
    return Target(
        model_type=model_type,
        owner=f"transformers {transformers.__version__}",
        config_class=config_class,
        models=models,
    )


def _registered(auto_class: Any, config_class: type) -> tuple[type, ...]:
    # The mapping is the only place where an Auto class says what it would make of a config.
    mapping = getattr(auto_class, "_model_mapping", None)
    if mapping is None or config_class not in mapping:
        return ()
    found = mapping[config_class]
    classes = found if isinstance(found, (tuple, list)) else (found,)
    return tuple(each for each in classes if getattr(each, "config_class", None) is config_class)


def look_up(runtime: Runtime, name: str, *, native: bool = False) -> None:
    """Raise what stands against checking an architecture, before anything heavy is imported. Depth: metadata.

    The declaration is not loaded: a worker watches what that does to a process which never saw the plugin.

    Raises:
        UnknownArchitectureError: nobody has it.
        ConflictError: several claim it.
        LookupError: transformers has it, and no plugin; but `native` was not asked for.
    """
    if native:
        if name not in natives.model_types():
            raise runtime.unknown(name)
        return
    choice = _choice(runtime, name)
    if choice.conflict is not None:
        raise choice.conflict.again()
    if choice.offer is None:
        if choice.native:
            advice = f"say `autoreg check --native {name}` or `pytest --autoreg native:{name}`"
            raise LookupError(f"{name!r} is one of transformers' own: {advice}")
        raise runtime.unknown(name)


def from_name(name: str, *, native: bool = False) -> Target:
    """Import an architecture into this process, which then sees plugins through plain `transformers.Auto*` too.

    What a worker is given, as `functools.partial(from_name, "retnet")`. Depth: classes.

    Args:
        name: the model type, or a class name that a plugin claims.
        native: it is one of transformers' own, whoever else claims it.

    Raises:
        LookupError: nobody has it.
        ConflictError, PluginError: as for any look-up.
    """
    if native:
        return native_target(name)
    # Here and not above: autoreg's own process-wide state is none of this module's other functions' business.
    from autoreg import runtime

    runtime.activate()
    return plugin_target(runtime.current(), name)


def preload() -> None:
    """Import what every architecture needs of torch and transformers, once, before workers are forked."""
    # transformers imports its modules when a name is first read.
    import transformers.modeling_layers  # noqa: F401
    from transformers import AutoModel, AutoTokenizer, DynamicCache, GenerationMixin, PreTrainedModel  # noqa: F401


def where_is(thing: Any) -> tuple[str, int]:
    """Return the file and line that define a class or function; empty and 0 where there is no source."""
    try:
        return inspect.getsourcefile(thing) or "", inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):
        return "", 0

"""The drop-in Auto classes.

Each is a thin subclass of the class of the same name in the installed transformers, made when it is first
asked for. It adds what transformers does not say: errors that name the plugin, the package or the file;
code from a checkpoint never runs by accident; a plugin may own checkpoints of a native model type.
Everything else is inherited: same arguments, same results.

Depth: classes.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

from autoreg import bridge, natives, runtime
from autoreg.architecture import PROCESSING, Architecture, ClassRef
from autoreg.checkpoint import (
    ConfigFile,
    check_fields,
    check_names,
    fields_of_class,
    provenance,
    read_config,
    read_json,
    reading,
    taken_by_class,
)
from autoreg.discovery import CLAIMS
from autoreg.errors import (
    AutoregError,
    CheckpointError,
    CheckpointNotFoundError,
    RemoteCodeError,
    UnknownArchitectureError,
)
from autoreg.registry import Choice

__all__ = ["drop_in"]


@cache
def drop_in(name: str) -> type:
    """Return autoreg's Auto class of this name, made once.

    Raises:
        AttributeError: the installed transformers has no such Auto class.
    """
    native = bridge.auto_class_named(name)
    if native is None:
        raise AttributeError(f"module 'autoreg' has no attribute {name!r}; nor has the installed transformers")
    parents = (_BackboneFace,) if name == "AutoBackbone" else (_FACES.get(name, _ModelFace),)
    doc = f"autoreg's drop-in for `transformers.{name}`: same arguments, same results.\n\n{native.__doc__}"
    return type(name, (*parents, native), {"__module__": "autoreg", "__doc__": doc, "__qualname__": name})


class _Request:
    """One call of `from_pretrained`: what was asked for, what the checkpoint says, who owns it."""

    def __init__(self, auto_class: str, source: Any, options: dict[str, Any]) -> None:
        self.auto_class = auto_class
        self.source = source
        self.options = options
        self.runtime = runtime.use()
        self.given = options.get("config")
        self.file: ConfigFile | None = None
        if source is not None and not hasattr(self.given, "model_type") and not options.get("gguf_file"):
            # Out of reach, the hub's client tries for half a minute; transformers will do so once more anyway.
            reached = bridge.pin_revision(source, options)
            self.file = read_config(source, options if reached else {**options, "local_files_only": True})
        self.choice = self._choose()

    @property
    def model_type(self) -> str | None:
        return self.file.model_type if self.file else getattr(self.given, "model_type", None)

    def _choose(self) -> Choice | None:
        registered = bridge.registered_by_user(self.model_type) if self.model_type is not None else None
        if registered is not None:
            self.runtime.warn_of_replacement(str(self.model_type), registered)
            return None
        choice = self.runtime.owner(self.model_type, self.architectures)
        if choice is None and self._unheard_of() and self.runtime.rescan():
            choice = self.runtime.owner(self.model_type, self.architectures)
        return choice

    @property
    def architectures(self) -> tuple[str, ...]:
        """The names of the classes that the checkpoint says it was saved by."""
        return self.file.architectures if self.file else tuple(getattr(self.given, "architectures", None) or ())

    def _unheard_of(self) -> bool:
        return self.file is not None and bool(self.model_type) and not bridge.has_model_type(str(self.model_type))

    def architecture(self) -> Architecture | None:
        """Return the owner's declaration, registered by hand where the lazy mappings could not be installed."""
        if self.choice is None:
            return None
        architecture = self.runtime.resolved(self.choice)
        if self.choice.offer is not None and self.choice.offer.group != CLAIMS:
            self.runtime.prepare(architecture.model_type)
        return architecture

    def check_config(self, architecture: Architecture) -> None:
        """Compare the config.json of a plugin's checkpoint with the fields and methods of the plugin's config class."""
        if self.file is None or architecture.config is None:
            return
        config: Any = self.runtime.bridge.classes.load(architecture.model_type, architecture.config)
        own, taken = _names_of(config)
        check_names(self.file.fields, file=self.file.file, taken=taken, own=own)
        for remark in check_fields(self.file.fields, own, file=self.file.file):
            self.runtime.warn(remark)
        saved_with = provenance.read(self.file.fields)
        if saved_with is not None and self.choice is not None and self.choice.offer is not None:
            offer = self.choice.offer
            outside = provenance.outside(saved_with, offer.version, distribution=offer.distribution)
            if outside:
                self.runtime.warn(f"{self.file.file}: {outside}")

    def settle_trust(self) -> None:
        """Let code from the checkpoint run only where the caller said so and no plugin owns the checkpoint."""
        if self.choice is not None or self.options.get("trust_remote_code") is None:
            self.options["trust_remote_code"] = False

    def check_known(self) -> None:
        """Raise where the config alone shows that nothing here can load it."""
        if self.choice is not None or self.file is None or not self._unheard_of():
            return
        remote = self.file.remote_code(self.auto_class) or self.file.remote_code("AutoConfig")
        if remote and self.options.get("trust_remote_code"):
            return
        if remote and not self.file.requires:
            raise RemoteCodeError(source=str(self.source), auto_class=self.auto_class, reference=remote)
        raise self.runtime.unknown(str(self.model_type), file=self.file.file, requires=self.file.requires)

    def check_head(self, auto_class: Any, architecture: Architecture) -> None:
        """Raise where the owner has no class for this Auto class; transformers' own message takes seconds."""
        declared = self.auto_class in architecture.models
        if not declared and not bridge.has_head(auto_class, self.runtime.bridge.classes, architecture):
            raise no_head(self.auto_class, architecture, self.choice, source=str(self.source))

    def explain(self, error: Exception) -> AutoregError | None:
        """Return the sentence that transformers' error lacks, where there is one."""
        if isinstance(error, ValueError) and "trust_remote_code" in str(error):
            reference = self.file.remote_code(self.auto_class) if self.file else ""
            return RemoteCodeError(
                source=str(self.source), auto_class=self.auto_class, reference=reference or "auto_map"
            )
        if self.file is not None and self.file.model_type is None and isinstance(error, (ValueError, KeyError)):
            return _no_model_type(self.file, self.auto_class)
        if self.file is not None and self.choice is None and self._unheard_of():
            return self.runtime.unknown(str(self.model_type), file=self.file.file, requires=self.file.requires)
        if self.file is None and self.auto_class not in PROCESSING and os.path.isdir(self.source or ""):
            return _no_config(os.fspath(self.source))
        return _out_of_reach(str(self.source), error) if self.file is None else _invalid(self.file, error)


def _out_of_reach(source: str, error: Exception) -> CheckpointNotFoundError | None:
    """Return the error with the repository's name where transformers says only that nobody answered."""
    if not isinstance(error, OSError) or source in str(error) or "couldn't connect" not in str(error):
        return None
    problem = f"the hub cannot be reached, and it is not in the cache.\n{str(error).splitlines()[0]}"
    advice = "See to the connection, or give the path of a folder."
    return CheckpointNotFoundError(file=source, problem=problem, advice=advice)


def _invalid(file: ConfigFile, error: Exception) -> CheckpointError | None:
    """Return the error with the file's name for what the config class itself refused."""
    from huggingface_hub.errors import StrictDataclassError

    if not isinstance(error, StrictDataclassError):
        return None
    problem = f"its config class refuses what it says.\n{error}"
    return CheckpointError(file=file.file, problem=problem, advice="Correct the file, or save or download it again.")


@lru_cache(maxsize=64)  # finding out takes milliseconds, and what a class says of itself stays
def _names_of(config: Any) -> tuple[Mapping[str, Any], Collection[str]]:
    """Return the annotation of each name that the class's configs may have, and the names of its methods."""
    return {**dict.fromkeys(_written(config), Any), **fields_of_class(config)}, taken_by_class(config)


def _written(config: Any) -> Iterable[str]:
    """Return the names that the class's own configs write beside its fields."""
    try:
        return config().to_dict()  # type: ignore[no-any-return]
    except Exception:  # not every class has a default for every field
        return ()


def no_head(auto_class: str, architecture: Architecture, choice: Choice | None, *, source: str = "") -> AutoregError:
    """Return the error for an architecture that has no class for this Auto class."""
    owner = choice.offer.owner if choice and choice.offer else "its plugin"
    heads = ", ".join(architecture.models) or "none"
    problem = f"{architecture.model_type!r} has no class for {auto_class}."
    return UnknownArchitectureError(
        name=auto_class, source=source, problem=problem, notes=(f"{owner} declares it with: {heads}.",)
    )


def _no_model_type(file: ConfigFile, auto_class: str) -> CheckpointError:
    known = [name for name in file.architectures if name in natives.class_names()]
    if known:
        advice = (
            f"Its `architectures` names {known[0]}: load it with that class, transformers.{known[0]}.from_pretrained"
            f'({file.source!r}), or add the line "model_type" to the file.'
        )
    else:
        advice = 'Add the line "model_type" to the file, or load the checkpoint with the class that saved it.'
    problem = f"there is no `model_type` in it, so {auto_class} cannot tell which architecture this is."
    return CheckpointError(file=file.file, problem=problem, advice=advice)


def _no_config(folder: str) -> CheckpointNotFoundError:
    held = sorted(os.listdir(folder))
    shown = 6
    listed = ", ".join([*held[:shown], *(["…"] if len(held) > shown else [])]) or "nothing"
    return CheckpointNotFoundError(
        file=folder,
        problem="the folder has no config.json that is a file."
        if "config.json" in held
        else "the folder has no config.json.",
        advice=f"It holds {listed}. Point to the folder that save_pretrained wrote.",
    )


_BESIDE = ("generation_config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")


@contextmanager
def _held(source: Any, options: Mapping[str, Any]) -> Iterator[None]:
    """Let no other process replace the files of a local folder in the block, and see that its JSON can be read."""
    folder = (
        os.path.join(source or "", options.get("subfolder") or "") if isinstance(source, (str, os.PathLike)) else ""
    )
    if not os.path.isdir(folder):
        yield
        return
    with reading(folder):
        for name in _BESIDE:
            if os.path.lexists(file := os.path.join(folder, name)):
                read_json(file)
        yield


class _Face:
    """What every Auto class of autoreg adds to transformers'."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *inputs: Any, **kwargs: Any) -> Any:
        """Load from a folder or a hub id, as the class of the same name in transformers does. Depth: classes.

        Raises:
            UnknownArchitectureError: nobody has the model type, or this head of it.
            ConflictError: several plugins have it.
            PluginError: its plugin cannot be used.
            RemoteCodeError: only code from the checkpoint could load it, and that was not allowed.
            CheckpointError: config.json is missing or cannot be right.
        """
        with _held(pretrained_model_name_or_path, kwargs):
            trusting = kwargs.get("trust_remote_code") is True
            request = _Request(cls.__name__, pretrained_model_name_or_path, kwargs)
            architecture = request.architecture()
            cls._check(request, architecture)
            request.settle_trust()
            with runtime.loading(request.choice, trusting=trusting):
                try:
                    return cls._load(request, architecture, inputs)
                except AutoregError:
                    raise
                except Exception as error:
                    explained = request.explain(error)
                    if explained is None:
                        raise
                    raise explained from error

    @classmethod
    def _check(cls, request: _Request, architecture: Architecture | None) -> None:
        request.check_known()
        if architecture is not None:
            request.check_config(architecture)

    @classmethod
    def _load(cls, request: _Request, architecture: Architecture | None, inputs: tuple[Any, ...]) -> Any:
        return cls._inherited(request.source, *inputs, **request.options)

    @classmethod
    def _inherited(cls, source: Any, *inputs: Any, **options: Any) -> Any:
        return super().from_pretrained(source, *inputs, **options)  # type: ignore[misc]  # of the class mixed in


class _ConfigFace(_Face):
    @classmethod
    def _load(cls, request: _Request, architecture: Architecture | None, inputs: tuple[Any, ...]) -> Any:
        if architecture is None or not architecture.architectures or architecture.config is None:
            return cls._inherited(request.source, *inputs, **request.options)
        config: Any = request.runtime.bridge.classes.load(architecture.model_type, architecture.config)
        request.options.pop("trust_remote_code")
        return config.from_pretrained(request.source, **request.options)

    @classmethod
    def for_model(cls, model_type: str, *args: Any, **kwargs: Any) -> Any:
        """Return the config of a model type with these fields, as `transformers.AutoConfig.for_model`."""
        known = runtime.use()
        if known.owner(model_type, ()) is not None and not bridge.registered_by_user(model_type):
            known.architecture(model_type)
            known.prepare(model_type)
        elif not bridge.has_model_type(model_type):
            raise known.unknown(model_type)
        return super().for_model(model_type, *args, **kwargs)  # type: ignore[misc]  # of the class mixed in


class _ModelFace(_Face):
    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *inputs: Any, **kwargs: Any) -> Any:
        """Load from a folder or a hub id, as the class of the same name in transformers does. Depth: classes.

        Beyond transformers' keywords it takes `strict`, `verify`, `isolate` and `allow_pickle` (`loading.Wishes`).

        Raises:
            IncompleteCheckpointError: the weights in the files are not those of the class.
            IntegrityError: a weight file is not the one that the manifest describes.
            UnsafeCheckpointError: the weights are pickled, or code lies elsewhere.
            CheckpointError: a file cannot be what it should be, or the model is left with a hole.
            UnknownArchitectureError, ConflictError, PluginError, RemoteCodeError: as for every Auto class.
        """
        with runtime.turn():  # before the folder is held: a save holds the folder without waiting for a turn
            return super().from_pretrained(pretrained_model_name_or_path, *inputs, **kwargs)

    @classmethod
    def _load(cls, request: _Request, architecture: Architecture | None, inputs: tuple[Any, ...]) -> Any:
        from autoreg.loading import Load, Wishes  # torch, which a tokenizer does not need

        wishes = Wishes.take(request.options)
        load = Load(request.source, request.options, config=request.file, saved=request.architectures, wishes=wishes)
        return load.run(lambda: cls._loaded(request, architecture, inputs))

    @classmethod
    def _loaded(cls, request: _Request, architecture: Architecture | None, inputs: tuple[Any, ...]) -> Any:
        if architecture is None:
            request.runtime.warn_of_override(bridge.overriding_class(cls, request.model_type), request.model_type)
            return cls._inherited(request.source, *inputs, **request.options)
        if not architecture.architectures:
            request.check_head(cls, architecture)
            return cls._inherited(request.source, *inputs, **request.options)
        request.options["config"] = _claimed_config(request, architecture)
        return cls._claiming(request.runtime, architecture, request.choice)._inherited(
            request.source, *inputs, **request.options
        )

    @classmethod
    def _claiming(cls, known: runtime.Runtime, architecture: Architecture, choice: Choice | None) -> Any:
        """Return this Auto class with one entry: the claimed checkpoint's config and the plugin's model."""
        references = architecture.models.get(cls.__name__)
        if references is None:
            raise no_head(cls.__name__, architecture, choice)
        return known.bridge.classes.claiming(cls, architecture, references)

    @classmethod
    def from_config(cls, config: Any, **kwargs: Any) -> Any:
        """Build a model with random weights from a config, as the class of the same name in transformers does.

        A plugin's class that leaves a tensor without values is built all the same, with a warning that names it.

        Raises:
            UnknownArchitectureError: nobody has the config's model type, or this head of it.
            ConflictError, PluginError, RemoteCodeError: as for `from_pretrained`.
        """
        request = _Request(cls.__name__, getattr(config, "name_or_path", ""), {**kwargs, "config": config})
        architecture = request.architecture()
        request.settle_trust()
        del request.options["config"]
        target: Any = cls
        if architecture is not None and architecture.architectures:
            target = cls._claiming(request.runtime, architecture, request.choice)
        elif architecture is not None:
            request.check_head(cls, architecture)
        with runtime.turn():
            if architecture is None:
                return target._inherited_from_config(config, **request.options)
            from autoreg.loading import built

            return built(lambda: target._inherited_from_config(config, **request.options))

    @classmethod
    def _inherited_from_config(cls, config: Any, **options: Any) -> Any:
        return super().from_config(config, **options)  # type: ignore[misc]  # of the class mixed in


def _claimed_config(request: _Request, architecture: Architecture) -> Any:
    """Return the config for a claimed checkpoint, taking the keywords that are its fields."""
    if request.given is not None:
        return request.given
    config_class = request.runtime.bridge.classes.claimed_config_class(architecture)
    ours = {"dtype", "torch_dtype", "quantization_config", "trust_remote_code"}
    given = {name: value for name, value in request.options.items() if name not in ours}
    config, left = config_class.from_pretrained(request.source, return_unused_kwargs=True, **given)
    hub = {name: request.options[name] for name in bridge.HUB_OPTIONS if name in request.options}
    kept = {name: request.options[name] for name in ours if name in request.options}
    request.options.clear()
    request.options.update({**left, **hub, **kept})
    return config


class _BackboneFace(_ModelFace):
    @classmethod
    def _inherited(cls, source: Any, *inputs: Any, **options: Any) -> Any:
        # transformers asks the hub whether the repository exists, and takes a folder for a timm model.
        if os.path.isdir(source):
            return bridge.load_backbone(cls, source, *inputs, **options)
        return super()._inherited(source, *inputs, **options)


class _ProcessingFace(_Face):
    @classmethod
    def _check(cls, request: _Request, architecture: Architecture | None) -> None:
        """Raise nothing: a tokenizer loads by its own files, beside a config that nobody knows."""

    @classmethod
    def _load(cls, request: _Request, architecture: Architecture | None, inputs: tuple[Any, ...]) -> Any:
        declared = getattr(architecture, PROCESSING[cls.__name__], None)
        if architecture is not None and isinstance(declared, ClassRef) and cls._prefers(request, architecture):
            local: Any = request.runtime.bridge.classes.load(architecture.model_type, declared)
            request.options.pop("trust_remote_code", None)
            return local.from_pretrained(request.source, *inputs, **request.options)
        return cls._inherited(request.source, *inputs, **request.options)

    @classmethod
    def _prefers(cls, request: _Request, architecture: Architecture) -> bool:
        """Say whether the declared class is to be used without asking transformers."""
        return bool(architecture.architectures)


class _TokenizerFace(_ProcessingFace):
    @classmethod
    def _prefers(cls, request: _Request, architecture: Architecture) -> bool:
        # A name that transformers does not know silently becomes a `TokenizersBackend`.
        name = bridge.tokenizer_class_name(request.source, request.options)
        return bool(architecture.architectures) or (name is not None and not bridge.has_tokenizer_class(name))


_FACES: Mapping[str, type[_Face]] = {
    **dict.fromkeys(PROCESSING, _ProcessingFace),
    "AutoConfig": _ConfigFace,
    "AutoTokenizer": _TokenizerFace,
}

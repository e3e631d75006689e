"""What autoreg's own Auto classes ask of transformers, and do with its Auto classes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from autoreg.architecture import Architecture
from autoreg.bridge.classes import Classes
from autoreg.bridge.mappings import Content
from autoreg.bridge.tables import AUTO_PACKAGE

__all__ = [
    "HUB_OPTIONS",
    "auto_class_named",
    "classes_of",
    "has_head",
    "has_model_type",
    "has_tokenizer_class",
    "load_backbone",
    "model_class",
    "overridden_types",
    "overriding_class",
    "pin_revision",
    "registered_by_user",
    "registered_types",
    "tokenizer_class_name",
]

HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
"""The keywords of `from_pretrained` that say where files come from."""


def auto_class_named(name: str) -> Any | None:
    """Return transformers' own Auto class of this name; None if it has none."""
    importlib.import_module("transformers")
    # Not what the import returns: a thread that waited for another's gets the package that was replaced.
    found = getattr(sys.modules["transformers"], name, None) if name.startswith("Auto") else None
    return found if isinstance(found, type) and found.__module__.startswith(AUTO_PACKAGE) else None


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


def has_head(auto_class: Any, classes: Classes, architecture: Architecture) -> bool:
    """Say whether somebody registered a class of this Auto class for the architecture's config."""
    return classes.config(architecture.model_type) in auto_class._model_mapping


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


def model_class(name: str) -> Any | None:
    """Return the model class of this name, of transformers or of a plugin; None if there is none."""
    from transformers import PreTrainedModel

    found = getattr(sys.modules["transformers"], name, None) if name.isidentifier() else None
    return found if isinstance(found, type) and issubclass(found, PreTrainedModel) else None


def classes_of(config: Any) -> Iterator[Any]:
    """Yield the model classes that are registered for the config's class, the largest first to be of use."""
    from transformers.models.auto import modeling_auto as modeling

    found: dict[Any, None] = {}
    for name in sorted(vars(modeling), key=lambda name: name != "AutoModelForPreTraining"):
        mapping = getattr(getattr(modeling, name), "_model_mapping", None) if name.startswith("AutoModel") else None
        if mapping is not None and type(config) in mapping:
            classes = mapping[type(config)]
            found.update(dict.fromkeys(classes if isinstance(classes, tuple) else (classes,)))
    yield from found


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


def overridden_types() -> Iterator[tuple[str, str]]:
    """Yield `(model type, class)` for each of transformers' own that somebody registered a class in place of."""
    from transformers import CONFIG_MAPPING

    native = getattr(CONFIG_MAPPING, "_mapping", {})
    for model_type, config in registered_types().items():
        if model_type in native and not config.__module__.startswith("transformers."):
            yield model_type, f"{config.__module__}.{config.__name__}"


def registered_types() -> dict[str, type]:
    """Return the config class that somebody registered, by model type; what was looked up of a plugin is none."""
    from transformers import CONFIG_MAPPING

    content = CONFIG_MAPPING._extra_content
    return content.registered() if isinstance(content, Content) else dict(content)


def registered_by_user(model_type: str) -> type | None:
    """Return the config class that somebody registered for the model type: the user himself goes first.

    None where AUTOREG_PREFER names another owner.
    """
    from transformers import CONFIG_MAPPING

    content = CONFIG_MAPPING._extra_content
    if not isinstance(content, Content) or content.demoted(model_type):
        return None
    return content.registered().get(model_type)

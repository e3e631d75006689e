"""Model classes that an installed package has already: which they are, and what a declaration of them says.

Depth: classes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from autoreg import natives
from autoreg.architecture import ClassRef
from autoreg.errors import DeclarationError

__all__ = ["Existing", "look_at"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Existing:
    """What a declaration of somebody else's classes consists of.

    Attributes:
        package: the import package that has them.
        distribution: what pip calls it; empty where that is not known.
        requires: what the plugin has to require.
        example: the Auto class of the class that was asked for.
        declares: the references by field of `Architecture`.
    """

    package: str
    distribution: str
    requires: tuple[str, ...]
    example: str
    declares: Mapping[str, str]


def look_at(model_type: str, text: str) -> Existing:
    """Import the module of `module:Class` and find what belongs to the class.

    Raises:
        DeclarationError: there is no such class, it is no model of transformers', or not of this model type.
    """
    reference = ClassRef.parse(text, field="--from")
    wanted = _model(reference)
    config: Any = wanted.config_class
    if getattr(config, "model_type", "") != model_type:
        said = getattr(config, "model_type", "")
        problem = f"its config {config.__name__} has the `model_type` {said!r}, which is the NAME to give"
        raise DeclarationError(field="--from", value=text, problem=problem)
    models = dict(_models(reference, config))
    example = _auto_class(reference.name)
    models.setdefault(f"models[{example}]", str(reference))
    package = reference.module.partition(".")[0]
    distribution = _distribution(package)
    return Existing(
        package=package,
        distribution=distribution,
        requires=_requires(distribution),
        example=example,
        declares={"config": f"{config.__module__}:{config.__name__}", **models},
    )


def _model(reference: ClassRef) -> Any:
    try:
        found: Any = reference.load()
    except (ImportError, TypeError) as error:
        raise DeclarationError(field="--from", value=str(reference), problem=str(error)) from error
    config = getattr(found, "config_class", None)
    if not hasattr(found, "from_pretrained") or not isinstance(config, type):
        problem = "it is no PreTrainedModel with a `config_class` of its own"
        raise DeclarationError(field="--from", value=str(reference), problem=problem)
    return found


def _models(reference: ClassRef, config: type) -> Iterator[tuple[str, str]]:
    """Yield the model classes of the module that have this config and a name that says which Auto class they serve."""
    for name, value in sorted(vars(sys.modules[reference.module]).items()):
        own = isinstance(value, type) and value.__module__ == reference.module and name == value.__name__
        if own and getattr(value, "config_class", None) is config and (auto_class := _served(name)):
            yield f"models[{auto_class}]", f"{reference.module}:{name}"


def _served(name: str) -> str:
    """Return the Auto class that a class of this name serves, as transformers names them; empty for none."""
    if name.endswith("PreTrainedModel"):
        return ""
    suffix = name[name.rfind("For") :] if "For" in name else "Model"
    auto_class = "AutoModel" if name.endswith("Model") else f"AutoModel{suffix}"
    return auto_class if auto_class in natives.auto_classes() and name.endswith(suffix) else ""


def _auto_class(name: str) -> str:
    return _served(name) or "AutoModel"


def _distribution(package: str) -> str:
    """Return the name of the distribution that an import package comes from; empty where nothing says so."""
    for name in metadata.packages_distributions().get(package, ()):
        return name
    try:  # an editable install lists no files, and most packages are called as their distribution is
        return str(metadata.metadata(package.replace("_", "-"))["Name"])
    except metadata.PackageNotFoundError:
        return ""


def _requires(distribution: str) -> tuple[str, ...]:
    if not distribution:
        return ()
    version = metadata.version(distribution)
    major = version.partition(".")[0]
    return (f"{distribution}>={version},<{int(major) + 1}" if major.isdigit() else distribution,)

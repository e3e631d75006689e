"""The template of a new plugin: a distribution that works before its author has written a line.

`new` writes one for a kind of model from `templates/`; `declaring` writes one that declares classes which an installed
package has already. Rendered by jinja2, which the extra `autoreg[conformance]` brings.

Depth: metadata; `declaring`: classes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from autoreg.scaffold.existing import Existing, look_at
from autoreg.scaffold.kinds import KINDS
from autoreg.scaffold.names import check_name, class_prefix, distribution_name, package_name
from autoreg.scaffold.project import write
from autoreg.scaffold.render import common, kind_files

__all__ = ["KINDS", "Made", "declaring", "distribution_name", "new", "package_name", "write"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A plugin project that was written.

    Attributes:
        folder: the project.
        model_type, distribution, package: what it declares, and as whom.
        kind: of which kind it is; empty for one that only declares.
        files: the files, by their path in the project, in their order, with what each is for.
        declares: the classes by field of `Architecture`.
    """

    folder: str
    model_type: str
    distribution: str
    package: str
    kind: str
    files: Mapping[str, str]
    declares: Mapping[str, str]


def new(model_type: str, kind: str, *, folder: str = "", version: str = "0") -> Made:
    """Write a project with a small, complete architecture of the kind. Depth: metadata.

    Args:
        model_type: what checkpoints will say; the distribution is called `autoreg-<model type>`.
        kind: one of `KINDS`.
        folder: the project's folder, which must not exist; by default `autoreg-<model type>` here.
        version: autoreg's own, the oldest that the project will require.

    Raises:
        DeclarationError: it cannot be a model type, or transformers has it, or a class of such a name.
        SaveError: the folder exists, or cannot be written.
    """
    described = KINDS[kind]
    prefix = class_prefix(model_type)
    check_name(model_type, [described.class_name(prefix, suffix) for suffix in described.suffixes])
    words = _words(model_type, version) | {
        "prefix": prefix,
        "module": package_name(model_type).removeprefix("autoreg_"),
        "summary": f"{prefix}, {described.summary}",
        "summary_name": prefix,
        "example": described.example,
        "requires": described.requires,
    }
    declares = described.declares(prefix, package_name(model_type))
    files = common(words, declares) | kind_files(kind, words)
    return _written(model_type, files, declares, folder=folder, kind=kind)


def declaring(model_type: str, reference: str, *, folder: str = "", version: str = "0") -> Made:
    """Write a project that declares classes of an installed package, and holds none. Depth: classes.

    Args:
        model_type: what the config class says.
        reference: `module:Class`, one of its model classes; its like in the same module are declared too.
        folder: as for `new`.
        version: as for `new`.

    Raises:
        DeclarationError: there is no such class, it is no model, or its config says another model type.
        SaveError: the folder exists, or cannot be written.
    """
    check_name(model_type, [])
    found: Existing = look_at(model_type, reference)
    words = _words(model_type, version) | {
        "summary": f"{model_type}, as {found.distribution or found.package} has it",
        "example": found.example,
        "requires": found.requires,
    }
    return _written(model_type, common(words, found.declares), found.declares, folder=folder, kind="")


def _words(model_type: str, version: str) -> dict[str, object]:
    return {
        "model_type": model_type,
        "distribution": distribution_name(model_type),
        "package": package_name(model_type),
        "autoreg_version": ".".join(version.split(".")[:2]),
    }


def _written(
    model_type: str, files: Mapping[str, tuple[str, str]], declares: Mapping[str, str], *, folder: str, kind: str
) -> Made:
    target = os.path.abspath(folder or distribution_name(model_type))
    write(target, {path: text.encode() for path, (text, _) in files.items()}, what="a plugin project")
    return Made(
        folder=target,
        model_type=model_type,
        distribution=distribution_name(model_type),
        package=package_name(model_type),
        kind=kind,
        files={path: purpose for path, (_, purpose) in files.items()},
        declares=declares,
    )

"""A remote-code checkpoint into a plugin project, read and never run.

The files that `auto_map` names, and what they import from beside them, are copied byte for byte into a package of their
own, with a declaration, their origin, a review and the conformance suite around them.

Depth: metadata. Nothing of the checkpoint is imported, compiled or run: `ast` makes trees of texts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from autoreg.adopt import references
from autoreg.adopt.plan import plan
from autoreg.adopt.project import Plan, render
from autoreg.errors import CheckpointError
from autoreg.scaffold import distribution_name, package_name, write

__all__ = ["Adopted", "adopt"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted:
    """A plugin project that was written.

    Attributes:
        folder: the project.
        model_type, distribution, package: what it declares, and as whom.
        origin: where the code comes from, as people write it.
        files: the copied files, by their path in the checkpoint, with their SHA-256.
        mend: what does not work until somebody changes it, as sentences.
        notes: what else to know, as sentences.
        findings: how many places of each kind a reviewer should look at.
    """

    folder: str
    model_type: str
    distribution: str
    package: str
    origin: str
    files: Mapping[str, str]
    mend: tuple[str, ...]
    notes: tuple[str, ...]
    findings: Mapping[str, int]


def adopt(source: str, *, folder: str = "", repository: str = "", revision: str = "", version: str = "") -> Adopted:
    """Make a plugin project of a checkpoint that brings its own code. Depth: metadata.

    Args:
        source: a folder, or the id of a repository in the hub's cache; nothing is downloaded.
        folder: the project's folder, which must not exist; by default `autoreg-<model type>` here.
        repository: whose checkpoint a plain folder is; in the cache that is known.
        revision: of a repository, the one to adopt; of a plain folder, the one that it is.
        version: autoreg's own, for the record.

    Raises:
        CheckpointNotFoundError: there is no such checkpoint, or a file that its code needs is missing.
        UnsafeCheckpointError: its code lies outside its folder.
        CheckpointError: it brings no code, or code that cannot be a plugin.
        SaveError: the folder exists, or cannot be written.
    """
    _check("--repository", repository, references.REPOSITORY)
    _check("--revision", revision, references.REVISION)
    planned = plan(references.find(source, repository=repository, revision=revision))
    target = os.path.abspath(folder or distribution_name(planned.model_type))
    write(target, render(planned, version=version), what="an adopted project")
    return _adopted(planned, target)


def _check(option: str, text: str, form: object) -> None:
    if text and not form.fullmatch(text):  # type: ignore[attr-defined]
        raise CheckpointError(
            file=ascii(text), problem=f"that is no value for {option}.", advice="Nothing was adopted."
        )


def _adopted(planned: Plan, target: str) -> Adopted:
    kinds: dict[str, int] = {}
    for finding in planned.findings:
        kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
    return Adopted(
        folder=target,
        model_type=planned.model_type,
        distribution=distribution_name(planned.model_type),
        package=package_name(planned.model_type),
        origin=planned.checkpoint.origin,
        files={source.path: source.sha256 for source in planned.sources},
        mend=planned.mend,
        notes=planned.notes,
        findings=kinds,
    )

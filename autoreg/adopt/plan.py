"""What the project will declare, worked out from `auto_map` and the source: classes, model type, what to mend.

Depth: metadata.
"""

from __future__ import annotations

import ast
import difflib
import os
import re
from collections.abc import Iterator, Mapping

from autoreg import natives
from autoreg.adopt import review
from autoreg.adopt.project import CODE, Plan, licences, unknown_requirements
from autoreg.adopt.references import Checkpoint, Reference
from autoreg.adopt.sources import Source, closure, defined
from autoreg.architecture import PROCESSING
from autoreg.errors import CheckpointError

__all__ = ["plan"]

_NOT_MODELS = frozenset({"AutoConfig", *PROCESSING})
_BACKENDS = ("pil", "torchvision")
_AUTO_CLASS = re.compile(r"Auto[A-Z]\w{0,80}", re.ASCII)


def plan(checkpoint: Checkpoint) -> Plan:
    """Read the code and work out the project.

    Raises:
        CheckpointNotFoundError, UnsafeCheckpointError: as `sources.closure`.
        CheckpointError: the model type is transformers' own or missing, or a class is not where `auto_map` says.
    """
    model_type = _model_type(checkpoint)
    named = dict.fromkeys(each for entries in checkpoint.classes.values() for each in entries if each)
    modules = dict.fromkeys(each.module for each in named)
    sources, missing = closure(checkpoint.folder, modules, cached=checkpoint.cached)
    for reference in named:
        _check_defined(reference, sources, checkpoint)
    requirements, findings = review.requirements(sources), review.scan(sources)
    known, unknown = _known(checkpoint)
    mend = [
        *_mend_config(checkpoint, sources, model_type),
        *(f"{name}: {text}" for name, text in _taken(named)),
        *(_mend_import(each) for each in findings if each.kind == review.MENDS),
        *(_mend_requirement(each) for each in unknown_requirements(requirements)),
    ]
    notes = [*unknown, *missing, *checkpoint.other, *_notes(checkpoint, findings)]
    return Plan(
        checkpoint=checkpoint,
        model_type=model_type,
        fields=tuple(_fields(known)),
        sources=sources,
        requirements=requirements,
        findings=findings,
        mend=tuple(mend),
        notes=tuple(notes),
    )


# --- the model type --------------------------------------------------------------------------------


def _model_type(checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    if not config.model_type:
        raise CheckpointError(
            file=config.file,
            problem="there is no `model_type` in it, by which a plugin could own the checkpoint.",
            advice='Add the line "model_type" with the value in the source of its config class.',
        )
    if config.model_type in natives.model_types():
        raise _native(checkpoint)
    if "AutoConfig" not in checkpoint.classes:
        problem = f"it names no AutoConfig, and transformers has no model type {config.model_type!r}."
        raise CheckpointError(file=config.file, part="auto_map", problem=problem, advice="Nothing was adopted.")
    return config.model_type


def _native(checkpoint: Checkpoint) -> CheckpointError:
    own = [name for name in checkpoint.config.architectures if name not in natives.class_names()]
    if own:
        advice = (
            f"Its code cannot take the model type over. Write a plugin that claims {own[0]!r}: see the page `Claims on"
            " architectures` of the documentation."
        )
    else:
        advice = f"Load it without its code: autoreg.AutoConfig.from_pretrained({checkpoint.source!r})"
    return CheckpointError(
        file=checkpoint.config.file,
        problem=f"its model type {checkpoint.config.model_type!r} is one of transformers' own.",
        advice=advice,
    )


def _mend_config(checkpoint: Checkpoint, sources: tuple[Source, ...], model_type: str) -> Iterator[str]:
    reference = next((each for each in checkpoint.classes["AutoConfig"] if each), None)
    assert reference is not None  # `references.find` drops entries that are empty
    said = _stated(reference.name, sources, frozenset())
    if said is None:
        yield (
            f"the source does not say that {reference.name} has the `model_type` {model_type!r} of config.json:"
            f" see that it does."
        )
    elif said != model_type:
        yield (
            f"{reference.name} has the `model_type` {said!a}, and config.json {model_type!r}: make them the same,"
            " or transformers takes one for the other."
        )


def _stated(name: str, sources: tuple[Source, ...], seen: frozenset[str]) -> str | None:
    """Return the `model_type` in the body of a class, or of a class that it is made from; None where none says."""
    classes = (node for source in sources for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef))
    found = next((node for node in classes if node.name == name and name not in seen), None)
    if found is None:
        return None
    for node in found.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.Constant) and any(isinstance(e, ast.Name) and e.id == "model_type" for e in targets):
            return str(value.value)
    bases = [base.id for base in found.bases if isinstance(base, ast.Name)]
    return next((said for base in bases if (said := _stated(base, sources, seen | {name})) is not None), None)


# --- the classes -----------------------------------------------------------------------------------


def _known(checkpoint: Checkpoint) -> tuple[dict[str, tuple[Reference | None, ...]], list[str]]:
    """Return the entries for Auto classes that there are, and a sentence for each other."""
    there = natives.auto_classes()
    known: dict[str, tuple[Reference | None, ...]] = {}
    notes: list[str] = []
    for auto_class, entries in checkpoint.classes.items():
        if auto_class in _NOT_MODELS or (_AUTO_CLASS.fullmatch(auto_class) and (not there or auto_class in there)):
            known[auto_class] = entries
        else:
            notes.append(f"`auto_map` has {ascii(auto_class)[:100]}, which the installed transformers lacks: left out.")
    return known, notes


def _check_defined(reference: Reference, sources: tuple[Source, ...], checkpoint: Checkpoint) -> None:
    stem = reference.module.replace(".", "/")
    source = next(each for each in sources if each.path in (f"{stem}.py", f"{stem}/__init__.py"))
    names = defined(source.tree)
    if names is None or reference.name in names:
        return
    near = difflib.get_close_matches(reference.name, names, n=1)
    raise CheckpointError(
        file=os.path.join(checkpoint.folder, source.path),
        part=reference.name,
        problem=f"the `auto_map` in {reference.said_in} names it, and the file does not define it.",
        advice=f"Did you mean {near[0]}?" if near else "Download the checkpoint again.",
    )


def _fields(known: Mapping[str, tuple[Reference | None, ...]]) -> Iterator[tuple[str, str | Mapping[str, str]]]:
    yield "config", _text(next(each for each in known["AutoConfig"] if each))
    models = {
        name: _text(each) for name, entries in known.items() if name not in _NOT_MODELS for each in entries[:1] if each
    }
    if models:
        yield "models", models
    for auto_class, entries in known.items():
        given = [each for each in entries if each]
        if auto_class not in PROCESSING or not given:
            continue
        pairs = {name: _text(each) for name, each in zip(_BACKENDS, entries, strict=False) if each}
        # Of a slow and a fast tokenizer the fast one, as transformers chooses.
        by_backend = auto_class in ("AutoImageProcessor", "AutoVideoProcessor") and len(pairs) > 1
        yield PROCESSING[auto_class], pairs if by_backend else _text(given[-1])


def _text(reference: Reference) -> str:
    return f"{reference.module}.{reference.name}"


def _taken(named: Mapping[Reference, None]) -> Iterator[tuple[str, str]]:
    for reference in named:
        if reference.name in natives.class_names():
            yield (
                reference.name,
                f"transformers has a class of this name, and looks classes up by name: rename it in {CODE}/, and in"
                " plugin.py.",
            )


# --- what to tell ----------------------------------------------------------------------------------


def _mend_import(finding: review.Finding) -> str:
    place = f"{finding.path}:{finding.line}"
    return f"{place} says `{finding.what}`: in a package that is a relative import, `from .… import …`."


def _mend_requirement(each: review.Requirement) -> str:
    return (
        f"{each.places[0]} imports {each.module!a}: find out which distribution provides it, and add that to"
        " `dependencies` in pyproject.toml."
    )


def _notes(checkpoint: Checkpoint, findings: tuple[review.Finding, ...]) -> Iterator[str]:
    if not any(licences(checkpoint)):
        yield "there is no licence beside the checkpoint: without one, nobody may pass the code on."
    if any(each.kind == review.REGISTERS for each in findings):
        yield "the code registers its classes by itself: those lines can go, the declaration does it."

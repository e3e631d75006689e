"""What is installed, how a look-up would go, and what is wrong with it: as values, before anything runs.

Depth: metadata for `installed`, declaration for the rest (`doctor(classes=True)` reaches the classes).
Neither torch nor transformers is imported up to the depth of the declarations.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from autoreg import discovery, natives
from autoreg.architecture import PROCESSING, check_model_type
from autoreg.checkpoint import ConfigFile, read_config
from autoreg.discovery import CLAIMS, Broken, Declared, Offer
from autoreg.errors import AutoregError, CheckpointNotFoundError, DeclarationError, sentence
from autoreg.registry import NATIVE, Choice, Registry, unknown_switches

if TYPE_CHECKING:
    from autoreg.architecture import Architecture
    from autoreg.runtime import Runtime

__all__ = ["Explanation", "Finding", "Row", "describe", "doctor", "explain", "installed"]

_STATES = {
    "wins": "ok",
    "loses": "not used",
    "shadowed": "stale",
}
# The files beside config.json that may name code to run, and the Auto classes that read them.
_CODE_FILES = ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One entry-point line of an installed plugin.

    Attributes:
        name: the model type, or the class name in `architectures` that is claimed.
        distribution, version, location: who declares it.
        state: ok, broken, conflict, unusable, disabled, stale, not used, or overrides native.
        reason: why, in a sentence; empty where the state says it all.
        classes: the declared classes by Auto class; empty where the declaration was not loaded.
        imports: the modules that loading would import, the plugin's only; empty as for `classes`.
        summary: the declaration's own line.
    """

    name: str
    distribution: str
    version: str
    location: str
    state: str
    reason: str = ""
    classes: tuple[tuple[str, str], ...] = ()
    imports: tuple[str, ...] = ()
    summary: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """How one look-up would end, and why.

    Attributes:
        subject: what was asked: a model type, a folder or a hub id.
        file: the config.json that was read; empty for a model type.
        model_type, architectures: what it says.
        winner: the distribution and version that owns it, `"transformers"`, or empty.
        reason: one sentence.
        candidates: `(distribution, version, location, fate)` of each plugin that declares it.
        imports: the modules that loading would import, the plugin's only.
        remote_code: what would become of code beside the checkpoint.
        requires: the package that the checkpoint itself says it needs.
        problem: the error that loading would raise; empty where it would not.
    """

    subject: str
    file: str = ""
    model_type: str = ""
    architectures: tuple[str, ...] = ()
    winner: str = ""
    reason: str = ""
    candidates: tuple[tuple[str, str, str, str], ...] = ()
    imports: tuple[str, ...] = ()
    remote_code: str = ""
    requires: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Finding:
    """One thing that is wrong (`error`) or suspicious (`warning`) in this environment.

    Attributes:
        severity: `error` or `warning`.
        subject: the distribution, model type or variable.
        problem: what is the matter, as a sentence.
        mend: the command or the change that mends it.
    """

    severity: str
    subject: str
    problem: str
    mend: str


# --- list and show -------------------------------------------------------------------------------


def installed(runtime: Runtime, *, declared: bool = False) -> list[Row]:
    """Return a row for each offer. Depth: metadata; declaration with `declared`, or on a clash with transformers."""
    found = ((registry, offer) for registry in (runtime.types, runtime.claims) for offer in registry.offers)
    return [_row(runtime, registry.choose(offer.name), offer, declared) for registry, offer in found]


def describe(runtime: Runtime, name: str) -> list[Row]:
    """Return the rows of one model type or claimed class name, with their declarations. Depth: declaration."""
    return [
        _row(runtime, registry.choose(name), offer, True)
        for registry in (runtime.types, runtime.claims)
        for offer, _ in registry.choose(name).candidates
    ]


def _row(runtime: Runtime, choice: Choice, offer: Offer, declared: bool) -> Row:
    state = choice.fate(offer)
    reason = choice.reason if state in ("loses", "conflict") else ", ".join(offer.unmet)
    facts: dict[str, Any] = {"state": _STATES.get(state, state), "reason": reason}
    if state == "wins" and choice.native:
        facts["state"] = "overrides native"
    if declared and state != "disabled" and not offer.unmet:
        facts.update(_declared_facts(runtime.declare(offer)))
    return Row(
        name=offer.name, distribution=offer.distribution, version=offer.version, location=offer.location, **facts
    )


def _declared_facts(declared: Declared | Broken) -> dict[str, Any]:
    if isinstance(declared, Broken):
        return {"state": "broken", "reason": declared.error.problem}
    architecture = declared.architecture
    classes = tuple((field, str(reference)) for field, reference in architecture.references())
    imports = _imports(declared.offer, architecture)
    return {"classes": classes, "imports": imports, "summary": architecture.summary}


# --- why -----------------------------------------------------------------------------------------


def explain(runtime: Runtime, subject: str) -> Explanation:
    """Explain the look-up of a model type, a folder, a file or a hub id. Depth: declaration."""
    if not os.path.exists(subject) and (subject in runtime.types or subject in natives.model_types()):
        return _explain_choice(runtime, subject, model_type=subject)
    try:
        file = _without_asking(subject)
        misspelt = "/" not in subject and bool(runtime.types.near(subject))
        if file is None and not misspelt:  # a misspelt model type is no reason to ask the hub
            file = read_config(subject, {})
    except AutoregError as error:
        return Explanation(subject=subject, problem=str(error))
    if file is None:
        return Explanation(subject=subject, problem=_nothing_there(runtime, subject))
    return _explain_file(runtime, subject, file)


def _without_asking(subject: str) -> ConfigFile | None:
    try:
        return read_config(subject, {"local_files_only": True})
    except CheckpointNotFoundError:
        return None  # what reads like a folder here may yet be a repository on the hub


def _nothing_there(runtime: Runtime, subject: str) -> str:
    if os.path.exists(subject):
        return f"{subject}: there is no config.json, so nothing says which architecture this is."
    error = runtime.unknown(subject)
    return f"{subject!r} is no folder, no hub id that can be read from here, and no known model type.\n{error}"


def _explain_file(runtime: Runtime, subject: str, file: ConfigFile) -> Explanation:
    facts: dict[str, Any] = {"file": file.file, "architectures": file.architectures, "requires": file.requires}
    owner = runtime.owner(file.model_type, file.architectures)
    if file.model_type is None and owner is None:
        problem = f"{file.file}: there is no `model_type` in it, so nothing says which architecture this is."
        return Explanation(subject=subject, problem=problem, **facts)
    name = str(file.model_type if owner is None else owner.name)
    found = _explain_choice(runtime, name, subject=subject, model_type=file.model_type or "", **facts)
    remote = _remote_code(file, owner="" if owner is None else found.winner or "a plugin")
    problem = found.problem if owner or found.winner else _unowned(runtime, name, file, bool(remote))
    return replace(found, remote_code=remote or "there is none", problem=problem)


def _unowned(runtime: Runtime, name: str, file: ConfigFile, remote: bool) -> str:
    """Return why a checkpoint whose model type nobody has would not load."""
    if remote and not file.requires:
        return "only the checkpoint's own code could load it (RemoteCodeError unless trust_remote_code=True)."
    return str(runtime.unknown(name, file=file.file, requires=file.requires))


def _explain_choice(runtime: Runtime, name: str, **facts: Any) -> Explanation:
    registry = runtime.claims if name in runtime.claims else runtime.types
    choice = registry.choose(name)
    facts = {"subject": name, **facts, "reason": choice.reason, "candidates": _candidates(choice)}
    if choice.conflict is not None:
        return Explanation(problem=str(choice.conflict), **facts)
    if choice.offer is None:
        lacking = choice.winner is None or not choice.native
        return Explanation(
            winner=NATIVE if not lacking else "", problem=str(runtime.unknown(name)) if lacking else "", **facts
        )
    declared = runtime.declare(choice.offer)
    if isinstance(declared, Broken):
        return Explanation(problem=str(declared.error), **facts)
    return Explanation(winner=choice.offer.owner, imports=_imports(choice.offer, declared.architecture), **facts)


def _candidates(choice: Choice) -> tuple[tuple[str, str, str, str], ...]:
    return tuple((offer.distribution, offer.version, offer.location, fate) for offer, fate in choice.candidates)


def _imports(offer: Offer, architecture: Architecture) -> tuple[str, ...]:
    return tuple(dict.fromkeys([offer.module, *(reference.module for _, reference in architecture.references())]))


def _remote_code(file: ConfigFile, *, owner: str) -> str:
    entries = dict(_code_entries(file))
    if not entries:
        return ""
    named = ", ".join(f"{auto_class} → {reference}" for auto_class, reference in entries.items())
    if owner:
        return f"never runs: {owner} owns this checkpoint ({named})"
    return f"runs only with trust_remote_code=True ({named})"


def _code_entries(file: ConfigFile) -> Iterator[tuple[str, str]]:
    for name in _CODE_FILES:
        beside = os.path.join(os.path.dirname(file.file), name)
        if not os.path.isfile(beside):
            continue
        try:
            with open(beside, encoding="utf-8") as stream:
                table = json.load(stream).get("auto_map", {})
        except (ValueError, AttributeError):
            continue
        if isinstance(table, dict):
            yield from ((str(auto_class), str(reference)) for auto_class, reference in table.items())


# --- doctor --------------------------------------------------------------------------------------


def doctor(runtime: Runtime, *, classes: bool = False) -> list[Finding]:
    """Return all that is wrong or suspicious, errors first. Depth: declaration; classes with `classes`."""
    findings = [*_environment(), *_switches(runtime), *_planted()]
    for registry in (runtime.types, runtime.claims):
        for name in sorted({offer.name for offer in registry.offers}):
            findings.extend(_choice_findings(registry.choose(name)))
        for offer in registry.offers:
            findings.extend(_offer_findings(runtime, registry, offer))
    findings.extend(_shared_names(runtime))
    if classes:
        findings.extend(_class_findings(runtime))
    return sorted(set(findings))


def _environment() -> Iterator[Finding]:
    if importlib.util.find_spec("transformers") is None:
        yield Finding(
            severity="error",
            subject="transformers",
            problem="it is not installed, and nothing can be loaded without it.",
            mend='pip install "transformers>=5.20,<6"',
        )
    elif not natives.auto_classes() or not natives.model_types():
        yield Finding(
            severity="warning",
            subject="transformers",
            problem="its files are laid out in a way that autoreg does not know; clashes with its own names go unseen.",
            mend="pip install --upgrade autoreg",
        )
    if importlib.util.find_spec("torch") is None:
        yield Finding(
            severity="warning",
            subject="torch",
            problem="it is not installed: configs and tokenizers load, models do not.",
            mend="Install the build of torch that suits this machine.",
        )


def _switches(runtime: Runtime) -> Iterator[Finding]:
    for variable, name in unknown_switches(runtime.switches, (runtime.types, runtime.claims)):
        yield Finding(
            severity="warning",
            subject=variable,
            problem=f"it names {name!r}, and nothing installed answers to it.",
            mend=f"Correct or unset {variable}; the names are those of `autoreg list`.",
        )


def _planted() -> Iterator[Finding]:
    """Find metadata in the current directory, which is not trusted for being there."""
    here = os.path.realpath(os.curdir)
    if here in map(os.path.realpath, discovery.trusted_path()):
        return
    for offer in discovery.scan([here]):
        yield Finding(
            severity="warning",
            subject=offer.distribution,
            problem=f"metadata for {offer.name!r} lies in the current directory and is ignored.",
            mend="Install it (pip install .), or name the folder in PYTHONPATH if it is yours.",
        )


def _choice_findings(choice: Choice) -> Iterator[Finding]:
    if choice.conflict is not None:
        first = choice.conflict.claimants[0][0]
        yield Finding(
            severity="error",
            subject=choice.name,
            problem=", ".join(f"{name} {version}" for name, version, _ in choice.conflict.claimants)
            + " all claim it; a look-up raises ConflictError.",
            mend=f'export AUTOREG_PREFER="{choice.name}={first}", or pip uninstall the others',
        )
    if choice.winner == NATIVE:
        for offer, fate in choice.candidates:
            if fate == "loses":
                yield Finding(
                    severity="warning",
                    subject=choice.name,
                    problem=f"{offer.owner} declares it, and transformers' own is used.",
                    mend=f'export AUTOREG_PREFER="{choice.name}={offer.distribution}" to use the plugin',
                )
    if choice.offer is not None and (choice.native or choice.offer.group == CLAIMS):
        verb = "overrides transformers' own" if choice.native else "claims checkpoints with this architecture"
        yield Finding(
            severity="warning",
            subject=choice.name,
            problem=f"{choice.offer.owner} {verb}.",
            mend=f'export AUTOREG_PREFER="{choice.name}={NATIVE}" to go without it',
        )


def _offer_findings(runtime: Runtime, registry: Registry, offer: Offer) -> Iterator[Finding]:
    fate = registry.choose(offer.name).fate(offer)
    if fate == "shadowed":
        yield Finding(
            severity="warning",
            subject=offer.distribution,
            problem=f"it is installed twice; the metadata of {offer.version} in {offer.location} is stale.",
            mend=f"Remove the stale metadata from {offer.location}, or: pip install --force-reinstall"
            f" {offer.distribution}",
        )
    if fate in ("shadowed", "disabled"):
        return
    if offer.group == discovery.MODEL_TYPES:
        try:
            check_model_type(offer.name)
        except DeclarationError as error:
            yield _error(offer, sentence(f"its entry point {offer.name!r}: {error.problem}"))
            return
    declared = runtime.declare(offer)
    if isinstance(declared, Broken):
        yield _error(offer, sentence(declared.error.problem), declared.error.advice if offer.unmet else "")
        return
    for remark in declared.remarks:
        yield Finding(severity="warning", subject=offer.owner, problem=f"{remark}.", mend=_tell(offer))
    for field, problem in discovery.missing_classes(declared.architecture):
        yield _error(offer, f"its `{field}` is {problem}.")


def _error(offer: Offer, problem: str, mend: str = "") -> Finding:
    return Finding(
        severity="error", subject=offer.owner, problem=f"{offer.name!r}: {problem}", mend=mend or _tell(offer)
    )


def _tell(offer: Offer) -> str:
    return f"pip install --upgrade {offer.distribution}, or tell its author"


def _shared_names(runtime: Runtime) -> Iterator[Finding]:
    """Find tokenizers and processors that two plugins name alike: transformers looks them up by name."""
    owners: dict[str, dict[str, str]] = {}
    for offer, architecture in _winners(runtime, runtime.types):
        for field, reference in architecture.references():
            if field not in ("config", "registered_by") and not field.startswith("models"):
                owners.setdefault(reference.name, {})[str(reference)] = offer.distribution
    for name, references in sorted(owners.items()):
        if len(references) > 1:
            first, *_ = references.values()
            yield Finding(
                severity="warning",
                subject=name,
                problem=f"{' and '.join(references)} share this class name; a look-up by name raises ConflictError.",
                mend=f'export AUTOREG_PREFER="{name}={first}" where it comes to that',
            )


def _class_findings(runtime: Runtime) -> Iterator[Finding]:
    """Import every class that is declared, and see what others put in the place of transformers' own."""
    from autoreg import bridge

    runtime.hold()
    try:
        for registry in (runtime.types, runtime.claims):
            for offer, architecture in _winners(runtime, registry):
                yield from _load_all(runtime, offer, architecture)
        yield from _unnamed(runtime)
        consequences = {
            "architectures are registered one by one instead": runtime.bridge.unknown,
            "in a load, damaged weight files or unwritten memory may go unnoticed": runtime.bridge.unseen,
        }
        for consequence, missing in consequences.items():
            for name in missing:
                yield Finding(
                    severity="warning",
                    subject="transformers",
                    problem=f"{name} is not what autoreg knows; {consequence}.",
                    mend="pip install --upgrade autoreg",
                )
        for model_type, winner in bridge.overridden_types():
            if runtime.preferred(model_type):
                continue
            yield Finding(
                severity="warning",
                subject=model_type,
                problem=f"{winner} was registered in the place of transformers' own.",
                mend=f'export AUTOREG_PREFER="{model_type}={NATIVE}" to load the native class',
            )
        yield from _replaced(runtime)
    finally:
        runtime.release()


def _replaced(runtime: Runtime) -> Iterator[Finding]:
    """Find what packages registered in the place of installed plugins."""
    from autoreg import bridge

    for model_type, winner in bridge.registered_types().items():
        offer = runtime.replaced(model_type, winner)
        if offer is not None and not runtime.preferred(model_type):
            yield Finding(
                severity="warning",
                subject=model_type,
                problem=f"{winner.__module__}.{winner.__name__} was registered in the place of {offer.owner}'s.",
                mend=f'export AUTOREG_PREFER="{model_type}={offer.distribution}" to load the plugin\'s class',
            )


def _load_all(runtime: Runtime, offer: Offer, architecture: Architecture) -> Iterator[Finding]:
    classes = runtime.bridge.classes
    try:
        architecture = classes.complete(architecture)
    except AutoregError as error:
        yield _error(offer, str(error).splitlines()[1])
        return
    for load in _loads(classes, architecture):
        try:
            load()
        except AutoregError as error:
            yield _error(offer, str(error).splitlines()[1])


def _loads(classes: Any, architecture: Architecture) -> Iterator[Callable[[], object]]:
    """Yield what imports the classes that are declared, each by the way on which a look-up reaches it."""
    name = architecture.model_type
    declared = [field for field in PROCESSING.values() if getattr(architecture, field) is not None]
    if architecture.architectures:
        yield partial(classes.claimed_config_class, architecture)
        yield from (partial(classes.model_classes, architecture, models) for models in architecture.models.values())
        yield from (partial(classes.default, architecture, field) for field in declared)
    else:
        yield partial(classes.config, name)
        yield from (partial(classes.models, name, key) for key in architecture.models)
        yield from (partial(classes.processing, name, field) for field in declared)


def _winners(runtime: Runtime, registry: Registry) -> Iterator[tuple[Offer, Architecture]]:
    """Yield each offer that wins its name, with what it declares; broken declarations are passed over."""
    for offer in registry.offers:
        declared = runtime.declare(offer) if registry.choose(offer.name).offer is offer else None
        if isinstance(declared, Declared):
            yield offer, declared.architecture


def _unnamed(runtime: Runtime) -> Iterator[Finding]:
    """Find what a package's register function registers and no entry point names: a new release may have added it."""
    for offer, architecture in _winners(runtime, runtime.types):
        function = architecture.registered_by
        others = sorted(runtime.bridge.classes.registered(function).types) if function is not None else ()
        for model_type in others:
            if model_type not in runtime.types:
                yield Finding(
                    severity="warning",
                    subject=offer.owner,
                    problem=f"{function} also registers {model_type!r}, which no entry point names: it stays unknown.",
                    mend=_tell(offer),
                )

"""Registration: what is declared, what importing it does, and whether the names in a class's tables exist."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
import transformers

import autoreg
from autoreg import natives, runtime
from autoreg.conformance.capabilities import NAMES
from autoreg.conformance.check import check
from autoreg.conformance.compare import shown
from autoreg.conformance.fields import fields_of, nested
from autoreg.conformance.structure import Structure
from autoreg.conformance.subject import Subject
from autoreg.discovery import Declared
from autoreg.errors import NotApplicableError

__all__ = [
    "auto_classes",
    "base_model_prefix",
    "class_names",
    "config_class",
    "hints",
    "ignored_keys",
    "import_effects",
    "keep_in_fp32",
    "light_declaration",
    "model_type",
    "no_split_modules",
    "parallel_plans",
    "recorded_outputs",
    "skipped_keys",
    "tied_keys",
]

_DECLARE = """
import importlib.abc, json, sys, traceback
path, offer, heavy = json.loads(sys.argv[1])
sys.path[:] = path
found = {}
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in heavy and name not in found:
            frames = [each for each in traceback.extract_stack() if "importlib" not in each.filename]
            found[name] = [f"{each.filename}, line {each.lineno}: {each.line}" for each in frames[:-1]][-1:]
        return None
sys.meta_path.insert(0, Finder())
from autoreg.discovery import Offer, declare
declare(Offer(**offer))
print(json.dumps({name: found.get(name, []) for name in heavy if name in sys.modules}))
"""


@check("registration.class-names", level="loads", scope="architecture")
def class_names(subject: Subject) -> None:
    """No class has the name of one of transformers', of another plugin's, or of a second class of its own.

    Hurts: transformers looks classes up by their name alone, and gives users the wrong one without an error.

    Change: rename the class; its name should begin with the architecture's.
    """
    architecture = subject.target.architecture
    if architecture is None:
        raise NotApplicableError(reason="it is one of transformers' own, and declared nowhere")
    own = {reference.name: str(reference) for _, reference in architecture.references()}
    theirs = natives.class_names() | set(dir(transformers))
    others = dict(_other_plugins(subject))
    for field, reference in architecture.references():
        compared = "the names of the declared classes with those of transformers and of the installed plugins"
        subject.require(
            reference.name not in theirs or architecture.overrides_native is not None,
            f"`{field}` is {reference}, and transformers has a class {reference.name!r} of its own",
            compared=compared,
        )
        subject.require(
            reference.name not in others,
            f"`{field}` is {reference}, and {others.get(reference.name)} has a class {reference.name!r} too",
            compared=compared,
        )
        subject.require(
            own[reference.name] == str(reference),
            f"Two of its classes are called {reference.name!r}",
            compared=compared,
            found=f"{reference} and {own[reference.name]}",
        )


@check("registration.model-type", level="loads", scope="architecture")
def model_type(subject: Subject) -> None:
    """`config_class.model_type` is the declared model type.

    Hurts: what `save_pretrained` writes into config.json is another architecture's model type, and the checkpoint
    loads as that, or not at all.

    Change: set `model_type` in the body of the config class to what the plugin declares.
    """
    found = getattr(subject.config_class, "model_type", "")
    subject.require(
        found == subject.target.model_type,
        f"`{subject.config_class.__name__}.model_type` is {found!r}, and {subject.target.model_type!r} is declared",
        compared="`config_class.model_type` with the declared model type",
        found=f"{found!r} and {subject.target.model_type!r}",
    )


@check("registration.config-class", level="loads")
def config_class(subject: Subject) -> None:
    """`model_class.config_class` is the declared config class.

    Hurts: `from_pretrained` reads config.json as another config, and `register` fails with an AttributeError.

    Change: set `config_class = …` in the body of the model class. Without it transformers takes the annotation
    `config: …` of the class, which `from __future__ import annotations` makes a string.
    """
    found, expected = getattr(subject.model_class, "config_class", None), subject.config_class
    why = ": the class, not its name, is needed" if isinstance(found, str) else ""
    subject.require(
        found is expected,
        f"`{subject.model_class.__name__}.config_class` is not the declared config class{why}",
        compared="`model_class.config_class` with the declared config class",
        found=f"{found!r} and {expected!r}",
    )


@check("registration.import-effects", level="loads", scope="architecture")
def import_effects(subject: Subject) -> None:
    """Importing the classes changes nothing else in the process.

    Watched are random numbers, default dtype and device, environment, sys.path, warnings, logging, torch's
    backends, methods of torch and transformers, and classes registered with transformers.

    Hurts: whether a user's own results change depends on whether some plugin was imported before.

    Change: set nothing at import; do it inside the function that needs it, and put it back.
    """
    target = subject.target
    if target.architecture is None:
        raise NotApplicableError(reason="it is one of transformers' own")
    if target.import_effects is None:
        raise NotApplicableError(reason="its package had been imported before the suite could watch")
    subject.require(
        not target.import_effects,
        f"Importing its classes changes {'; '.join(target.import_effects)}",
        compared="the settings of the process before and after the classes are imported",
    )
    own = {id(each) for each in (target.config_class, *target.models, *target.processing.values())}
    foreign = [entry for entry in target.registrations if not (_ids(entry[1:]) & own or entry[1] == target.model_type)]
    foreign += [entry for entry in target.registrations if entry[2] not in target.models and entry not in foreign]
    subject.require(
        not [entry for entry in foreign if not _ids((entry[2],)) & own],
        "Importing its classes registers others than the declared ones with transformers",
        compared="transformers' Auto mappings before and after the classes are imported",
        found="; ".join(f"{table}: {shown(key)} → {shown(value)}" for table, key, value in foreign),
    )


@check("registration.light-declaration", level="loads", scope="architecture")
def light_declaration(subject: Subject) -> None:
    """Reading the declaration imports neither torch nor transformers.

    A fresh process reads it.

    Hurts: every process that looks an architecture up, `autoreg list` and shell completion among them, waits
    seconds for imports that it does not need.

    Change: name classes by string (`"package.module:Class"`) in the declaration module, and import nothing
    heavy in it or in the `__init__.py` of its package.
    """
    offer = subject.target.offer
    if offer is None:
        raise NotApplicableError(reason="it is one of transformers' own, and declared nowhere")
    heavy = ["torch", "transformers"]
    asked = json.dumps([sys.path, dataclasses.asdict(offer), heavy])
    ran = subprocess.run([sys.executable, "-c", _DECLARE, asked], capture_output=True, text=True, check=False)
    lines = ran.stdout.splitlines()
    subject.require(
        ran.returncode == 0 and lines,
        "Reading the declaration in a fresh process fails",
        compared="the exit status of a process that does nothing else",
        found=ran.stderr.strip().rpartition("\n")[2],
    )
    imported: Mapping[str, list[str]] = json.loads(lines[-1])
    subject.require(
        not imported,
        f"Reading the declaration in {offer.module!r} imports {' and '.join(imported)}",
        compared="`sys.modules` of a process that has read the declaration and done nothing else",
        found="; ".join(line for places in imported.values() for line in places),
    )


@check("registration.auto-classes", level="loads", scope="architecture")
def auto_classes(subject: Subject) -> None:
    """`AutoConfig.for_model` and each declared Auto class give the declared classes.

    Hurts: `AutoModelForCausalLM.from_pretrained` gives users another class than the author's, or none.

    Change: declare each class under the Auto class whose job it does, and register nothing else under its config.
    """
    target = subject.target
    undo = runtime.activate()
    try:
        made = transformers.AutoConfig.for_model(target.model_type)
        subject.require(
            type(made) is target.config_class,
            f"`AutoConfig.for_model({target.model_type!r})` gives another class",
            compared="what AutoConfig makes of the model type with the declared config class",
            found=f"{type(made)!r} and {target.config_class!r}",
        )
        for model_class, names in target.models.items():
            for name in names:
                _gives(subject, name, model_class)
    finally:
        undo()


@check("registration.base-model-prefix", level="loads")
def base_model_prefix(subject: Subject) -> None:
    """The model with a head keeps the base model under the name that `base_model_prefix` says.

    Hurts: the head's weights load into a bare base model as random ones, or the other way round, and
    `model.base_model` is the head itself.

    Change: set `base_model_prefix` to the name of the attribute, the same in all classes of the architecture.
    """
    base = subject.target.class_of("AutoModel")
    subject.need(subject.model_class is not base, "it is the base model")
    model = _skeleton(subject, subject.model_class)
    names = [name for name, module in model.named_modules() if isinstance(module, base) and name]
    subject.need(names, f"no {base.__name__} is part of it")
    prefix = subject.model_class.base_model_prefix
    subject.require(
        isinstance(getattr(model, prefix, None), base) if "." not in names[0] else hasattr(model, prefix),
        f"`{subject.model_class.__name__}.base_model_prefix` is {prefix!r}, and its base model is `{names[0]}`",
        compared=f"`base_model_prefix` with the attribute that holds {base.__name__}",
        found=f"{prefix!r} and {names[0]!r}",
    )
    subject.require(
        base.base_model_prefix == prefix or "." in names[0],
        f"`base_model_prefix` is {prefix!r} in {subject.model_class.__name__} and {base.base_model_prefix!r} in"
        f" {base.__name__}",
        compared="`base_model_prefix` of the two classes",
    )


@check("registration.no-split-modules", level="loads", scope="architecture")
def no_split_modules(subject: Subject) -> None:
    """Each name in `_no_split_modules` is that of a module class of the architecture.

    Hurts: `device_map="auto"` cuts through a layer with a residual connection, and `forward` fails on two devices.

    Change: list the names of the classes of whole layers, as they are defined in the modelling file.
    """
    structure = _structure(subject)
    names = {each.__name__ for each in structure.classes}
    for owner, name in _entries(subject, "_no_split_modules"):
        subject.require(
            name in names or structure.defines(name),
            f"`{owner}._no_split_modules` names {name!r}, which is no module of the architecture",
            compared="`_no_split_modules` with the classes of the modules",
        )


@check("registration.keep-in-fp32", level="loads", scope="architecture")
def keep_in_fp32(subject: Subject) -> None:
    """Each name in `_keep_in_fp32_modules` and `_keep_in_fp32_modules_strict` is part of the name of a weight.

    Hurts: a layer that must be computed in float32 is loaded in half precision, without a word.

    Change: list parts of the names in `state_dict()`.
    """
    structure = _structure(subject)
    for table in ("_keep_in_fp32_modules", "_keep_in_fp32_modules_strict"):
        _matching(subject, structure, _entries(subject, table), table, search=lambda text: text.replace("*", ".*"))


@check("registration.tied-keys", level="loads", scope="architecture")
def tied_keys(subject: Subject) -> None:
    """Each name in `_tied_weights_keys` is that of a weight.

    Hurts: the weights are not tied: an embedding is trained and stored twice, and a checkpoint without the copy
    loads a random head.

    Change: write `{"lm_head.weight": "model.embed_tokens.weight"}` with names from `named_parameters()`.
    """
    structure = _structure(subject)
    _matching(subject, structure, _entries(subject, "_tied_weights_keys"), "_tied_weights_keys", search=str)


@check("registration.ignored-keys", level="loads", scope="architecture")
def ignored_keys(subject: Subject) -> None:
    """Each pattern in `_keys_to_ignore_on_load_missing` and `_keys_to_ignore_on_save` matches a weight.

    Hurts: a weight that is left out on purpose is reported as missing on every load; or the pattern means a name of
    former days, and hides nothing any more.

    Change: take out the pattern, or mend it so that it matches a name in `state_dict()`.
    """
    structure = _structure(subject)
    for table in ("_keys_to_ignore_on_load_missing", "_keys_to_ignore_on_save"):
        _matching(subject, structure, _entries(subject, table), table, search=str)


@check("registration.parallel-plans", level="loads", scope="architecture")
def parallel_plans(subject: Subject) -> None:
    """Each entry of the tensor-, expert- and pipeline-parallel plans is a module, under a style that exists.

    Hurts: with `tp_plan="auto"` the layer is replicated instead of split: no memory is saved, or results are wrong
    where its neighbour is split.

    Change: write the names of modules with `*` for the number of the layer (`"layers.*.self_attn.q_proj"`): those
    of `base_model_tp_plan` as seen from the base model, those of `_tp_plan` as seen from the class.
    """
    structure = _structure(subject)
    styles = _styles()
    for owner, name, style in _plans(subject):
        subject.require(
            name in structure.paths or _NUMBERS.sub("*", name) in structure.paths or structure.possible(name),
            f"`{owner}` has an entry {name!r}, which is no module of the architecture",
            compared="the entries of the parallel plans with the names of the modules",
        )
        subject.require(
            not isinstance(style, str) or not styles or style in styles,
            f"`{owner}[{name!r}]` is {style!r}, which is no style that transformers has",
            compared="the styles of the parallel plans with those of transformers",
        )


@check("registration.recorded-outputs", level="loads", scope="architecture")
def recorded_outputs(subject: Subject) -> None:
    """Each class in `_can_record_outputs` is that of a module of the architecture.

    Hurts: `output_hidden_states=True` and `output_attentions=True` return nothing, or an empty tuple.

    Change: name the class of the layer (or attention) whose output is to be recorded.
    """
    structure = _structure(subject)
    for owner, key, recorded in _recorded(subject):
        named = getattr(recorded, "class_name", None) if not isinstance(recorded, str) else recorded
        kind = recorded if isinstance(recorded, type) else getattr(recorded, "target_class", None)
        subject.require(
            kind in structure.classes
            or (kind is not None and structure.defines(kind.__name__))
            or (named is not None and any(path.endswith(named) for path in structure.paths)),
            f"`{owner}._can_record_outputs[{key!r}]` is {shown(kind or named)}, which is no module of the architecture",
            compared="the classes in `_can_record_outputs` with those of the modules",
        )


@check("registration.skipped-keys", level="loads", scope="architecture")
def skipped_keys(subject: Subject) -> None:
    """Each name in `_skip_keys_device_placement` is an argument of some `forward`.

    Hurts: with `device_map` the cache is copied from device to device at every layer.

    Change: list the arguments' own names, such as `past_key_values`.
    """
    structure = _structure(subject)
    for owner, name in _entries(subject, "_skip_keys_device_placement"):
        subject.require(
            name in structure.arguments or structure.possible(name),
            f"`{owner}._skip_keys_device_placement` names {name!r}, which is no argument of any `forward`",
            compared="`_skip_keys_device_placement` with the arguments of every module's `forward`",
        )


@check("registration.hints", level="loads", scope="architecture")
def hints(subject: Subject) -> None:
    """Hints name capabilities, fields and processing classes that exist.

    Hurts: a hint with a misspelt name changes nothing, and its author believes that a check was switched off or
    made to fit.

    Change: see `autoreg check --explain-subject` for the names.
    """
    given = subject.hints
    subject.need(subject.target.architecture is not None, "it is one of transformers' own, and has no hints")
    known = {
        "capabilities": (given.capabilities, set(NAMES)),
        "processing": (given.processing, set(subject.target.processing)),
        "config": (given.config, set(_paths(subject.config_class()))),
        "field_values": (given.field_values, set(_paths(subject.config_class()))),
    }
    for hint, (names, allowed) in known.items():
        unknown = [name for name in names if name not in allowed]
        subject.require(
            not unknown,
            f"`Hints.{hint}` names {', '.join(map(repr, unknown))}, which does not exist",
            compared=f"`Hints.{hint}` with {', '.join(sorted(allowed))}",
        )


# --- what the checks share -------------------------------------------------------------------------

_NUMBERS = re.compile(r"(?<=\.)\d+(?=\.|$)")


def _ids(values: Iterable[Any]) -> set[int]:
    return set(map(id, values))


def _other_plugins(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield `(class name, distribution)` of what the other installed plugins declare."""
    here, own = runtime.current(), subject.target.offer
    for offer in here.types.offers:
        declared = here.declare(offer) if own is not None and not own.is_by(offer.distribution) else None
        if isinstance(declared, Declared):
            yield from ((reference.name, offer.owner) for _, reference in declared.architecture.references())


def _gives(subject: Subject, name: str, model_class: type) -> None:
    if ":" in name:  # an Auto class of another package
        return
    config = subject.config()
    config.architectures = [model_class.__name__]
    for package in (transformers, autoreg):
        auto_class = getattr(package, name)
        with torch.device("meta"), subject.raising(f"`{package.__name__}.{name}.from_config` fails"):
            made = auto_class.from_config(copy.deepcopy(config))
        subject.require(
            type(made) is model_class,
            f"`{package.__name__}.{name}.from_config` gives {type(made).__name__}, not {model_class.__name__}",
            compared=f"what {name} makes of the config with the declared class",
        )


def _skeleton(subject: Subject, model_class: Any) -> Any:
    """Return a model without memory, made from the tiny config."""
    with torch.device("meta"):
        return model_class._from_config(subject.config())


def _structure(subject: Subject) -> Structure:
    """Return what the models of all classes are made of: they share their tables through a common parent."""
    models = []
    for model_class in subject.target.models:
        try:
            models.append(_skeleton(subject, model_class))
        except Exception as error:  # a head that wants more of the config than the base model does
            subject.note(f"{model_class.__name__} does not build from the base model's tiny config: {error}"[:200])
    subject.need(models, "no class builds from the tiny config")
    return Structure(models)


def _entries(subject: Subject, table: str) -> list[tuple[str, str]]:
    """Return `(class, name)` of every entry of a table of that name; NotApplicableError where there is none."""
    found: dict[str, str] = {}
    for model_class in subject.target.models:
        value = getattr(model_class, table, None) or ()
        names = [value] if isinstance(value, str) else list(value)
        if isinstance(value, Mapping):
            names += [target for target in value.values() if isinstance(target, str)]
        for name in names:
            found.setdefault(name, _owner(model_class, table))
    return [(owner, name) for name, owner in found.items()]


def _owner(model_class: type, table: str) -> str:
    return next(each.__name__ for each in model_class.__mro__ if table in vars(each))


def _matching(
    subject: Subject,
    structure: Structure,
    entries: list[tuple[str, str]],
    table: str,
    *,
    search: Callable[[str], str],
) -> None:
    """Require that each entry, as a regular expression, is found in the name of a weight."""
    for owner, name in entries:
        pattern = re.compile(search(name))
        subject.require(
            any(pattern.search(each) for each in structure.tensors) or structure.possible(name),
            f"`{owner}.{table}` has an entry {name!r}, which matches no weight of the architecture",
            compared=f"`{table}` with the names of the parameters and buffers",
        )


def _plans(subject: Subject) -> Iterator[tuple[str, str, Any]]:
    """Yield `(where, module, style)` of every entry of every plan."""
    configs = [subject.config_class, *map(type, nested(subject.config()).values())]
    for config in configs:
        for table in ("base_model_tp_plan", "base_model_ep_plan", "base_model_pp_plan"):
            for name, style in (getattr(config, table, None) or {}).items():
                yield f"{config.__name__}.{table}", name, style
    for model_class in subject.target.models:
        for table in ("_tp_plan", "_ep_plan", "_pp_plan"):
            for name, style in (getattr(model_class, table, None) or {}).items():
                yield f"{_owner(model_class, table)}.{table}", name, style


def _styles() -> frozenset[str]:
    """Return the names of transformers' styles; none where this release keeps them elsewhere."""
    for name in ("transformers.distributed.parallel_utils", "transformers.integrations.tensor_parallel"):
        module = sys.modules.get(name)
        styles = getattr(module, "ALL_PARALLEL_STYLES", None)
        if styles is not None:
            return frozenset(styles.keys())
    return frozenset()


def _recorded(subject: Subject) -> Iterator[tuple[str, str, Any]]:
    for model_class in subject.target.models:
        for key, value in (getattr(model_class, "_can_record_outputs", None) or {}).items():
            for each in value if isinstance(value, (list, tuple)) else (value,):
                yield _owner(model_class, "_can_record_outputs"), key, each


def _paths(config: Any, prefix: str = "") -> Iterator[str]:
    """Yield the name of every field, those of nested configs with the names of theirs before them."""
    children = nested(config)
    for name in (*vars(config), *(each.name for each in fields_of(config)), "num_labels"):
        yield f"{prefix}{name}"
    for name, child in children.items():
        yield from _paths(child, f"{prefix}{name}.")

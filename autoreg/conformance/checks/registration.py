"""Registration: what is declared, what importing it does, and whether the names in a class's tables exist."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
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
    "import_effects",
    "light_declaration",
    "model_type",
    "module_names",
    "parallel_plans",
    "weight_names",
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
    theirs = natives.class_names() | set(getattr(transformers, "__all__", ()))
    others = dict(_other_plugins(subject))
    for field, reference in architecture.references():
        compared = "the names of the declared classes with those of transformers and of the installed plugins"
        subject.require(
            reference.name not in theirs or architecture.meets_native,
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
    """No import of its classes changes anything else in the process.

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
    """Neither torch nor transformers is imported when the declaration is read.

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
        if not target.claim:
            _gives_config(subject)
        for model_class, names in target.models.items():
            for name in names:
                _gives(subject, name, model_class)
    finally:
        undo()


@check("registration.base-model-prefix", level="loads")
def base_model_prefix(subject: Subject) -> None:
    """Models with a head keep the base model under the name that `base_model_prefix` says.

    Hurts: the head's weights load into a bare base model as random ones, or the other way round, and
    `model.base_model` is the head itself.

    Change: set `base_model_prefix` to the name of the attribute, the same in all classes of the architecture.
    """
    base: Any = subject.target.class_of("AutoModel")
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


@check("registration.module-names", level="loads", scope="architecture")
def module_names(subject: Subject) -> None:
    """Each name in `_no_split_modules`, `_can_record_outputs` and `_skip_keys_device_placement` exists.

    The first two name classes of modules, the last arguments of `forward`.

    Hurts: `device_map="auto"` cuts through a layer with a residual connection and `forward` fails on two devices;
    `output_hidden_states=True` returns nothing; the cache is copied from device to device at every layer.

    Change: write the names as they are defined in the modelling file.
    """
    structure = _structure(subject)
    split, skipped = _entries(subject, "_no_split_modules"), _entries(subject, "_skip_keys_device_placement")
    recorded = list(_recorded(subject))
    subject.need([*split, *skipped, *recorded], "it has none of the three tables")
    for owner, name in split:
        subject.require(
            structure.defines(name),
            f"`{owner}._no_split_modules` names {name!r}, which is no module of the architecture",
            compared="`_no_split_modules` with the classes of the modules",
        )
    for owner, name in skipped:
        subject.require(
            name in structure.arguments or structure.possible(name),
            f"`{owner}._skip_keys_device_placement` names {name!r}, which is no argument of any `forward`",
            compared="`_skip_keys_device_placement` with the arguments of every module's `forward`",
        )
    for owner, key, recorder in recorded:
        subject.require(
            structure.records(recorder),
            f"`{owner}._can_record_outputs[{key!r}]` is {shown(recorder)}, which is no module of the architecture",
            compared="the classes in `_can_record_outputs` with those of the modules",
        )


@check("registration.weight-names", level="loads", scope="architecture")
def weight_names(subject: Subject) -> None:
    """Each entry of the tables of weights matches a weight.

    The tables are `_tied_weights_keys`, `_keep_in_fp32_modules`, `_keep_in_fp32_modules_strict`,
    `_keys_to_ignore_on_load_missing` and `_keys_to_ignore_on_save`.

    Hurts: an embedding that should be tied is trained and stored twice, and a checkpoint without the copy loads a
    random head; a layer that must be computed in float32 is loaded in half precision; a weight that is left out
    on purpose is reported as missing.

    Change: take the entry out, or mend it: it is a regular expression for names from `state_dict()`.
    """
    tables = {table: _entries(subject, table) for table in _WEIGHT_TABLES}
    subject.need(any(tables.values()), "it has none of the tables")
    structure = _structure(subject)
    for table, entries in tables.items():
        for owner, name in entries:
            # The tables of dtypes are globs, the others regular expressions.
            pattern = re.compile(name.replace("*", ".*") if table.startswith("_keep") else name)
            subject.require(
                any(pattern.search(each) for each in structure.tensors) or structure.possible(name),
                f"`{owner}.{table}` has an entry {name!r}, which matches no weight of the architecture",
                compared=f"`{table}` with the names of the parameters and buffers",
            )


@check("registration.parallel-plans", level="loads", scope="architecture")
def parallel_plans(subject: Subject) -> None:
    """Each entry of the tensor-, expert- and pipeline-parallel plans is a module, under a style that exists.

    Hurts: with `tp_plan="auto"` the layer is replicated instead of split: no memory is saved, or results are wrong
    where its neighbour is split.

    Change: write the names of modules with `*` for the number of the layer (`"layers.*.self_attn.q_proj"`): those
    of `base_model_tp_plan` as seen from the base model, those of `_tp_plan` as seen from the class.
    """
    plans = list(_plans(subject))
    subject.need(plans, "it has no parallel plan")
    structure, styles = _structure(subject), _styles()
    for owner, name, style in plans:
        subject.require(
            structure.has(name) or structure.possible(name),
            f"`{owner}` has an entry {name!r}, which is no module of the architecture",
            compared="the entries of the parallel plans with the names of the modules",
        )
        subject.require(
            not isinstance(style, str) or not styles or style in styles,
            f"`{owner}[{name!r}]` is {style!r}, which is no style that transformers has",
            compared="the styles of the parallel plans with those of transformers",
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
    fields = set(_paths(subject.config_class()))
    known = {
        "capabilities": (given.capabilities, set(NAMES)),
        "processing": (given.processing, set(subject.target.processing)),
        "config": (given.config, fields),
        "field_values": (given.field_values, fields),
    }
    for hint, (names, allowed) in known.items():
        unknown = [name for name in names if name not in allowed]
        if allowed is fields:
            unknown = [name for name in unknown if not _mentioned(subject, name)]
        subject.require(
            not unknown,
            f"`Hints.{hint}` names {', '.join(map(repr, unknown))}, which does not exist",
            compared=f"`Hints.{hint}` with {', '.join(sorted(allowed))}",
        )


def _mentioned(subject: Subject, path: str) -> bool:
    """Say whether the source of the config or of a model names the field.

    A config with an `__init__` of its own keeps whatever it is given, and its models may need more than it names.
    """
    field = re.compile(rf"\b{re.escape(path.partition('.')[0])}\b")
    modules = {each.__module__ for each in (subject.config_class, *subject.target.models)}
    return any(field.search(inspect.getsource(sys.modules[name])) for name in modules)


# --- what the checks share -------------------------------------------------------------------------

_WEIGHT_TABLES = (
    "_tied_weights_keys",
    "_keep_in_fp32_modules",
    "_keep_in_fp32_modules_strict",
    "_keys_to_ignore_on_load_missing",
    "_keys_to_ignore_on_save",
)


def _ids(values: Iterable[Any]) -> set[int]:
    return set(map(id, values))


def _other_plugins(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield `(class name, distribution)` of what the other installed plugins declare."""
    here, own = runtime.current(), subject.target.offer
    for offer in here.types.offers:
        declared = here.declare(offer) if own is not None and not own.is_by(offer.distribution) else None
        if isinstance(declared, Declared):
            yield from ((reference.name, offer.owner) for _, reference in declared.architecture.references())


def _gives_config(subject: Subject) -> None:
    target = subject.target
    made = transformers.AutoConfig.for_model(target.model_type)
    subject.require(
        type(made) is target.config_class,
        f"`AutoConfig.for_model({target.model_type!r})` gives another class",
        compared="what AutoConfig makes of the model type with the declared config class",
        found=f"{type(made)!r} and {target.config_class!r}",
    )


def _gives(subject: Subject, name: str, model_class: type) -> None:
    if ":" in name:  # an Auto class of another package
        return
    config = subject.config()
    config.architectures = [model_class.__name__]
    if not _builds(model_class, config):
        subject.note(f"{model_class.__name__} was not asked for: it cannot be built from the base model's tiny config")
        return
    for package in (autoreg,) if subject.target.claim else (transformers, autoreg):
        auto_class = getattr(package, name)
        with torch.device("meta"), subject.raising(f"`{package.__name__}.{name}.from_config` fails"):
            made = auto_class.from_config(copy.deepcopy(config))
        subject.require(
            type(made) is model_class,
            f"`{package.__name__}.{name}.from_config` gives {type(made).__name__}, not {model_class.__name__}",
            compared=f"what {name} makes of the config with the declared class",
        )


def _builds(model_class: Any, config: Any) -> bool:
    try:
        with torch.device("meta"):
            model_class._from_config(copy.deepcopy(config))
    except Exception:  # whatever the class raises, the checks of that class will tell
        return False
    return True


def _skeleton(subject: Subject, model_class: Any) -> Any:
    """Return a model without memory, made from the tiny config."""
    config = subject.config()  # derived by running models, which needs real tensors
    with torch.device("meta"):
        return model_class._from_config(config)


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
    """Return `(class, name)` of every entry of a table of that name."""
    found: dict[str, str] = {}
    for model_class in subject.target.models:
        value = getattr(model_class, table, None) or ()
        if isinstance(value, property):  # computed by each model for itself
            continue
        names = [value] if isinstance(value, str) else list(value)
        if isinstance(value, Mapping):
            names += [target for target in value.values() if isinstance(target, str)]
        for name in names:
            found.setdefault(name, _owner(model_class, table))
    return [(owner, name) for name, owner in found.items()]


def _owner(model_class: type, table: str) -> str:
    return next(each.__name__ for each in model_class.__mro__ if table in vars(each))


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
        with suppress(ImportError):
            styles = getattr(importlib.import_module(name), "ALL_PARALLEL_STYLES", None)
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

"""Configs: what a config.json keeps, and what it does not."""

from __future__ import annotations

import copy
import logging
import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import transformers

from autoreg.conformance.check import check
from autoreg.conformance.compare import shown
from autoreg.conformance.derive.inputs.facts import read
from autoreg.conformance.fields import ConfigField, fields_of, members, moved, nested, other_values, plain
from autoreg.conformance.subject import Subject
from autoreg.errors import NotApplicableError

__all__ = [
    "attribute_map",
    "copies",
    "default",
    "dictionary",
    "file",
    "kept",
    "labels",
    "nested_configs",
    "overrides",
    "roundtrip",
    "shared_defaults",
    "token_ids",
    "types",
    "unknown_keys",
]

# What saving and loading, or building a model, writes into every config.
_BOOKKEEPING = frozenset({"transformers_version", "architectures", "dtype", "torch_dtype", "_name_or_path"})

_SPECIAL = tuple(f"{name}_token_id" for name in ("pad", "bos", "eos", "sep", "cls", "mask", "unk", "decoder_start"))


@check("config.default", level="loads", scope="architecture")
def default(subject: Subject) -> None:
    """`Config()` works, and says nothing while it is made.

    Hurts: transformers makes default configs to find out what to write into config.json and to fill in nested
    configs; a warning about a config that nobody changed teaches users to overlook warnings.

    Change: give every field a default, and defaults that pass the class's own validators.
    """
    name = subject.config_class.__name__
    with _said() as lines, subject.raising(f"`{name}()` fails: the config cannot be made without arguments"):
        subject.config_class()
    subject.require(
        not lines,
        f"Making the default config, `{name}()`, warns",
        compared=f"what is logged and warned while `{name}()` runs with nothing",
        found=lines[0] if lines else "",
    )


@check("config.roundtrip", level="loads", scope="architecture")
def roundtrip(subject: Subject) -> None:
    """Every saved config loads as it was, whatever its fields are.

    Every field is first given another value than its default, because one that is not written comes back as
    the default.

    Hurts: a checkpoint loads with other sizes or switches than it was trained with, often without an error.

    Change: give each field an annotation in the class body, keep the value under the field's own name, and use
    types that JSON keeps: str keys, no sets; set derived values in `__post_init__`, and leave fields out of
    neither `to_dict` nor `to_diff_dict`.
    """
    config, _ = _moved(subject)
    loaded = _reloaded(subject, config, "config")
    subject.same(
        plain(loaded.to_dict()),
        plain(config.to_dict()),
        what="A config that was saved and loaded differs from the original",
        compared="`from_pretrained(save_pretrained(config)).to_dict()` with `config.to_dict()`",
    )
    for field in fields_of(config):
        subject.same(
            plain(_told(read(loaded, field.name))),
            plain(_told(field.value)),
            what=f"The field `{field.name}` of a config that was saved and loaded differs from the original",
            compared="the attributes of a loaded config with those of the config that was saved",
        )


@check("config.dictionary", level="loads", scope="architecture")
def dictionary(subject: Subject) -> None:
    """`Config(**config.to_dict())`, `from_dict` and the JSON text give the config back.

    Hurts: libraries that copy configs through dictionaries (PEFT, vLLM, the Trainer's logs, nested configs)
    change them.

    Change: let `to_dict` return every field under its own name, and accept in the constructor whatever `to_dict`
    returns.
    """
    config, _ = _moved(subject)
    cls = subject.config_class
    expected = plain(config.to_dict())
    with subject.raising("A config cannot be made again from its own dictionary"):
        again = {
            f"`{cls.__name__}(**config.to_dict())`": cls(**config.to_dict()),
            f"`{cls.__name__}.from_dict(config.to_dict())`": cls.from_dict(config.to_dict()),
            f"`{cls.__name__}.from_dict(config.to_diff_dict())`": cls.from_dict(config.to_diff_dict()),
            f"`{cls.__name__}.from_json_file(…)` of `config.to_json_file(…, use_diff=False)`": _from_json(
                subject, config
            ),
        }
    for how, made in again.items():
        subject.same(
            plain(made.to_dict()),
            expected,
            what=f"{how} differs from the config",
            compared=f"{how} with the config that it was made from",
        )


@check("config.types", level="loads", scope="architecture")
def types(subject: Subject) -> None:
    """Each field comes back from config.json with the type that it had.

    A tuple may come back as a list where the annotation allows both.

    Hurts: `config.sizes == (1, 2)` or `config.names[0]` holds before saving and not after loading.

    Change: keep what JSON keeps (str keys, lists, numbers, strings), annotate `list[int] | tuple[int, ...]`, or
    bring the value to one type in `__post_init__`.
    """
    config, _ = _moved(subject)
    strange = [each for each in fields_of(config) if not _written(each.value)]
    subject.require(
        not strange,
        f"The field `{strange[0].name if strange else ''}` holds a value that JSON cannot write",
        compared="each field with what JSON writes: lists, dictionaries, numbers, strings, nested configs",
        found=", ".join(f"{each.name} is {shown(each.value)} ({type(each.value).__name__})" for each in strange),
    )
    loaded = _reloaded(subject, config, "types")
    for field in fields_of(config):
        now = read(loaded, field.name)
        subject.require(
            _outline(now) == _outline(field.value) or _either(field, now),
            f"The field `{field.name}` comes back with another type: {_outline(field.value)} and {_outline(now)}",
            compared="the type of each field before saving and after loading",
            found=f"{field.name}: {shown(field.value)} and {shown(now)}",
        )


@check("config.nested", level="loads", scope="architecture")
def nested_configs(subject: Subject) -> None:
    """Nested configs stay configs of their class, whether they are given as config, as dictionary or not at all.

    Hurts: `config.vision_config` is a dictionary or a default config after loading, and the model is built
    with other sizes, or not at all.

    Change: list them in `sub_configs`, and make them in `__post_init__`: the default for None, the class for a
    dictionary, the config itself as it is.
    """
    config = _default(subject)
    children = nested(config)
    subject.need(children, "its config has no nested configs")
    for name, child in children.items():
        other = _other_child(subject, name, child)
        for how, given in (("a config", other), ("a dictionary", other.to_dict())):
            with subject.raising(f"The nested config `{name}` cannot be given as {how}"):
                made = subject.config_class(**{name: copy.deepcopy(given)})
            _same_child(subject, made, (name, other), f"that was given as {how}")
        loaded = _reloaded(subject, made, f"nested-{name}")
        _same_child(subject, loaded, (name, other), "that was saved and loaded")


@check("config.shared-defaults", level="loads", scope="architecture")
def shared_defaults(subject: Subject) -> None:
    """Two configs share no list, dictionary or nested config.

    Hurts: changing one model's config changes that of every other model in the process.

    Change: use `None` as the default and make the list or dictionary in `__post_init__`, or use
    `dataclasses.field(default_factory=…)`.
    """
    first, second = _default(subject), _default(subject)
    theirs = dict(_mutable(second))
    owned = {id(value): name for name, value in theirs.items()}
    for name, value in _mutable(first):
        subject.require(
            id(value) not in owned,
            f"Two configs share one object: `{name}`",
            compared="the identity of the lists, dictionaries and nested configs of two default configs",
            found=f"{name} of the one is {owned.get(id(value))} of the other: {shown(value)}",
        )
    subject.require(first is not second, f"`{subject.config_class.__name__}()` returns the same object twice")


@check("config.kept", level="loads")
def kept(subject: Subject) -> None:
    """Neither building a model from a config nor running it changes the config.

    Hurts: the second model made from a config differs from the first, and what is saved is not what was trained
    with.

    Change: copy what has to be changed into an attribute of the model or layer; never assign to `config` outside
    of the config class.
    """
    config = subject.config()
    before = _facts(copy.deepcopy(config))
    model = subject.model(config, lively=False)
    subject.same(
        _facts(config),
        before,
        what=f"Building {subject.model_class.__name__} from a config changes the config",
        compared="the config before and after the model is built from it",
    )
    subject.outputs(model, subject.inputs())
    subject.same(
        _facts(model.config),
        before,
        what=f"Running {subject.model_class.__name__} changes its config",
        compared="the config before the model is built and after `forward`",
    )


@check("config.unknown-keys", level="loads", scope="architecture")
def unknown_keys(subject: Subject) -> None:
    """Keys of config.json that the class does not know are kept as attributes, and written again.

    Hurts: a checkpoint that was saved by a later version of the package, or by a tool that leaves its notes
    in config.json, does not load, or loses them.

    Change: take `**kwargs` in `__init__` or `__post_init__`, and pass them on to `super()`.
    """
    unknown = {"a_field_of_a_later_version": {"scale": [1, 2.5]}, "another_field_of_a_later_version": "x"}
    name = subject.config_class.__name__
    _default(subject)
    with subject.raising(f"`{name}` refuses a field that it does not know"):
        config = subject.config_class(**copy.deepcopy(unknown))
    loaded = _reloaded(subject, config, "unknown")
    for key, value in unknown.items():
        for made, where in ((config, f"`{name}(…)`"), (loaded, "a config that was saved and loaded")):
            found = getattr(made, key, None)
            subject.require(
                found == value,
                f"A field that the class does not know is lost in {where}",
                compared=f"{where} with the field that it was given",
                found=f"{key} is {shown(found)} instead of {shown(value)}",
            )


@check("config.overrides", level="loads", scope="architecture")
def overrides(subject: Subject) -> None:
    """`Config(field=value)` and `from_pretrained(folder, field=value)` set the field.

    Hurts: users believe that they changed a setting, and run with another.

    Change: in `__init__` or `__post_init__`, compute a field only where it is None; let `from_pretrained` and
    `from_dict` pass keyword arguments on.
    """
    start, cls = _default(subject), subject.config_class
    together, arguments = _moved(subject)
    given = {name: value for name, value in arguments.items() if _settable(start, name)}
    subject.need(given, "no field of its config takes another value")
    folder = subject.folder("overrides")
    start.save_pretrained(folder)
    with subject.raising("`from_pretrained` refuses fields that the constructor takes"):
        loaded = cls.from_pretrained(folder, **copy.deepcopy(given))
    for name, value in given.items():
        subject.require(
            plain(read(loaded, name)) == plain(value),
            f"`from_pretrained(folder, {name}=…)` does not set `{name}`",
            compared=f"`from_pretrained(folder, {name}={shown(value)}).{name}` with what was given",
            found=f"{name} is {shown(read(loaded, name))} instead of {shown(value)}",
        )
        made = _alone(cls, {name: value})
        subject.require(
            made is None or plain(read(made, name)) == plain(value) or _counts(together, arguments, name),
            f"`{cls.__name__}({name}=…)` does not set `{name}`",
            compared=f"`{cls.__name__}({name}={shown(value)}).{name}` with what was given",
            found=f"{name} is {shown(read(made, name))} instead of {shown(value)}",
        )


@check("config.attribute-map", level="loads", scope="architecture")
def attribute_map(subject: Subject) -> None:
    """Second names in `attribute_map` read and write the fields that they stand for.

    Hurts: transformers, Trainer, PEFT and serving engines ask for `hidden_size` or `num_hidden_layers` by these
    names, and get an error or another number.

    Change: map the second name to the name of a field that exists, and declare only one of the two as a field.
    """
    names: Mapping[str, str] = getattr(subject.config_class, "attribute_map", {})
    subject.need(names, "it has no `attribute_map`")
    config = _default(subject)
    fields = {each.name: each for each in fields_of(config)}
    for alias, name in names.items():
        compared = f"`config.{alias}` with `config.{name}`"
        subject.require(
            hasattr(config, name),
            f"`attribute_map` maps {alias!r} to {name!r}, which the config has not",
            compared=compared,
        )
        for value in _some_values(fields.get(name), subject):
            made = copy.deepcopy(config)
            setattr(made, alias, value)
            subject.same(
                getattr(made, name), value, what=f"Setting `config.{alias}` does not set `{name}`", compared=compared
            )
            subject.same(
                getattr(made, alias), value, what=f"`config.{alias}` is not `config.{name}`", compared=compared
            )
            subject.require(
                alias == name or alias not in made.to_dict(),
                f"`{alias}` is written beside `{name}`, which it stands for",
                compared="the keys of `config.to_dict()`",
            )


@check("config.copies", level="loads", scope="architecture")
def copies(subject: Subject) -> None:
    """Configs can be pickled and deep-copied; copies equal the original, and one with another field does not.

    Hurts: DataLoader workers, `torch.save`, `multiprocessing` and `copy.deepcopy(model)` fail or lose settings.

    Change: keep plain values in a config: no functions, modules, open files or locks.
    """
    config, changed = _moved(subject)
    with subject.raising("A config cannot be copied with `copy.deepcopy`"):
        copied = copy.deepcopy(config)
    with subject.raising("A config cannot be pickled"):
        pickled = pickle.loads(pickle.dumps(config))
    for how, made in (("copy.deepcopy", copied), ("pickle", pickled)):
        subject.require(type(made) is type(config), f"{how} gives a config of another class")
        subject.same(
            plain(made.to_dict()),
            plain(config.to_dict()),
            what=f"A config that went through {how} differs from the original",
            compared=f"`to_dict()` of the config and of what {how} made of it",
        )
        with subject.raising("Two configs cannot be compared with `==`"):
            equal = made == config
        subject.require(equal, f"A config does not equal itself after {how}", compared="`copy == config`")
    if changed:
        with subject.raising("Two configs cannot be compared with `==`"):
            equal = _default(subject) == config
        subject.require(not equal, "Two configs with other fields are equal", found=shown(changed))


@check("config.labels", level="loads", scope="architecture")
def labels(subject: Subject) -> None:
    """`num_labels`, `id2label` and `label2id` agree, and survive config.json with int ids.

    Hurts: a classifier gets a head of another size than its labels, or pipelines show `LABEL_1` or fail with
    a KeyError.

    Change: leave the three to `PreTrainedConfig`: pass `**kwargs` on to `super()`, and declare none of them again.
    """
    names = {0: "no", 1: "yes", 2: "maybe"}
    _default(subject)
    counted = subject.config_class(num_labels=3)
    named = subject.config_class(id2label=dict(names), label2id={name: index for index, name in names.items()})
    for config, how in ((counted, "`num_labels=3`"), (named, "`id2label` with three labels")):
        for made, where in ((config, ""), (_reloaded(subject, config, f"labels-{config is named}"), ", once loaded")):
            compared = f"`num_labels`, `id2label` and `label2id` of a config made with {how}{where}"
            subject.same(
                made.num_labels, 3, what=f"`num_labels` is wrong in a config made with {how}{where}", compared=compared
            )
            subject.same(
                sorted(made.id2label or (), key=str),
                [0, 1, 2],
                what=f"`id2label` is wrong in a config made with {how}{where}",
                compared=compared,
            )
    loaded = subject.config_class.from_pretrained(subject.scratch / "labels-True")
    subject.same(
        {str(key): value for key, value in (loaded.id2label or {}).items()},
        {str(key): value for key, value in names.items()},
        what="The labels of a loaded config are others",
        compared="`id2label` before saving and after loading",
    )


@check("config.file", level="loads", scope="architecture")
def file(subject: Subject) -> None:
    """Each time a config is written, config.json has the same bytes, also when it was loaded meanwhile.

    Hurts: caches that go by the hash of the file miss, and every save shows as a change under version control.

    Change: write no dates, random ids or values that depend on the machine; set derived values so that setting
    them twice changes nothing.
    """
    config, _ = _moved(subject)
    texts = []
    for name, made in (("first", config), ("second", config), ("third", None)):
        source = subject.config_class.from_pretrained(subject.scratch / "first") if made is None else made
        folder = subject.folder(name)
        source.save_pretrained(folder)
        texts.append((folder / "config.json").read_text(encoding="utf-8").splitlines())
    for text, what in ((texts[1], "is written a second time"), (texts[2], "is loaded and written again")):
        subject.same(
            text,
            texts[0],
            what=f"config.json differs when the same config {what}",
            compared="the lines of the two files",
        )


@check("config.token-ids", level="loads", scope="architecture")
def token_ids(subject: Subject) -> None:
    """Every id of a special token in the default config is within its vocabulary.

    Hurts: `nn.Embedding(padding_idx=…)` raises, generation never meets its end token, or padding reads a row that
    is not there.

    Change: set `pad_token_id`, `bos_token_id`, `eos_token_id` and the like to ids below `vocab_size`, or to None.
    """
    text = _default(subject).get_text_config(decoder=True)
    # Some have a vocabulary for the text and another for codes, and do not say which of them an id is of.
    sizes = [value for name, value in vars(text).items() if "vocab" in name and type(value) is int]
    subject.need(sizes, "its config has no `vocab_size`")
    ids = {name: read(text, name) for name in _SPECIAL if read(text, name) is not None}
    subject.need(ids, "its config has no ids of special tokens")
    for name, value in ids.items():
        for index in value if isinstance(value, (list, tuple)) else (value,):
            subject.require(
                isinstance(index, int) and 0 <= index < max(sizes),
                f"`{name}` is not in the vocabulary",
                compared=f"the ids of special tokens of `{type(text).__name__}()` with its `vocab_size`",
                found=f"{name} is {index}, and the vocabulary has {max(sizes)} tokens",
            )


# --- what the checks share -------------------------------------------------------------------------


def _default(subject: Subject) -> Any:
    try:
        return subject.config_class()
    except Exception as error:
        # `config.default` says so; one defect is one failure.
        raise NotApplicableError(reason=f"its default config cannot be made ({type(error).__name__})") from error


def _moved(subject: Subject) -> tuple[Any, dict[str, Any]]:
    """Return a config with all fields moved from their defaults that can be, and those fields."""
    return moved(_default(subject), subject.hints.field_values)


def _reloaded(subject: Subject, config: Any, name: str) -> Any:
    folder = subject.folder(name)
    with subject.raising("A config cannot be saved and loaded"):
        config.save_pretrained(folder)
        loaded = subject.config_class.from_pretrained(folder)
    subject.comparisons -= 1  # what came back is what is compared
    return loaded


def _from_json(subject: Subject, config: Any) -> Any:
    path = subject.scratch / "whole.json"
    config.to_json_file(path, use_diff=False)
    return subject.config_class.from_json_file(path)


def _told(value: Any) -> Any:
    """Return a value with its nested configs as dictionaries."""
    return value.to_dict() if hasattr(value, "to_dict") else value


def _written(value: Any) -> bool:
    """Say whether JSON can write the value; how it comes back is another question."""
    if isinstance(value, Mapping):
        return all(isinstance(key, (str, int, float, bool)) and _written(each) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_written, value))
    return value is None or isinstance(value, (bool, int, float, str)) or hasattr(value, "to_dict")


def _outline(value: Any) -> str:
    """Return the type of a value with those of its keys and items, as a short text."""
    name = type(value).__name__
    if isinstance(value, Mapping):
        return f"{name}[{', '.join(sorted({f'{_outline(key)}: {_outline(each)}' for key, each in value.items()}))}]"
    if isinstance(value, (list, tuple)):
        return f"{name}[{', '.join(sorted({_outline(each) for each in value}))}]"
    return name


def _either(field: ConfigField, now: Any) -> bool:
    """Say whether only tuples have become lists, and the annotation allows that."""
    if _outline(plain(now)) != _outline(plain(field.value)):
        return False
    return any(word in str(member) for member in members(field.type) for word in ("list", "Sequence"))


def _other_child(subject: Subject, name: str, child: Any) -> Any:
    """Return a nested config with other values that the outer config accepts beside its own."""
    whole, changes = moved(child, {})
    for fields in (changes, *({key: value} for key, value in changes.items())):
        with suppress(Exception):
            other = whole if fields is changes else type(child)(**fields)
            subject.config_class(**{name: copy.deepcopy(other)})
            return other
    return child


def _same_child(subject: Subject, made: Any, expected: tuple[str, Any], which: str) -> None:
    name, other = expected
    found = read(made, name)
    compared = f"the nested config `{name}` {which} with the original"
    subject.require(
        isinstance(found, type(other)),
        f"The nested config `{name}` {which} is no {type(other).__name__}",
        compared=compared,
        found=f"{name} is {type(found).__name__}",
    )
    what = f"The nested config `{name}` {which} has other values"
    subject.same(_facts(found), _facts(other), what=what, compared=compared)


def _mutable(value: Any, name: str = "config") -> Iterator[tuple[str, Any]]:
    """Yield each list, dictionary, set and config below the value, with its name."""
    if hasattr(value, "to_dict") or isinstance(value, (dict, list, set)):
        if name != "config":
            yield name, value
        for key, each in _parts(value):
            yield from _mutable(each, f"{name}.{key}")


def _parts(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    return list(vars(value).items()) if hasattr(value, "to_dict") else []


def _facts(config: Any) -> dict[str, Any]:
    """Return what a config says of its model, without what transformers writes into every config."""
    return {key: value for key, value in plain(config.to_dict()).items() if key not in _BOOKKEEPING}


def _settable(config: Any, name: str) -> bool:
    """Say whether the field is one for users, and the config lets itself be asked for it."""
    try:
        return not name.startswith("_") and not hasattr(getattr(config, name), "to_dict")
    except Exception:  # a config with layers of its own sizes raises for the common size
        return False


def _alone(cls: Any, arguments: Mapping[str, Any]) -> Any:
    """Return a config with these fields, None where the class wants others changed with them."""
    try:
        return cls(**copy.deepcopy(dict(arguments)))
    except Exception:  # a validator's answer
        return None


def _counts(together: Any, arguments: Mapping[str, Any], name: str) -> bool:
    """Say whether the field is heeded where the others are changed too: with their defaults it may be of no use."""
    without = _alone(type(together), {key: value for key, value in arguments.items() if key != name})
    heeded = plain(read(together, name)) == plain(arguments[name])
    return bool(heeded and plain(read(without, name)) != plain(arguments[name]))


def _some_values(field: ConfigField | None, subject: Subject) -> list[Any]:
    if field is None:
        return []
    return list(other_values(field, subject.hints.field_values))[:1] or [field.value]


class _Lines(logging.Handler):
    """Keeps what is logged at the level of a warning."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(record.getMessage())


@contextmanager
def _said() -> Iterator[list[str]]:
    """Collect what is logged or warned inside the block."""
    handler = _Lines()
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    # What was said once in this process would not be said again.
    transformers.utils.logging.warning_once.cache_clear()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield handler.lines
            handler.lines += [str(each.message) for each in caught or ()]
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)

"""The fields of a config class: their types, and other values that each of them may take."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transformers import PreTrainedConfig

from autoreg.conformance.derive.inputs.facts import read

__all__ = ["ConfigField", "fields_of", "members", "moved", "nested", "other_values", "plain", "tree"]

# Bookkeeping and switches of what `forward` returns: transformers' own to keep, and the same for everybody.
_COMMON = frozenset(inspect.signature(PreTrainedConfig.__init__).parameters)
_SEQUENCES = (list, tuple, collections.abc.Sequence)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigField:
    """One field that a config class adds to those which every config has.

    Attributes:
        name: what it is called.
        type: its annotation; `Any` where it has none.
        value: what it is in the config at hand.
    """

    name: str
    type: Any
    value: Any


def fields_of(config: Any) -> tuple[ConfigField, ...]:
    """Return the fields of the config's class, with what they are in this config.

    A class with an `__init__` of its own declares them as arguments, any other in the class body. A second name
    of a field is no field.
    """
    names = dict.fromkeys(each.name for each in dataclasses.fields(config))
    parameters = inspect.signature(type(config).__init__).parameters.values()
    names |= dict.fromkeys(each.name for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL))
    owner: Any = type(config)
    known = _annotations(owner)
    aliases = getattr(config, "attribute_map", {})
    own = [name for name in names if name not in _COMMON and name not in aliases]
    return tuple(ConfigField(name=name, type=known.get(name, Any), value=read(config, name)) for name in own)


@lru_cache(maxsize=64)
def _annotations(cls: Any) -> Mapping[str, Any]:
    """Return the annotation of each field; one that is text and cannot be read counts as `Any`."""
    found: dict[str, Any] = {}
    for owner in reversed([each for each in cls.__mro__ if each not in PreTrainedConfig.__mro__]):
        names = vars(sys.modules[owner.__module__])
        for name, annotation in inspect.get_annotations(owner).items():
            found[name] = annotation
            if isinstance(annotation, str):
                try:
                    found[name] = eval(annotation, names)  # what `typing.get_type_hints` does, all or nothing
                except Exception:  # a name that is imported for type checkers only
                    found[name] = Any
    return found


def nested(config: Any) -> dict[str, Any]:
    """Return the configs that are fields of this one."""
    values = {each.name: each.value for each in fields_of(config)}
    return {name: value for name, value in values.items() if isinstance(value, PreTrainedConfig)}


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the types that a union allows, or the type itself."""
    if typing.get_origin(annotation) is typing.Annotated:
        return members(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(each for member in typing.get_args(annotation) for each in members(member))
    return (annotation,)


def plain(value: Any) -> Any:
    """Return the value as JSON would give it back, as far as that is no loss: tuples as lists, enums as their value."""
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    # transformers' `PILImageResampling`: equal to what comes back.
    return value.value if isinstance(value, enum.Enum) and isinstance(value, (int, str)) else value


def tree(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields by dotted path as the arguments of the config class: those of a nested config as a dictionary."""
    made: dict[str, Any] = {}
    for path, value in fields.items():
        place = made
        *parents, name = path.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    return made


# --- other values ----------------------------------------------------------------------------------


def other_values(field: ConfigField, choices: Mapping[str, Sequence[Any]]) -> Iterator[Any]:
    """Yield values of the field's type that it has not now, the likeliest to be valid first.

    Args:
        field: the field.
        choices: values by field name that its author gave.
    """
    if field.name in choices:
        yield from (value for value in choices[field.name] if value != field.value)
        return
    allowed = members(field.type)
    if Any in allowed:
        allowed = (type(field.value),)
    # Where the value has one of the types already, a value of another type is the rarer choice.
    for member in sorted(allowed, key=lambda each: not _is(field.value, each)):
        for value in _others(member, field):
            # `1 == True == 1.0`: an equal value of another type is no other value.
            if value != field.value and value is not None:
                yield value


def _is(value: Any, member: Any) -> bool:
    kind = typing.get_origin(member) or member
    return type(value) is kind or (kind in _SEQUENCES and isinstance(value, (list, tuple)))


def _others(member: Any, field: ConfigField) -> Iterator[Any]:
    origin, arguments = typing.get_origin(member) or member, typing.get_args(member)
    if origin is typing.Literal:
        yield from arguments
    elif origin in (bool, int, float, str):
        yield from _others_of(origin, field.value, field.name)
    elif origin in _SEQUENCES:
        yield from _other_sequences(arguments, field)
    elif origin is dict and len(arguments) == 2:  # noqa: PLR2004 - keys and values
        keys, values = (_first(each) for each in arguments)
        if keys is not None and values is not None:
            yield {keys: values}


def _others_of(kind: type, now: Any, name: str) -> Iterator[Any]:
    number = now if isinstance(now, (int, float)) and not isinstance(now, bool) else None
    if kind is bool:
        yield now is not True
    elif kind is int and name.endswith("_token_id"):
        yield from ((int(number) - 1, int(number) + 1) if number else (1, 2))
    elif kind is int:
        yield from (int(number) * 2, int(number) + 1) if number else (1, 2)
    elif kind is float:
        yield number / 2 if number else 0.125
    elif kind is str and isinstance(now, str):
        # Free text may be looked up; an activation is the one kind whose other names are known.
        yield from (("relu", "tanh") if now in ("gelu", "silu", "swish", "gelu_new", "quick_gelu") else ())


def _other_sequences(arguments: tuple[Any, ...], field: ConfigField) -> Iterator[Any]:
    now = field.value
    if isinstance(now, (list, tuple)) and now:
        yield type(now)(reversed(now))
        yield type(now)(next(iter(_others_of(type(each), each, field.name)), each) for each in now)
    elif arguments and (sample := _first(arguments[0])) is not None:
        yield [sample]


def _first(annotation: Any) -> Any:
    """Return a value of a simple type, None for any other."""
    samples = {int: 1, float: 0.5, str: "first", bool: True}
    return next((samples[each] for each in members(annotation) if each in samples), None)


def moved(config: Any, choices: Mapping[str, Sequence[Any]]) -> tuple[Any, dict[str, Any]]:
    """Return a config of the same class in which as many fields as possible differ from this one, and those fields.

    Fields are changed one after another; a value that the class refuses is left out.
    """
    cls = type(config)
    arguments: dict[str, Any] = {}
    made = config
    for name, child in nested(config).items():
        other = moved(child, _below(choices, name))[0]
        made = _with(cls, arguments, {name: other}) or made
    for field in fields_of(config):
        if not isinstance(field.value, PreTrainedConfig):
            for value in other_values(field, choices):
                found = _with(cls, arguments, {field.name: value})
                if found is not None:
                    made = found
                    break
    return made, arguments


def _with(cls: Any, arguments: dict[str, Any], change: Mapping[str, Any]) -> Any:
    """Return a config with the change, and keep the change in the arguments; None where the class refuses it."""
    try:
        made = cls(**arguments, **change)
    except Exception:  # a validator's answer
        return None
    arguments.update(change)
    return made


def _below(choices: Mapping[str, Sequence[Any]], name: str) -> dict[str, Sequence[Any]]:
    return {key.removeprefix(f"{name}."): values for key, values in choices.items() if key.startswith(f"{name}.")}

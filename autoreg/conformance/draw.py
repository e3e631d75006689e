"""Hypothesis strategies for configs: changes of a small config that keep it small."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from autoreg.conformance.fields import ConfigField, fields_of, members, nested, other_values

__all__ = ["changes", "one_by_one", "values"]

_ACTIVATIONS = ("gelu", "relu", "silu", "tanh", "gelu_new", "quick_gelu")
_LARGE = 1024
_MOST = 4  # of the fields change at once: each further one makes it likelier that the class refuses the config


def changes(config: Any, choices: Mapping[str, Sequence[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for values of a few fields of the config, by dotted path.

    Args:
        config: the config to change.
        choices: values by path that the author gave.
    """
    known = {path: drawn for path, field in _fields(config) if (drawn := values(path, field, choices)) is not None}
    if not known:
        return st.just({})
    paths = st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=_MOST, unique=True)
    return paths.flatmap(lambda chosen: st.fixed_dictionaries({path: known[path] for path in chosen}))


def one_by_one(config: Any, choices: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Return, for each field by its path, the values to try where nothing else is changed; none where none is known."""
    return {
        path: list(choices.get(path) or other_values(field, {}))[:3] for path, field in _fields(config)
    }  # three, because a class may want a multiple or a neighbour


def _fields(config: Any, prefix: str = "") -> list[tuple[str, ConfigField]]:
    children = nested(config)
    found = [(f"{prefix}{each.name}", each) for each in fields_of(config) if each.name not in children]
    for name, child in children.items():
        found += _fields(child, f"{prefix}{name}.")
    return [(path, field) for path, field in found if not field.name.startswith("_")]


def values(path: str, field: ConfigField, choices: Mapping[str, Sequence[Any]]) -> st.SearchStrategy[Any] | None:
    """Return a strategy for values of a field near the one that it has; None where its type says too little."""
    if choices.get(path):
        return st.sampled_from(list(choices[path]))
    allowed = members(field.type)
    if Any in allowed:
        allowed = (type(field.value),)
    known = [drawn for member in allowed if (drawn := _of(member, field)) is not None]
    return st.one_of(known) if any(member not in (None, types.NoneType) for member in allowed) and known else None


def _of(member: Any, field: ConfigField) -> st.SearchStrategy[Any] | None:
    origin, arguments = typing.get_origin(member) or member, typing.get_args(member)
    simple: Mapping[Any, Any] = {bool: _bools, int: _ints, float: _floats, str: _texts}
    if member in (None, types.NoneType):
        return st.none()
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in simple:
        found: st.SearchStrategy[Any] | None = simple[origin](field)
        return found
    if origin is list:
        return _lists(arguments, field)
    if origin is dict and arguments and arguments[0] in (str, int):
        return _dicts(arguments, field)
    return None


def _bools(field: ConfigField) -> st.SearchStrategy[Any]:
    return st.booleans()


def _ints(field: ConfigField) -> st.SearchStrategy[Any]:
    now = field.value if type(field.value) is int else 2
    if field.name.endswith("_token_id") or now > _LARGE:
        return st.sampled_from(sorted({0, 1, now - 1, now} - {-1}))
    near = {1, 2, 3, 4, now // 2, now, 2 * now}
    return st.sampled_from(sorted(each for each in near if each > 0 or each == now))


def _floats(field: ConfigField) -> st.SearchStrategy[Any]:
    now = float(field.value) if isinstance(field.value, (int, float)) and field.value else 0.5
    return st.sampled_from([0.0, now, now / 2]) | st.floats(0.0, 1.0, allow_subnormal=False)


def _texts(field: ConfigField) -> st.SearchStrategy[Any] | None:
    # Free text may be looked up; an activation is the one kind whose other names are known.
    return st.sampled_from(_ACTIVATIONS) if field.value in _ACTIVATIONS else None


def _lists(arguments: tuple[Any, ...], field: ConfigField) -> st.SearchStrategy[Any] | None:
    now = field.value
    if isinstance(now, (list, tuple)):
        # As many as there are: the number of stages is another field's to say.
        items = [_of(type(each), ConfigField(name=field.name, type=type(each), value=each)) for each in now]
        kept = [st.just(each) if drawn is None else drawn for each, drawn in zip(now, items, strict=True)]
        return st.tuples(*kept).map(list)
    each = _of(arguments[0], ConfigField(name=field.name, type=arguments[0], value=None)) if arguments else None
    return None if each is None else st.lists(each, min_size=1, max_size=3)


def _dicts(arguments: tuple[Any, ...], field: ConfigField) -> st.SearchStrategy[Any] | None:
    keys = st.sampled_from(["first", "second", "third"]) if arguments[0] is str else st.integers(0, 3)
    each = _of(arguments[1], ConfigField(name=field.name, type=arguments[1], value=None))
    return None if each is None else st.dictionaries(keys, each, min_size=1, max_size=2)

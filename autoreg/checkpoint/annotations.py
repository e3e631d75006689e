"""The fields of a plugin's config against the annotations of its class, and against slips of the pen.

Depth: metadata. What a class looks like is asked of the class that the caller has imported.
"""

from __future__ import annotations

import difflib
import enum
import inspect
import sys
import types
import typing
from collections import abc
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from autoreg.checkpoint.json_file import Place, dotted, shown, untagged
from autoreg.errors import CheckpointError

__all__ = ["check_fields", "fields_of_class", "taken_by_class"]

_UNIONS = (typing.Union, types.UnionType)
_WRAPPERS = frozenset({"Annotated", "Final", "Required", "NotRequired", "ReadOnly", "ClassVar"})
_LISTS = (list, tuple, set, frozenset, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable, abc.Set)
_OBJECTS = (dict, abc.Mapping, abc.MutableMapping)
_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    type(None): "null",
    **dict.fromkeys(_LISTS, "a list"),
    **dict.fromkeys(_OBJECTS, "an object"),
}
_CLOSE = 0.85
# Fields that every release has set on any config: no misspelling of a plugin's own.
_FAMILIAR = frozenset(
    {f"{token}_token_id" for token in ("bos", "cls", "decoder_start", "eos", "mask", "pad", "sep", "unk")}
    | {"auto_map", "max_length", "min_length", "num_labels", "tie_word_embeddings", "top_k", "top_p", "use_cache"}
)


def check_fields(fields: Mapping[str, Any], known: Mapping[str, Any], *, file: str) -> tuple[str, ...]:
    """Compare the content of a config with what its class says of it.

    Args:
        fields: the config's content.
        known: the annotation of each field by its name, second names (`attribute_map`) included; `fields_of_class`
            returns them. What is no type that JSON can hold is not compared.
        file: where the content was read.

    Returns:
        A sentence for each unknown field that looks like a known one that is not there. Other unknown fields are
        normal life.

    Raises:
        CheckpointError: a value is not of its field's type. Integers are numbers, and lists are tuples and sets.
    """
    for name, value in fields.items():
        if name in known:
            found = _misfit(value, known[name], (name,))
            if found is not None:
                path, wrong, annotation = found
                raise CheckpointError(
                    file=file,
                    part=dotted(path),
                    problem="the value is not of the type that its config class gives the field.",
                    advice="Correct the value in the file, or save or download the checkpoint again.",
                    expected=_described(annotation),
                    found=shown(wrong),
                )
    return tuple(_suspicions(fields, known, file))


def _suspicions(fields: Mapping[str, Any], known: Mapping[str, Any], file: str, place: Place = ()) -> Iterator[str]:
    for name, value in fields.items():
        for nested in _configs_in(known.get(name), value):
            yield from _suspicions(value, fields_of_class(nested), file, (*place, name))
    absent = [name for name in known if name not in fields and not name.startswith("_")]
    for name in fields:
        if name not in known and name not in _FAMILIAR and not name.startswith("_"):
            near = _likeliest(name, absent)
            if near:
                yield f"{file}: unknown `{dotted((*place, name))}`; did you mean `{near}`?"


def _likeliest(name: str, candidates: list[str]) -> str:
    """Return the name of which the other is a misspelling; empty if there is none.

    A slip is seldom in a word's first letter: `encoder_layers` is no misspelling of `decoder_layers`.
    """
    bare = _bare(name)
    same = next((each for each in candidates if _bare(each) == bare), "")
    if same:
        return same
    initials = [word[:1] for word in name.split("_")]
    alike = [each for each in candidates if [word[:1] for word in each.split("_")] == initials]
    return next(iter(difflib.get_close_matches(name, alike, n=1, cutoff=_CLOSE)), "")


def _bare(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()


# --- a value and an annotation -----------------------------------------------------------------------

_Misfit = tuple[Place, Any, Any]


def _misfit(value: Any, annotation: Any, path: Place) -> _Misfit | None:
    """Return where the first value is that does not fit, the value and the annotation; None where all fits."""
    value, kind = untagged(value), _unwrapped(annotation)
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    wrong = (path, value, annotation)
    if origin in _UNIONS:
        return _misfit_of_union(value, arguments, path, wrong)
    if origin is typing.Literal:
        return None if any(type(value) is type(each) and value == each for each in arguments) else wrong
    if origin in _LISTS:
        return _misfit_of_list(value, arguments, path) if isinstance(value, list) else wrong
    if origin in _OBJECTS:
        return _misfit_of_object(value, arguments, path) if isinstance(value, dict) else wrong
    if not _is_of(value, origin):
        return wrong
    return _misfit_of_fields(value, _fields_of(origin, value), path)


def _misfit_of_union(value: Any, kinds: tuple[Any, ...], path: Place, wrong: _Misfit) -> _Misfit | None:
    # Beside a config class, `dict` says only that the config is one in the file.
    found = [_misfit(value, each, path) for each in _configs_in(kinds, value) or kinds]
    if any(each is None for each in found):
        return None
    deepest = max((each for each in found if each is not None), key=lambda each: len(each[0]), default=wrong)
    return deepest if len(deepest[0]) > len(path) else wrong


def _misfit_of_fields(value: Any, known: Mapping[str, Any], path: Place) -> _Misfit | None:
    """Compare an object with the annotations of its keys; what has none may be anything."""
    found = (_misfit(value[name], known[name], (*path, name)) for name in known if name in value)
    return next((each for each in found if each is not None), None)


def _fields_of(kind: Any, value: Any) -> Mapping[str, Any]:
    """Return the annotations of what the value holds, where its type is a config or a TypedDict of a plugin's."""
    if typing.is_typeddict(kind):
        try:
            return typing.get_type_hints(kind)
        except Exception:  # a name that is imported for type checkers only
            return {}
    return fields_of_class(kind) if _configs_in(kind, value) else {}


def _configs_in(annotation: Any, value: Any) -> list[type]:
    """Return the plugins' config classes among the alternatives of an annotation whose config the value may be.

    transformers' own are spared inside a config as they are outside.
    """
    kinds = annotation if isinstance(annotation, tuple) else (annotation,)
    if typing.get_origin(_unwrapped(annotation)) in _UNIONS:
        kinds = typing.get_args(_unwrapped(annotation))
    configs = [kind for kind in map(_unwrapped, kinds) if isinstance(kind, type) and hasattr(kind, "model_type")]
    own = [kind for kind in configs if kind.__module__.partition(".")[0] != "transformers"]
    if not isinstance(value, dict):
        return []
    return [kind for kind in own if value.get("model_type", kind.model_type) == kind.model_type]


def _unwrapped(annotation: Any) -> Any:
    """Return the annotation without what says nothing of the type: `Annotated`, `Final`, `NewType`."""
    while True:
        if hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif _name_of(typing.get_origin(annotation)) in _WRAPPERS and typing.get_args(annotation):
            annotation = typing.get_args(annotation)[0]
        else:
            return type(None) if annotation is None else annotation


def _name_of(form: Any) -> str:
    return str(getattr(form, "__name__", None) or form).rpartition(".")[2]


def _is_of(value: Any, kind: Any) -> bool:
    if not isinstance(kind, type) or kind is object:
        return True  # `Any`, a type variable, the name of a class that only type checkers import
    if kind in (bool, int, str, type(None)):
        return type(value) is kind
    if kind is float:
        return type(value) in (int, float)
    if issubclass(kind, enum.Enum):
        return any(value == each.value for each in kind)
    if typing.is_typeddict(kind) or hasattr(kind, "model_type"):
        return isinstance(value, dict)
    return True  # a class that JSON cannot hold: what stands for it is between it and its config


def _misfit_of_list(values: list[Any], arguments: tuple[Any, ...], path: Place) -> _Misfit | None:
    kinds = arguments
    if not arguments or arguments[1:] == (...,) or len(arguments) == 1:
        # `tuple[int]` is one number to a type checker and, as a slip, any number of them to many authors.
        kinds = (arguments[0] if arguments else Any,) * len(values)
    elif len(values) != len(arguments):
        return path, values, tuple[arguments]  # type: ignore[valid-type]
    found = (_misfit(value, kind, (*path, at)) for at, (value, kind) in enumerate(zip(values, kinds, strict=True)))
    return next((each for each in found if each is not None), None)


def _misfit_of_object(values: dict[str, Any], arguments: tuple[Any, ...], path: Place) -> _Misfit | None:
    if len(arguments) != 2:  # noqa: PLR2004 # of keys and of values
        return None
    for key, value in values.items():
        if _misfit_of_key(key, arguments[0]):
            return path, key, dict[arguments[0], Any]  # type: ignore[valid-type]
        found = _misfit(value, arguments[1], (*path, key))
        if found is not None:
            return found
    return None


def _misfit_of_key(key: str, annotation: Any) -> bool:
    """Say whether the key cannot be of the type: JSON has strings for keys, whatever they stand for."""
    numbers: list[Any] = []
    for kind in (int, float):
        try:
            numbers.append(kind(key))
        except ValueError:
            continue
    return all(_misfit(each, annotation, ()) is not None for each in (key, *numbers))


def _described(annotation: Any) -> str:
    kind = _unwrapped(annotation)
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    parts = [_described(each) for each in arguments if each is not ...] if origin is not typing.Literal else []
    words = _WORDS.get(origin, "an object") if inspect.isclass(origin) else "anything"
    if origin in _UNIONS:
        words = " or ".join(dict.fromkeys(parts))
    elif origin is typing.Literal:
        words = f"one of {', '.join(map(shown, arguments))}"
    elif origin in _LISTS and parts:
        words = f"a list of {len(parts)}: {', '.join(parts)}" if len(parts) > 1 else f"a list, each {parts[0]}"
    elif origin in _OBJECTS and parts:
        words = f"an object, each key {parts[0]}, each value {parts[-1]}"
    elif inspect.isclass(origin) and issubclass(origin, enum.Enum):
        words = f"one of {', '.join(shown(each.value) for each in origin)}"
    return words


# --- what a class says of itself ---------------------------------------------------------------------


def fields_of_class(config_class: type) -> dict[str, Any]:
    """Return the annotation of each field of a config class and of its second names, for `check_fields`.

    A class with an `__init__` of its own declares them as its arguments, any other in the class body. A field
    that is None unless said otherwise may be null, whatever its annotation says; an annotation that cannot be
    read without a type checker's imports counts as `Any`, as does a property that can be set.
    """
    known: dict[str, Any] = dict.fromkeys(_settable(config_class), Any)
    for owner in reversed(config_class.__mro__):
        known |= _read(inspect.get_annotations(owner), owner.__module__)
    known |= _arguments(config_class)
    for name, annotation in known.items():
        if inspect.getattr_static(config_class, name, ...) is None:
            known[name] = annotation | None if isinstance(annotation, type) else typing.Union[annotation, None]  # noqa: UP007
    for name, nested in (getattr(config_class, "sub_configs", None) or {}).items():
        known[name] = typing.Union[nested, known.get(name, dict)]  # noqa: UP007
    aliases = getattr(config_class, "attribute_map", {})
    return known | {alias: known.get(name, Any) for alias, name in aliases.items()}


def _settable(config_class: type) -> Iterator[str]:
    for name in dir(config_class):
        member = inspect.getattr_static(config_class, name, None)
        if isinstance(member, property) and member.fset is not None:
            yield name


def _arguments(config_class: type) -> dict[str, Any]:
    init: Callable[..., None] = config_class.__init__  # type: ignore[misc]  # of the class, whatever it is
    parameters = inspect.signature(init, follow_wrapped=False).parameters.values()
    named = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)][1:]
    annotated = {each.name: Any if each.annotation is each.empty else each.annotation for each in named}
    nullable = [each.name for each in named if each.default is None]
    found = _read(annotated, getattr(init, "__module__", ""))
    return found | {name: typing.Union[found[name], None] for name in nullable}  # noqa: UP007


def _read(annotations: Mapping[str, Any], module: str) -> dict[str, Any]:
    names = vars(sys.modules[module]) if module in sys.modules else {}
    found: dict[str, Any] = {}
    for name, annotation in annotations.items():
        found[name] = annotation
        if isinstance(annotation, str):
            try:
                found[name] = eval(annotation, dict(names))  # as `typing.get_type_hints`, which is all or nothing
            except Exception:  # a name that is imported for type checkers only
                found[name] = Any
    return {name: each for name, each in found.items() if typing.get_origin(each) is not typing.ClassVar}


def taken_by_class(config_class: type) -> Collection[str]:
    """Return the methods and read-only properties of a config class, for `check_names`."""
    names = {name: inspect.getattr_static(config_class, name, None) for name in dir(config_class)}
    return frozenset(
        name
        for name, value in names.items()
        if inspect.isroutine(value)
        or isinstance(value, (classmethod, staticmethod))
        or (isinstance(value, property) and value.fset is None)
    )

"""Parts that the class could be built with, and that the tiny config builds none of."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

__all__ = ["reads", "roots", "unbuilt"]


def unbuilt(model: nn.Module, start: Iterable[type]) -> set[type]:
    """Return the module classes that the constructors of these classes would build, and that the model has none of.

    A tiny config has few layers, and maybe none of some kind. Only classes of the file that the model is in are
    looked at, and only those that a constructor names itself.

    Args:
        model: the model.
        start: classes of its file.
    """
    known = _modules(type(model))
    found, left = set(), list(start)
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            constructor = inspect.unwrap(each.__init__)  # type: ignore[misc]  # it is only looked at
            left += [known[name] for name in _names(constructor) if name in known]
    return found - {base for each in model.modules() for base in type(each).__mro__}


def roots(model: nn.Module, configs: Iterable[Any]) -> set[type]:
    """Return the model classes in the model's file that are built from a config of one of these kinds."""
    kinds = {type(each) for each in configs}
    return {each for each in _modules(type(model)).values() if getattr(each, "config_class", None) in kinds}


def reads(cls: type, name: str) -> bool:
    """Say whether a method of the class, or of its bases in the same file, reads an attribute of this name."""
    own = (base for base in cls.__mro__ if base.__module__ == cls.__module__)
    return any(name in _names(method) for base in own for method in vars(base).values())


def _modules(cls: type) -> dict[str, type]:
    """Return the module classes that are defined in the file of the class, by name."""
    there = vars(sys.modules[cls.__module__]).values()
    classes = (each for each in there if isinstance(each, type) and issubclass(each, nn.Module))
    return {each.__name__: each for each in classes if each.__module__ == cls.__module__}


def _names(function: Any) -> set[str]:
    """Return the global names and attributes that the function uses; none for what is no function."""
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    return set(_within(code)) if code is not None else set()


def _within(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, types.CodeType):  # a comprehension, before Python 3.12
            yield from _within(each)

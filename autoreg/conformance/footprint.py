"""What importing a plugin changes of the process, seen from before and after."""

from __future__ import annotations

import importlib
import locale
import logging
import multiprocessing
import random
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
import transformers

from autoreg.conformance import guard

__all__ = ["Watch", "watched"]

_AUTO = ("configuration_auto", "modeling_auto", "tokenization_auto", "image_processing_auto", "processing_auto")


class Watch:
    """What was found out inside a `watched` block.

    Attributes:
        found: one line for each setting that is another one now, with both values; None where the package had been
            imported before, so that nothing could be seen.
        registered: `(table, key, class)` of each class that was registered with transformers.
    """

    def __init__(self) -> None:
        self.found: tuple[str, ...] | None = None
        self.registered: tuple[tuple[str, Any, Any], ...] = ()


@contextmanager
def watched(package: str) -> Iterator[Watch]:
    """Compare the settings of the process before and after the block, in which the package is imported first."""
    watch = Watch()
    if package in sys.modules:
        yield watch
        return
    before, tables = _settings(), _registered()
    yield watch
    after = _settings()
    watch.found = tuple(_told(name, before[name], after[name]) for name in before if before[name] != after[name])
    watch.registered = tuple(key for key in _registered().values() if (key[0], id(key[1])) not in tables)


def _told(name: str, before: Any, after: Any) -> str:
    if isinstance(before, Mapping):
        keys = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
        return f"{name} ({', '.join(map(str, keys))})"
    short = all(len(repr(value)) < 60 for value in (before, after))  # noqa: PLR2004 - half a line each
    return f"{name} ({before!r} before, {after!r} after)" if short else name


def _settings() -> Mapping[str, Any]:
    """Return what no import may change, by the name that a message uses."""
    return {
        **guard.state(),
        "the state of torch's random numbers": torch.get_rng_state().tolist(),
        "the state of Python's random numbers": random.getstate(),
        "the state of NumPy's random numbers": _numpy_state(),
        "the warnings that are switched off": _silenced(),
        "the level and handlers of the root logger": (logging.root.level, tuple(map(id, logging.root.handlers))),
        "transformers' verbosity": transformers.logging.get_verbosity(),
        "the precision of float32 matrix products": torch.get_float32_matmul_precision(),
        "torch's backends": _backends(),
        "the start method of multiprocessing": multiprocessing.get_start_method(allow_none=True),
        "the locale": locale.setlocale(locale.LC_ALL),
        "the signal handlers": tuple(map(signal.getsignal, (signal.SIGINT, signal.SIGTERM))),
        "sys.excepthook": sys.excepthook,
        "methods of torch or transformers": MappingProxyType(dict(_methods())),
    }


def _numpy_state() -> str:
    numpy = sys.modules.get("numpy")
    return repr(numpy.random.get_state()) if numpy is not None else ""


def _silenced() -> tuple[str, ...]:
    """Return the filters that silence a whole category, whoever warns: those of one module or text are local."""
    return tuple(
        str(getattr(category, "__name__", category))
        for action, message, category, module, _ in warnings.filters
        if action == "ignore" and message is None and module is None
    )


def _backends() -> Mapping[str, Any]:
    named = {
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "cudnn.deterministic": torch.backends.cudnn.deterministic,
        "cudnn.enabled": torch.backends.cudnn.enabled,
    }
    kinds = ("flash_sdp_enabled", "math_sdp_enabled", "mem_efficient_sdp_enabled")
    return named | {f"cuda.{kind}": getattr(torch.backends.cuda, kind)() for kind in kinds}


def _methods() -> Iterator[tuple[str, int]]:
    """Yield the identity of each method of the classes that everybody inherits from: a patched one is another."""
    from transformers import GenerationMixin

    owners = (transformers.PreTrainedModel, transformers.PreTrainedConfig, GenerationMixin, torch.nn.Module)
    for owner in (*owners, torch.nn.functional):
        for name, value in list(vars(owner).items()):
            if callable(value) or isinstance(value, (classmethod, staticmethod, property)):
                yield f"{getattr(owner, '__name__', owner)}.{name}", id(value)


def _registered() -> dict[tuple[str, int], tuple[str, Any, Any]]:
    """Return `(table, key, class)` of every class that was registered with transformers by `.register()`.

    There is no public way to ask; what autoreg's own mappings resolved for a plugin is left out.
    """
    found: dict[tuple[str, int], tuple[str, Any, Any]] = {}
    for name in _AUTO:
        module = importlib.import_module(f"transformers.models.auto.{name}")
        for attribute, mapping in list(vars(module).items()):
            content = getattr(mapping, "_extra_content", None)
            if isinstance(content, dict):
                stored = content.registered() if hasattr(content, "registered") else dict(content)
                found |= {(attribute, id(key)): (attribute, key, value) for key, value in stored.items()}
    return found

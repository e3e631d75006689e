"""Calls a package's own register function in isolation, and reads back what it registered.

The function's word is not taken for it: some raise half way, some swallow their own errors, and transformers'
`register` returns having registered nothing in some cases. What counts is what transformers' tables then hold.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.architecture import Architecture, ClassRef
from autoreg.bridge.tables import PROCESSING_TABLES, auto_tables, snapshot

__all__ = ["Registered", "completed", "registrations"]

_PROCESSING = frozenset(field for _, field in PROCESSING_TABLES.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Registered:
    """What a register function registered.

    Attributes:
        types: by model type, the fields of its `Architecture` with classes in the place of references.
        error: what the function raised; what it had registered until then is in `types` all the same.
    """

    types: Mapping[str, Mapping[str, Any]]
    error: BaseException | None


def registrations(function: Callable[[], object]) -> Registered:
    """Call the function, and put transformers' tables back as they were. Depth: classes.

    To be used by one thread at a time: what another one registers meanwhile is taken for the function's.
    """
    put_back = snapshot()
    before = {name: dict(table.items()) for name, table in auto_tables()}
    error: BaseException | None = None
    try:
        function()
    except KeyboardInterrupt:
        raise
    except BaseException as raised:  # SystemExit too: a plugin must not end the program
        error = raised
    finally:
        new = {name: _new(table, before.get(name, {})) for name, table in auto_tables()}
        put_back()
    return Registered(types=_by_model_type(new), error=error)


def _new(table: Mapping[Any, Any], before: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in table.items() if before.get(key) is not value}


def completed(architecture: Architecture, found: Registered) -> Architecture:
    """Return the declaration with the classes that were registered for its model type.

    Raises:
        LookupError: nothing was registered for it, or a class that its own module does not have.
    """
    fields = found.types.get(architecture.model_type, {})
    if "config" not in fields:
        after = f"raised {type(found.error).__name__}: {found.error}, and " if found.error else ""
        others = ", ".join(map(repr, sorted(found.types)))
        registered = f"{others}, and not {architecture.model_type!r}" if others else "nothing"
        raise LookupError(f"it {after}registered {registered}")
    return Architecture(
        model_type=architecture.model_type,
        overrides_native=architecture.overrides_native,
        hands_over=architecture.hands_over,
        weight_conversions=architecture.weight_conversions,
        conformance=architecture.conformance,
        summary=architecture.summary,
        homepage=architecture.homepage,
        **{field: _named(value) for field, value in fields.items()},
    )


def _named(value: Any) -> Any:
    """Return references instead of classes: of one, of several, or of those in a mapping."""
    if isinstance(value, Mapping):
        return {key: _named(item) for key, item in value.items() if item is not None}
    if isinstance(value, (tuple, list)):
        return tuple(_named(item) for item in value if item is not None)
    module, name = value.__module__, value.__name__
    if getattr(sys.modules.get(module), name, None) is not value:
        problem = f"it registered the class {name}, which its module {module!r} does not have"
        raise LookupError(f"{problem}: it could be neither found again nor pickled")
    return ClassRef(module, name)


def _by_model_type(new: Mapping[str, Mapping[Any, Any]]) -> dict[str, dict[str, Any]]:
    """Sort what was registered by model type: all but the configs is keyed by config class."""
    types: dict[str, dict[str, Any]] = {name: {"config": config} for name, config in new.get("config", {}).items()}
    for table, entries in new.items():
        for config, value in entries.items() if table != "config" else ():
            fields = types.get(getattr(config, "model_type", ""), {})
            if fields.get("config") is not config:  # a class for somebody else's config
                continue
            if table in _PROCESSING:
                fields[table] = value
            else:
                fields.setdefault("models", {})[table] = value
    return types

"""Stands between the Auto classes and the code of a checkpoint that a plugin owns.

AutoTokenizer runs that code although a local tokenizer is registered for the config, and every Auto class
runs it for a head that the plugin does not have.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from autoreg.bridge.classes import Classes
from autoreg.errors import UnsafeCheckpointError

__all__ = ["RUN", "TRUST", "judged", "trusted"]

_OWN = re.compile(r"\w+\.\w+")  # a class in a module of the very folder: no repository before it, no path

RUN, TRUST = "get_class_from_dynamic_module", "resolve_trust_remote_code"
"""The two functions that every module of Auto classes imports by name."""


def judged(run: Callable[..., Any], classes: Classes, *, field: str) -> Callable[..., Any]:
    """Return what runs code from a checkpoint, except where a plugin owns it: then its own class, or an error."""

    @functools.wraps(run)
    def judge(class_reference: str, pretrained_model_name_or_path: Any, *rest: Any, **options: Any) -> Any:
        auto_class = f"Auto{field.title().replace('_', '')}" if field else ""
        owner = classes.plugins.owner_of(pretrained_model_name_or_path, options)
        if owner is not None and field and getattr(owner, field) is not None:
            return _Local(classes.default(owner, field))
        # A package may pass `trust_remote_code=True` on from inside its own classes, and the caller have said nothing.
        if owner is not None or (classes.plugins.loads() and not classes.plugins.trusts()):
            raise classes.plugins.refusal(pretrained_model_name_or_path, options, class_reference, auto_class)
        if classes.plugins.loads() and not _OWN.fullmatch(class_reference):
            raise _elsewhere(class_reference, str(pretrained_model_name_or_path))
        return run(class_reference, pretrained_model_name_or_path, *rest, **options)

    return judge


def _elsewhere(reference: str, source: str) -> UnsafeCheckpointError:
    return UnsafeCheckpointError(
        file=source,
        part="auto_map",
        problem=f"it names {reference!r}, code that lies elsewhere, and trust_remote_code=True trusts what lies here.",
        advice="Read that code, and load the checkpoint it belongs to, or install a plugin that has the architecture.",
    )


def trusted(trust: Callable[..., Any], classes: Classes, *, field: str) -> Callable[..., Any]:
    """Return what settles `trust_remote_code`, except where a plugin owns the checkpoint: nobody is asked."""

    @functools.wraps(trust)
    def settle(given: Any, source: Any, has_local_code: bool, has_remote_code: bool, *rest: Any, **more: Any) -> Any:
        if not (given or has_remote_code) or classes.plugins.owner_of(source, {}) is None:
            return trust(given, source, has_local_code, has_remote_code, *rest, **more)
        # True is no risk here: what would then be run is `judge`. For a model it would be one, since
        # `from_pretrained` passes it on to what loads a checkpoint's `custom_generate`.
        return has_remote_code and (bool(field) or not has_local_code)

    return settle


class _Local:
    """A plugin's class where transformers expects one from a checkpoint's code.

    It takes the place for one call only: `register_for_auto_class` on the class itself would make every
    later `save_pretrained` copy the plugin's source files beside the weights.
    """

    def __init__(self, local: type) -> None:
        self._local: Any = local

    def register_for_auto_class(self, auto_class: object = None) -> None:
        """Do nothing."""

    def from_pretrained(self, *inputs: Any, **options: Any) -> Any:
        """Load with the plugin's class."""
        options.pop("trust_remote_code", None)
        return self._local.from_pretrained(*inputs, **options)

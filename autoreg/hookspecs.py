"""The name `autoreg`, the two markers, every hook."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from autoreg.architecture import Architecture

__all__ = ["PROJECT", "autoreg_architectures", "autoreg_checks", "hookimpl", "hookspec"]

PROJECT = "autoreg"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def autoreg_architectures() -> Iterable[Architecture]:
    """Return, or yield, the architectures that this plugin declares."""
    raise NotImplementedError  # pluggy calls implementations, never the specification


@hookspec
def autoreg_checks() -> Iterable[Callable[[Any], None]]:
    """Return, or yield, conformance checks of your own: functions of the subject that assert."""
    raise NotImplementedError

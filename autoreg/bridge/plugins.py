"""What the bridge asks about plugins; the runtime answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from autoreg.architecture import Architecture, ClassRef
from autoreg.errors import PluginError, RemoteCodeError

if TYPE_CHECKING:
    from autoreg.bridge.weights import Observer

__all__ = ["Plugins"]


class Plugins(Protocol):
    """What the bridge asks about plugins; the runtime answers."""

    def owns(self, model_type: str) -> bool:
        """Say whether a look-up of the model type is a plugin's to answer (be it with an error)."""

    def importing(self, model_type: str) -> AbstractContextManager[None]:
        """Return a block in which a look-up of the model type by this thread is not the plugin's to answer."""

    def recording(self) -> AbstractContextManager[None]:
        """Return a block in which no look-up by this thread is a plugin's to answer, and no other thread loads."""

    def preferred(self, model_type: str) -> bool:
        """Say whether the user chose an owner by name, whatever somebody registered."""

    def architecture(self, model_type: str) -> Architecture:
        """Return the winner's declaration; raise `ConflictError` or `PluginError`."""

    def failure(self, model_type: str, declared: str, error: BaseException) -> PluginError:
        """Return the error that blames the plugin for a class that cannot be used."""

    def named(self, class_name: str) -> tuple[str, ClassRef] | None:
        """Return the model type and reference that declare a class of this name; raise `ConflictError`."""

    def imported(self) -> Iterable[str]:
        """Return the model types whose plugin's package this process has imported already."""

    def owner_of(self, source: Any, options: Mapping[str, Any]) -> Architecture | None:
        """Return the architecture of the plugin that owns a checkpoint, if one does."""

    def refusal(self, source: Any, options: Mapping[str, Any], reference: str, auto_class: str) -> RemoteCodeError:
        """Return the error for code of a checkpoint that a plugin owns; the Auto class may be unknown (empty)."""

    def loads(self) -> bool:
        """Say whether this thread is inside a `from_pretrained` of autoreg's own."""

    def trusts(self) -> bool:
        """Say whether the caller of the load that this thread is in said `trust_remote_code=True`."""

    def observer(self) -> Observer | None:
        """Return who looks this thread's load over, if it is one of autoreg's."""

"""Holding a folder, against other processes that save into it or load from it.

Depth: metadata.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from typing import Any

from autoreg.errors import CheckpointError

try:
    import fcntl as posix_locks
except ImportError:  # Windows
    posix_locks = None  # type: ignore[assignment]

__all__ = ["PATIENCE", "QUICK", "are_there", "at_once", "locked", "orphaned", "owned"]

fcntl: Any = posix_locks

PATIENCE = 600.0
"""Seconds to wait for another process: it holds the folder while it renames, or while it loads."""
QUICK = 0.002
"""Seconds between two looks at what others hold, at first."""
_ABANDONED = 24 * 3600.0
_SLOW, _SOON = 0.05, 2.0
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


def are_there() -> bool:
    """Say whether this system has locks at all."""
    return fcntl is not None


class _BusyError(CheckpointError):
    """Somebody else holds the folder, and the time to wait is over."""


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str], *, exclusive: bool, timeout: float = PATIENCE) -> Iterator[bool]:
    """Hold the folder in the block, alone or with other readers; leaves no file behind.

    The lock is on the folder itself and goes with the process that holds it. Yields whether there is one: Windows
    and some network file systems have none, and there one process at a time has to be seen to otherwise.

    Raises:
        CheckpointError: others have held it for longer than `timeout` seconds.
    """
    with _opened(os.fspath(folder)) as descriptor:
        held = descriptor is not None and _acquire(os.fspath(folder), descriptor, exclusive=exclusive, timeout=timeout)
        try:
            yield held
        finally:
            if held and descriptor is not None:
                _release(descriptor)


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[int | None]:
    try:
        descriptor = None if fcntl is None else os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # it may be entered and not listed: what is in it can be loaded all the same
        descriptor = None
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):  # what was done under the lock is done
                os.close(descriptor)


def _acquire(folder: str, descriptor: int, *, exclusive: bool, timeout: float) -> bool:
    begun = time.monotonic()
    while True:
        taken = _attempt(descriptor, exclusive=exclusive)
        if taken is not None:
            return taken
        waited = time.monotonic() - begun
        if waited >= timeout:
            raise _BusyError(
                file=folder,
                problem=f"other processes have been saving into the folder or loading from it for {waited:.0f} s.",
                advice="Try again when they are done; `lsof +D` on the folder shows who they are.",
            )
        time.sleep(QUICK if waited < _SOON else _SLOW)


def _attempt(descriptor: int, *, exclusive: bool) -> bool | None:
    """Return True for a lock taken, False where there are none, None where somebody else has it."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def _release(descriptor: int) -> None:
    # Not left to `close`: a process forked meanwhile has the same open file, and would keep the lock.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def at_once(folder: str) -> Iterator[bool]:
    """Hold the folder alone in the block, if nobody else holds it now; yield whether that is so."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder, exclusive=True, timeout=0))
            alone = True
        except _BusyError:
            alone = False
        yield alone


@contextlib.contextmanager
def owned(root: str) -> Iterator[None]:
    """Show others that the owner of the staging folder lives, for as long as it does."""
    with locked(root, exclusive=True):
        yield


def orphaned(root: str) -> bool:
    """Say whether the owner of a staging folder has gone; without locks, whether it is a day old."""
    try:
        with locked(root, exclusive=True, timeout=0) as held:
            return held or time.time() - os.lstat(root).st_mtime > _ABANDONED
    except (OSError, _BusyError):
        return False

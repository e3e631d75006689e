"""Writing that stays: files and folders synced, one renamed over another, one written whole or not at all.

Depth: metadata.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from typing import Any

try:
    import fcntl as posix_locks
except ImportError:  # Windows
    posix_locks = None  # type: ignore[assignment]

__all__ = ["replace", "sync", "sync_folder", "write"]

fcntl: Any = posix_locks

_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF})
_IN_THE_WAY = frozenset({errno.EEXIST, errno.EPERM, errno.EACCES})


def write(file: str, content: bytes) -> None:
    """Write a whole file or nothing, in one step: a reader sees what was there or all of this.

    The mode is that of the file that was there, or what the user's umask gives.

    Raises:
        OSError: it cannot be written; what was there is there as it was.
    """
    # Beside the file, for the rename; by `open`, so that the umask holds; hidden, so that no listing takes it for one.
    folder, name = os.path.split(file)
    half = os.path.join(folder, f".{name}.{os.getpid()}-{time.monotonic_ns()}")
    try:
        with open(half, "xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if os.path.exists(file):
            os.chmod(half, stat.S_IMODE(os.stat(file).st_mode))
        os.replace(half, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(half)
        raise


def replace(source: str, target: str) -> None:
    """Rename over whatever is there. Where that is refused, what is there goes first: the journal covers the gap."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno not in _IN_THE_WAY or not os.path.lexists(target):
            raise
        os.unlink(target)
        os.rename(source, target)


def sync(file: str) -> None:
    """See that a file's content is on the disk."""
    descriptor = os.open(file, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        full = getattr(fcntl, "F_FULLFSYNC", None)  # on macOS, fsync leaves the data in the drive's own memory
        if full is not None:
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, full)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: str) -> None:
    """See that the names in a folder are on the disk, where the system can be asked for that."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)

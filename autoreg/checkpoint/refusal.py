"""What the system says against a save, as sentences: what was not done, where, and what to do about it.

Depth: metadata.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import NoReturn

from autoreg.errors import CheckpointError, SaveError

__all__ = ["COMMIT", "STAGE", "advice_for", "explained", "reason", "refuse", "unfinished"]

COMMIT = ".autoreg-commit.json"
"""The commit file: while it is there, a save is decided and not yet finished."""
STAGE = ".autoreg-stage-"
"""What the names of staging folders begin with."""


@contextlib.contextmanager
def explained(folder: str) -> Iterator[None]:
    """Make a SaveError of what the system, or a checkpoint file that cannot be right, says against a save."""
    try:
        yield
    except SaveError:
        raise
    except (OSError, CheckpointError) as error:
        refuse(folder, error)


def refuse(folder: str, error: OSError | CheckpointError) -> NoReturn:
    """Raise the SaveError for a save into the folder that came to nothing."""
    if isinstance(error, CheckpointError):
        where, problem, advice = error.file, error.problem, error.advice
    else:
        where, problem, advice = error.filename, f"{reason(error)}.", advice_for(error)
    raise SaveError(
        file=where if isinstance(where, str) and STAGE not in where else folder,
        problem=f"nothing was saved: {problem}",
        advice=advice,
    ) from error


@contextlib.contextmanager
def unfinished(folder: str) -> Iterator[None]:
    """Make a CheckpointError of what the system says against finishing an interrupted save."""
    try:
        yield
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(
            file=os.path.join(folder, COMMIT),
            problem=f"a save was interrupted here, and could not be finished now: {reason(error)}.",
            advice=advice_for(error),
        ) from error


def reason(error: BaseException) -> str:
    """Return what an error says is the matter, for the middle of a sentence."""
    return (getattr(error, "strerror", None) or getattr(error, "problem", None) or str(error)).rstrip(".").lower()


_ADVICE = {
    errno.ENOSPC: "Free some space: until a save is done, the old files and the new ones are both there.",
    errno.EDQUOT: "Free some of your quota: until a save is done, the old files and the new ones are both there.",
    errno.EFBIG: "The file is larger than this process or file system allows (`ulimit -f`); max_shard_size makes"
    " smaller files.",
    errno.EACCES: "Choose a folder that you may write to, or have its owner give you the right.",
    errno.EPERM: "Choose a folder that you may write to, or have its owner give you the right.",
    errno.EROFS: "The folder is on a file system that is mounted read-only: choose another.",
    errno.EIO: "The disk reports errors: look at the system's log, and save to another disk.",
    errno.EXDEV: "A folder below the checkpoint's is mounted from elsewhere: save into a folder of one file system.",
    errno.EISDIR: "A folder has the name of a file that is to be saved: move it away.",
    errno.ENOTDIR: "A file or link has the name of a folder that is needed: move it away.",
}


def advice_for(error: OSError) -> str:
    """Return what to do about an error of the system."""
    return _ADVICE.get(error.errno or 0, "Look at the folder and its file system, then save again.")

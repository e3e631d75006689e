"""A project written as a whole or not at all, and never over another.

Depth: metadata.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from autoreg.errors import SaveError

__all__ = ["write"]


def write(target: str, files: Mapping[str, bytes], *, what: str) -> None:
    """Write all files, or none: into a folder beside the target, which then takes its name.

    Args:
        target: the folder, which must not exist.
        files: contents by path, with `/`.
        what: what people call such a folder, for the error.

    Raises:
        SaveError: the target exists, or cannot be written.
    """
    if os.path.lexists(target):
        advice = f"Name another folder with --output, or remove it: {what} may hold somebody's changes."
        raise SaveError(file=target, problem="it exists already; nothing was written.", advice=advice)
    half = f"{target}.{os.getpid()}.partial"
    try:
        for path, content in files.items():
            file = os.path.join(half, *path.split("/"))
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "xb") as stream:
                stream.write(content)
        os.rename(half, target)
    except BaseException as error:
        shutil.rmtree(half, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        problem = f"it cannot be written ({error.strerror or error}); nothing was."
        raise SaveError(file=target, problem=problem, advice="Name another folder with --output.") from error

"""Finding the author's own line in an error that was raised deep inside of torch."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoreg.conformance.subject import Subject, excuse_library
from autoreg.errors import DerivationError, MismatchError, NotApplicableError

__all__ = ["blaming"]

_LONGEST = 300


@contextmanager
def blaming(subject: Subject, problem: str, *, compared: str = "") -> Iterator[None]:
    """Turn any error inside the block into a failure that shows the line of the architecture's own code.

    Counts one comparison where there is no error.
    """
    try:
        yield
    except (MismatchError, NotApplicableError, DerivationError):
        raise
    except Exception as error:
        excuse_library(error)
        words = " ".join(_said(error).split())
        words = words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"
        raise MismatchError(
            problem=f"{problem}: {type(error).__name__}: {words}",
            compared=compared,
            difference=line_of(error, subject.model_class),
        ) from error
    subject.comparisons += 1


def line_of(error: BaseException, model_class: Any) -> str:
    """Return `file:line: code` of the innermost line in the folder of the class; empty if there is none."""
    folder = Path(inspect.getsourcefile(model_class) or "nowhere").parent
    found = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).parent == folder:
            found = f"{frame.filename}:{frame.lineno}: {frame.line}"
    # Where torch traces symbolically, the author's code has no frame: the error quotes the line instead.
    # That of another process comes as the text of the cause.
    quoted = re.findall(r'File "([^"]+)", line (\d+)[^\n]*\n\s*([^\n]+)', f"{error.__cause__}\n{error}")
    for file, number, code in quoted:
        if Path(file).parent == folder:
            found = f"{file}:{number}: {code.strip()}"
    return found


def _said(error: BaseException) -> str:
    """Return what the error says before it goes on about where: torch's tracers append pages."""
    return re.split(
        r"\n\s*\n(?:from user code|Set TORCH|The following call|Caused by|To fix)|\n\s*from user code", str(error)
    )[0]

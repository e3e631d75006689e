"""What a failure points at: the names, the numbers and the source lines of its traceback."""

from __future__ import annotations

import inspect
import linecache
import re
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType

__all__ = ["Evidence", "evidence_of", "last_line"]

_NAME = re.compile(r"[A-Za-z_]\w*")
_NUMBER = re.compile(r"(?<![A-Za-z_.\d])\d+(?!\.?\d)")
_STRING = re.compile(r"""["'](\w+)["']""")
_LIST = re.compile(r"\[([\d, ]+)\]")
_CONFIG_FIELD = re.compile(r"config(?:uration)?\.(\w+)|getattr\(\s*(?:self\.)?config\s*,\s*\"(\w+)\"")
_NEAR = 6  # innermost frames whose own lines count


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What is known of a failure.

    Attributes:
        text: the error, one line.
        said: the identifiers in its message.
        lines: the identifiers in the source lines that failed, innermost first.
        fields: the config fields that the failing modules read, innermost first.
        numbers: the integers in its message, and the sums of its lists.
        strings: the words in quotes in the sources that failed, innermost first.
    """

    text: str
    said: tuple[str, ...]
    lines: tuple[str, ...]
    fields: tuple[str, ...]
    numbers: tuple[int, ...]
    strings: tuple[str, ...]

    @property
    def suspects(self) -> tuple[str, ...]:
        """The identifiers by how closely they are tied to the failure."""
        return tuple(dict.fromkeys((*self.said, *self.lines, *self.fields)))


def last_line(error: BaseException) -> str:
    """Return the error as one line, with its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines and "Class validation error" in lines[0] else " ".join(lines)
    return f"{type(error).__name__}: {text}"[:300]


def evidence_of(error: BaseException) -> Evidence:
    """Return what the error and its traceback point at."""
    message = str(error)
    frames = list(_frames(error.__traceback__))
    lines: list[str] = []
    fields: list[str] = []
    strings: list[str] = list(_STRING.findall(message))
    for file, number, _ in frames[:_NEAR]:
        source = " ".join(linecache.getline(file, at) for at in (number, number - 1, number + 1, number - 2))
        lines += _NAME.findall(source)
        strings += _STRING.findall(source)
    for _, _, owner in frames:
        if owner is not None:
            fields += _fields_read(owner)
            strings += _strings_in(owner)
    return Evidence(
        text=last_line(error),
        said=tuple(dict.fromkeys(_NAME.findall(message))),
        lines=tuple(dict.fromkeys(lines)),
        fields=tuple(dict.fromkeys(fields)),
        numbers=_numbers(message),
        strings=tuple(dict.fromkeys(strings)),
    )


def _numbers(message: str) -> tuple[int, ...]:
    plain = [int(found) for found in _NUMBER.findall(re.sub(r"(?<=\d)x(?=\d)", " ", message))]
    sums = [sum(int(part) for part in found.split(",") if part.strip()) for found in _LIST.findall(message)]
    return tuple(dict.fromkeys((*sums, *plain)))


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, int, type | None]]:
    """Yield file, line and the class of `self` of each frame that is no frame of torch, innermost first."""
    for frame, number in reversed(list(traceback.walk_tb(trace))):
        file = frame.f_code.co_filename
        if "/torch/" in file or __package__.replace(".", "/") in file:
            continue
        owner = frame.f_locals.get("self")
        yield file, number, type(owner) if owner is not None else None


@lru_cache(maxsize=256)
def _source(owner: type) -> str:
    try:
        return inspect.getsource(owner)
    except (OSError, TypeError):
        return ""


@lru_cache(maxsize=256)
def _fields_read(owner: type) -> tuple[str, ...]:
    return tuple(dict.fromkeys(first or second for first, second in _CONFIG_FIELD.findall(_source(owner))))


@lru_cache(maxsize=256)
def _strings_in(owner: type) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_STRING.findall(_source(owner))))

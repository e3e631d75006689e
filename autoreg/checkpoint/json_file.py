"""One JSON object in a file, read so that nothing in it can be taken for something else.

Python's parser takes the last of two equal keys, guesses UTF-16 and reads any depth that fits on the stack.

Depth: metadata. No torch, no transformers.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from autoreg.errors import CheckpointError, CheckpointNotFoundError

__all__ = ["AGAIN", "Place", "dotted", "field_error", "not_finite", "read_json", "shown", "strict_json", "untagged"]

Place = tuple[str | int, ...]

AGAIN = "Save or download the checkpoint again."
_MOST_BYTES = 16 * 2**20
_MOST_LEVELS = 32
_LONG = 200  # characters of a key in a message
_MOST_DIGITS = 4300  # Python's own limit
_JSON_NAMES = {list: "list", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
_UTF_16_AND_32 = (b"\xff\xfe", b"\xfe\xff", b"{\x00", b"\x00{", b"\x00\x00")
_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
# Releases before 4.57 wrote these as `Infinity`: an upper bound that is none (mamba2, bamba and their like).
_UNBOUNDED = frozenset({"time_step_limit", "dt_limit"})


def read_json(file: str) -> dict[str, Any]:
    """Read a file of a checkpoint that holds one JSON object: config.json, generation_config.json and their like.

    Raises:
        CheckpointNotFoundError: the file is not there.
        CheckpointError: it cannot be read, is over 16 MB, not UTF-8, not JSON or no object, is nested too deeply, or
            has a key twice in one object.
    """
    text = _text(_content(file), file)
    try:
        value = _parsed(text)
    except _TwiceError as error:
        raise CheckpointError(
            file=file,
            part=error.key if error.key.isprintable() else ascii(error.key),
            problem=f"the key stands twice in one object, {error.values}; a parser silently takes the last.",
            advice="Delete the wrong one of the two lines.",
        ) from error
    except _DeepError as error:
        raise _too_deep(file) from error
    except ValueError as error:
        problem = f"not valid JSON ({error}); it was cut short or edited by hand."
        raise CheckpointError(file=file, problem=problem, advice=AGAIN) from error
    if not isinstance(value, dict):
        problem = f"it holds a JSON {_JSON_NAMES[type(value)]}, and a config is an object ({{…}})."
        raise CheckpointError(file=file, problem=problem, advice=AGAIN)
    if not _is_shallow(value):
        raise _too_deep(file)
    return value


def _content(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            # `read(_MOST_BYTES + 1)` alone takes that much memory for a config of a kilobyte.
            is_large = os.fstat(stream.fileno()).st_size > _MOST_BYTES
            content = b"" if is_large else stream.read()
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(file=file, problem="there is no such file.", advice=AGAIN) from error
    except OSError as error:
        problem = f"it cannot be read ({error.strerror or error})."
        raise CheckpointError(
            file=file, problem=problem, advice="See its permissions and the disk it lies on."
        ) from error
    if is_large:
        problem = "it is larger than 16 MB, and no config is; it was not read."
        raise CheckpointError(
            file=file, problem=problem, advice="See whether another file was put in its place, then: " + AGAIN
        )
    if not content.strip():
        raise CheckpointError(file=file, problem="the file is empty.", advice=AGAIN)
    return content


def _text(content: bytes, file: str) -> str:
    advice = f"Save the text again as UTF-8 without a byte order mark. {AGAIN}"
    # Python's parser would read both; transformers, which reads UTF-8 text, cannot.
    if content.startswith(b"\xef\xbb\xbf"):
        raise CheckpointError(file=file, problem="it begins with a byte order mark.", advice=advice)
    if content.startswith(_UTF_16_AND_32):
        raise CheckpointError(file=file, problem="it is UTF-16 or UTF-32 text, and must be UTF-8.", advice=advice)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"it is not UTF-8 text: the byte {content[error.start]:#04x} at position {error.start} cannot be."
        raise CheckpointError(file=file, problem=problem, advice=advice) from error


def strict_json(content: bytes) -> Any:
    """Return the value of a JSON text: UTF-8, no key twice in one object, no NaN or Infinity.

    Raises:
        ValueError: with the reason, as the end of a sentence.
    """
    return _parsed(content.decode("utf-8"), parse_constant=_no_constant)


class _TwiceError(ValueError):
    def __init__(self, key: str, first: Any, second: Any) -> None:
        named = repr(key) if len(key) <= _LONG else f"{key[:_LONG]!r}…"
        super().__init__(f"the key {named} stands twice in one object")
        self.key = key
        self.values = f"first {shown(first)}, then {shown(second)}"


class _DeepError(ValueError):
    pass


def _parsed(text: str, **hooks: Any) -> Any:
    """Parse the text; whatever is against that is a ValueError."""
    if not getattr(sys, "get_int_max_str_digits", int)():
        # Python before 3.10.7, or told not to mind, reads an integer of a million digits, for minutes.
        hooks["parse_int"] = _integer
    try:
        return json.loads(text, object_pairs_hook=_object, **hooks)
    except RecursionError:
        raise _DeepError("it is nested too deep") from None
    except MemoryError:
        raise ValueError("its values do not fit into memory") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise _TwiceError(key, seen[key], value)
            seen[key] = value
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(
            f"it holds an integer of {len(text)} digits ({text[:12]}…), more than any number that is computed with has"
        )
    return int(text)


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(_MOST_LEVELS):
        level = [
            child
            for each in level
            for child in (each.values() if type(each) is dict else each)
            if type(child) in (dict, list)
        ]
        if not level:
            return True
    return False


def _too_deep(file: str) -> CheckpointError:
    problem = f"it is nested more than {_MOST_LEVELS} levels deep, and no config is."
    return CheckpointError(file=file, problem=problem, advice=AGAIN)


# --- numbers -----------------------------------------------------------------------------------------


def not_finite(value: Mapping[str, Any] | list[Any], path: Place = ()) -> tuple[Place, float] | None:
    """Return where the first number is that no field can have, and the number; None where there is none.

    NaN is none anywhere. An infinite number is one where it says that there is no bound: in the form in which
    transformers writes it (`{"__float__": "Infinity"}`), and in the fields where older releases wrote it bare.
    """
    children: Iterable[tuple[str | int, Any]] = value.items() if isinstance(value, Mapping) else enumerate(value)
    for name, child in children:
        kind = type(child)
        if kind is float and not math.isfinite(child):
            unbounded = math.isinf(child) and not _UNBOUNDED.isdisjoint((*path[-1:], name))
            found = None if unbounded else ((*path, name), child)
        elif kind is dict and child == {"__float__": "NaN"}:
            found = (*path, name), math.nan
        elif child and (kind is dict or kind is list):
            found = not_finite(child, (*path, name))
        else:
            continue
        if found is not None:
            return found
    return None


def untagged(value: Any) -> Any:
    """Return the number that transformers writes as `{"__float__": "Infinity"}`; any other value as it is."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(tag := value.get("__float__"), str):
        return _FLOATS.get(tag, value)
    return value


# --- words -------------------------------------------------------------------------------------------


def shown(value: object) -> str:
    """Return the value as JSON, cut short: a message is no place for a vocabulary."""
    text = json.dumps(value)
    most = 60
    return text if len(text) <= most else f"{text[:most]}…"


def dotted(path: Iterable[str | int]) -> str:
    """Return the way to a value as people write it: `text_config.time_step_limit[1]`."""
    text = ""
    for name in path:
        part = name if not isinstance(name, str) or name.isprintable() else ascii(name)
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def field_error(
    file: str, path: Place, problem: str, *, advice: str, expected: str = "", found: str = ""
) -> CheckpointError:
    """Return the error for one field of a config."""
    return CheckpointError(file=file, part=dotted(path), problem=problem, advice=advice, expected=expected, found=found)

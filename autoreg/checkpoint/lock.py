"""`autoreg.lock`: which distribution, version and files stand behind each model type; written, read and compared.

JSON, since every Python that transformers runs on reads and writes it. What stands for a distribution's files is
one SHA-256 over the lines of its RECORD that come from the wheel. What the installer adds (its own name, the address,
compiled files, scripts with this machine's paths) is left out, so that pip and uv, here and in CI, agree.

Depth: metadata.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.errors import CheckpointError, CheckpointNotFoundError

__all__ = ["NAME", "Locked", "altered", "compare", "digest", "dump", "load"]

NAME = "autoreg.lock"

_FORMAT = 1
_TABLES = ("model_types", "architectures")
_BY_INSTALLER = re.compile(r".*\.dist-info/(INSTALLER|REQUESTED|RECORD|direct_url\.json|uv_[a-z]+\.json)|.*\.pyc")
_AGAIN = "Write it again with `autoreg lock`, and look at what that changes."


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """One model type, or one claimed class name, and what stands behind it.

    Attributes:
        table: `"model_types"` or `"architectures"`.
        name: the model type, or the class name.
        distribution, version: who owns it.
        record: `"sha256:…"` of the distribution's RECORD; empty where it has none.
        classes: the class references by `config`, Auto class, `tokenizer` and so on.
    """

    table: str
    name: str
    distribution: str
    version: str
    record: str
    classes: Mapping[str, str]


def digest(record: str) -> str:
    """Return what stands in the lock for a RECORD with this text; empty for an empty one."""
    lines = sorted(f"{file},{hashed}\n" for file, hashed in _files(record))
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}" if lines else ""


def altered(record: str, folder: str) -> tuple[str, ...]:
    """Return the files of the RECORD that are not in the folder as they were installed."""
    return tuple(file for file, hashed in _files(record) if _hash(os.path.join(folder, file)) != hashed)


def _files(record: str) -> Iterator[tuple[str, str]]:
    """Yield `(file, hash)` of what the wheel brought: the paths are relative to site-packages."""
    for row in csv.reader(record.splitlines()):
        file, hashed = (*row, "", "")[:2]
        # What lies elsewhere (scripts, data) an installer may rewrite, and does.
        if hashed.startswith("sha256=") and not file.startswith(("..", "/")) and not _BY_INSTALLER.fullmatch(file):
            yield file, hashed


def _hash(file: str) -> str:
    try:
        with open(file, "rb") as stream:
            found = hashlib.sha256(stream.read()).digest()
    except OSError:
        return ""
    return f"sha256={base64.urlsafe_b64encode(found).rstrip(b'=').decode()}"


def dump(entries: Iterable[Locked]) -> str:
    """Return the file's text: sorted, one fact a line, so that a change of it reads well."""
    tables: dict[str, Any] = {table: {} for table in _TABLES}
    for entry in sorted(entries, key=lambda entry: (entry.table, entry.name)):
        tables[entry.table][entry.name] = {
            "distribution": entry.distribution,
            "version": entry.version,
            "record": entry.record,
            "classes": dict(entry.classes),
        }
    return json.dumps({"format": _FORMAT, **tables}, indent=2, ensure_ascii=False) + "\n"


def load(file: str) -> tuple[Locked, ...]:
    """Read a lock.

    Raises:
        CheckpointNotFoundError: there is none.
        CheckpointError: the file is no lock, or one of a format that this autoreg does not know.
    """
    try:
        with open(file, encoding="utf-8") as stream:
            content = json.load(stream)
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(
            file=file, problem="there is no such file.", advice="`autoreg lock` writes it."
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(file=file, problem=f"not valid JSON ({error}).", advice=_AGAIN) from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != _FORMAT:
        problem = "it is not a lock of this format."
        raise CheckpointError(
            file=file, problem=problem, part="format", expected=str(_FORMAT), found=repr(found), advice=_AGAIN
        )
    return tuple(
        _entry(file, table, name, content[table][name]) for table in _TABLES for name in _names(file, content, table)
    )


def _names(file: str, content: Mapping[str, Any], table: str) -> list[str]:
    if not isinstance(content.get(table), dict):
        raise CheckpointError(file=file, problem="it is no table.", part=table, advice=_AGAIN)
    return list(content[table])


def _entry(file: str, table: str, name: str, fields: Any) -> Locked:
    try:
        words = {key: fields[key] for key in ("distribution", "version", "record")}
        classes = dict(fields["classes"])
    except (KeyError, TypeError, ValueError):
        words, classes = {}, {}
    if not words or not all(isinstance(text, str) for text in (*words.values(), *classes.values())):
        problem = "its distribution, version, record and classes are not all there, or not all text."
        raise CheckpointError(file=file, problem=problem, part=f"{table}.{name}", advice=_AGAIN)
    return Locked(table=table, name=name, classes=classes, **words)


def compare(locked: Iterable[Locked], installed: Iterable[Locked]) -> tuple[str, ...]:
    """Return a sentence for every difference between what was locked and what is installed."""
    before = {(entry.table, entry.name): entry for entry in locked}
    now = {(entry.table, entry.name): entry for entry in installed}
    gone = [
        f"{e.name}: locked to {e.distribution} {e.version}, and no plugin here owns it."
        for k, e in before.items()
        if k not in now
    ]
    new = [
        f"{e.name}: {e.distribution} {e.version} owns it here, and it is not in the lock."
        for k, e in now.items()
        if k not in before
    ]
    changed = [text for key, entry in now.items() if key in before for text in _changes(before[key], entry)]
    return tuple(sorted([*gone, *new, *changed]))


def _changes(before: Locked, now: Locked) -> Iterator[str]:
    for field in ("distribution", "version"):
        if getattr(before, field) != getattr(now, field):
            yield f"{now.name}: the {field} is {getattr(now, field)}; locked: {getattr(before, field)}."
    if before.record != now.record:
        what = f"the files of {now.distribution} {now.version} are not those that were locked"
        yield f"{now.name}: {what} (RECORD {now.record or 'missing'}; locked: {before.record or 'none'})."
    for field in sorted({*before.classes, *now.classes}):
        old, new = before.classes.get(field, "none"), now.classes.get(field, "none")
        if old != new:
            yield f"{now.name}: the class for {field} is {new}; locked: {old}."

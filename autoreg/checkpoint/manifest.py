"""The manifest beside a checkpoint: the size and digests of each file, written with it and compared later.

Depth: metadata. Files are read, and nothing in them is run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

from autoreg.checkpoint import disk
from autoreg.checkpoint.digests import Entry, Progress, describe, size_and_spot, verified
from autoreg.checkpoint.header import listed, opened
from autoreg.checkpoint.json_file import strict_json
from autoreg.errors import CheckpointError, IntegrityError, SaveError

__all__ = [
    "NAME",
    "VERSION",
    "Difference",
    "Manifest",
    "check",
    "is_weights",
    "name_in",
    "path_in",
    "read_manifest",
    "updated",
    "write",
]

NAME = "autoreg.manifest.json"
VERSION = 1

_LARGEST = 100_000_000
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUM = re.compile(r"[0-9a-f]{8}")
_WEIGHTS = re.compile(r".*\.(safetensors|bin|pt|pth|ckpt|gguf|h5|msgpack)(\.index(\.[\w-]+)?\.json)?", re.IGNORECASE)
_LOADED = re.compile(r"(model|pytorch_model)[.-].*")
_CHANGED = "its content changed since the manifest was written."
_ACCEPT = "If it was changed on purpose, say so: autoreg verify --write {folder}\n"
_RESTORE = "If not, do not use the checkpoint: restore or download it again."


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """A folder's manifest, read.

    Attributes:
        version: of its format; the entries of a later one than this autoreg's are not read.
        files: the entries, by name (`/` between folders).
    """

    version: int
    files: Mapping[str, Entry]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One thing in a folder that is not as its manifest says.

    Attributes:
        file: the file's name in the folder.
        kind: "severe" for weights, their index and the manifest itself; "mild" for what people edit by hand, such
            as config.json; "note" for what cannot be checked.
        problem: what is the matter, as a sentence.
        expected, found: the size or the digest that the manifest has, and the file's.
        tensors: those that differ, where that is known.
    """

    file: str
    kind: Literal["severe", "mild", "note"]
    problem: str
    expected: str = ""
    found: str = ""
    tensors: tuple[str, ...] = ()

    @property
    def severe(self) -> bool:
        """Whether the checkpoint must not be used before it is explained."""
        return self.kind == "severe"

    def __str__(self) -> str:
        compared = f" (expected {self.expected}, found {self.found})" if self.expected else ""
        named = f"; tensors: {listed(list(self.tensors))}" if self.tensors else ""
        return f"{self.file}: {self.problem.rstrip('.')}{compared}{named}"

    def error(self, folder: str, *, advice: str = "") -> IntegrityError:
        """Return the error that says so; what to do is to restore the file, unless something else is said."""
        part = f"tensor{'s' if len(self.tensors) > 1 else ''} {listed(list(self.tensors))}"
        return IntegrityError(
            file=os.path.join(folder, *self.file.split("/")),
            part=part if self.tensors else "",
            problem=self.problem,
            expected=self.expected,
            found=self.found,
            advice=advice or _ACCEPT.format(folder=folder) + _RESTORE,
        )


def is_weights(name: str) -> bool:
    """Say whether a file of this name holds weights, or is the index of files that do."""
    return _WEIGHTS.fullmatch(name) is not None


# --- the manifest itself ---------------------------------------------------------------------------


def read_manifest(folder: str) -> Manifest | None:
    """Return the folder's manifest; None where it has none.

    Raises:
        IntegrityError: it is no manifest, or was damaged.
    """
    file = os.path.join(folder, NAME)
    if not os.path.lexists(file):
        return None
    try:
        with opened(file) as stream:
            content = stream.read(_LARGEST)
    except CheckpointError as error:
        raise _damaged(file, error.problem.rstrip(".")) from error
    try:
        fields = strict_json(content)
    except ValueError as error:
        raise _damaged(file, f"not valid JSON ({error})") from error
    return _manifest(fields, file)


def _manifest(fields: object, file: str) -> Manifest:
    version = fields.get("version") if isinstance(fields, dict) else None
    if not isinstance(fields, dict) or type(version) is not int or version < 1:
        raise _damaged(file, "it has no `version`, a whole number")
    if version > VERSION:
        return Manifest(version=version, files={})
    files = fields.get("files")
    if set(fields) != {"version", "files"} or not isinstance(files, dict):
        raise _damaged(file, "it has to have `version`, `files` and nothing else")
    for name, value in files.items():
        problem = _no_entry(name, value)
        if problem:
            raise _damaged(file, f"its entry {name!r} {problem}")
    return Manifest(version=version, files={name: Entry(**value) for name, value in files.items()})


def _no_entry(name: str, value: object) -> str:
    """Return why this is no entry; empty if it is one."""
    if not _is_name(name):
        return "is not the name of a file in the folder"
    if not isinstance(value, dict) or not {"size", "sha256", "spot"} <= set(value) <= set(Entry.__dataclass_fields__):
        return "has to have `size`, `sha256`, `spot`, perhaps `tensors`, and nothing else"
    if type(value["size"]) is not int or value["size"] < 0:
        return "has a `size` that is none"
    if not _digits(_DIGEST, value["sha256"]) or not _digits(_DIGEST, value["spot"]):
        return "has a digest that is not 64 hexadecimal digits"
    tensors = value.get("tensors", {})
    if not isinstance(tensors, dict) or not all(_digits(_SUM, each) for each in tensors.values()):
        return "has `tensors` that are not eight hexadecimal digits each"
    return ""


def _is_name(name: str) -> bool:
    """Say whether a manifest may have this name: a path down from the folder, on every system."""
    inside = all(part not in ("", ".", "..") for part in name.split("/"))
    return inside and name.isprintable() and not {"\\", ":"} & set(name)


def _digits(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _damaged(file: str, problem: str) -> IntegrityError:
    folder = os.path.dirname(file)
    return IntegrityError(
        file=file,
        problem=f"the manifest is damaged: {problem}.",
        advice=f"Restore the checkpoint; or, if you know its files to be right: autoreg verify --write {folder}",
    )


def updated(
    folder: str,
    staged: Mapping[str, str],
    removed: Collection[str],
    *,
    known: Mapping[str, Entry] = MappingProxyType({}),
    progress: Progress | None = None,
) -> bytes:
    """Return the content of the manifest that a folder has after a save.

    Args:
        folder: where the checkpoint is; what its manifest says of files that the save leaves alone still stands.
        staged: the path of each file that the save brings, by the name that it will have.
        removed: the names of the files that the save takes away.
        known: what is known of staged files already, by the name that they will have.
        progress: told how many bytes have been read.

    Raises:
        CheckpointError: a staged file cannot be read.
    """
    try:
        old = read_manifest(folder)
    except IntegrityError:
        old = None  # damaged: it says nothing of the other files that could be believed
    gone = {NAME, *staged, *removed}
    entries = {
        name: entry
        for name, entry in (old.files if old else {}).items()
        if name not in gone and os.path.isfile(path_in(folder, name))
    }
    for name, path in staged.items():
        if name != NAME and _is_name(name):
            entries[name] = known.get(name) or describe(path, progress=progress)
    return _content(entries)


def _content(entries: Mapping[str, Entry]) -> bytes:
    files: dict[str, Any] = {}
    for name, entry in sorted(entries.items()):
        fields = asdict(entry)
        files[name] = fields if entry.tensors else {key: fields[key] for key in ("size", "sha256", "spot")}
    text = json.dumps({"version": VERSION, "files": files}, indent=1, ensure_ascii=False)
    return f"{text}\n".encode()


def write(folder: str, *, progress: Progress | None = None) -> Mapping[str, Entry]:
    """Record the files of a folder as they are, in one step: a reader sees the old manifest or the new one.

    Recorded are the files at the top of the folder whose names do not begin with a dot, and those below it that the
    present manifest names.

    Raises:
        CheckpointError: a file cannot be read.
        SaveError: the manifest cannot be written.
    """
    names = [*_top(folder), *(name for name in _old_names(folder) if "/" in name)]
    staged = {name: path_in(folder, name) for name in names}
    file, content = os.path.join(folder, NAME), updated(folder, staged, [*_old_names(folder)], progress=progress)
    try:
        disk.write(file, content)
    except OSError as error:
        problem = f"the manifest cannot be written ({type(error).__name__}: {error.strerror or error})."
        raise SaveError(file=file, problem=problem, advice="Check the folder's permissions and the disk.") from error
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest.files


def _top(folder: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except (OSError, ValueError) as error:
        problem = f"it cannot be listed ({type(error).__name__}: {getattr(error, 'strerror', None) or error})."
        raise CheckpointError(file=folder, problem=problem, advice="Check the path and its permissions.") from error
    names = [name for name in names if not name.startswith(".") and name != NAME and _is_name(name)]
    return [name for name in names if os.path.isfile(os.path.join(folder, name))]


def _old_names(folder: str) -> list[str]:
    try:
        old = read_manifest(folder)
    except IntegrityError:
        return []
    return [name for name in (old.files if old else {}) if os.path.isfile(path_in(folder, name))]


def path_in(folder: str, name: str) -> str:
    """Return the path of a file by its name in the folder."""
    return os.path.join(folder, *name.split("/"))


# --- comparing -------------------------------------------------------------------------------------


def check(
    folder: str,
    files: Collection[str] | None = None,
    *,
    full: bool = False,
    progress: Progress | None = None,
) -> tuple[Difference, ...]:
    """Compare a folder's files with its manifest.

    Args:
        folder: the folder.
        files: which to compare, by their names or paths; by default all that the manifest names, and no weights
            beside them.
        full: read the files whole and compare their SHA-256, not the sizes and spot digests alone.
        progress: told how many bytes have been read.

    Returns:
        The differences, in the order of the names; empty where there are none, or there is no manifest.
    """
    try:
        manifest = read_manifest(folder)
    except IntegrityError as error:
        return (Difference(file=NAME, kind="severe", problem=error.problem),)
    if manifest is None:
        return ()
    if manifest.version > VERSION:
        problem = f"its version is {manifest.version}, and this autoreg knows {VERSION}: nothing can be checked."
        return (Difference(file=NAME, kind="note", problem=problem),)
    return tuple(_differences(folder, manifest, _wanted(folder, manifest, files), full=full, progress=progress))


def _wanted(folder: str, manifest: Manifest, files: Collection[str] | None) -> list[str]:
    if files is not None:
        return sorted({name_in(folder, file) for file in files})
    # Weights that transformers would find and the manifest does not know: saved later, by something else.
    try:
        beside = {name for name in _top(folder) if is_weights(name) and _LOADED.fullmatch(name)}
    except CheckpointError:
        beside = set()
    return sorted({*manifest.files, *beside})


def name_in(folder: str, file: str) -> str:
    """Return the name in the folder of a file given by name or path; a folder may have several paths, through links."""
    name = os.path.relpath(os.path.join(folder, file), folder).replace(os.sep, "/")
    return os.path.basename(file) if name.startswith("../") else name


def _differences(
    folder: str, manifest: Manifest, names: Sequence[str], *, full: bool, progress: Progress | None
) -> Iterator[Difference]:
    for name in names:
        entry = manifest.files.get(name)
        if entry is not None:
            yield from _difference(path_in(folder, name), name, entry, full=full, progress=progress)
        elif is_weights(name):
            problem = "the manifest does not know it: something else than autoreg saved it."
            yield Difference(file=name, kind="severe", problem=problem)


def _difference(path: str, name: str, entry: Entry, *, full: bool, progress: Progress | None) -> Iterator[Difference]:
    kind: Literal["severe", "mild"] = "severe" if is_weights(name) else "mild"
    try:
        size, now = size_and_spot(path)
        found = verified(path, progress=progress) if full else None
    except CheckpointError as error:
        yield Difference(file=name, kind=kind, problem=error.problem)
        return
    facts: dict[str, Any] = {"file": name, "kind": kind}
    facts["tensors"] = _changed(entry.tensors, found.tensors) if found else ()
    if size != entry.size:
        problem = "its size changed since the manifest was written."
        yield Difference(problem=problem, expected=f"{entry.size} bytes", found=f"{size}", **facts)
    elif found and found.sha256 != entry.sha256:
        yield Difference(problem=_CHANGED, expected=f"SHA-256 {entry.sha256}", found=found.sha256, **facts)
    elif now != entry.spot:
        yield Difference(problem=_CHANGED, expected=f"spot digest {entry.spot}", found=now, **facts)


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tensors that differ, are gone or are new; none where either file has none that can be read."""
    names = [*before, *(name for name in now if name not in before)] if before and now else []
    return tuple(name for name in names if before.get(name) != now.get(name))

"""The manifest beside a checkpoint: the size and digests of each file, written with it and compared later.

Depth: metadata. Files are read, and nothing in them is run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, BinaryIO, Literal

from autoreg.checkpoint.header import Header, header_length, listed, opened, read_header, strict_json
from autoreg.errors import CheckpointError, IntegrityError, SaveError

__all__ = [
    "NAME",
    "VERSION",
    "Difference",
    "Entry",
    "Manifest",
    "check",
    "compare_with_hub",
    "describe",
    "hub_digest",
    "is_weights",
    "read_manifest",
    "spot",
    "updated",
    "verified",
    "write",
]

NAME = "autoreg.manifest.json"
VERSION = 1

Progress = Callable[[int], None]
"""What is told how many bytes have been read since it was told last."""

_BLOCK = 2**17  # what the processor's cache holds while two digests are taken of it
_WHOLE = 2**20  # a file up to this size is taken whole by the spot digest
_END, _SAMPLE, _STEP, _FEWEST = 2**16, 2**12, 2**23, 32
_YOUNG = 2_000_000_000  # nanoseconds: the coarsest clock of a file system (FAT) ticks every two seconds
_LARGEST = 100_000_000
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUM = re.compile(r"[0-9a-f]{8}")
_WEIGHTS = re.compile(r".*\.(safetensors|bin|pt|pth|ckpt|gguf|h5|msgpack)(\.index(\.[\w-]+)?\.json)?", re.IGNORECASE)
_LOADED = re.compile(r"(model|pytorch_model)[.-].*")
_CHANGED = "its content changed since the manifest was written."
_ACCEPT = "If it was changed on purpose, say so: autoreg verify --write {folder}\n"
_RESTORE = "If not, do not use the checkpoint: restore or download it again."


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What a manifest says of one file.

    Attributes:
        size: in bytes.
        sha256: of the whole file, in hexadecimal digits.
        spot: the spot digest (see `spot`), in hexadecimal digits.
        tensors: for a safetensors file, the CRC-32 of each tensor's dtype, shape and bytes, by name. It finds the
            tensor that changed; that one did is for the SHA-256 to say.
    """

    size: int
    sha256: str
    spot: str
    tensors: Mapping[str, str] = field(default_factory=dict)


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

    def error(self, folder: str) -> IntegrityError:
        """Return the error that says so."""
        part = f"tensor{'s' if len(self.tensors) > 1 else ''} {listed(list(self.tensors))}"
        return IntegrityError(
            file=os.path.join(folder, *self.file.split("/")),
            part=part if self.tensors else "",
            problem=self.problem,
            expected=self.expected,
            found=self.found,
            advice=_ACCEPT.format(folder=folder) + _RESTORE,
        )


def is_weights(name: str) -> bool:
    """Say whether a file of this name holds weights, or is the index of files that do."""
    return _WEIGHTS.fullmatch(name) is not None


# --- what is in a file -----------------------------------------------------------------------------


def describe(path: str, *, progress: Progress | None = None) -> Entry:
    """Read a file once, whole, and return what a manifest says of it.

    Raises:
        CheckpointError: it cannot be read, or changed while it was read.
    """
    with opened(path) as stream:
        before = _stamp(os.fstat(stream.fileno()))
        size = before[2]
        first = stream.read(9)
        header = _header(path) if header_length(first, size) else None
        stream.seek(0)
        digest, tensors = _read_through(stream, header, progress)
        entry = Entry(size=size, sha256=digest, spot=_spot(stream, size), tensors=tensors)
        after = _stamp(os.fstat(stream.fileno()))
    if before[:4] != after[:4]:  # the fifth changes with a new link to the file, too
        raise CheckpointError(file=path, problem="it changed while it was read.", advice="Wait for its writer.")
    return entry


def spot(path: str) -> str:
    """Return a file's spot digest: what changed in most places changes it, at about a millisecond a gigabyte.

    It is the SHA-256 of the size (eight bytes, little-endian) and, for a file of at most 1 MiB, the content. Of a
    larger file it takes the first 64 KiB (the whole header of a safetensors file, where that is longer), the last
    64 KiB, and between them 4 KiB at each of the offsets `size * k // n` for `0 < k < n`, where `n` is
    `size // 8 MiB` or 32, whichever is more; in the order: beginning, samples, end.

    Raises:
        CheckpointError: the file cannot be read.
    """
    with opened(path) as stream:
        return _spot(stream, os.fstat(stream.fileno()).st_size)


def verified(path: str, *, progress: Progress | None = None) -> Entry:
    """Return what `describe` would, from memory where this process has read this very file before.

    The same file is the same device, inode, size, and times of change of its content and of its inode. A file that
    changed within the last two seconds is read again next time: its clock may not have ticked in between.

    Raises:
        CheckpointError: the file cannot be read, or changed while it was read.
    """
    try:
        stamp = _stamp(os.stat(path))
    except (OSError, ValueError):
        return describe(path)  # which raises it in our words
    if time.time_ns() - max(stamp[3:]) < _YOUNG:
        return describe(path, progress=progress)
    reading = _Reading(stamp=stamp, path=path, progress=[progress])
    try:
        return _remembered(reading)
    finally:
        reading.progress.clear()  # the memory keeps its keys, and must not keep the caller's bar


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """One file to read: equal to another one where the stamps are, so that a cache can be asked with it."""

    stamp: tuple[int, ...]
    path: str = field(compare=False)
    progress: list[Progress | None] = field(compare=False)


@lru_cache(maxsize=1024)
def _remembered(reading: _Reading) -> Entry:
    entry = describe(reading.path, progress=reading.progress[0])
    with suppress(OSError):
        if _stamp(os.stat(reading.path))[:4] == reading.stamp[:4]:
            return entry
    # Replaced after it was looked at: what was read must not be remembered under the stamp of another file.
    raise CheckpointError(
        file=reading.path, problem="it was replaced while it was read.", advice="Wait for its writer."
    )


def _stamp(status: os.stat_result) -> tuple[int, int, int, int, int]:
    """Return the device, the inode, the size, and when content and inode were changed (`os.utime` sets the first)."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _header(path: str) -> Header | None:
    with suppress(CheckpointError):
        return read_header(path)
    return None


def _read_through(stream: BinaryIO, header: Header | None, progress: Progress | None) -> tuple[str, dict[str, str]]:
    """Return the SHA-256 of the file and the sum of each tensor, from one reading."""
    whole, sums = hashlib.sha256(), _Sums(header)
    # One buffer for the whole file: `read` would make a new one each time.
    buffer = memoryview(bytearray(_BLOCK))
    while count := stream.readinto(buffer):  # type: ignore[attr-defined] # without a buffer it is a FileIO
        whole.update(buffer[:count])
        sums.update(buffer[:count])
        if progress is not None:
            progress(count)
    return whole.hexdigest(), sums.digits()


class _Sums:
    """The CRC-32 of each tensor of a file that goes by in blocks.

    A SHA-256 of each would read no more bytes, but hash all of them twice.
    """

    def __init__(self, header: Header | None) -> None:
        tensors = header.tensors.values() if header else ()
        self._position = -header.begin if header else 0
        self._left = sorted(tensors, key=lambda tensor: (tensor.start, tensor.end), reverse=True)
        seeds = {tensor.name: f"{tensor.dtype} {list(tensor.shape)}" for tensor in tensors}
        self._sums = {name: zlib.crc32(seed.encode()) for name, seed in seeds.items()}

    def update(self, block: memoryview) -> None:
        begin = self._position
        self._position += len(block)
        while self._left and self._left[-1].start < self._position:
            tensor = self._left[-1]
            piece = block[max(tensor.start - begin, 0) : max(tensor.end - begin, 0)]
            self._sums[tensor.name] = zlib.crc32(piece, self._sums[tensor.name])
            if tensor.end > self._position:
                return
            self._left.pop()

    def digits(self) -> dict[str, str]:
        return {name: f"{value:08x}" for name, value in self._sums.items()}


def _spot(stream: BinaryIO, size: int) -> str:
    digest = hashlib.sha256(size.to_bytes(8, "little"))
    stream.seek(0)
    if size <= _WHOLE:
        digest.update(stream.read(_WHOLE))
        return digest.hexdigest()
    first = stream.read(_END)
    digest.update(first)
    digest.update(stream.read(max(8 + header_length(first, size) - _END, 0)))
    count = max(size // _STEP, _FEWEST)
    for offset, length in [*((size * k // count, _SAMPLE) for k in range(1, count)), (size - _END, _END)]:
        stream.seek(offset)
        digest.update(stream.read(length))
    return digest.hexdigest()


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
    progress: Progress | None = None,
) -> bytes:
    """Return the content of the manifest that a folder has after a save.

    Args:
        folder: where the checkpoint is; what its manifest says of files that the save leaves alone still stands.
        staged: the path of each file that the save brings, by the name that it will have.
        removed: the names of the files that the save takes away.
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
        if name not in gone and os.path.isfile(_path(folder, name))
    }
    for name, path in staged.items():
        if name != NAME and _is_name(name):
            entries[name] = describe(path, progress=progress)
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
    staged = {name: _path(folder, name) for name in names}
    content = updated(folder, staged, [*_old_names(folder)], progress=progress)
    _replace(os.path.join(folder, NAME), content)
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
    return [name for name in (old.files if old else {}) if os.path.isfile(_path(folder, name))]


def _replace(file: str, content: bytes) -> None:
    # Beside the file, for the rename; by `open`, so that the user's umask holds; hidden, so that nobody records it.
    folder, name = os.path.split(file)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{time.monotonic_ns()}")
    try:
        with open(temporary, "xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if os.path.exists(file):
            os.chmod(temporary, stat.S_IMODE(os.stat(file).st_mode))
        os.replace(temporary, file)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        problem = f"the manifest cannot be written ({type(error).__name__}: {error.strerror or error})."
        raise SaveError(file=file, problem=problem, advice="Check the folder's permissions and the disk.") from error


def _path(folder: str, name: str) -> str:
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
        return sorted({_name_in(folder, file) for file in files})
    # Weights that transformers would find and the manifest does not know: saved later, by something else.
    try:
        beside = {name for name in _top(folder) if is_weights(name) and _LOADED.fullmatch(name)}
    except CheckpointError:
        beside = set()
    return sorted({*manifest.files, *beside})


def _name_in(folder: str, file: str) -> str:
    """Return the name in the folder of a file given by name or path; a folder may have several paths, through links."""
    name = os.path.relpath(os.path.join(folder, file), folder).replace(os.sep, "/")
    return os.path.basename(file) if name.startswith("../") else name


def _differences(
    folder: str, manifest: Manifest, names: Sequence[str], *, full: bool, progress: Progress | None
) -> Iterator[Difference]:
    for name in names:
        entry = manifest.files.get(name)
        if entry is not None:
            yield from _difference(_path(folder, name), name, entry, full=full, progress=progress)
        elif is_weights(name):
            problem = "the manifest does not know it: something else than autoreg saved it."
            yield Difference(file=name, kind="severe", problem=problem)


def _difference(path: str, name: str, entry: Entry, *, full: bool, progress: Progress | None) -> Iterator[Difference]:
    kind: Literal["severe", "mild"] = "severe" if is_weights(name) else "mild"
    try:
        size, now = _size_and_spot(path)
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


def _size_and_spot(path: str) -> tuple[int, str]:
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        return size, _spot(stream, size)


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tensors that differ, are gone or are new; none where either file has none that can be read."""
    names = [*before, *(name for name in now if name not in before)] if before and now else []
    return tuple(name for name in names if before.get(name) != now.get(name))


# --- the hub's cache -------------------------------------------------------------------------------


def compare_with_hub(folder: str, *, progress: Progress | None = None) -> tuple[int, tuple[Difference, ...]]:
    """Compare a snapshot in the hub's cache with the digests that the hub gave: the cache names its files by them.

    Returns:
        How many files have such a digest, and those that differ from it.
    """
    paths = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in sorted(names)]
    named = {_name_in(folder, path): digest for path in paths if (digest := hub_digest(path))}
    found = []
    for name, digest in named.items():
        kind: Literal["severe", "mild"] = "severe" if is_weights(name) else "mild"
        try:
            now = _digests_like(digest, _path(folder, name), progress)
        except CheckpointError as error:
            found.append(Difference(file=name, kind=kind, problem=error.problem))
            continue
        if digest not in now:
            problem = "its content is not what the hub sent."
            found.append(Difference(file=name, kind=kind, problem=problem, expected=digest, found=now[0]))
    return len(named), tuple(found)


def hub_digest(path: str) -> str:
    """Return the digest by which the hub's cache names the file: of 64 digits (a SHA-256) or 40; empty for another."""
    blob = os.path.realpath(path)
    name = os.path.basename(blob)
    is_blob = os.path.basename(os.path.dirname(blob)) == "blobs" and os.path.islink(path)
    return name if is_blob and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) else ""


def _digests_like(digest: str, path: str, progress: Progress | None) -> tuple[str, ...]:
    """Return what the digest may be: a SHA-256 (large files), git's SHA-1 (others), or a mirror's plain SHA-1."""
    if len(digest) == 64:  # noqa: PLR2004 # the digits of a SHA-256
        return (verified(path, progress=progress).sha256,)
    plain, git = hashlib.sha1(usedforsecurity=False), hashlib.sha1(usedforsecurity=False)
    with opened(path) as stream:
        git.update(b"blob %d\0" % os.fstat(stream.fileno()).st_size)
        while block := stream.read(_BLOCK):
            plain.update(block)
            git.update(block)
            if progress is not None:
                progress(len(block))
    return git.hexdigest(), plain.hexdigest()

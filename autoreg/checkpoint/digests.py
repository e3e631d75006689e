"""What is in a file: its size and digests, from one reading, or from the memory that it was written from.

Depth: metadata. Files are read, and nothing in them is run.
"""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, BinaryIO

from autoreg.checkpoint.header import Header, Tensor, header_length, opened, read_header
from autoreg.errors import CheckpointError

__all__ = [
    "BLOCK",
    "Entry",
    "Progress",
    "describe",
    "identity",
    "sha256",
    "size_and_spot",
    "spot",
    "tensor_sums",
    "verified",
]

Progress = Callable[[int], None]
"""What is told how many bytes have been read since it was told last."""

BLOCK = 2**17
"""Bytes to read at once: what the processor's cache holds while two digests are taken of it."""
_WHOLE = 2**20  # a file up to this size is taken whole by the spot digest
_END, _SAMPLE, _STEP, _FEWEST = 2**16, 2**12, 2**23, 32
_YOUNG = 2_000_000_000  # nanoseconds: the coarsest clock of a file system (FAT) ticks every two seconds


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
    return size_and_spot(path)[1]


def size_and_spot(path: str) -> tuple[int, str]:
    """Return a file's size and spot digest, from one opening.

    Raises:
        CheckpointError: the file cannot be read.
    """
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        return size, _spot(stream, size)


def verified(path: str, *, progress: Progress | None = None) -> Entry:
    """Return what `describe` would, from memory where this process has read this very file before.

    The same file is the same device, inode, size, and times of change of its content and of its inode. A file that
    changed within the last two seconds is read again next time: its clock may not have ticked in between.

    Raises:
        CheckpointError: the file cannot be read, or changed while it was read.
    """
    try:
        now = _stamp(os.stat(path))
    except (OSError, ValueError):
        return describe(path)  # which raises it in our words
    if time.time_ns() - max(now[3:]) < _YOUNG:
        return describe(path, progress=progress)
    reading = _Reading(stamp=now, path=path, progress=[progress])
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
    if identity(reading.path) == reading.stamp[:4]:
        return entry
    # Replaced after it was looked at: what was read must not be remembered under the stamp of another file.
    raise CheckpointError(
        file=reading.path, problem="it was replaced while it was read.", advice="Wait for its writer."
    )


def identity(path: str) -> tuple[int, ...] | None:
    """Return what tells whether a file is still the same: device, inode, size, time of change; None where it is not."""
    try:
        return _stamp(os.stat(path))[:4]
    except OSError:
        return None


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
    buffer = memoryview(bytearray(BLOCK))
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
        self._sums = {tensor.name: _seed(tensor) for tensor in tensors}

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
        return {name: _digits(value) for name, value in self._sums.items()}


def _seed(tensor: Tensor) -> int:
    return zlib.crc32(f"{tensor.dtype} {list(tensor.shape)}".encode())


def _digits(value: int) -> str:
    return f"{value:08x}"


def sha256(pieces: Iterable[Any]) -> str:
    """Return the SHA-256 of a file that consists of these pieces, each a buffer; other threads run meanwhile."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def tensor_sums(pieces: Iterable[tuple[Tensor, Any]]) -> dict[str, str]:
    """Return the sum of each tensor, as `Entry.tensors` has it, from the buffer of each; others run meanwhile."""
    return {tensor.name: _digits(zlib.crc32(piece, _seed(tensor))) for tensor, piece in pieces}


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
    places = [*((size * k // count, _SAMPLE) for k in range(1, count)), (size - _END, _END)]
    for offset, length in places if hasattr(os, "posix_fadvise") else ():
        # From the disk they come all at once, and not one after the other.
        os.posix_fadvise(stream.fileno(), offset, length, os.POSIX_FADV_WILLNEED)
    for offset, length in places:
        stream.seek(offset)
        digest.update(stream.read(length))
    return digest.hexdigest()

"""Digests of weight files, taken from the memory that they are written from while they are written.

Reading a gigabyte again after it was written, to hash it, takes longer than writing it. Where what is written can be
told beforehand, it is hashed meanwhile, in other threads; safetensors and hashlib both run without Python's lock.
The disk, too, is sent what is there already, instead of all at once in the end.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from autoreg.checkpoint import digests
from autoreg.checkpoint.digests import Entry
from autoreg.checkpoint.header import Tensor

__all__ = ["LARGE", "Witness"]

LARGE = 64 << 20
"""Bytes of a file that is worth the disk's while before it is complete."""
_PAUSE = 0.02  # seconds


class Witness:
    """Looks on while a model's weights are written (the bridge's `Witness`), until the end of a `with` block."""

    def __init__(self, keep: Callable[[str], None], hurry: Callable[[], None]) -> None:
        """Note what is to be done with each file, by its path, when it is complete, and with a large one before."""
        self._keep = keep
        self._hurry = hurry
        self._kept: list[Future[None]] = []
        self._seen: dict[str, tuple[tuple[int, ...], Entry]] = {}

    def __enter__(self) -> Witness:
        self._digests = ThreadPoolExecutor(2)
        self._disk = ThreadPoolExecutor(1)  # apart: no digest is to wait for a disk
        return self

    def __exit__(self, *_: object) -> None:
        self._digests.shutdown()
        self._disk.shutdown()

    @contextmanager
    def writing(self, tensors: Mapping[str, Any], file: str, metadata: Mapping[str, str] | None) -> Iterator[None]:
        """Take the digests of the tensors, of torch, while they are written in the block."""
        plan = _planned(tensors, metadata)
        if plan is None:
            yield
        else:
            running = _Running(plan)
            sha256, sums = self._digests.submit(running.sha256), self._digests.submit(running.tensor_sums)
            written: Future[None] = Future()
            if plan.size >= LARGE:
                # Its errors count: of two syncs of a file only the first is told of a write that failed.
                self._kept.append(self._disk.submit(self._hurry_until, written))
            try:
                yield
            except BaseException:
                running.over = True
                raise
            finally:
                written.set_result(None)
            self._kept.append(self._disk.submit(self._keep, file))
            self._note(file, plan, sha256.result(), sums.result())

    def _hurry_until(self, written: Future[None]) -> None:
        while not wait([written], timeout=_PAUSE).done:
            self._hurry()

    def _note(self, file: str, plan: _Plan, sha256: str, sums: Mapping[str, str]) -> None:
        before = digests.identity(file)
        with open(file, "rb", buffering=0) as stream:
            as_planned = stream.read(len(plan.header)) == plan.header
        size, spot = digests.size_and_spot(file)
        if before is not None and as_planned and size == plan.size:
            self._seen[file] = before, Entry(size=size, sha256=sha256, spot=spot, tensors=sums)

    def entries(self, staged: Mapping[str, str]) -> dict[str, Entry]:
        """Return what is known of those of the files, paths by name, that are as they were when they were written.

        Raises:
            OSError: one of the files could not be kept.
        """
        for each in self._kept:
            each.result()
        known = {name: self._seen[path] for name, path in staged.items() if path in self._seen}
        return {name: entry for name, (was, entry) in known.items() if digests.identity(staged[name]) == was}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """What a file will be: its first bytes, and the tensors with their memory in the order in which they follow."""

    header: bytes
    pieces: Sequence[tuple[Tensor, Any]]

    @property
    def size(self) -> int:
        return len(self.header) + sum(tensor.end - tensor.start for tensor, _ in self.pieces)


class _Running:
    """Digests that are being taken, until they are done or nobody wants them."""

    def __init__(self, plan: _Plan) -> None:
        self.over = False
        self._plan = plan

    def sha256(self) -> str:
        return digests.sha256(self._until_over([self._plan.header, *(piece for _, piece in self._plan.pieces)]))

    def tensor_sums(self) -> dict[str, str]:
        return digests.tensor_sums(self._until_over(self._plan.pieces))

    def _until_over(self, pieces: Sequence[Any]) -> Iterator[Any]:
        for piece in pieces:
            if self.over:
                return
            yield piece


def _planned(tensors: Mapping[str, Any], metadata: Mapping[str, str] | None) -> _Plan | None:
    """Return what safetensors will write; None where that cannot be told, and the file is read when it is there.

    The order, and the names of the dtypes, are safetensors' own: it is asked to write the same tensors without content.
    """
    try:
        if sys.byteorder != "little":  # what lies in memory is not what is written
            return None
        pieces = {name: _memory(tensor) for name, tensor in tensors.items()}
        return _plan(tensors, pieces, metadata)
    except Exception:  # a tensor of some other kind; whether it can be saved is for safetensors to say
        return None


def _plan(tensors: Mapping[str, Any], pieces: Mapping[str, Any], metadata: Mapping[str, str] | None) -> _Plan:
    from safetensors.torch import save

    empty = save(
        {name: tensor.new_empty(0) for name, tensor in tensors.items()},
        metadata=None if metadata is None else dict(metadata),
    )
    fields: dict[str, Any] = json.loads(empty[8:])
    noted, placed, position = fields.pop("__metadata__", None), [], 0
    for name, field in fields.items():
        shape, end = tuple(tensors[name].shape), position + tensors[name].nbytes
        placed.append(Tensor(name=name, dtype=field["dtype"], shape=shape, start=position, end=end))
        position = end
    text = {} if noted is None else {"__metadata__": noted}
    text |= {one.name: {"dtype": one.dtype, "shape": one.shape, "data_offsets": (one.start, one.end)} for one in placed}
    header = json.dumps(text, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    begin = len(header).to_bytes(8, "little") + header
    return _Plan(header=begin, pieces=[(one, pieces[one.name]) for one in placed])


def _memory(tensor: Any) -> Any:
    """Return a tensor's memory as a buffer; raise where it has none of its own that can be read from here."""
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        raise ValueError(f"a tensor on {tensor.device}")
    return (ctypes.c_ubyte * tensor.nbytes).from_address(tensor.data_ptr()) if tensor.nbytes else b""

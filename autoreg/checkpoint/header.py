"""The header of a safetensors file, read alone and believed only where all of it fits together.

Depth: metadata. Neither torch nor safetensors: the format is eight bytes, a JSON object and the tensors' bytes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from autoreg.checkpoint.json_file import AGAIN, strict_json
from autoreg.errors import CheckpointError, CheckpointNotFoundError

__all__ = ["Header", "Tensor", "header_length", "listed", "opened", "read_header"]

# safetensors' own limit: a longer header is refused by every reader.
LONGEST_HEADER = 100_000_000
_MOST_ELEMENTS = 2**63 - 1
_MANY = 10  # names in a message
_LONG = 200  # characters of a name in a message
_BITS: Mapping[str, int] = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    **dict.fromkeys(["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"], 8),
    **dict.fromkeys(["I16", "U16", "F16", "BF16"], 16),
    **dict.fromkeys(["I32", "U32", "F32"], 32),
    **dict.fromkeys(["C64", "F64", "I64", "U64"], 64),
}
_PARTS = frozenset({"dtype", "shape", "data_offsets"})
# What is found in the place of weights, by its first bytes, and what to do about it.
_STRANGERS = (
    (b"version https://git-lfs", "it is a Git LFS pointer, not the weights themselves.", "Fetch them: git lfs pull"),
    (b"PK\x03\x04", "it is a zip archive, as torch.save writes, and no safetensors file.", AGAIN),
    (b"\x80", "it is a pickle, and no safetensors file.", AGAIN),
    (b"<", "it is a web page or XML, and no safetensors file.", "Download the file again: the server sent an error."),
    (b"\0\0\0\0\0\0\0\0", "it begins with zeros: room was made for the file, and its content never came.", AGAIN),
)


class Tensor(NamedTuple):
    """One tensor as its file's header describes it.

    Attributes:
        name: what it is called.
        dtype: its type of number, in safetensors' words ("F32", "BF16", …).
        shape: its sizes.
        start, end: where it lies, in bytes from the beginning of the file's data section.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a safetensors file says that it holds, and does hold as far as sizes can tell.

    Attributes:
        file: the file.
        tensors: by name, in the order of the header.
        metadata: what the writer noted, strings by name.
        begin: where the data section begins in the file, in bytes.
    """

    file: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    begin: int


def read_header(file: str) -> Header:
    """Read a safetensors file's header and check it against the file's size; the data is not read.

    Raises:
        CheckpointNotFoundError: there is no such file, or a link leads nowhere.
        CheckpointError: it is no safetensors file, was cut short, or its header contradicts itself.
    """
    with opened(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = _content(stream, file, size)
    fields = _fields(content, file)
    metadata = _metadata(fields.pop("__metadata__", {}), file)
    tensors = {name: _tensor(name, value, file) for name, value in fields.items()}
    begin = 8 + len(content)
    _check_data(tensors, size, begin, file)
    return Header(file=file, tensors=tensors, metadata=metadata, begin=begin)


def header_length(first: bytes, size: int) -> int:
    """Return the length of the header of a file that begins so and has this size; 0 where it is no safetensors."""
    length = int.from_bytes(first[:8], "little")
    plausible = len(first) >= 9 and first[8:9] == b"{" and length <= min(size - 8, LONGEST_HEADER)  # noqa: PLR2004 # 8 + 1
    return length if plausible else 0


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """Open an ordinary file for reading, without a buffer; what goes wrong, also while it is read, names it.

    Raises:
        CheckpointNotFoundError: there is no such file, or a link leads nowhere.
        CheckpointError: it is a folder or a device, may not be read, or reading fails.
    """
    try:
        # Looked at before it is opened: opening a named pipe waits for a writer that may never come.
        mode = os.stat(file).st_mode
    except (OSError, ValueError) as error:
        raise _missing(file, error) from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise CheckpointError(file=file, problem=f"it is {what}, and a file should be here.", advice=AGAIN)
    try:
        with open(file, "rb", buffering=0) as stream:
            yield stream
    except OSError as error:
        if isinstance(error, CheckpointError):
            raise
        problem = f"it cannot be read ({type(error).__name__}: {error.strerror or error})."
        raise CheckpointError(file=file, problem=problem, advice="Check its permissions and the disk.") from error


def _missing(file: str, error: Exception) -> CheckpointError:
    try:
        target = os.readlink(file)
    except (OSError, ValueError):
        target = ""
    if target and isinstance(error, FileNotFoundError):
        problem = f"it is a link to {target}, which is not there."
        return CheckpointNotFoundError(file=file, problem=problem, advice="Download the checkpoint again.")
    if isinstance(error, (FileNotFoundError, NotADirectoryError, ValueError)):
        return CheckpointNotFoundError(file=file, problem="there is no such file.", advice=AGAIN)
    problem = f"it cannot be looked at ({type(error).__name__}: {getattr(error, 'strerror', None) or error})."
    return CheckpointError(file=file, problem=problem, advice="Check the permissions of the folders above it.")


def listed(names: list[str]) -> str:
    """Return names for a message: quoted, the first of very many."""
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return ", ".join(map(_shown, names[:_MANY])) + more


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


# --- the parts of the file -------------------------------------------------------------------------


def _content(stream: BinaryIO, file: str, size: int) -> bytes:
    """Return the bytes of the header."""
    first = stream.read(32)
    # Only what cannot be a header: the length of one may well begin with the byte of "<" or of a pickle.
    for beginning, problem, advice in _STRANGERS if not header_length(first, size) else ():
        if first.startswith(beginning):
            raise CheckpointError(file=file, problem=problem, advice=advice)
    if len(first) <= 8:  # noqa: PLR2004 # the length of the header
        problem = f"it has {size} bytes, too few for a safetensors file: it was cut short."
        raise CheckpointError(file=file, problem=problem, advice=AGAIN)
    length = int.from_bytes(first[:8], "little")
    if length > LONGEST_HEADER or length > size - 8:
        # Either reading of it is common: another format, and a download that stopped in the header.
        problem = "it is no safetensors file, or was cut short in its header, whose length stands in the first bytes."
        facts = {"expected": f"at most {min(size - 8, LONGEST_HEADER)} bytes of header", "found": f"{length}"}
        raise CheckpointError(file=file, problem=problem, advice=AGAIN, **facts)
    stream.seek(8)
    content = bytearray()
    while len(content) < length and (piece := stream.read(length - len(content))):
        content += piece
    if len(content) < length:
        raise CheckpointError(file=file, problem="it became shorter while it was read.", advice=AGAIN)
    return bytes(content)


def _fields(content: bytes, file: str) -> dict[str, Any]:
    if not content.startswith(b"{"):
        problem = "its header does not begin with `{`: it is no safetensors file."
        raise CheckpointError(file=file, problem=problem, advice=AGAIN)
    try:
        fields = strict_json(content)
    except ValueError as error:
        problem = f"its header is not valid JSON ({error}); the file is damaged."
        raise CheckpointError(file=file, problem=problem, advice=AGAIN) from error
    assert isinstance(fields, dict)  # it began with a brace
    return fields


def _metadata(value: object, file: str) -> dict[str, str]:
    if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return value
    problem = "the header's `__metadata__` has to be an object of strings; the file is damaged."
    raise CheckpointError(file=file, part="__metadata__", problem=problem, advice=AGAIN)


def _tensor(name: str, value: object, file: str) -> Tensor:
    problem = _impossible(name, value)
    if problem:
        problem = f"{problem}; the file is damaged."
        raise CheckpointError(file=file, part=f"tensor {_shown(name)}", problem=problem, advice=AGAIN)
    assert isinstance(value, dict)
    start, end = value["data_offsets"]
    tensor = Tensor(name=name, dtype=value["dtype"], shape=tuple(value["shape"]), start=start, end=end)
    bits = _size_in_bits(tensor)
    if bits != 8 * (end - start):
        raise CheckpointError(
            file=file,
            part=f"tensor {_shown(name)}",
            problem=f"the header gives it {end - start} bytes, which is not what its shape and dtype take.",
            expected=f"{_bytes(bits)} for {tensor.dtype} {list(tensor.shape)}",
            found=f"bytes {start} to {end} of the data",
            advice=AGAIN,
        )
    return tensor


def _impossible(name: str, value: object) -> str:
    """Return what is wrong with an entry of the header by itself; empty if nothing is."""
    if not _printable(name):
        return "its name is not valid Unicode"
    if not isinstance(value, dict) or not value.keys() >= _PARTS:
        return f"the header has {_shown(value)} for it, and not an object with dtype, shape and data_offsets"
    if not isinstance(value["dtype"], str) or value["dtype"] not in _BITS:
        return f"its dtype {_shown(value['dtype'])} is none that safetensors has"
    if not _whole_numbers(value["shape"]) or _elements(value["shape"]) > _MOST_ELEMENTS:
        return f"its shape {_shown(value['shape'])} is none that a tensor can have"
    offsets = value["data_offsets"]
    if not _whole_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:  # noqa: PLR2004 # a beginning, an end
        return f"its data_offsets {_shown(offsets)} are no beginning and end"
    return ""


def _printable(name: str) -> bool:
    """Say whether the name has no half of a surrogate pair, which JSON can write and nothing can print."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole_numbers(value: object) -> bool:
    if not isinstance(value, list):
        return False
    for each in value:  # noqa: SIM110 # a header has thousands of these lists, and `all` takes four times as long
        # bool is an int to Python, and `true` no size
        if type(each) is not int or not 0 <= each <= _MOST_ELEMENTS:
            return False
    return True


def _elements(shape: list[int]) -> int:
    """Return how many elements a shape has; some number that is too large where it has too many.

    As safetensors counts: a zero does not excuse the sizes before it. The multiplication stops in time, since a
    header may hold a million sizes.
    """
    count = 1
    for size in shape:
        count *= size
        if count > _MOST_ELEMENTS:
            break
    return count


def _size_in_bits(tensor: Tensor) -> int:
    return tensor.elements * _BITS[tensor.dtype]


def _bytes(bits: int) -> str:
    return f"{bits // 8} bytes" if bits % 8 == 0 else f"{bits} bits"


def _check_data(tensors: Mapping[str, Tensor], size: int, begin: int, file: str) -> None:
    """Refuse tensors that overlap, leave holes, or do not end where the file does."""
    end = max((tensor.end for tensor in tensors.values()), default=0)
    if begin + end != size:
        short = begin + end > size
        problem = "it was cut short." if short else "it holds more than its header describes."
        facts = {"expected": f"{begin + end} bytes", "found": f"{size}"}
        raise CheckpointError(file=file, problem=problem, advice=AGAIN, **facts)
    position, before = 0, ""
    for tensor in sorted(tensors.values(), key=lambda each: (each.start, each.end)):
        if tensor.start != position:
            gap = f"bytes {position} to {tensor.start} of the data belong to no tensor"
            problem = gap if tensor.start > position else f"it shares bytes with the tensor {_shown(before)}"
            raise CheckpointError(
                file=file,
                part=f"tensor {_shown(tensor.name)}",
                problem=f"{problem}; the file is damaged.",
                advice=AGAIN,
            )
        position, before = tensor.end, tensor.name

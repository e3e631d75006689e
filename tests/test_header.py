# ruff: noqa: E501 # tables of whole messages, one case a line
"""The header of a safetensors file: read alone, and believed only where all of it fits together."""

from __future__ import annotations

import json
import os
import random
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st

from autoreg.checkpoint.header import Header, header_length, read_header
from autoreg.checkpoint.json_file import strict_json
from autoreg.errors import CheckpointError, CheckpointNotFoundError
from tests.plugin_maker import in_new_process

AGAIN = "Save or download the checkpoint again."
F32 = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64}  # fmt: skip


def content(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    """Return the bytes of a safetensors file, whose header may be a value, a text or bytes."""
    text = header if isinstance(header, (str, bytes)) else json.dumps(header)
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(dtype: object = "F32", shape: object = None, offsets: object = None) -> dict[str, object]:
    return {"a": {"dtype": dtype, "shape": shape or [6], "data_offsets": offsets or [0, 24]}}


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n"
DAMAGED = f"the file is damaged.\n{AGAIN}"
OBJECT = f"has to be an object of strings; {DAMAGED}"
NO_ENTRY = "for it, and not an object with dtype, shape and data_offsets"
CASES = {
    "empty": (b"", f": it has 0 bytes, too few for a safetensors file: it was cut short.\n{AGAIN}"),
    "eight bytes": (content("{}")[:8], f": it has 8 bytes, too few for a safetensors file: it was cut short.\n{AGAIN}"),
    "cut in the header": (content({"a": F32})[:40], f": it is no safetensors file, or was cut short in its header, whose length stands in the first bytes.\nExpected at most 32 bytes of header, found 65.\n{AGAIN}"),
    "cut in the data": (content({"a": F32}, bytes(23)), f": it was cut short.\nExpected 97 bytes, found 96.\n{AGAIN}"),
    "longer": (content({"a": F32}, bytes(25)), f": it holds more than its header describes.\nExpected 97 bytes, found 98.\n{AGAIN}"),
    "a length beyond all": (content("{}", length=2**64 - 1), f": it is no safetensors file, or was cut short in its header, whose length stands in the first bytes.\nExpected at most 2 bytes of header, found 18446744073709551615.\n{AGAIN}"),
    "a Git LFS pointer": (LFS, ": it is a Git LFS pointer, not the weights themselves.\nFetch them: git lfs pull"),
    "a zip archive": (b"PK\x03\x04" + bytes(60), f": it is a zip archive, as torch.save writes, and no safetensors file.\n{AGAIN}"),
    "a pickle": (b"\x80\x04\x95" + b"\xff" * 60, f": it is a pickle, and no safetensors file.\n{AGAIN}"),
    "a web page": (b"<!doctype html><html>404</html>" * 9, ": it is a web page or XML, and no safetensors file.\nDownload the file again: the server sent an error."),
    "zeros": (bytes(4096), f": it begins with zeros: room was made for the file, and its content never came.\n{AGAIN}"),
    "no brace": (content("[]"), f": its header does not begin with `{{`: it is no safetensors file.\n{AGAIN}"),
    "no JSON": (content('{"a": '), f": its header is not valid JSON (Expecting value: line 1 column 7 (char 6)); {DAMAGED}"),
    "no UTF-8": (content(b'{"\xff": 1}'), f": its header is not valid JSON ('utf-8' codec can't decode byte 0xff in position 2: invalid start byte); {DAMAGED}"),
    "NaN": (content('{"a": NaN}'), f": its header is not valid JSON (NaN is no JSON number); {DAMAGED}"),
    "too deep": (content('{"a": ' + "[" * 100_000), f": its header is not valid JSON (it is nested too deep); {DAMAGED}"),
    "a tensor twice": (content(f'{{"a": {json.dumps(F32)}, "a": {json.dumps(F32)}}}', bytes(24)), f": its header is not valid JSON (the key 'a' stands twice in one object); {DAMAGED}"),
    "a shape twice": (content('{"a": {"dtype": "F32", "shape": [6], "shape": [5], "data_offsets": [0, 24]}}', bytes(24)), f": its header is not valid JSON (the key 'shape' stands twice in one object); {DAMAGED}"),
    "metadata of numbers": (content({"__metadata__": {"format": 1}}), f", __metadata__: the header's `__metadata__` {OBJECT}"),
    "metadata a list": (content({"__metadata__": []}), f", __metadata__: the header's `__metadata__` {OBJECT}"),
    "half a surrogate pair": (content('{"\\ud800": {}}'), f", tensor '\\ud800': its name is not valid Unicode; {DAMAGED}"),
    "no object": (content({"a": 3}), f", tensor 'a': the header has 3 {NO_ENTRY}; {DAMAGED}"),
    "no offsets": (content({"a": {"dtype": "F32", "shape": []}}), f", tensor 'a': the header has {{'dtype': 'F32', 'shape': []}} {NO_ENTRY}; {DAMAGED}"),
    "unknown dtype": (content(entry("F128"), bytes(24)), f", tensor 'a': its dtype 'F128' is none that safetensors has; {DAMAGED}"),
    "dtype a list": (content(entry(["F32"]), bytes(24)), f", tensor 'a': its dtype ['F32'] is none that safetensors has; {DAMAGED}"),
    "a negative size": (content(entry(shape=[-2, -3]), bytes(24)), f", tensor 'a': its shape [-2, -3] is none that a tensor can have; {DAMAGED}"),
    "a true size": (content(entry(shape=[True, 6]), bytes(24)), f", tensor 'a': its shape [True, 6] is none that a tensor can have; {DAMAGED}"),
    "a broken size": (content(entry(shape=[6.0]), bytes(24)), f", tensor 'a': its shape [6.0] is none that a tensor can have; {DAMAGED}"),
    "a huge size": (content(entry(shape=[2**64])), f", tensor 'a': its shape [18446744073709551616] is none that a tensor can have; {DAMAGED}"),
    "a huge product": (content(entry(shape=[2**32, 2**32, 0])), f", tensor 'a': its shape [4294967296, 4294967296, 0] is none that a tensor can have; {DAMAGED}"),
    "backward offsets": (content(entry(offsets=[24, 0]), bytes(24)), f", tensor 'a': its data_offsets [24, 0] are no beginning and end; {DAMAGED}"),
    "three offsets": (content(entry(offsets=[0, 1, 2]), bytes(24)), f", tensor 'a': its data_offsets [0, 1, 2] are no beginning and end; {DAMAGED}"),
    "another shape": (content(entry(shape=[7]), bytes(24)), f", tensor 'a': the header gives it 24 bytes, which is not what its shape and dtype take.\nExpected 28 bytes for F32 [7], found bytes 0 to 24 of the data.\n{AGAIN}"),
    "another dtype": (content(entry("F16"), bytes(24)), f", tensor 'a': the header gives it 24 bytes, which is not what its shape and dtype take.\nExpected 12 bytes for F16 [6], found bytes 0 to 24 of the data.\n{AGAIN}"),
    "half a byte": (content(entry("F4", [3], [0, 1]), bytes(1)), f", tensor 'a': the header gives it 1 bytes, which is not what its shape and dtype take.\nExpected 12 bits for F4 [3], found bytes 0 to 1 of the data.\n{AGAIN}"),
    "one in the other": (content({"a": F32, "b": F32}, bytes(24)), f", tensor 'b': it shares bytes with the tensor 'a'; {DAMAGED}"),
    "a hole": (content({"a": F32, "b": {**F32, "data_offsets": [28, 52]}}, bytes(52)), f", tensor 'b': bytes 24 to 28 of the data belong to no tensor; {DAMAGED}"),
    "a hole in front": (content(entry(offsets=[4, 28]), bytes(28)), f", tensor 'a': bytes 0 to 4 of the data belong to no tensor; {DAMAGED}"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_cannot_be_right(tmp_path: Path, case: str) -> None:
    """A file whose header contradicts itself or the file is a CheckpointError with the file, the tensor and the advice."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(CASES[case][0])
    with pytest.raises(CheckpointError) as caught:
        read_header(str(file))
    assert str(caught.value) == f"{file}{CASES[case][1]}"


@pytest.mark.parametrize("case", CASES)
def test_safetensors_agrees_or_is_the_looser_one(case: str) -> None:
    """What safetensors reads of the broken files is only what it does not tell apart: keys that stand twice."""
    try:
        safetensors.deserialize(CASES[case][0])
    except Exception:
        return
    assert case in {"a tensor twice", "a shape twice"}


def test_what_is_no_file(tmp_path: Path) -> None:
    """A path without a file, a link to nothing, a folder and a pipe are told apart, and none of them is waited for."""
    gone, link, pipe = (tmp_path / name for name in ("gone", "link", "pipe"))
    link.symlink_to("../blobs/1234")
    os.mkfifo(pipe)
    for path, kind, problem in [
        (gone, CheckpointNotFoundError, "there is no such file."),
        (f"{gone}\0", CheckpointNotFoundError, "there is no such file."),
        (link, CheckpointNotFoundError, "it is a link to ../blobs/1234, which is not there."),
        (tmp_path, CheckpointError, "it is a folder, and a file should be here."),
        (pipe, CheckpointError, "it is a device or a pipe, and a file should be here."),
    ]:
        with pytest.raises(kind) as caught:
            read_header(str(path))
        assert caught.value.problem == problem
        assert caught.value.file == str(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    """A file that may not be read says so."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(content("{}"))
    file.chmod(0)
    with pytest.raises(CheckpointError, match=r"cannot be read \(PermissionError: Permission denied\)"):
        read_header(str(file))


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that opens and cannot be read is Linux's")
def test_a_file_whose_reading_fails() -> None:
    """An error of the disk, after the file was opened, names the file."""
    with pytest.raises(CheckpointError, match=r"^/proc/self/mem: it cannot be read \(OSError: Input/output error\)"):
        read_header("/proc/self/mem")


def test_a_sound_file(tmp_path: Path) -> None:
    """Tensors, metadata, and where the data begins; padding and an empty tensor are in order."""
    header = {
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "BF16", "shape": [0, 4], "data_offsets": [24, 24]},
        "a": F32,
    }
    file = tmp_path / "model.safetensors"
    file.write_bytes(content(json.dumps(header) + "   ", bytes(24)))
    found = read_header(str(file))
    assert isinstance(found, Header)
    assert (found.file, found.metadata) == (str(file), {"format": "pt"})
    assert found.begin == len(json.dumps(header)) + 3 + 8
    assert [(each.name, each.dtype, each.shape, each.start, each.end) for each in found.tensors.values()] == [
        ("b", "BF16", (0, 4), 24, 24),
        ("a", "F32", (2, 3), 0, 24),
    ]
    assert [tensor.elements for tensor in found.tensors.values()] == [0, 6]


@pytest.mark.parametrize("size", [60, 128, 640, 0x3C3C])
def test_a_length_that_looks_like_another_format(tmp_path: Path, size: int) -> None:
    """A header whose length begins with the byte of `<` or of a pickle is a header."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(content(json.dumps({"a": F32}).ljust(size), bytes(24)))
    assert list(read_header(str(file)).tensors) == ["a"]


def test_every_dtype_of_safetensors_is_known(tmp_path: Path) -> None:
    """Each dtype that safetensors has is read with its size, and only those."""
    for dtype, bits in BITS.items():
        file = tmp_path / dtype
        file.write_bytes(content({"x": {"dtype": dtype, "shape": [8], "data_offsets": [0, bits]}}, bytes(bits)))
        assert read_header(str(file)).tensors["x"].dtype == dtype
        safetensors.deserialize(file.read_bytes())


def test_reading_a_header_imports_nothing_heavy() -> None:
    """The files of a checkpoint are looked over without torch, transformers and safetensors."""
    script = """
    import json, sys
    from autoreg.checkpoint import header, manifest, weights
    print(json.dumps([name for name in ("torch", "transformers", "safetensors", "numpy") if name in sys.modules]))
    """
    assert in_new_process(script) == []


@given(st.binary(max_size=40), st.integers(0, 2**40))
def test_the_length_of_a_header_is_never_beyond_the_file(first: bytes, size: int) -> None:
    """Whatever a file begins with, the header that is made of it lies in the file."""
    assert header_length(first, size) <= max(size - 8, 0)


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats() | st.text(max_size=4) | st.sampled_from([*BITS]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets", "__metadata__", "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)
_tensors = st.fixed_dictionaries(
    {"dtype": st.sampled_from([*BITS, "X"]), "shape": st.lists(st.integers(0, 5), max_size=3)},
    optional={"data_offsets": st.tuples(st.integers(0, 40), st.integers(0, 40)), "more": _values},
)


@given(st.dictionaries(st.text(max_size=3), _tensors | _values, max_size=3), st.integers(0, 60))
def test_any_header_is_read_as_safetensors_reads_it_or_refused(
    tmp_path_factory: pytest.TempPathFactory, header: dict[str, Any], data: int
) -> None:
    """Whatever JSON the header holds, it is refused with the file's name, or safetensors reads the same tensors."""
    file = tmp_path_factory.getbasetemp() / "any.safetensors"
    file.write_bytes(content(header, bytes(data)))
    agree(file)


def agree(file: Path) -> bool:
    """Say whether a file is sound; fail where safetensors refuses what autoreg does not, or reads something else."""
    try:
        found = read_header(str(file))
    except CheckpointError as error:
        str(error).encode()  # it can be printed
        assert str(error).startswith(str(file))  # noqa: PT017 # either outcome is right
        return False
    theirs = {name: (each["dtype"], tuple(each["shape"])) for name, each in safetensors.deserialize(file.read_bytes())}
    assert {name: (each.dtype, each.shape) for name, each in found.tensors.items()} == theirs
    return True


@pytest.mark.parametrize("rounds", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_a_header_with_a_changed_byte(tmp_path: Path, rounds: int) -> None:
    """A header in which bytes were changed is refused, or means the same to safetensors."""
    chance = random.Random(0)
    header = {"__metadata__": {"format": "pt"}}
    header |= {f"layer.{number}": {**F32, "data_offsets": [24 * number, 24 * number + 24]} for number in range(5)}
    whole = content(header, bytes(120))
    file, sound = tmp_path / "model.safetensors", 0
    for _ in range(rounds):
        changed = bytearray(whole)
        for _ in range(chance.choice([1, 1, 1, 2, 4])):
            changed[chance.randrange(len(whole) - 120)] = chance.choice([chance.randrange(256), *b'0123456789{}[]",: '])
        file.write_bytes(changed)
        sound += agree(file)
    assert 0 < sound < rounds  # a letter of a name may change, and a brace may not


def test_strict_json_is_printable_about_what_it_refuses() -> None:
    """Keys that nothing can print are quoted in the message."""
    with pytest.raises(ValueError, match=r"the key '\\ud800' stands twice"):
        strict_json(b'{"\\ud800": 1, "\\ud800": 2}')


def test_integers_of_any_length_are_refused_in_time() -> None:
    """An integer of a million digits is refused where Python has a limit for it."""
    if sys.version_info >= (3, 11):
        with pytest.raises(ValueError, match="Exceeds the limit"):
            strict_json(b'{"a": ' + b"1" * 1_000_000 + b"}")

"""The manifest: what it says of files, what it notices, and thousands of damaged checkpoints."""

from __future__ import annotations

import hashlib
import json
import os
import random
import stat
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg.checkpoint import read_config
from autoreg.checkpoint.digests import describe, spot, verified
from autoreg.checkpoint.hub_cache import compare_with_hub
from autoreg.checkpoint.manifest import (
    NAME,
    Difference,
    check,
    is_weights,
    read_manifest,
    updated,
    write,
)
from autoreg.checkpoint.weights import read_weights
from autoreg.errors import CheckpointError, IntegrityError, SaveError
from tests.test_header import content
from tests.test_weights import FIRST, INDEX, SECOND, SINGLE, shard, sharded

MEBIBYTE = 2**20
CHANGED = "its content changed since the manifest was written"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a small checkpoint with a manifest."""
    path = tmp_path / "it"
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "bert"}\n')
    (path / "README.md").write_text("# It\n")
    sharded(path)
    write(str(path))
    return path


def patch(file: Path, offset: int, new: bytes) -> None:
    """Overwrite bytes of a file in place."""
    with file.open("r+b") as stream:
        stream.seek(offset)
        stream.write(new)


def edited(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change the manifest by hand."""
    fields = json.loads((folder / NAME).read_text())
    change(fields)
    (folder / NAME).write_text(json.dumps(fields))


# --- differences -----------------------------------------------------------------------------------


def test_a_changed_tensor_is_named(folder: Path) -> None:
    """Weights that changed are a severe difference, with the tensor; the error says what to do."""
    file = folder / FIRST
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    patch(file, file.stat().st_size - 1, b"!")
    now = hashlib.sha256(file.read_bytes()).hexdigest()
    (found,) = check(str(folder), full=True)
    assert str(found) == f"{FIRST}: {CHANGED} (expected SHA-256 {before}, found {now}); tensors: 'b'"
    assert (found.kind, found.severe, found.tensors) == ("severe", True, ("b",))
    assert str(found.error(str(folder))) == (
        f"{file}, tensor 'b': {CHANGED}.\nExpected SHA-256 {before}, found {now}.\n"
        f"If it was changed on purpose, say so: autoreg verify --write {folder}\n"
        "If not, do not use the checkpoint: restore or download it again."
    )
    assert isinstance(found.error(str(folder)), IntegrityError)


def test_a_config_edited_by_hand_is_a_mild_difference(folder: Path) -> None:
    """What people edit by hand is told apart from weights."""
    (folder / "config.json").write_text('{"model_type": "bert", "hidden_size": 4}')
    (folder / "README.md").unlink()
    found = check(str(folder))
    assert [(each.file, each.kind) for each in found] == [("README.md", "mild"), ("config.json", "mild")]
    assert str(found[0]) == "README.md: there is no such file"
    assert str(found[1]) == "config.json: its size changed since the manifest was written (expected 23 bytes, found 40)"
    assert not any(each.severe for each in found)


def test_weights_that_are_gone_or_were_not_there(folder: Path) -> None:
    """A shard that is gone, and weights that something else saved later, are severe; other new files are nothing."""
    (folder / FIRST).unlink()
    shard(folder, SINGLE, "a")
    shard(folder, "adapter_model.safetensors", "a")
    (folder / "trainer_state.json").write_text("{}")
    assert [(each.file, each.kind, each.problem) for each in check(str(folder))] == [
        (FIRST, "severe", "there is no such file."),
        (SINGLE, "severe", "the manifest does not know it: something else than autoreg saved it."),
    ]


def test_only_the_files_that_are_asked_for(folder: Path) -> None:
    """Given files, by name or path, only they are compared; one that the manifest lacks counts if it holds weights."""
    for name in (FIRST, SECOND, "README.md"):
        (folder / name).write_bytes(b"")
    shard(folder, "mine.safetensors", "a")
    (folder / "new.json").touch()
    wanted = [SECOND, str(folder / "README.md"), "config.json", str(folder / "mine.safetensors"), "new.json"]
    assert [each.file for each in check(str(folder), wanted)] == ["README.md", "mine.safetensors", SECOND]
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert [each.file for each in check(str(link), [str(folder / SECOND)])] == [SECOND]


def test_without_a_manifest_nothing_differs(folder: Path) -> None:
    """A folder without a manifest is somebody else's: nothing is compared, and nothing is noticed."""
    patch(folder / FIRST, 120, b"!!!!")
    assert check(str(folder), full=True) != ()
    (folder / NAME).unlink()
    assert check(str(folder), full=True) == ()
    assert read_manifest(str(folder)) is None


def test_what_only_reading_everything_finds(tmp_path: Path) -> None:
    """A byte between the samples of a large file goes by the spot digest, and not by the SHA-256."""
    file = tmp_path / SINGLE
    header = {"big": {"dtype": "U8", "shape": [4 * MEBIBYTE], "data_offsets": [0, 4 * MEBIBYTE]}}
    file.write_bytes(content(header, bytes(4 * MEBIBYTE)))
    write(str(tmp_path))
    patch(file, 100_000, b"\1")
    assert check(str(tmp_path)) == ()
    (found,) = check(str(tmp_path), full=True)
    assert (found.file, found.kind, found.tensors) == (SINGLE, "severe", ("big",))


def test_a_header_that_changed_names_its_tensors(folder: Path) -> None:
    """Other shapes over the same bytes, tensors that are new or gone, and other metadata alone are told apart."""
    shard(folder, SECOND, "c", "d")
    (found,) = check(str(folder), full=True)
    assert found.tensors == ("d",)
    entry = {"c": {"dtype": "I32", "shape": [2], "data_offsets": [0, 8]}}
    (folder / SECOND).write_bytes(content({"__metadata__": {"format": "pt"}, **entry}, b"A" * 8))
    (found,) = check(str(folder), full=True)
    assert found.tensors == ("c",)
    (folder / SECOND).write_bytes((folder / SECOND).read_bytes().replace(b"I32", b"F32").replace(b'"pt"', b'"np"'))
    (found,) = check(str(folder), full=True)
    assert (found.problem, found.tensors) == (f"{CHANGED}.", ())


def test_a_file_that_cannot_be_read_is_a_difference(folder: Path) -> None:
    """A folder or a link to nothing in the place of a file is a difference, not an exception."""
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    (folder / FIRST).unlink()
    (folder / FIRST).symlink_to("gone")
    assert [str(each) for each in check(str(folder), full=True)] == [
        "README.md: it is a folder, and a file should be here",
        f"{FIRST}: it is a link to gone, which is not there",
    ]


# --- the manifest itself ---------------------------------------------------------------------------


def _entry(fields: dict[str, object]) -> dict[str, object]:
    return fields["files"]["config.json"]  # type: ignore[index, no-any-return]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda it: it.clear(), "it has no `version`, a whole number"),
        (lambda it: it.update(version="1"), "it has no `version`, a whole number"),
        (lambda it: it.update(version=True), "it has no `version`, a whole number"),
        (lambda it: it.update(version=0), "it has no `version`, a whole number"),
        (lambda it: it.update(files=[]), "it has to have `version`, `files` and nothing else"),
        (lambda it: it.update(filse={}), "it has to have `version`, `files` and nothing else"),
        (lambda it: it["files"].update({"../x": {}}), "its entry '../x' is not the name of a file in the folder"),
        (lambda it: it["files"].update({"/etc/x": {}}), "its entry '/etc/x' is not the name of a file in the folder"),
        (lambda it: it["files"].update({"a\\b": {}}), "its entry 'a\\\\b' is not the name of a file in the folder"),
        (lambda it: it["files"].update({"C:x": {}}), "its entry 'C:x' is not the name of a file in the folder"),
        (
            lambda it: it["files"].update({"x": 3}),
            "its entry 'x' has to have `size`, `sha256`, `spot`, perhaps `tensors`, and nothing else",
        ),
        (
            lambda it: _entry(it).update(more=1),
            "its entry 'config.json' has to have `size`, `sha256`, `spot`, perhaps `tensors`, and nothing else",
        ),
        (lambda it: _entry(it).update(size=-1), "its entry 'config.json' has a `size` that is none"),
        (lambda it: _entry(it).update(size=1.5), "its entry 'config.json' has a `size` that is none"),
        (
            lambda it: _entry(it).update(sha256="0" * 63),
            "its entry 'config.json' has a digest that is not 64 hexadecimal digits",
        ),
        (
            lambda it: _entry(it).update(spot=None),
            "its entry 'config.json' has a digest that is not 64 hexadecimal digits",
        ),
        (
            lambda it: _entry(it).update(tensors={"a": "1"}),
            "its entry 'config.json' has `tensors` that are not eight hexadecimal digits each",
        ),
    ],
)
def test_a_damaged_manifest(folder: Path, change: Callable[[dict[str, object]], object], problem: str) -> None:
    """A manifest that is none is a severe difference, and an IntegrityError for whoever reads it."""
    edited(folder, change)
    with pytest.raises(IntegrityError) as caught:
        read_manifest(str(folder))
    assert str(caught.value) == (
        f"{folder / NAME}: the manifest is damaged: {problem}.\n"
        f"Restore the checkpoint; or, if you know its files to be right: autoreg verify --write {folder}"
    )
    assert check(str(folder)) == (Difference(file=NAME, kind="severe", problem=f"the manifest is damaged: {problem}."),)


@pytest.mark.parametrize("written", [b"", b"{", b"\xff", b"[" * 100_000, b'{"version": 1, "version": 2}'])
def test_a_manifest_that_is_no_json(folder: Path, written: bytes) -> None:
    """A manifest that was cut short, or is no JSON, is a severe difference."""
    (folder / NAME).write_bytes(written)
    (found,) = check(str(folder))
    assert found.severe
    assert found.problem.startswith("the manifest is damaged: not valid JSON (")
    (folder / NAME).unlink()
    (folder / NAME).mkdir()
    assert "it is a folder" in check(str(folder))[0].problem


def test_a_manifest_of_a_later_version_is_a_note(folder: Path) -> None:
    """A later format cannot be checked: that is noted, and no reason against the checkpoint."""
    (folder / NAME).write_text('{"version": 2, "blocks": []}')
    patch(folder / FIRST, 100, b"!")
    (found,) = check(str(folder), full=True)
    assert (found.kind, found.severe) == ("note", False)
    assert str(found) == f"{NAME}: its version is 2, and this autoreg knows 1: nothing can be checked"


def test_a_wrong_spot_digest_is_noticed(folder: Path) -> None:
    """A manifest whose digests do not fit one another is noticed, whichever of them is right."""
    edited(folder, lambda it: _entry(it).update(spot="0" * 64))
    (found,) = check(str(folder), full=True)
    assert found.expected == f"spot digest {'0' * 64}"


# --- writing ---------------------------------------------------------------------------------------


def test_a_manifest_that_cannot_be_written(folder: Path) -> None:
    """Where the manifest cannot be written the old one stays, and no other file is left behind."""
    (folder / NAME).unlink()
    (folder / NAME).mkdir()
    before = sorted(os.listdir(folder))
    with pytest.raises(SaveError, match="the manifest cannot be written"):
        write(str(folder))
    assert sorted(os.listdir(folder)) == before
    with pytest.raises(CheckpointError, match="it cannot be listed"):
        write(str(folder / "gone"))


def test_writing_records_the_files_as_they_are(folder: Path) -> None:
    """`write` accepts what changed; hidden files and names that another system cannot have are left out."""
    patch(folder / FIRST, 100, b"!")
    (folder / "new.txt").write_text("new")
    (folder / ".hidden").touch()
    for name in ("a:b", os.fsdecode(b"\xff")):
        with suppress(OSError):  # a file system that cannot have it
            (folder / name).touch()
    (folder / "sub").mkdir()
    (folder / NAME).chmod(0o600)
    assert check(str(folder), full=True) != ()
    recorded = write(str(folder))
    assert sorted(recorded) == ["README.md", "config.json", FIRST, SECOND, INDEX, "new.txt"]
    assert check(str(folder), full=True) == ()
    assert stat.S_IMODE((folder / NAME).stat().st_mode) == 0o600


def test_writing_keeps_what_lies_below(folder: Path) -> None:
    """A file in a folder below, once recorded, is recorded again."""
    (folder / "sub").mkdir()
    (folder / "sub" / "x.json").write_text("1")
    (folder / NAME).write_bytes(updated(str(folder), {"sub/x.json": str(folder / "sub" / "x.json")}, []))
    assert "sub/x.json" in write(str(folder))
    (folder / "sub" / "x.json").write_text("2")
    assert [each.file for each in check(str(folder))] == ["sub/x.json"]


def test_the_manifest_after_a_save(folder: Path, tmp_path: Path) -> None:
    """Entries of files that stay stand as they were; staged files are read, and removed or lost ones forgotten."""
    staged = shard(tmp_path, "staged", "a", "b", "c")
    (folder / "config.json").write_text("edited by hand")  # its entry stands, so that this is noticed
    (folder / "README.md").unlink()
    old = read_manifest(str(folder))
    new = json.loads(updated(str(folder), {SINGLE: str(staged), NAME: str(staged)}, [FIRST, SECOND]))
    assert old is not None
    assert new["version"] == 1
    assert sorted(new["files"]) == ["config.json", SINGLE, INDEX]
    assert new["files"]["config.json"]["sha256"] == old.files["config.json"].sha256
    assert new["files"][SINGLE]["sha256"] == hashlib.sha256(staged.read_bytes()).hexdigest()
    assert sorted(new["files"][SINGLE]["tensors"]) == ["a", "b", "c"]


@pytest.mark.parametrize("old", ["{", '{"version": 9, "files": {}}'])
def test_a_save_over_a_manifest_that_cannot_be_read(folder: Path, old: str) -> None:
    """A damaged or later manifest says nothing that could be kept: the save records its own files."""
    (folder / NAME).write_text(old)
    new = json.loads(updated(str(folder), {"config.json": str(folder / "config.json")}, []))
    assert (new["version"], list(new["files"])) == (1, ["config.json"])


# --- digests ---------------------------------------------------------------------------------------


def test_what_is_recorded_of_a_file(folder: Path) -> None:
    """Size and SHA-256 are any tool's, a tensor's sum is the CRC-32 of its dtype, shape and bytes."""
    file = folder / FIRST
    read: list[int] = []
    entry = describe(str(file), progress=read.append)
    assert entry.size == file.stat().st_size == sum(read)
    assert entry.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert entry.tensors == {
        "a": f"{zlib.crc32(b'F32 [2]' + b'A' * 8):08x}",
        "b": f"{zlib.crc32(b'F32 [2]' + b'B' * 8):08x}",
    }
    assert describe(str(folder / "config.json")).tensors == {}


@given(st.lists(st.integers(0, 200_000), max_size=6), st.integers(0, 9))
def test_the_sums_of_tensors_across_blocks(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], seed: int
) -> None:
    """Tensors of any length, empty ones among them, get the sum of their own bytes however the blocks fall."""
    file = tmp_path_factory.getbasetemp() / "sums.safetensors"
    data = [random.Random(seed + size).randbytes(size) for size in sizes]
    entries, start = {}, 0
    for number, size in enumerate(sizes):
        entries[str(number)] = {"dtype": "U8", "shape": [size], "data_offsets": [start, start + size]}
        start += size
    file.write_bytes(content(entries, b"".join(data)))
    assert describe(str(file)).tensors == {
        str(number): f"{zlib.crc32(f'U8 [{len(each)}]'.encode() + each):08x}" for number, each in enumerate(data)
    }


@pytest.mark.parametrize("size", [0, 1, MEBIBYTE, MEBIBYTE + 1, 3 * MEBIBYTE, 40 * 2**23 + 5])
@pytest.mark.parametrize("header", [0, 100, 200_000])
def test_the_spot_digest_is_what_its_docstring_says(tmp_path: Path, size: int, header: int) -> None:
    """The spot digest, computed again from its description alone, is the same."""
    file = tmp_path / "it"
    start = header.to_bytes(8, "little") + b"{" if header else b""
    with file.open("wb") as stream:
        stream.write(start[:size])
        stream.truncate(size)  # a hole of zeros: nothing is stored
        for offset in range(0, size - 10, MEBIBYTE):
            stream.seek(offset + 9)
            stream.write(bytes([1 + offset % 251]))
    whole = file.read_bytes()
    parts = [len(whole).to_bytes(8, "little")]
    if size <= MEBIBYTE:
        parts.append(whole)
    else:
        count = max(size // (8 * MEBIBYTE), 32)
        samples = (size * k // count for k in range(1, count))
        parts += [whole[: max(65536, 8 + header if header else 0)]]
        parts += [whole[offset : offset + 4096] for offset in samples]
        parts += [whole[-65536:]]
    assert spot(str(file)) == hashlib.sha256(b"".join(parts)).hexdigest()


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """A file that another writes to during the reading is refused: the digest would be of neither state."""
    file = tmp_path / "it"
    file.write_bytes(bytes(MEBIBYTE))

    def disturb(_: int) -> None:
        patch(file, 0, b"1")
        os.utime(file, ns=(1, 1))

    with pytest.raises(CheckpointError, match="it changed while it was read"):
        describe(str(file), progress=disturb)


def _settled(file: Path) -> Path:
    """Wait until a file is old enough to be remembered."""
    while time.time_ns() - file.stat().st_ctime_ns < 2_100_000_000:
        time.sleep(0.05)
    return file


def test_a_file_is_read_once_while_it_stays_the_same(tmp_path: Path) -> None:
    """What was read is remembered by the file's identity until it changes, even where the change hides its time."""
    file = shard(tmp_path, SINGLE, "a")
    read: list[int] = []

    def count(path: Path) -> int:
        before = len(read)
        assert verified(str(path), progress=read.append).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        return len(read) - before

    assert (count(file), count(file)) == (1, 1)  # too young: its clock may not have ticked since
    _settled(file)
    assert (count(file), count(file)) == (1, 0)
    (tmp_path / "link").symlink_to(file)
    assert count(tmp_path / "link") == 0
    times = file.stat().st_mtime_ns
    patch(file, file.stat().st_size - 1, b"!")
    os.utime(file, ns=(times, times))
    assert count(file) == 1
    with pytest.raises(CheckpointError, match="there is no such file"):
        verified(str(tmp_path / "gone"))


def test_threads_may_verify_together(folder: Path) -> None:
    """Eight threads that check one folder at once see what one does."""
    patch(folder / FIRST, 120, b"!")
    expected = check(str(folder), full=True)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(check(str(folder), full=True))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8
    assert len(expected) == 1


@pytest.mark.parametrize(
    ("name", "yes"),
    [
        ("model.safetensors", True),
        ("pytorch_model.bin", True),
        ("model.safetensors.index.json", True),
        ("model.safetensors.index.fp16.json", True),
        ("optimizer.pt", True),
        ("config.json", False),
        ("tokenizer.json", False),
        ("README.md", False),
        ("vocab.txt", False),
    ],
)
def test_which_files_are_weights(name: str, yes: bool) -> None:
    """Weights and their indexes are told by their names from what people edit."""
    assert is_weights(name) is yes


# --- the hub's cache -------------------------------------------------------------------------------


def snapshot(cache: Path, files: dict[str, bytes], repository: str = "someone/thing") -> Path:
    """Write a repository into a cache of the hub, as its client does: links to files named by their digests."""
    root = cache / f"models--{repository.replace('/', '--')}"
    place = root / "snapshots" / ("0" * 40)
    for path in (place, root / "blobs", root / "refs"):
        path.mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    for name, data in files.items():
        large = name.endswith(".safetensors")
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        digest = hashlib.sha256(data).hexdigest() if large else git
        (root / "blobs" / digest).write_bytes(data)
        (place / name).symlink_to(f"../../blobs/{digest}")
    return place


def test_a_snapshot_is_compared_with_what_the_hub_said(tmp_path: Path) -> None:
    """The cache names files by the hub's digests: a change is found without any manifest, small files by git's."""
    weights = shard(tmp_path, "x", "a").read_bytes()
    place = snapshot(tmp_path, {SINGLE: weights, "config.json": b"{}"})
    (place / "mine.txt").write_text("not of the hub")
    assert compare_with_hub(str(place)) == (2, ())
    patch(place / SINGLE, len(weights) - 1, b"!")
    patch(place / "config.json", 1, b"!")
    count, found = compare_with_hub(str(place))
    assert count == 2
    assert [(each.file, each.kind, each.problem) for each in found] == [
        ("config.json", "mild", "its content is not what the hub sent."),
        (SINGLE, "severe", "its content is not what the hub sent."),
    ]
    assert found[1].expected == hashlib.sha256(weights).hexdigest()


def test_a_mirror_may_name_files_by_a_plain_sha1(tmp_path: Path) -> None:
    """A mirror that gives the SHA-1 of the content, not git's of it, raises no alarm; a change does."""
    place = snapshot(tmp_path, {})
    blob = place.parents[1] / "blobs" / hashlib.sha1(b"{}").hexdigest()
    blob.write_bytes(b"{}")
    (place / "config.json").symlink_to(blob)
    assert compare_with_hub(str(place)) == (1, ())
    blob.write_bytes(b"[]")
    assert len(compare_with_hub(str(place))[1]) == 1


# --- thousands of damaged checkpoints --------------------------------------------------------------


def _checkpoint(folder: Path, *, shards: bool, chance: random.Random) -> dict[str, bytes]:
    """Write a checkpoint with a manifest; return its files."""
    folder.mkdir()
    config = {"model_type": "bert", "hidden_size": 32, "architectures": ["BertModel"], "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "README.md").write_text("# A checkpoint\n")
    names = [f"layer.{number}.weight" for number in range(12)]
    parts = {FIRST: names[:7], SECOND: names[7:]} if shards else {SINGLE: names}
    for file, tensors in parts.items():
        entries, data = {}, b""
        for name in tensors:
            piece = chance.randbytes(4 * chance.randrange(400))
            offsets = [len(data), len(data) + len(piece)]
            entries[name] = {"dtype": "F32", "shape": [len(piece) // 4], "data_offsets": offsets}
            data += piece
        (folder / file).write_bytes(content({"__metadata__": {"format": "pt"}, **entries}, data))
    if shards:
        table = {name: file for file, tensors in parts.items() for name in tensors}
        (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": table}, indent=2))
    write(str(folder))
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def _damaged(whole: bytes, chance: random.Random) -> bytes:
    """Return other bytes: flips, overwritten, deleted, inserted, swapped or repeated ranges, a cut."""
    start = chance.randrange(len(whole)) if chance.random() < 0.7 else chance.randrange(min(len(whole), 800))
    end = min(start + chance.choice([1, 2, 8, 64, 1000]), len(whole))
    piece, kind = whole[start:end], chance.randrange(8)
    if kind == 0:
        return whole[:start] + bytes([whole[start] ^ 1 << chance.randrange(8)]) + whole[start + 1 :]
    other = {
        1: chance.randbytes(len(piece)),
        2: b"",
        3: bytes(len(piece)),
        4: piece * 2,
        5: piece[::-1],
        6: bytes(chance.choice(b'0123456789{}[]",:.-e "') for _ in piece),
    }
    return whole[:start] if kind == 7 else whole[:start] + other[kind] + whole[end:]


@contextmanager
def _only_ours() -> Iterator[None]:
    with suppress(CheckpointError):
        yield


def _look_at_everything(folder: Path) -> None:
    """Call all that reads the files of a folder; whatever it meets, its exceptions are CheckpointErrors."""
    for look in (
        lambda: read_config(folder, {}),
        lambda: read_weights(str(folder)),
        lambda: read_manifest(str(folder)),
        lambda: updated(str(folder), {"config.json": str(folder / "config.json")}, []),
        *(lambda path=path: describe(str(path)) for path in folder.iterdir()),
    ):
        with _only_ours():
            look()


@pytest.mark.parametrize("shards", [False, True], ids=["one file", "shards"])
@pytest.mark.parametrize("rounds", [150, pytest.param(5_000, marks=pytest.mark.slow)])
def test_no_damage_goes_by_and_every_exception_is_ours(tmp_path: Path, rounds: int, shards: bool) -> None:
    """Of thousands of damaged files each is noticed by its name, and none makes anything raise but CheckpointError."""
    chance = random.Random(rounds + shards)
    folder = tmp_path / "it"
    files = _checkpoint(folder, shards=shards, chance=chance)
    noticed = unseen = 0
    for number in range(rounds):
        name = chance.choice([each for each in files if each != NAME])
        damaged = _damaged(files[name], chance) if chance.random() < 0.98 else None
        file = folder / name
        file.unlink() if damaged is None else file.write_bytes(damaged)
        if damaged != files[name]:
            _look_at_everything(folder)
            found = check(str(folder), full=True)
            assert [each.file for each in found] == [name], (rounds, number)
            noticed += 1
            unseen += _passes_without(folder)
        file.write_bytes(files[name])
    assert check(str(folder), full=True) == ()
    assert noticed > rounds * 0.8
    # The twin: without the manifest much of the damage looks like a sound checkpoint.
    assert unseen > noticed * 0.1


def _passes_without(folder: Path) -> bool:
    try:
        read_config(folder, {})
        read_weights(str(folder))
    except CheckpointError:
        return False
    return True


@pytest.mark.parametrize("rounds", [120, pytest.param(5_000, marks=pytest.mark.slow)])
def test_a_damaged_manifest_never_vouches_for_damaged_weights(tmp_path: Path, rounds: int) -> None:
    """With the manifest damaged as well, damaged weights are still not taken for sound."""
    chance = random.Random(rounds)
    folder = tmp_path / "it"
    files = _checkpoint(folder, shards=False, chance=chance)
    for number in range(rounds):
        for name in (NAME, SINGLE):
            (folder / name).write_bytes(_damaged(files[name], chance))
        _look_at_everything(folder)
        if (folder / SINGLE).read_bytes() != files[SINGLE]:
            assert check(str(folder), full=True), number


@pytest.mark.parametrize("rounds", [150, pytest.param(5_000, marks=pytest.mark.slow)])
def test_the_tensors_that_changed_are_named(tmp_path: Path, rounds: int) -> None:
    """For damage of equal size in the data, the tensors named are those whose bytes differ, all and no others."""
    chance = random.Random(rounds)
    folder = tmp_path / "it"
    files = _checkpoint(folder, shards=False, chance=chance)
    weights = read_weights(str(folder))
    assert weights is not None
    (header,) = weights.headers
    data = files[SINGLE][header.begin :]
    for _ in range(rounds):
        changed = _damaged(data, chance)
        if len(changed) != len(data) or changed == data:
            continue
        (folder / SINGLE).write_bytes(files[SINGLE][: header.begin] + changed)
        (found,) = check(str(folder), full=True)
        expected = [
            name for name, it in header.tensors.items() if data[it.start : it.end] != changed[it.start : it.end]
        ]
        assert list(found.tensors) == expected

"""Which weight files a folder holds, and whether headers and index fit together: nothing but headers is read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg.checkpoint.weights import Weights, cached_folder, check_files, read_index, read_weights
from autoreg.errors import CheckpointError, CheckpointNotFoundError, UnsafeCheckpointError
from tests.test_header import content

AGAIN = "Save or download the checkpoint again."
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
TABLE = {"a": FIRST, "b": FIRST, "c": SECOND}


def shard(folder: Path, name: str, *tensors: str, size: int = 2) -> Path:
    """Write a safetensors file with tensors of so many float32."""
    entries = {
        each: {"dtype": "F32", "shape": [size], "data_offsets": [4 * size * number, 4 * size * (number + 1)]}
        for number, each in enumerate(tensors)
    }
    file = folder / name
    data = b"".join(bytes([65 + number]) * 4 * size for number in range(len(tensors)))
    file.write_bytes(content({"__metadata__": {"format": "pt"}, **entries}, data))
    return file


def index(folder: Path, table: object, name: str = INDEX, **more: object) -> Path:
    file = folder / name
    file.write_text(json.dumps({"metadata": {"total_size": 24}, "weight_map": table, **more}))
    return file


def sharded(folder: Path, table: Mapping[str, str] = TABLE) -> Path:
    """Write two shards and their index."""
    shard(folder, FIRST, "a", "b")
    shard(folder, SECOND, "c")
    return index(folder, table)


def complaint(folder: Path, **options: str) -> str:
    """Return the text of the error, without the folder."""
    with pytest.raises(CheckpointError) as caught:
        read_weights(str(folder), **options)
    assert str(caught.value).startswith(str(folder))
    return str(caught.value).replace(f"{folder}{os.sep}", "")


# --- shards ----------------------------------------------------------------------------------------


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    """A shard that the index names and the folder lacks is named; a link to nothing is called that."""
    sharded(tmp_path)
    (tmp_path / SECOND).unlink()
    problem = f"{INDEX} names 2 files, and of these 1 is not there: '{SECOND}'."
    assert complaint(tmp_path) == f"{SECOND}: {problem}\nThe save or the download was interrupted. {AGAIN}"
    (tmp_path / SECOND).symlink_to("gone")
    assert complaint(tmp_path).startswith(f"{SECOND}: it is a link to gone, which is not there.")
    with pytest.raises(CheckpointNotFoundError, match="of these 1 is not there"):
        check_files([str(tmp_path / FIRST)], index=str(tmp_path / INDEX))


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/b", "a\\b", "C:x", "..", ".", "", "a\0b", "a\nb"])
def test_a_shard_outside_the_folder(tmp_path: Path, name: str) -> None:
    """An index that names anything but a plain file is unsafe, and the file is not opened."""
    folder = tmp_path / "it"
    folder.mkdir()
    shard(tmp_path, "outside", "a")
    index(folder, {"a": name})
    with pytest.raises(UnsafeCheckpointError) as caught:
        read_weights(str(folder))
    assert str(caught.value) == (
        f"{folder / INDEX}, weight_map['a']: it names {name!r}, and a shard is a file beside the index.\n"
        "Do not load this checkpoint before you know who wrote that."
    )


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    """A tensor in two shards is refused, whichever of them the index names."""
    sharded(tmp_path)
    shard(tmp_path, SECOND, "b", "c")
    assert complaint(tmp_path) == (f"{SECOND}, tensor 'b': {FIRST} has it too, and nothing says which counts.\n{AGAIN}")


def test_one_file_under_two_names(tmp_path: Path) -> None:
    """Two names of one file are two shards with the same tensors."""
    (tmp_path / SECOND).symlink_to(shard(tmp_path, FIRST, "a", "b").name)
    index(tmp_path, {"a": FIRST, "b": SECOND})
    assert f"tensors 'a', 'b': {FIRST} has it too" in complaint(tmp_path)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({**TABLE, "d": SECOND}, f"{SECOND}, tensor 'd': it is not in this file, against {INDEX}"),
        ({**TABLE, "b": SECOND}, f"{FIRST}, tensor 'b': it is in this file, against {INDEX}"),
        ({"a": FIRST, "c": SECOND}, f"{FIRST}, tensor 'b': it is in this file, and not in {INDEX}"),
        (
            {"x": FIRST, "y": FIRST, "c": SECOND},
            f"{FIRST}, tensors 'x', 'y': it is not in this file, against {INDEX}",
        ),
    ],
)
def test_an_index_of_other_shards(tmp_path: Path, table: dict[str, str], sentence: str) -> None:
    """An index that gives a tensor to the wrong shard, invents one or forgets one is refused with its name."""
    sharded(tmp_path, table)
    assert complaint(tmp_path) == f"{sentence}: the two are not from one save.\n{AGAIN}"


def test_a_damaged_shard(tmp_path: Path) -> None:
    """A shard that cannot be what it should be is named, not the index."""
    sharded(tmp_path)
    (tmp_path / SECOND).write_bytes((tmp_path / SECOND).read_bytes()[:-1])
    assert complaint(tmp_path).startswith(f"{SECOND}: it was cut short.")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not valid JSON (Expecting value: line 1 column 1 (char 0)); it was cut short or edited by hand."),
        ("[]", "an index is a JSON object ({…}), and this is none."),
        ("{}", "`weight_map` has to be an object that names a file for each tensor, and is not."),
        ('{"weight_map": {}, "metadata": {}}', "`weight_map` has to be an object that names a file for each tensor"),
        ('{"weight_map": {"a": 3}, "metadata": {}}', "`weight_map` has to be an object that names a file for each"),
        ('{"weight_map": {"a": "b"}}', "`metadata` has to be an object (it may be empty), and is not."),
        ('{"weight_map": {"a": "b"}, "metadata": 3}', "`metadata` has to be an object (it may be empty), and is not."),
        ('{"weight_map": {"a": "b", "a": "c"}, "metadata": {}}', "the key 'a' stands twice in one object"),
    ],
)
def test_an_index_that_is_none(tmp_path: Path, text: str, problem: str) -> None:
    """An index that transformers could not read is refused with the reason."""
    (tmp_path / INDEX).write_text(text)
    assert complaint(tmp_path).startswith(f"{INDEX}: ")
    assert problem in complaint(tmp_path)


def test_two_sound_shards(tmp_path: Path) -> None:
    """Sound shards are read as the index says; each tensor comes with its file."""
    sharded(tmp_path)
    found = read_weights(str(tmp_path))
    assert isinstance(found, Weights)
    assert (found.folder, found.index, found.pickles) == (str(tmp_path), str(tmp_path / INDEX), ())
    assert {name: (os.path.basename(file), tensor.shape) for name, (file, tensor) in found.tensors.items()} == {
        "a": (FIRST, (2,)),
        "b": (FIRST, (2,)),
        "c": (SECOND, (2,)),
    }
    assert found == check_files([str(tmp_path / SECOND), str(tmp_path / FIRST)], index=str(tmp_path / INDEX))


# --- which files -----------------------------------------------------------------------------------


def test_no_folder(tmp_path: Path) -> None:
    """A folder that does not exist is said to be none; a name that no system has is one, too."""
    for path in (tmp_path / "gone", f"{tmp_path}/a\0b"):
        with pytest.raises(CheckpointNotFoundError, match="there is no such folder"):
            read_weights(str(path))


def test_a_stale_file_beside_shards(tmp_path: Path) -> None:
    """A whole file beside shards is refused: transformers would take the one, and the other may be the newer."""
    sharded(tmp_path)
    shard(tmp_path, SINGLE, "a", "b", "c")
    assert complaint(tmp_path) == (
        f"{SINGLE}: it lies beside {INDEX}, which names other files: one of the two is stale.\n"
        "Delete the one that is left over from an older save (transformers would load the single file)."
    )


def test_an_index_of_one_whole_file(tmp_path: Path) -> None:
    """An index beside a whole file that names that file alone, as some writers put it there, is fine."""
    shard(tmp_path, SINGLE, "a")
    index(tmp_path, {"a": SINGLE})
    found = read_weights(str(tmp_path))
    assert found is not None
    assert list(found.tensors) == ["a"]


def test_a_broken_link_is_not_passed_over(tmp_path: Path) -> None:
    """Where model.safetensors is a link to nothing, the pickle beside it is not taken instead."""
    (tmp_path / SINGLE).symlink_to("../blobs/1")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    assert complaint(tmp_path).startswith(f"{SINGLE}: it is a link to ../blobs/1, which is not there.")


def test_shards_without_an_index(tmp_path: Path) -> None:
    """Shards whose index never came are an interrupted save, and not a folder without weights."""
    shard(tmp_path, FIRST, "a")
    assert "there are shards ('model-00001-of-00002.safetensors') and no index" in complaint(tmp_path)
    assert read_weights(str(tmp_path), variant="fp16") is None
    shard(tmp_path, "model.fp16-00001-of-00002.safetensors", "a")
    assert "('model.fp16-00001-of-00002.safetensors')" in complaint(tmp_path, variant="fp16")


def test_a_folder_without_weights(tmp_path: Path) -> None:
    """A folder without weights has none; adapters, optimizers and other people's files are no weights."""
    for name in ("config.json", "adapter_model.safetensors", "optimizer.pt", "consolidated.safetensors"):
        (tmp_path / name).touch()
    assert read_weights(str(tmp_path)) is None


def test_pickles_are_named_and_not_opened(tmp_path: Path) -> None:
    """A pickle is named where loading would read it: alone, or through an index; beside safetensors it is not read."""
    os.mkfifo(tmp_path / "pytorch_model.bin")  # opening it would wait for ever
    found = read_weights(str(tmp_path))
    assert found == Weights(folder=str(tmp_path), index="", headers=(), pickles=(str(tmp_path / "pytorch_model.bin"),))
    shard(tmp_path, SINGLE, "a")
    found = read_weights(str(tmp_path))
    assert found is not None
    assert (len(found.headers), found.pickles) == (1, ())


@pytest.mark.parametrize("name", [INDEX, "pytorch_model.bin.index.json"])
def test_an_index_may_name_pickles(tmp_path: Path, name: str) -> None:
    """Shards that are pickles are named, in whichever index they stand; whatever is not safetensors is a pickle."""
    index(tmp_path, {"a": "x.bin", "b": "y.safetensors", "c": "weights.dat"}, name)
    for pickle in ("x.bin", "weights.dat"):
        os.mkfifo(tmp_path / pickle)
    shard(tmp_path, "y.safetensors", "b")
    found = read_weights(str(tmp_path))
    assert found is not None
    assert [os.path.basename(file) for file in found.pickles] == ["weights.dat", "x.bin"]
    assert list(found.tensors) == ["b"]


def test_a_variant_has_files_of_its_own(tmp_path: Path) -> None:
    """With a variant its files are read, named as transformers names them, and no others."""
    shard(tmp_path, "model.fp16.safetensors", "a")
    shard(tmp_path, SINGLE, "b")
    found = read_weights(str(tmp_path), variant="fp16")
    assert found is not None
    assert list(found.tensors) == ["a"]
    (tmp_path / "model.fp16.safetensors").unlink()
    assert read_weights(str(tmp_path), variant="fp16") is None
    sharded(tmp_path)
    (tmp_path / INDEX).rename(tmp_path / "model.safetensors.index.fp16.json")
    found = read_weights(str(tmp_path), variant="fp16")
    assert found is not None
    assert list(found.tensors) == ["a", "b", "c"]


def test_a_file_that_the_config_names(tmp_path: Path) -> None:
    """The file or index that a config names as `transformers_weights` is read, if it lies beside the config."""
    shard(tmp_path, "mine.safetensors", "a")
    shard(tmp_path, SINGLE, "b")
    found = read_weights(str(tmp_path), name="mine.safetensors")
    assert found is not None
    assert list(found.tensors) == ["a"]
    index(tmp_path, {"a": "mine.safetensors"}, "mine.safetensors.index.json")
    assert read_weights(str(tmp_path), name="mine.safetensors.index.json") is not None
    with pytest.raises(UnsafeCheckpointError, match=r"`transformers_weights` names '../x.safetensors'"):
        read_weights(str(tmp_path), name="../x.safetensors")


def test_a_snapshot_of_the_hub(tmp_path: Path) -> None:
    """In the hub's cache every file is a link out of the folder, and that is fine."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    sharded(blobs)
    for digest, name in enumerate([FIRST, SECOND, INDEX]):
        (blobs / name).rename(blobs / str(digest))
        (snapshot / name).symlink_to(f"../../blobs/{digest}")
    found = check_files([str(snapshot / FIRST), str(snapshot / SECOND)], index=str(snapshot / INDEX))
    assert sorted(found.tensors) == ["a", "b", "c"]
    assert found.folder == str(snapshot)


@pytest.mark.parametrize("name", ["no/such-thing-anywhere", "a b", "x" * 500, "../..", "\ud800"])
def test_what_the_cache_does_not_have(name: str) -> None:
    """Whatever is asked of the cache, what it does not have is None."""
    assert cached_folder(name) is None


_json = st.recursive(
    st.none() | st.integers() | st.text(max_size=4) | st.sampled_from([FIRST, SINGLE, "../x", "x.bin"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
_index = st.fixed_dictionaries(
    {"weight_map": _json | st.dictionaries(st.sampled_from("abc"), st.sampled_from([FIRST, SECOND, "x.bin", ".."]))},
    optional={"metadata": _json | st.just({})},
)


@given(_index.map(json.dumps).map(str.encode) | st.binary(max_size=30))
def test_any_bytes_are_an_index_or_a_checkpoint_error(tmp_path_factory: pytest.TempPathFactory, written: bytes) -> None:
    """Whatever the index holds, its weights are read, or refused with the name of a file in the folder."""
    folder = tmp_path_factory.getbasetemp() / "any-index"
    folder.mkdir(exist_ok=True)
    sharded(folder)
    (folder / INDEX).write_bytes(written)
    try:
        found = read_weights(str(folder))
    except CheckpointError as error:
        assert str(error).startswith(str(folder))  # noqa: PT017 # either outcome is right
        str(error).encode()
        return
    assert found is not None
    assert set(read_index(str(folder / INDEX))) >= set(found.tensors)

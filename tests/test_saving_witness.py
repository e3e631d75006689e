"""The digests that are taken while a file is written are those of the file, or none are."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file

from autoreg import runtime
from autoreg.checkpoint.digests import describe
from autoreg.saving.witness import LARGE, Witness

FORMAT = {"format": "pt"}
TENSORS = {
    "b": torch.arange(12.0).reshape(3, 4),
    "a": torch.ones(5, dtype=torch.int64),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "scalar": torch.tensor(True),
    "empty": torch.ones(0, 3),
    'odd "é"\x07': torch.ones(2, dtype=torch.float8_e4m3fn),
}


def nothing(_: str) -> None:
    pass


def idle() -> None:
    pass


@pytest.mark.parametrize("metadata", [FORMAT, None, {}])
def test_the_digests_are_those_of_the_file(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    """Of tensors of every kind, the entry is what reading the file gives, and each file is handed on once."""
    file, kept = str(tmp_path / "it"), list[str]()
    with Witness(kept.append, idle) as witness:
        with witness.writing(TENSORS, file, metadata):
            save_file(TENSORS, file, metadata=metadata)
        assert witness.entries({"it": file}) == {"it": describe(file)}
    assert kept == [file]


@pytest.mark.parametrize(
    "tensors",
    [
        {"b": TENSORS["b"].T},
        {"b": torch.ones(3, device="meta")},
        {"b": torch.ones(3).to_sparse()},
        {"b": "no tensor"},
    ],
)  # fmt: skip
def test_what_cannot_be_foretold_is_not(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Of memory that is not as it will be written nothing is claimed: the file is read when it is there."""
    with Witness(nothing, idle) as witness:
        with witness.writing(tensors, str(tmp_path / "it"), FORMAT):
            (tmp_path / "it").write_bytes(b"written")
        assert witness.entries({"it": str(tmp_path / "it")}) == {}


def test_a_file_with_another_header_is_not_known(tmp_path: Path) -> None:
    """Where something else is written than was told, in another order, or to something longer, nothing is claimed."""
    file = tmp_path / "it"
    for write in (
        lambda: save_file({**TENSORS, "more": torch.ones(1)}, file, metadata=FORMAT),
        lambda: save_file(TENSORS, file, metadata={"format": "np"}),
        lambda: (save_file(TENSORS, file, metadata=FORMAT), file.open("ab").write(b"more")),
    ):
        with Witness(nothing, idle) as witness:
            with witness.writing(TENSORS, str(file), FORMAT):
                write()
            assert witness.entries({"it": str(file)}) == {}


def test_a_file_that_changed_afterwards_is_not_known(tmp_path: Path) -> None:
    """What is written to a file after its tensors were makes it one to be read."""
    file = tmp_path / "it"
    with Witness(nothing, idle) as witness:
        with witness.writing(TENSORS, str(file), FORMAT):
            save_file(TENSORS, file, metadata=FORMAT)
        os.utime(file, ns=(0, 0))
        assert witness.entries({"it": str(file), "other": str(tmp_path / "other")}) == {}


def test_a_write_that_fails_ends_the_reading(tmp_path: Path) -> None:
    """Where writing raises, that is what is raised; of a file that cannot be kept, its error, when it is asked for."""

    def full(_: str) -> None:
        raise OSError(28, "full")

    with Witness(full, idle) as witness:
        with pytest.raises(KeyboardInterrupt), witness.writing(TENSORS, str(tmp_path / "it"), FORMAT):
            raise KeyboardInterrupt
        with witness.writing(TENSORS, str(tmp_path / "it"), FORMAT):
            save_file(TENSORS, tmp_path / "it", metadata=FORMAT)
        with pytest.raises(OSError, match="full"):
            witness.entries({"it": str(tmp_path / "it")})


def test_the_disk_begins_before_the_end(tmp_path: Path) -> None:
    """The disk is sent what there is of a large file while it is written, and its errors count; a small file waits."""
    begun = threading.Event()

    def hurry() -> None:
        begun.set()
        raise OSError(5, "the disk fails")

    for size, large in ((LARGE, True), (LARGE // 2, False)):
        begun.clear()
        with Witness(nothing, hurry) as witness:
            with witness.writing({"it": torch.zeros(size, dtype=torch.uint8)}, str(tmp_path / "it"), FORMAT):
                (tmp_path / "it").touch()
                assert begun.wait(timeout=20 if large else 0.3) is large
            with pytest.raises(OSError, match="the disk fails") if large else contextlib.nullcontext():
                witness.entries({})


def test_transformers_writes_in_its_presence(tmp_path: Path) -> None:
    """In the block a model's own `save_pretrained` writes each shard before the witness, and after it none."""
    config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=3, n_head=2)
    model = transformers.GPT2LMHeadModel(config)
    with Witness(nothing, idle) as witness:
        with runtime.witnessed(witness):
            model.save_pretrained(tmp_path, max_shard_size="20KB")
        shards = {file.name: str(file) for file in tmp_path.glob("*.safetensors")}
        assert len(shards) > 2
        assert witness.entries(shards) == {name: describe(file) for name, file in shards.items()}
        model.save_pretrained(tmp_path / "more")
        assert witness.entries({"it": str(tmp_path / "more" / "model.safetensors")}) == {}

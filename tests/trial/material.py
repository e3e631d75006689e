"""What the cases are made of: tiny checkpoints written byte by byte, and the truth about them.

Nothing here goes through transformers, torch, safetensors or autoreg: what a loader returns is compared with what was
written, by other code than what is on trial.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "BERT",
    "OTHER",
    "ZIGZAG",
    "Array",
    "Checkpoint",
    "Place",
    "read_folder",
    "safetensors",
    "write",
    "write_shards",
]

Array = np.ndarray[Any, Any]
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_DTYPES = {
    "float32": "F32",
    "float16": "F16",
    "float64": "F64",
    "int64": "I64",
    "int32": "I32",
    "int8": "I8",
    "bool": "BOOL",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case happens.

    Attributes:
        root: a folder of its own.
    """

    root: Path

    @property
    def folder(self) -> Path:
        """The checkpoint."""
        return self.root / "checkpoint"

    @property
    def weights(self) -> Path:
        """The checkpoint's one weight file."""
        return self.folder / SINGLE

    @property
    def index(self) -> Path:
        """The checkpoint's index of shards."""
        return self.folder / INDEX

    @property
    def config(self) -> Path:
        """The checkpoint's config.json."""
        return self.folder / "config.json"

    @property
    def canary(self) -> Path:
        """What code of a checkpoint writes when it runs."""
        return self.root / "canary"

    @property
    def outside(self) -> Path:
        """A folder beside the checkpoint, which no load has any business in."""
        return self.root / "outside"

    def sing(self) -> str:
        """Return a line of Python that leaves the canary."""
        return f"open({str(self.canary)!r}, 'a').write('ran\\n')\n"

    def edit(self, **fields: Any) -> None:
        """Change fields of config.json; a value of `...` takes the field out."""
        held = {**json.loads(self.config.read_text()), **fields}
        self.config.write_text(json.dumps({name: value for name, value in held.items() if value is not ...}, indent=2))


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A checkpoint, and what must be in memory once it is loaded.

    Attributes:
        config: the content of config.json.
        tensors: what its weight file holds.
        unsaved: what else the loaded model has: tied weights and buffers that are not saved, by name.
        auto_class: with which it is loaded.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, Array]
    unsaved: Mapping[str, Array]
    auto_class: str

    @property
    def truth(self) -> Mapping[str, Array]:
        """Every tensor of the loaded model, by name."""
        return {**self.tensors, **self.unsaved}

    def but(self, config: Mapping[str, Any] | None = None, **changes: Any) -> Checkpoint:
        """Return the same with other fields of the config or other attributes."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return Checkpoint(**{**values, "config": {**self.config, **(config or {})}, **changes})


def _drawn(seed: int, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    chance = np.random.default_rng(seed)
    return {name: chance.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def _zigzag(seed: int, *, release: int, layers: int = 2) -> Checkpoint:
    shapes: dict[str, tuple[int, ...]] = {"model.embed.weight": (7, 4)}
    for number in range(layers):
        shapes |= {f"model.layers.{number}.weight": (4, 4), f"model.layers.{number}.bias": (4,)}
    tensors = _drawn(seed, shapes)
    tensors["model.count"] = np.array([release], dtype=np.int64)
    return Checkpoint(
        config={
            "architectures": ["ZigzagForCausalLM"],
            "model_type": "zigzag",
            "vocab_size": 7,
            "hidden_size": 4,
            "blocks": layers,
            "scale": 1.5,
            "tie_word_embeddings": True,
            "release": release,
        },
        tensors=tensors,
        unsaved={
            "head.weight": tensors["model.embed.weight"],
            "model.gain": np.full(4, 1.5, dtype=np.float32),
        },
        auto_class="AutoModelForCausalLM",
    )


def _bert(seed: int) -> Checkpoint:
    shapes: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (11, 8),
        "bert.embeddings.position_embeddings.weight": (8, 8),
        "bert.embeddings.token_type_embeddings.weight": (2, 8),
        **_linear("bert.encoder.layer.0.intermediate.dense", 16, 8),
        **_linear("bert.encoder.layer.0.output.dense", 8, 16),
        **_linear("cls.predictions.transform.dense", 8, 8),
        "cls.predictions.bias": (11,),
    }
    for name in ("self.query", "self.key", "self.value", "output.dense"):
        shapes |= _linear(f"bert.encoder.layer.0.attention.{name}", 8, 8)
    for name in (
        "bert.embeddings",
        "bert.encoder.layer.0.attention.output",
        "bert.encoder.layer.0.output",
        "cls.predictions.transform",
    ):
        shapes |= {f"{name}.LayerNorm.weight": (8,), f"{name}.LayerNorm.bias": (8,)}
    tensors = _drawn(seed, shapes)
    return Checkpoint(
        config={
            "architectures": ["BertForMaskedLM"],
            "model_type": "bert",
            "vocab_size": 11,
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "max_position_embeddings": 8,
            "type_vocab_size": 2,
            "tie_word_embeddings": True,
        },
        tensors=tensors,
        unsaved={
            "cls.predictions.decoder.weight": tensors["bert.embeddings.word_embeddings.weight"],
            "cls.predictions.decoder.bias": tensors["cls.predictions.bias"],
            "bert.embeddings.position_ids": np.arange(8, dtype=np.int64)[None],
            "bert.embeddings.token_type_ids": np.zeros((1, 8), dtype=np.int64),
        },
        auto_class="AutoModelForMaskedLM",
    )


def _linear(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


ZIGZAG = _zigzag(1, release=1)
"""A plugin's architecture: layers, a tied head, a buffer that is saved and one that is not."""
OTHER = _zigzag(2, release=2)
"""Another checkpoint of it, of the same names and shapes."""
BERT = _bert(3)
"""One of transformers' own architectures."""


# --- writing -----------------------------------------------------------------------------------------


def header(tensors: Mapping[str, Array]) -> dict[str, Any]:
    """Return the header of a safetensors file with these tensors."""
    made: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, array in tensors.items():
        begin, end = end, end + array.nbytes
        made[name] = {"dtype": _DTYPES[str(array.dtype)], "shape": list(array.shape), "data_offsets": [begin, end]}
    return made


def safetensors(
    tensors: Mapping[str, Array], head: Mapping[str, Any] | bytes | None = None, *, length: int | None = None
) -> bytes:
    """Return a safetensors file; `head` and `length` stand in for the header that it should have and its length."""
    text = head if isinstance(head, bytes) else json.dumps(head if head is not None else header(tensors)).encode()
    if not isinstance(head, bytes):
        text += b" " * (-len(text) % 8)
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in tensors.values())
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def write(place: Place, checkpoint: Checkpoint, *, folder: Path | None = None) -> Path:
    """Write a checkpoint of one weight file and return its folder."""
    folder = folder or place.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(checkpoint.config, indent=2))
    (folder / SINGLE).write_bytes(safetensors(checkpoint.tensors))
    return folder


def write_shards(place: Place, checkpoint: Checkpoint, *, folder: Path | None = None, shards: int = 3) -> Path:
    """Write a checkpoint as shards and an index, and return its folder."""
    folder = write(place, checkpoint, folder=folder)
    (folder / SINGLE).unlink()
    table: dict[str, str] = {}
    for number in range(shards):
        file = shard(number + 1, shards)
        part = {name: checkpoint.tensors[name] for name in list(checkpoint.tensors)[number::shards]}
        (folder / file).write_bytes(safetensors(part))
        table |= dict.fromkeys(part, file)
    size = sum(array.nbytes for array in checkpoint.tensors.values())
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": table}))
    return folder


def shard(number: int, count: int = 3) -> str:
    """Return the name of a shard."""
    return f"model-{number:05}-of-{count:05}.safetensors"


def parts(checkpoint: Checkpoint, number: int, shards: int = 3) -> dict[str, Array]:
    """Return what stands in a shard, counted from 1."""
    return {name: checkpoint.tensors[name] for name in list(checkpoint.tensors)[number - 1 :: shards]}


# --- reading back ------------------------------------------------------------------------------------


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the config and the bytes of each tensor as a loader has to find them: one file, or what an index names.

    Raises:
        Exception: something is not there, or not what it should be; whatever it is, the checkpoint is none.
    """
    config = json.loads((folder / "config.json").read_text())
    files: Iterable[str] = [SINGLE]
    if not (folder / SINGLE).exists():
        files = sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))
    found: dict[str, bytes] = {}
    for file in files:
        content = (folder / file).read_bytes()
        (size,) = struct.unpack("<Q", content[:8])
        data = content[8 + size :]
        for name, entry in json.loads(content[8 : 8 + size]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                assert end <= len(data), f"{file} is cut short"
                found[name] = data[begin:end]
    return config, found


def empty(folder: Path) -> Path:
    """Return the folder, made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder

"""Pickled weights: who opens them, and what runs then."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.trial.case import Act, Case, Wanted
from tests.trial.cases.common import Make, load, loading, zigzag
from tests.trial.material import ZIGZAG, Place
from tests.trial.oracle import error, truth

__all__ = ["CASES"]

BIN, BIN_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


def case(key: str, what: str, make: Make, wanted: Wanted, *names: str, act: Act = load, **more: Any) -> Case:
    """Return a case of this group."""
    more.setdefault("file", BIN)
    return Case(id=f"pickles-{key}", group="pickles", what=what, make=make, act=act, wanted=wanted, names=names, **more)


class Trap:
    """What runs a shell command when it is unpickled."""

    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"echo ran >> '{self.canary}'",)


def pickled(place: Place, *, name: str = BIN, trap: bool = True) -> None:
    """Lay the checkpoint out with its weights in a pickle, with a trap in it or without."""
    import torch

    zigzag(place)
    place.weights.unlink()
    held: dict[str, Any] = {key: torch.from_numpy(array.copy()) for key, array in ZIGZAG.tensors.items()}
    torch.save({**held, "trap": Trap(str(place.canary))} if trap else held, place.folder / name)


def plain_pickle(place: Place) -> None:
    pickled(place, trap=False)


def under_a_false_name(place: Place) -> None:
    pickled(place, name="model.safetensors")


def sharded(index: str) -> Make:
    """Return what lays out an index that names the pickle as its only shard."""

    def make(place: Place) -> None:
        pickled(place)
        table = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(ZIGZAG.tensors, BIN)}
        (place.folder / index).write_text(json.dumps(table))
        if index == BIN_INDEX:
            table["weight_map"] = dict.fromkeys(ZIGZAG.tensors, "part.bin")
            (place.folder / BIN).rename(place.folder / "part.bin")
            (place.folder / index).write_text(json.dumps(table))

    return make


CARELESS: dict[str, Any] = {"weights_only": False}

CASES: tuple[Case, ...] = (
    case("trap", "code in it", pickled, error("unsafe")),
    case(
        "trap-careless",
        "code in it, `weights_only=False`",
        pickled,
        error("unsafe"),
        act=loading(**CARELESS),
        guarantee="no pickle",
        everyday=True,
    ),
    case("trap-allowed", "code in it, pickles allowed", pickled, error("unsafe"), act=loading(allow_pickle=True)),
    case(
        "trap-allowed-careless",
        "code in it, pickles allowed, `weights_only=False`",
        pickled,
        error("unsafe"),
        "weights_only",
        file="",
        act=loading(allow_pickle=True, **CARELESS),
        guarantee="no pickle",
    ),
    case(
        "trap-asked",
        "code in it, `use_safetensors=False, weights_only=False`",
        pickled,
        error("unsafe"),
        "use_safetensors",
        file="",
        act=loading(use_safetensors=False, **CARELESS),
        guarantee="no pickle",
    ),
    case(
        "trap-index",
        "code in a shard of pickles, `weights_only=False`",
        sharded(BIN_INDEX),
        error("unsafe"),
        "part.bin",
        file=BIN_INDEX,
        act=loading(**CARELESS),
        guarantee="no pickle",
    ),
    case(
        "trap-safetensors-index",
        "code in a shard that an index of safetensors names, `weights_only=False`",
        sharded("model.safetensors.index.json"),
        error("unsafe"),
        act=loading(**CARELESS),
        guarantee="no pickle",
    ),
    case(
        "false-name",
        "a pickle called model.safetensors, `weights_only=False`",
        under_a_false_name,
        error("unsafe"),
        file="model.safetensors",
        act=loading(**CARELESS),
        guarantee="weights preflight",
    ),
    case(
        "allowed",
        "mere tensors, pickles allowed: nothing is wrong",
        plain_pickle,
        truth(or_error=False),
        act=loading(allow_pickle=True),
    ),
)

"""Saves: what cannot be saved, what is in the way, what ends in the middle, and what lies beside."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.faults.tracer import KILL, TORN, Event, trace
from tests.trial.case import Act, Case, Wanted
from tests.trial.cases.common import Make, load, somebody_else
from tests.trial.describe import described
from tests.trial.face import Face
from tests.trial.material import OTHER, ZIGZAG, Place, safetensors, write, write_shards
from tests.trial.oracle import clean, difference, error, keep_bystanders, saved, truth, value

__all__ = ["CASES", "TRACED"]

ATOMIC, ERRORS = "atomic save", "save errors"
SMALL = 200


def over(lay_out: Callable[[Place, Any], Any] = write) -> Make:
    """Return what lays out the old checkpoint with files beside it, and the new one elsewhere."""

    def make(place: Place) -> None:
        lay_out(place, ZIGZAG)
        keep_bystanders(place)
        write(place, OTHER, folder=place.root / "new")

    return make


def save(face: Face, place: Place, **options: Any) -> Any:
    """Load the new checkpoint from where it is, and save it over the old one."""
    face.save(face.load(place.root / "new"), place.folder, **options)


def case(key: str, what: str, make: Make, wanted: Wanted, *names: str, act: Act = save, **more: Any) -> Case:
    """Return a case of this group."""
    more.setdefault("then", load)
    return Case(id=f"saves-{key}", group="saves", what=what, make=make, act=act, wanted=wanted, names=names, **more)


def into_shards(face: Face, place: Place) -> Any:
    save(face, place, max_shard_size=SMALL)


# --- what is in the way ------------------------------------------------------------------------------


def a_file(place: Place) -> None:
    """Put a file where the folder should be."""
    write(place, OTHER, folder=place.root / "new")
    place.folder.write_text("mine")


def a_file_above(place: Place) -> None:
    write(place, OTHER, folder=place.root / "new")
    (place.root / "above").write_text("mine")


def below_a_file(face: Face, place: Place) -> Any:
    face.save(face.load(place.root / "new"), place.root / "above" / "checkpoint")


def kept(face: Face, place: Place) -> Any:
    """Save, and say whether the file is as it was; an error is what it should be."""
    face.save(face.load(place.root / "new"), place.folder)
    return place.folder.is_file()


def read_only(place: Place) -> None:
    over()(place)
    place.folder.chmod(0o555)


def as_somebody_else(face: Face, place: Place) -> Any:
    model = face.load(place.root / "new")
    with somebody_else():
        face.save(model, place.folder)


def limited(face: Face, place: Place) -> Any:
    """Save where no file may have more than 600 bytes, as on a full disk."""
    import resource

    model = face.load(place.root / "new")
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, resource.RLIM_INFINITY))
    try:
        face.save(model, place.folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


# --- what cannot be saved ----------------------------------------------------------------------------


def with_field(field: Any) -> Act:
    """Return what saves a model with this value in a field of its config."""

    def act(face: Face, place: Place) -> Any:
        model = face.load(place.root / "new")
        model.config.odd = field
        face.save(model, place.folder)

    return act


def shared(face: Face, place: Place) -> Any:
    """Save a model of which two layers became one, which nothing declares."""
    model = face.load(place.root / "new")
    model.model.layers[1].weight.data = model.model.layers[0].weight.data[:2]
    model.model.layers[1].bias.data = model.model.layers[0].weight.data[1:]
    face.save(model, place.folder)


def on_meta(face: Face, place: Place) -> Any:
    """Save a model of which one weight is still on meta."""
    model = face.load(place.root / "new")
    model.model.layers[1].to("meta")
    face.save(model, place.folder)


def itself(face: Face, place: Place) -> Any:
    """Load from the folder, change the weights, and save into the same folder."""
    import torch

    model = face.load(place.folder)
    with torch.no_grad():
        for name, tensor in {**dict(model.named_parameters()), "model.count": model.model.count}.items():
            tensor.copy_(torch.from_numpy(OTHER.truth[name].copy()))
    model.config.release = 2
    face.save(model, place.folder)


def itself_unchanged(face: Face, place: Place) -> Any:
    """Save a model into the folder whose file it is mapped from, twice."""
    model = face.load(place.folder)
    face.save(model, place.folder)
    face.save(model, place.folder)
    return model


# --- what ends in the middle -------------------------------------------------------------------------


def interrupted(spoil: Callable[[Event], str | int | None], **options: Any) -> Act:
    """Return what saves, and is killed where `spoil` says."""

    def act(face: Face, place: Place) -> Any:
        model = face.load(place.root / "new")
        seen = trace(lambda: face.save(model, place.folder, **options), place.root, spoil)
        assert seen.killed, f"the save was not killed: {seen.error} {seen.text}"
        return "killed"

    return act


def in_the_weights(event: Event) -> str | None:
    """Kill when half of a piece of a weight file is written."""
    return TORN if event.tearable and ".tmp" in event.path else None  # what safetensors calls its files at first


def before_the_weights(event: Event) -> str | None:
    """Kill before the weight file is renamed to its place."""
    return KILL if event.path.endswith("→ checkpoint/model.safetensors") else None


def second_shard(event: Event) -> str | None:
    """Kill before the second shard is renamed to its place."""
    return KILL if event.path.endswith("→ checkpoint/model-00002-of-00002.safetensors") else None


# --- what lies beside, and links ---------------------------------------------------------------------


def hard_linked(place: Place) -> None:
    """Give the weight file a second name, as a copy by `cp -l` has it."""
    over()(place)
    place.outside.mkdir()
    os.link(place.weights, place.outside / "model.safetensors")


def soft_linked(place: Place) -> None:
    """Make the weight file a link into a store, as the hub's cache does."""
    over()(place)
    place.outside.mkdir()
    place.weights.rename(place.outside / "model.safetensors")
    place.weights.symlink_to("../outside/model.safetensors")


def and_the_link(face: Face, place: Place) -> Any:
    """Save, and say whether the other name still holds the old weights."""
    save(face, place)
    return (place.outside / "model.safetensors").read_bytes() == safetensors(ZIGZAG.tensors)


def plainly_again(face: Face, place: Place) -> Any:
    """Save, load, save with transformers' own method, and say which package the checkpoint says it needs."""
    face.save(face.load(place.root / "new"), place.root / "first")
    face.load(place.root / "first").save_pretrained(place.root / "second")
    fields = json.loads((place.root / "second" / "config.json").read_text())
    return (fields.get("autoreg") or {}).get("distribution")


# --- several at once ---------------------------------------------------------------------------------


def _forked(act: Callable[[], Any]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            act()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return pid


def two_writers(face: Face, place: Place) -> Any:
    """Two processes save two checkpoints into one folder, over and over; one of the two must be there."""
    models = [face.load(place.root / "new"), face.load(place.root / "old")]

    def writing(model: Any) -> None:
        for _ in range(12):
            face.save(model, place.folder, max_shard_size=SMALL)

    for pid in [_forked(partial(writing, model)) for model in models]:
        os.waitpid(pid, 0)


def two_over(place: Place) -> None:
    over(write_shards)(place)
    write(place, ZIGZAG, folder=place.root / "old")


def load_while_saving(face: Face, place: Place) -> list[str]:
    """Load again and again while another process saves over the folder; return every load that is of neither."""
    models = [face.load(place.root / "new"), face.load(place.root / "old")]
    until = time.monotonic() + 4

    def writing() -> None:
        while time.monotonic() < until:
            for model in models:
                face.save(model, place.folder, max_shard_size=SMALL)

    pid, problems, loads = _forked(writing), [], 0
    while time.monotonic() < until or loads < 5:
        try:
            found = described(face.load(place.folder))
        except Exception as failure:
            problems.append(f"raised {type(failure).__name__}: {failure}"[:300])
        else:
            wrong = [difference(found, checkpoint) for checkpoint in (ZIGZAG, OTHER)]
            problems += ["; ".join(wrong)] if all(wrong) else []
        loads += 1
    os.waitpid(pid, 0)
    return problems


TRACED = frozenset({"saves-killed", "saves-killed-commit", "saves-killed-shards"})
"""Those that need a kernel that lets a process trace its child."""

CASES: tuple[Case, ...] = (
    case("fine", "nothing is wrong: one file over another", over(), saved(must="new"), everyday=True),
    case("to-shards", "shards over one file", over(), saved(must="new"), act=into_shards),
    case("to-single", "one file over shards", over(write_shards), saved(must="new")),
    case("a-file", "the path is a file", a_file, error(), act=kept, then=None),
    case("below-a-file", "the path is below a file", a_file_above, error(), act=below_a_file, then=None, file="above"),
    case("read-only", "the folder may not be written to", read_only, saved(must="old"), act=as_somebody_else),
    case("no-space", "no file may have more than 600 bytes", over(), saved(must="old"), act=limited, guarantee=ATOMIC),
    case(
        "set",
        "a value of the config that is not JSON",
        over(),
        saved(must="old"),
        "odd",
        "config.json",
        act=with_field({1, 2}),
        guarantee=ATOMIC,
        everyday=True,
    ),
    case(
        "nan",
        "a value of the config that is NaN",
        over(),
        saved(),
        "odd",
        act=with_field(float("nan")),
        guarantee="finite on disk",
        everyday=True,
    ),
    case(
        "shared",
        "weights that share memory, which nothing declares",
        over(),
        saved(must="old"),
        "layers",
        act=shared,
        guarantee=ERRORS,
        everyday=True,
    ),
    case("meta", "a weight that is still on meta", over(), saved(must="old"), "layers", act=on_meta, guarantee=ERRORS),
    case("itself", "changed, and saved into the folder it was loaded from", over(), saved(must="new"), act=itself),
    case(
        "itself-mapped",
        "saved into the folder it is mapped from, twice, and used afterwards",
        over(),
        truth(or_error=False),
        act=itself_unchanged,
        then=None,
    ),
    case(
        "killed",
        "killed while the weights are written",
        over(),
        saved(),
        act=interrupted(in_the_weights),
        guarantee=ATOMIC,
    ),
    case(
        "killed-commit",
        "killed before the weights are in their place",
        over(),
        saved(),
        act=interrupted(before_the_weights),
        guarantee="roll forward",
        everyday=True,
    ),
    case(
        "killed-shards",
        "killed between two shards",
        over(write_shards),
        saved(),
        act=interrupted(second_shard, max_shard_size=SMALL),
        guarantee=ATOMIC,
    ),
    case(
        "hard-link",
        "the weight file has a second name elsewhere",
        hard_linked,
        value(True, otherwise="lost"),
        act=and_the_link,
        then=None,
    ),
    case(
        "soft-link",
        "the weight file is a link into a store",
        soft_linked,
        value(True, otherwise="lost"),
        act=and_the_link,
        then=None,
    ),
    case("two-writers", "two processes save into one folder", two_over, saved(must="either"), act=two_writers),
    case(
        "load-meanwhile",
        "loaded while another process saves",
        two_over,
        clean(),
        act=load_while_saving,
        then=None,
        guarantee=ATOMIC,
    ),
    case(
        "provenance",
        "saved again by plain transformers: which package it needs",
        over(),
        value("autoreg-zigzag"),
        act=plainly_again,
        then=None,
        guarantee="provenance",
    ),
)

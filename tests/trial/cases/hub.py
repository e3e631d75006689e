"""A hub on loopback that changes bytes, drops connections, lacks files, or serves something else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.hub.server import Hub, serve
from tests.trial.case import Act, Case, Wanted
from tests.trial.cases.auto_map import code
from tests.trial.cases.common import Make
from tests.trial.cases.pickles import pickled
from tests.trial.face import Face
from tests.trial.material import ZIGZAG, Place, safetensors, shard, write, write_shards
from tests.trial.oracle import error, truth

__all__ = ["CASES"]

REPOSITORY = "me/model"


def case(key: str, what: str, make: Make, wanted: Wanted, *names: str, act: Act, **more: Any) -> Case:
    """Return a case of this group."""
    more.setdefault("file", "model.safetensors")
    return Case(id=f"hub-{key}", group="hub", what=what, make=make, act=act, wanted=wanted, names=names, **more)


def repository(place: Place) -> Path:
    """Return the folder that the hub serves as the repository."""
    folder = place.root / "hub" / "me" / "model"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def running(place: Place) -> Iterator[Hub]:
    """Serve the repositories where this process's client looks for the hub."""
    with serve(place.root / "hub", port=urlsplit(os.environ["HF_ENDPOINT"]).port or 0) as hub:
        yield hub


def loading(disturb: Callable[[Hub, Place], Any] = lambda *_: None, **options: Any) -> Act:
    """Return what loads from the hub, into a cache of its own, after something was disturbed."""
    auto_class = options.pop("auto_class", ZIGZAG.auto_class)

    def act(face: Face, place: Place) -> Any:
        with running(place) as hub:
            disturb(hub, place)
            return face.load(REPOSITORY, auto_class, cache_dir=place.root / "cache", **options)

    return act


def loading_twice(**options: Any) -> Act:
    """Return what loads, and once more after a number in the cache was changed."""

    def act(face: Face, place: Place) -> Any:
        loading()(face, place)
        (file,) = (place.root / "cache").glob("models--*/snapshots/*/model.safetensors")
        data = bytearray(file.read_bytes())
        data[-10] ^= 64
        file.write_bytes(data)
        os.utime(file, ns=(0, 0))  # long ago, as the disk would do it
        return loading(**options)(face, place)

    return act


def nobody_there(face: Face, place: Place) -> Any:
    return face.load(REPOSITORY, cache_dir=place.root / "cache")


def fine(place: Place) -> None:
    write(place, ZIGZAG, folder=repository(place))


def shards(place: Place) -> None:
    write_shards(place, ZIGZAG, folder=repository(place))


def cut(hub: Hub, _: Place) -> None:
    hub.cut(REPOSITORY, "model.safetensors", after=300)


def change(hub: Hub, place: Place) -> None:
    """Change a number after the hub has said what the file's digest is."""
    hub.repositories.snapshot(REPOSITORY, "main")
    file = repository(place) / "model.safetensors"
    before, data = file.stat(), bytearray(file.read_bytes())
    data[-10] ^= 64
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def announcing(more: int) -> Callable[[Hub, Place], Any]:
    """Return what has the hub say that the weight file has so many bytes more than it has, or less."""

    def announce(hub: Hub, place: Place) -> None:
        size = (repository(place) / "model.safetensors").stat().st_size
        hub.announce(REPOSITORY, "model.safetensors", size=size + more)

    return announce


def with_manifest(place: Place) -> None:
    """Serve a checkpoint as autoreg saves it, with the manifest beside it."""
    from autoreg.checkpoint import manifest

    fine(place)
    manifest.write(str(repository(place)))


def gone(_: Hub, place: Place) -> None:
    (repository(place) / shard(2)).unlink()


def cut_in_the_repository(place: Place) -> None:
    fine(place)
    (repository(place) / "model.safetensors").write_bytes(safetensors(ZIGZAG.tensors)[:-50])


def page(place: Place) -> None:
    fine(place)
    (repository(place) / "config.json").write_text("<!DOCTYPE html><title>Sign in</title>")


def leading_out(place: Place) -> None:
    shards(place)
    file = repository(place) / "model.safetensors.index.json"
    fields = json.loads(file.read_text())
    fields["weight_map"] = dict.fromkeys(fields["weight_map"], "../../../outside.safetensors")
    file.write_text(json.dumps(fields))


def code_elsewhere(place: Place) -> None:
    """Serve a checkpoint whose code is another repository's."""
    folder = repository(place)
    table = {"AutoConfig": "evil/code--far.FarConfig", "AutoModel": "evil/code--far.FarModel"}
    (folder / "config.json").write_text(json.dumps({"model_type": "far", "auto_map": table}))
    code(place, place.root / "hub" / "evil" / "code")


def trap(place: Place) -> None:
    pickled(place)
    for file in place.folder.iterdir():
        file.rename(repository(place) / file.name)


SAME = 'only reading all of it would show it: save with a manifest, or `verify="full"`'

CASES: tuple[Case, ...] = (
    case("fine", "nothing is wrong", fine, truth(or_error=False), act=loading()),
    case("dropped", "the connection is dropped after 300 bytes", fine, truth(), act=loading(cut)),
    case(
        "larger",
        "the hub announces 100 bytes more than there are",
        fine,
        error(),
        REPOSITORY,
        act=loading(announcing(100)),
    ),
    case(
        "smaller",
        "the hub announces 100 bytes less than there are, and sends no more",
        fine,
        error(),
        act=loading(announcing(-100)),
        guarantee="hub digests + weights preflight",
    ),
    case("nobody", "nobody answers", fine, error(), REPOSITORY, file=REPOSITORY, act=nobody_there),
    case(
        "changed-manifest",
        "bytes are changed on the way, the size is not, with a manifest",
        with_manifest,
        error(),
        act=loading(change),
        guarantee="manifest + hub digests",
    ),
    case("changed", "the same, and no manifest", fine, error(), act=loading(change), guarantee="hub digests"),
    case("changed-later", "bytes of a cached file are changed", fine, error(), act=loading_twice(), cannot=SAME),
    case(
        "changed-later-full",
        'the same, and `verify="full"`',
        fine,
        error(),
        act=loading_twice(verify="full"),
        guarantee="hub digests",
    ),
    case(
        "changed-full",
        'the same, no manifest, and `verify="full"`',
        fine,
        error(),
        act=loading(change, verify="full"),
        guarantee="hub digests",
        everyday=True,
    ),
    case("shard", "a shard is not there", shards, error(), file=shard(2), act=loading(gone)),
    case(
        "cut",
        "the file in the repository is cut short",
        cut_in_the_repository,
        error(),
        act=loading(),
        guarantee="weights preflight",
    ),
    case("page", "config.json is a page to sign in", page, error(), file="config.json", act=loading()),
    case(
        "dots",
        "the index names a file outside, by `..`",
        leading_out,
        error("unsafe"),
        file="outside.safetensors",
        act=loading(),
    ),
    case(
        "code",
        "code of another repository, trusted",
        code_elsewhere,
        error("unsafe"),
        "evil/code",
        act=loading(auto_class="AutoModel", trust_remote_code=True),
        guarantee="own code only",
    ),
    case(
        "trap",
        "code in a pickle, `weights_only=False`",
        trap,
        error("unsafe"),
        file=REPOSITORY,
        act=loading(weights_only=False),
        guarantee="no pickle",
    ),
)

"""Shards and their index: what is missing, mixed up, left over, or leads elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.trial.case import Act, Case, Wanted
from tests.trial.cases.common import Make, load
from tests.trial.cases.weights import write_manifest
from tests.trial.material import OTHER, ZIGZAG, Place, parts, safetensors, shard, write_shards
from tests.trial.oracle import error, truth

__all__ = ["CASES", "indexed"]

PREFLIGHT = "weights preflight"
FIRST, SECOND, THIRD = shard(1), shard(2), shard(3)
LAYER = "model.layers.0.weight"


def case(key: str, what: str, make: Make, wanted: Wanted, *names: str, act: Act = load, **more: Any) -> Case:
    """Return a case of this group."""
    more.setdefault("file", "model.safetensors.index.json")
    return Case(id=f"shards-{key}", group="shards", what=what, make=make, act=act, wanted=wanted, names=names, **more)


def whole(place: Place) -> None:
    write_shards(place, ZIGZAG)


def changed(change: Callable[[Place], Any]) -> Make:
    """Return what lays shards out and then changes something."""

    def make(place: Place) -> None:
        whole(place)
        change(place)

    return make


def indexed(change: Callable[[dict[str, Any]], Any]) -> Make:
    """Return what lays shards out with another index; `change` returns it, or changes what it is given."""

    def make(place: Place) -> None:
        whole(place)
        fields = json.loads(place.index.read_text())
        found = change(fields)
        place.index.write_text(found if isinstance(found, str) else json.dumps(fields if found is None else found))

    return make


def mapped(name: str, value: Any) -> Make:
    """Return what lays shards out with an index that gives a tensor to this file."""
    return indexed(lambda fields: fields["weight_map"].update({name: value}))


def everything_in(value: str) -> Callable[[dict[str, Any]], None]:
    return lambda fields: fields.update(weight_map=dict.fromkeys(fields["weight_map"], value))


def swap(place: Place) -> None:
    first, second = (place.folder / name for name in (FIRST, SECOND))
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)


def from_another(place: Place) -> None:
    (place.folder / SECOND).write_bytes(safetensors(parts(OTHER, 2)))


def from_another_with_manifest(place: Place) -> None:
    write_manifest(place)
    from_another(place)


def outside(value: Callable[[Place], str], *, named: str = "other.safetensors") -> Make:
    """Return what lays an index out that names a file of another checkpoint, outside the folder."""

    def make(place: Place) -> None:
        whole(place)
        place.outside.mkdir()
        (place.outside / named).write_bytes(safetensors(OTHER.tensors))
        fields = json.loads(place.index.read_text())
        everything_in(value(place))(fields)
        place.index.write_text(json.dumps(fields))

    return make


def linked(place: Place) -> None:
    """Keep the files elsewhere and links in the folder, as the hub's cache does: nothing is wrong."""
    whole(place)
    place.outside.mkdir()
    for name in (FIRST, SECOND, THIRD):
        (place.folder / name).rename(place.outside / name)
        (place.folder / name).symlink_to(f"../outside/{name}")


def below(place: Place) -> None:
    whole(place)
    (place.folder / "parts").mkdir()
    (place.folder / FIRST).rename(place.folder / "parts" / FIRST)
    fields = json.loads(place.index.read_text())
    table = fields["weight_map"]
    table.update({name: f"parts/{file}" for name, file in table.items() if file == FIRST})
    place.index.write_text(json.dumps(fields))


def stale_single(place: Place) -> None:
    """Leave an older save's one file beside the shards: loaders take it."""
    whole(place)
    place.weights.write_bytes(safetensors(OTHER.tensors))


def orphans(place: Place) -> None:
    whole(place)
    place.index.unlink()


def in_two(place: Place) -> None:
    """Put a tensor into a second shard, with other numbers."""
    whole(place)
    held = {**parts(ZIGZAG, 3), LAYER: OTHER.tensors[LAYER]}
    (place.folder / THIRD).write_bytes(safetensors(held))


def unlisted(place: Place) -> None:
    """Put a tensor into a shard that the index does not know."""
    whole(place)
    extra = {"model.layers.1.gate": OTHER.tensors["model.layers.1.bias"]}
    (place.folder / THIRD).write_bytes(safetensors({**parts(ZIGZAG, 3), **extra}))


def doubled(fields: dict[str, Any]) -> str:
    text = json.dumps(fields)
    return text[:-2] + f', "{LAYER}": "{THIRD}"}}}}'


CASES: tuple[Case, ...] = (
    case("fine", "nothing is wrong", whole, truth(or_error=False), everyday=True),
    case(
        "missing", "a shard is missing", changed(lambda place: (place.folder / SECOND).unlink()), error(), file=SECOND
    ),
    case(
        "cut",
        "a shard is cut short",
        changed(lambda place: (place.folder / SECOND).write_bytes((place.folder / SECOND).read_bytes()[:-9])),
        error(),
        file=SECOND,
        guarantee=PREFLIGHT,
    ),
    case(
        "empty",
        "a shard has no byte",
        changed(lambda place: (place.folder / SECOND).write_bytes(b"")),
        error(),
        file=SECOND,
        guarantee=PREFLIGHT,
    ),
    case("swapped", "two shards have changed names", changed(swap), truth(), FIRST),
    case(
        "other",
        "a shard of another checkpoint, and no manifest",
        changed(from_another),
        error(),
        SECOND,
        cannot="a number is as good as another where nothing says what it was: save with a manifest",
    ),
    case(
        "other-manifest",
        "a shard of another checkpoint, with a manifest",
        changed(from_another_with_manifest),
        error(),
        SECOND,
        guarantee="manifest",
    ),
    case("index-cut", "the index is cut short", indexed(lambda fields: json.dumps(fields)[:-30]), error()),
    case("index-array", "the index is an array", indexed(lambda _: "[]"), error()),
    case("index-empty", "`weight_map` is empty", indexed(lambda fields: fields.update(weight_map={})), error()),
    case(
        "index-no-map",
        "there is no `weight_map`",
        indexed(lambda fields: fields.pop("weight_map") and None),
        error(),
        "weight_map",
    ),
    case("index-numbers", "`weight_map` names numbers", mapped(LAYER, 2), error(), "weight_map"),
    case(
        "index-no-metadata",
        "there is no `metadata`",
        indexed(lambda fields: fields.pop("metadata") and None),
        truth(),
        "metadata",
    ),
    case("index-twice", "a tensor twice in the index", indexed(doubled), error(), LAYER, guarantee=PREFLIGHT),
    case("index-wrong-shard", "a tensor that the index gives to another shard", mapped(LAYER, THIRD), truth(), LAYER),
    case(
        "index-unlisted",
        "a tensor that the index does not know of",
        indexed(lambda fields: fields["weight_map"].pop(LAYER) and None),
        truth(),
        LAYER,
    ),
    case(
        "total-size",
        "`total_size` is wrong, which nobody needs",
        indexed(lambda fields: fields["metadata"].update(total_size=5)),
        truth(or_error=False),
    ),
    case(
        "dots",
        "the index names a file outside, by `..`",
        outside(lambda _: "../outside/other.safetensors"),
        error("unsafe"),
        "../outside",
        guarantee=PREFLIGHT,
        everyday=True,
    ),
    case(
        "absolute",
        "the index names a file outside, by its whole path",
        outside(lambda place: str(place.outside / "other.safetensors")),
        error("unsafe"),
        "outside",
        guarantee=PREFLIGHT,
    ),
    case("below", "the index names a file in a folder below", below, truth(), "parts/"),
    case("links", "the shards are links, as in the hub's cache: nothing is wrong", linked, truth(or_error=False)),
    case(
        "stale",
        "an older save's one file beside the shards",
        stale_single,
        error(),
        "model.safetensors",
        guarantee=PREFLIGHT,
    ),
    case("orphans", "shards and no index", orphans, error(), FIRST, file=""),
    case("twice", "a tensor in two shards, with two values", in_two, error(), LAYER, guarantee=PREFLIGHT),
    case("extra", "a shard holds a tensor too many", unlisted, error(), "model.layers.1.gate"),
)

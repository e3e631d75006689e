"""The weight file: what is no file, no safetensors file, or not this model's; and memory that nobody has written to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.trial.case import Act, Case, Wanted
from tests.trial.cases.common import Make, edited, load, load_bert, loading, somebody_else, zigzag
from tests.trial.face import Face
from tests.trial.material import BERT, OTHER, ZIGZAG, Array, Place, header, safetensors, write
from tests.trial.oracle import error, truth

__all__ = ["CASES"]

PREFLIGHT, KINDS, COMPLETE = "weights preflight", "kinds and shapes", "complete"
LAYER, BIAS, EMBED = "model.layers.1.weight", "model.layers.1.bias", "model.embed.weight"
FILE = ZIGZAG.tensors


def case(key: str, what: str, make: Make, wanted: Wanted, *names: str, act: Act = load, **more: Any) -> Case:
    """Return a case of this group."""
    more.setdefault("file", "model.safetensors")
    return Case(id=f"weights-{key}", group="weights", what=what, make=make, act=act, wanted=wanted, names=names, **more)


def content(change: Callable[[bytes], bytes]) -> Make:
    """Return what lays the checkpoint out with the weight file's bytes changed."""

    def make(place: Place) -> None:
        zigzag(place)
        place.weights.write_bytes(change(place.weights.read_bytes()))

    return make


def with_header(change: Callable[[dict[str, Any]], Any]) -> Make:
    """Return what lays the checkpoint out with another header before the same data."""

    def make(place: Place) -> None:
        zigzag(place)
        head = header(FILE)
        changed = change(head)
        place.weights.write_bytes(safetensors(FILE, head if changed is None else changed))

    return make


def entry(name: str, **fields: Any) -> Make:
    """Return what lays the checkpoint out with one tensor described otherwise in the header."""
    return with_header(lambda head: head[name].update(fields))


def tensors(change: Callable[[dict[str, Array]], Any], **config: Any) -> Make:
    """Return what lays out a well-formed file that holds other tensors."""

    def make(place: Place) -> None:
        zigzag(place)
        held = dict(FILE)
        change(held)
        place.weights.write_bytes(safetensors(held))
        place.edit(**config)

    return make


def moved(old: str, new: str) -> Callable[[dict[str, Array]], None]:
    def change(held: dict[str, Array]) -> None:
        held[new] = held.pop(old)

    return change


def also(extra: Mapping[str, Array]) -> Callable[[dict[str, Array]], None]:
    return lambda held: held.update(extra)


def no_file(place: Place) -> None:
    zigzag(place)
    place.weights.unlink()


def folder_instead(place: Place) -> None:
    no_file(place)
    place.weights.mkdir()


def dead_link(place: Place) -> None:
    no_file(place)
    place.weights.symlink_to(place.root / "gone.safetensors")


def unreadable(place: Place) -> None:
    zigzag(place)
    place.weights.chmod(0)


def as_somebody_else(face: Face, place: Place) -> Any:
    with somebody_else():
        return load(face, place)


def twice_in_header(place: Place) -> None:
    """The same name twice: a parser takes the last, of whatever stands there."""
    zigzag(place)
    text = json.dumps(header(FILE))
    again = json.dumps({LAYER: header(FILE)["model.layers.0.weight"]})[1:-1]
    place.weights.write_bytes(safetensors(FILE, (text[:-1] + ", " + again + "}").encode()))


def changed_byte(place: Place, *, manifest: bool = True) -> None:
    """Change one bit of one number after the manifest was written."""
    zigzag(place)
    if manifest:
        write_manifest(place)
    data = bytearray(place.weights.read_bytes())
    data[-10] ^= 64
    place.weights.write_bytes(data)


def changed_unlisted(place: Place) -> None:
    changed_byte(place, manifest=False)


def write_manifest(place: Place) -> None:
    from autoreg.checkpoint import manifest

    manifest.write(str(place.folder))


def replaced_behind_a_manifest(place: Place) -> None:
    """Put another checkpoint's weights in the place of those that the manifest describes."""
    zigzag(place)
    write_manifest(place)
    place.weights.write_bytes(safetensors(OTHER.tensors))


def damaged_manifest(place: Place) -> None:
    zigzag(place)
    write_manifest(place)
    file = place.folder / "autoreg.manifest.json"
    file.write_bytes(file.read_bytes()[:-40])


def overwrite_after(face: Face, place: Place) -> Any:
    """Load, and overwrite the file in place while the model lives."""
    model = face.load(place.folder, isolate=True)
    size = place.weights.stat().st_size
    with place.weights.open("r+b") as stream:
        stream.seek(size - 200)
        stream.write(b"\0" * 200)
    return model


def truncate_after(face: Face, place: Place) -> Any:
    """Load, and truncate the file while the model lives."""
    model = face.load(place.folder, isolate=True)
    with place.weights.open("r+b") as stream:
        stream.truncate(0)
    return model


def untied_head(held: dict[str, Array]) -> None:
    held["head.weight"] = np.ones((7, 4), dtype=np.float32)


def bare(held: dict[str, Array]) -> None:
    """Add a second tensor that a base model's prefix makes the same: which of the two counts?"""
    held["embed.weight"] = held[EMBED] + 1


def legacy(place: Place) -> None:
    """Give a weight its name of former days too, with other numbers."""
    write(place, BERT)
    name = "bert.embeddings.LayerNorm"
    also = {f"{name}.gamma": BERT.tensors[f"{name}.weight"] + 1}
    place.weights.write_bytes(safetensors({**BERT.tensors, **also}))


def of_bare_model(place: Place) -> None:
    """Lay out what the base model alone has saved, under names without the prefix: nothing is wrong."""
    zigzag(place)
    held = {name.removeprefix("model."): array for name, array in FILE.items()}
    place.weights.write_bytes(safetensors(held))
    place.edit(architectures=["ZigzagModel"])


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
PAGE = b"<!DOCTYPE html><html><body>503 Service Unavailable</body></html>"
END = sum(array.nbytes for array in FILE.values())

CASES: tuple[Case, ...] = (
    # --- the file
    case("none", "there is none", no_file, error(), "model.safetensors", file=""),
    case("empty", "no byte in it", content(lambda _: b""), error(), guarantee=PREFLIGHT),
    case("four-bytes", "four bytes", content(lambda data: data[:4]), error(), guarantee=PREFLIGHT),
    case("cut-in-header", "cut within the header", content(lambda data: data[:100]), error(), guarantee=PREFLIGHT),
    case(
        "cut-in-data",
        "cut within the data",
        content(lambda data: data[:-100]),
        error(),
        guarantee=PREFLIGHT,
        everyday=True,
    ),
    case("cut-by-one", "one byte short", content(lambda data: data[:-1]), error(), guarantee=PREFLIGHT),
    case("longer", "bytes after the end", content(lambda data: data + b"\0" * 16), error(), guarantee=PREFLIGHT),
    case("folder", "a folder in its place", folder_instead, error()),
    case("dead-link", "a link that leads nowhere", dead_link, error()),
    case("unreadable", "it may not be read", unreadable, error(), act=as_somebody_else),
    case("lfs", "a pointer of Git LFS", content(lambda _: POINTER), error(), guarantee=PREFLIGHT),
    case("html", "a page that says 503", content(lambda _: PAGE), error(), guarantee=PREFLIGHT),
    case("variant", "a variant that is not there", zigzag, error(), "fp16", act=loading(variant="fp16"), file=""),
    # --- the header
    case(
        "length",
        "a header of 2⁶³ bytes",
        content(lambda data: b"\xff" * 7 + b"\x7f" + data[8:]),
        error(),
        guarantee=PREFLIGHT,
    ),
    case(
        "length-300mb",
        "a header of 300 MB",
        content(lambda data: (300 << 20).to_bytes(8, "little") + data[8:]),
        error(),
        guarantee=PREFLIGHT,
    ),
    case(
        "header-json",
        "a header that is no JSON",
        with_header(lambda _: b"{nonsense}      "),
        error(),
        guarantee=PREFLIGHT,
    ),
    case(
        "header-bytes",
        "a header that is no text",
        with_header(lambda _: b"\xff\xfe" * 40),
        error(),
        guarantee=PREFLIGHT,
    ),
    case("header-twice", "a tensor twice in the header", twice_in_header, error(), LAYER, guarantee=PREFLIGHT),
    case(
        "overlap",
        "two tensors that share bytes",
        entry(LAYER, data_offsets=[0, 64]),
        error(),
        LAYER,
        guarantee=PREFLIGHT,
    ),
    case(
        "backwards",
        "offsets that run backwards",
        entry(LAYER, data_offsets=[64, 0]),
        error(),
        LAYER,
        guarantee=PREFLIGHT,
    ),
    case(
        "beyond",
        "offsets beyond the end",
        entry(LAYER, data_offsets=[END, END + 64]),
        error(),
        LAYER,
        guarantee=PREFLIGHT,
    ),
    case(
        "unknown-dtype", "a dtype that does not exist", entry(LAYER, dtype="F31"), error(), LAYER, guarantee=PREFLIGHT
    ),
    case(
        "shape-of-others",
        "a shape that needs other bytes",
        entry(LAYER, shape=[5, 4]),
        error(),
        LAYER,
        guarantee=PREFLIGHT,
    ),
    case("negative-shape", "a negative size", entry(LAYER, shape=[-4, -4]), error(), LAYER, guarantee=PREFLIGHT),
    case("huge-shape", "a size of 2⁶²", entry(LAYER, shape=[2**62, 4]), error(), LAYER, guarantee=PREFLIGHT),
    # --- kinds and shapes
    case(
        "integers",
        "a weight stored as integers",
        tensors(lambda held: held.update({LAYER: np.ones((4, 4), dtype=np.int32)})),
        error(),
        LAYER,
        guarantee=KINDS,
        everyday=True,
    ),
    case("reinterpreted", "floats labelled as integers", entry(LAYER, dtype="I32"), error(), LAYER, guarantee=KINDS),
    case(
        "booleans",
        "a bias stored as truth values",
        tensors(lambda held: held.update({BIAS: np.ones(4, dtype=np.bool_)})),
        error(),
        BIAS,
        guarantee=KINDS,
    ),
    case(
        "float-counter",
        "a counter stored as a float",
        tensors(lambda held: held.update({"model.count": np.array([1.5], dtype=np.float32)})),
        error(),
        "model.count",
        guarantee=KINDS,
    ),
    case(
        "shape",
        "a weight of another shape",
        tensors(lambda held: held.update({LAYER: np.ones((4, 5), dtype=np.float32)})),
        error(),
        LAYER,
    ),
    case(
        "transposed",
        "the embedding transposed",
        tensors(lambda held: held.update({EMBED: held[EMBED].T.copy()})),
        error(),
        EMBED,
    ),
    case(
        "flat",
        "a weight flattened",
        tensors(lambda held: held.update({LAYER: held[LAYER].reshape(-1)})),
        error(),
        LAYER,
    ),
    # --- names
    case(
        "missing",
        "a weight is missing",
        tensors(lambda held: held.pop(LAYER)),
        error(),
        LAYER,
        file="",
        guarantee=COMPLETE,
        everyday=True,
    ),
    case(
        "missing-buffer",
        "a buffer that is saved is missing",
        tensors(lambda held: held.pop("model.count")),
        error(),
        "model.count",
        file="",
        guarantee=f"{COMPLETE} + no hole",
    ),
    case(
        "renamed",
        "a weight is misspelt",
        tensors(moved(LAYER, "model.layers.1.wieght")),
        error(),
        LAYER,
        file="",
        guarantee=COMPLETE,
    ),
    case(
        "extra",
        "a weight too many",
        tensors(also({"model.layers.1.gate": np.ones(4, dtype=np.float32)})),
        error(),
        "model.layers.1.gate",
        file="",
        guarantee=COMPLETE,
    ),
    case(
        "prefixed",
        "every name with a prefix of some wrapper",
        tensors(lambda held: [moved(name, f"module.{name}")(held) for name in FILE]),
        error(),
        LAYER,
        file="",
        guarantee=f"{COMPLETE} + no hole",
    ),
    case(
        "nothing",
        "a file without tensors",
        tensors(lambda held: held.clear()),
        error(),
        LAYER,
        "model.embed",
        file="",
        guarantee=f"{COMPLETE} + no hole",
    ),
    case(
        "both-names",
        "the embedding under two names, with two values",
        tensors(bare),
        error(),
        "embed.weight",
        guarantee=KINDS,
        everyday=True,
    ),
    case(
        "legacy",
        "a weight under its name of former days too, with two values",
        legacy,
        error(),
        "LayerNorm",
        act=load_bert,
        guarantee=KINDS,
    ),
    case(
        "untied",
        "a head that the config ties, and other numbers",
        tensors(untied_head),
        error(),
        "head.weight",
        file="",
        guarantee=COMPLETE,
    ),
    case(
        "headless",
        "no head, and a config that does not tie it",
        edited(tie_word_embeddings=False),
        error(),
        "head.weight",
        file="",
        guarantee=COMPLETE,
    ),
    case(
        "base",
        "saved by the base model, loaded as such: nothing is wrong",
        of_bare_model,
        truth(
            ZIGZAG.but(
                tensors={name.removeprefix("model."): array for name, array in FILE.items()},
                unsaved={"gain": ZIGZAG.unsaved["model.gain"]},
            ),
            or_error=False,
        ),
        act=loading("AutoModel"),
    ),
    # --- holes
    case(
        "hole-buffer",
        "a buffer that is not saved and that nobody fills again",
        edited(hole="buffer"),
        error(),
        "model.angles",
        file="",
        guarantee="no hole",
        everyday=True,
    ),
    case(
        "hole-integers",
        "the same, of integers",
        edited(hole="integers"),
        error(),
        "model.angles",
        file="",
        guarantee="no hole",
    ),
    case(
        "hole-attribute",
        "a tensor that is a mere attribute",
        edited(hole="attribute"),
        error(),
        "model.angles",
        file="",
        guarantee="no hole",
    ),
    # --- files that change
    case("changed", "one bit changed, with a manifest", changed_byte, error(), guarantee="manifest", everyday=True),
    case(
        "changed-full",
        'the same, with `verify="full"`',
        changed_byte,
        error(),
        act=loading(verify="full"),
        guarantee="manifest",
    ),
    case(
        "changed-unlisted",
        "one bit changed, and no manifest",
        changed_unlisted,
        error(),
        cannot="a number is as good as another where nothing says what it was: save with a manifest",
    ),
    case(
        "replaced",
        "another checkpoint's weights, with a manifest",
        replaced_behind_a_manifest,
        error(),
        guarantee="manifest",
    ),
    case(
        "manifest-damaged",
        "a manifest that is cut short",
        damaged_manifest,
        error(),
        file="autoreg.manifest.json",
        guarantee="manifest",
    ),
    case(
        "overwritten",
        "overwritten in place under a live model, `isolate=True`",
        zigzag,
        truth(or_error=False),
        act=overwrite_after,
        guarantee="isolation",
        everyday=True,
    ),
    case(
        "truncated",
        "truncated under a live model, `isolate=True`",
        zigzag,
        truth(or_error=False),
        act=truncate_after,
        guarantee="isolation",
    ),
)

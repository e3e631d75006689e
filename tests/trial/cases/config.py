"""config.json: what is no JSON, no config, or not this checkpoint's."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tests.trial.case import Act, Case, Wanted
from tests.trial.cases.common import (
    Make,
    bert,
    edited,
    load,
    load_bert,
    loading,
    somebody_else,
    zigzag,
)
from tests.trial.cases.weights import write_manifest
from tests.trial.face import Face
from tests.trial.material import BERT, OTHER, ZIGZAG, Place, write
from tests.trial.oracle import error, truth, value

__all__ = ["CASES"]

GAIN = np.full(4, 2.0, dtype=np.float32)
PREFLIGHT, FIELDS, SIZES = "config preflight", "plugin fields", "sizes"


def case(key: str, what: str, make: Make, wanted: Wanted, *names: str, act: Act = load, **more: Any) -> Case:
    """Return a case of this group."""
    more.setdefault("file", "config.json")
    return Case(id=f"config-{key}", group="config", what=what, make=make, act=act, wanted=wanted, names=names, **more)


def written(content: bytes) -> Make:
    """Return what lays the checkpoint out with this content in config.json."""

    def make(place: Place) -> None:
        zigzag(place)
        place.config.write_bytes(content)

    return make


def text_of(**changes: Any) -> str:
    return json.dumps({**ZIGZAG.config, **changes})


def with_line(line: str) -> bytes:
    """Return the config with a line more, as text: some things no serializer writes."""
    return (text_of()[:-1] + f", {line}}}").encode()


def a_folder(place: Place) -> None:
    zigzag(place)
    place.config.unlink()
    place.config.mkdir()


def a_dead_link(place: Place) -> None:
    zigzag(place)
    place.config.unlink()
    place.config.symlink_to(place.root / "gone.json")


def none_at_all(place: Place) -> None:
    zigzag(place)
    place.config.unlink()


def unreadable(place: Place) -> None:
    zigzag(place)
    place.config.chmod(0)


def as_somebody_else(face: Face, place: Place) -> Any:
    with somebody_else():
        return load(face, place)


def mistyped(face: Face, place: Place) -> Any:
    return face.load(f"{place.root}/chekpoint")


def edited_by_hand(place: Place) -> None:
    """Change a field after the manifest was written, as people do: nothing is wrong."""
    zigzag(place)
    write_manifest(place)
    place.edit(scale=2.0)


def load_then_save(face: Face, place: Place) -> Any:
    """Load, save elsewhere, and say which Python files the save wrote."""
    face.save(face.load(place.folder), place.root / "saved")
    return sorted(path.name for path in (place.root / "saved").glob("*.py"))


def outside_weights(place: Place) -> None:
    write(place, OTHER, folder=place.outside)
    zigzag(place)
    place.weights.unlink()
    place.edit(transformers_weights="../outside/model.safetensors")


CASES: tuple[Case, ...] = (
    case("fine", "nothing is wrong (a plugin's)", zigzag, truth(or_error=False), everyday=True),
    case("fine-native", "nothing is wrong (a native one)", bert, truth(BERT, or_error=False), act=load_bert),
    # --- the file
    case("empty", "the file is empty", written(b""), error(), guarantee=PREFLIGHT),
    case("large", "17 MB of spaces", written(text_of().encode() + b" " * (17 << 20)), truth()),
    case("latin-1", "Latin-1 text", written(text_of(note="café").replace("\\u00e9", "é").encode("latin-1")), error()),
    case("bom", "a byte order mark", written(b"\xef\xbb\xbf" + text_of().encode()), truth()),
    case("utf-16", "UTF-16 text", written(text_of().encode("utf-16")), truth()),
    case("array", "an array", written(b"[]"), error(), guarantee=PREFLIGHT),
    case("string", "a string", written(b'"zigzag"'), error(), guarantee=PREFLIGHT),
    case("cut", "cut short", written(text_of().encode()[:-20]), error()),
    case(
        "deep",
        "nested 100,000 deep",
        written(with_line('"x": ' + "[" * 100_000 + "]" * 100_000)),
        error(),
        guarantee=PREFLIGHT,
    ),
    case(
        "deep-1000", "nested 900 deep in an unknown field", written(with_line('"x": ' + "[" * 900 + "]" * 900)), truth()
    ),
    case("folder", "a folder in its place", a_folder, error()),
    case("dead-link", "a link that leads nowhere", a_dead_link, error()),
    case("none", "there is none", none_at_all, error()),
    case("unreadable", "it may not be read", unreadable, error(), act=as_somebody_else),
    case("mistyped", "the path is mistyped", zigzag, error(), "chekpoint", act=mistyped),
    # --- keys
    case(
        "twice", "`hidden_size` twice, with one value", written(with_line('"hidden_size": 4')), truth(), "hidden_size"
    ),
    case(
        "scale-twice",
        "`scale` twice, with another value",
        written(with_line('"scale": 9.5')),
        error(),
        "scale",
        guarantee=PREFLIGHT,
        everyday=True,
    ),
    case("method", "a key `to_dict`", edited(to_dict=3), error(), "to_dict", guarantee=f"{PREFLIGHT} + {FIELDS}"),
    case(
        "method-native",
        "a key `save_pretrained`",
        edited(bert, save_pretrained="x"),
        error(),
        "save_pretrained",
        act=load_bert,
        guarantee=PREFLIGHT,
    ),
    case(
        "own-method",
        "a key `get_text_config`",
        edited(get_text_config=1),
        error(),
        "get_text_config",
        guarantee=f"{PREFLIGHT} + {FIELDS}",
    ),
    case(
        "class",
        "a key `__class__`",
        edited(__class__="int"),
        error(),
        "__class__",
        guarantee=f"{PREFLIGHT} + {FIELDS}",
    ),
    case(
        "edited",
        "a field changed by hand, and a manifest: nothing is wrong",
        edited_by_hand,
        truth(ZIGZAG.but({"scale": 2.0}, unsaved={**ZIGZAG.unsaved, "model.gain": GAIN}), or_error=False),
    ),
    case("private", "a key `_private`", edited(_private=1), truth(), "_private"),
    case(
        "auto-class",
        "`_auto_class`, so that a later save copies source files",
        edited(_auto_class="AutoConfig"),
        value([], otherwise="unsafe"),
        "_auto_class",
        act=load_then_save,
        guarantee=f"{PREFLIGHT} + {FIELDS}",
    ),
    case(
        "attribute-map",
        "`attribute_map` gives one field another's value",
        edited(attribute_map={"hidden_size": "vocab_size"}),
        truth(),
        "attribute_map",
        guarantee=PREFLIGHT,
    ),
    case(
        "misspelt",
        "`scal` in place of `scale`",
        edited(scale=..., scal=1.5),
        truth(),
        "scal",
        guarantee=FIELDS,
        cannot="unknown fields are normal life, so a likely misspelling is a warning; AUTOREG_STRICT makes it an error",
    ),
    # --- numbers
    case(
        "nan",
        "`scale` is NaN",
        written(text_of(scale=float("nan")).encode()),
        error(),
        "scale",
        guarantee=PREFLIGHT,
    ),
    case(
        "infinity",
        "`scale` is Infinity",
        written(text_of(scale=float("inf")).encode()),
        error(),
        "scale",
        guarantee=PREFLIGHT,
    ),
    case(
        "overflow",
        "`scale` is 1e999",
        written(text_of().replace("1.5", "1e999").encode()),
        error(),
        "scale",
        guarantee=PREFLIGHT,
    ),
    case("digits", "an integer of 5,000 digits", written(with_line('"x": ' + "1" * 5000)), error()),
    case("labels", "`num_labels` is 10⁹", edited(num_labels=10**9), error(), "num_labels", guarantee=PREFLIGHT),
    case("labels-negative", "`num_labels` is -1", edited(num_labels=-1), error(), "num_labels", guarantee=PREFLIGHT),
    case("labels-text", '`num_labels` is "3"', edited(num_labels="3"), error(), "num_labels", guarantee=PREFLIGHT),
    case(
        "label-list",
        "`id2label` is a list",
        edited(id2label=["a", "b"]),
        error(),
        "id2label",
        guarantee=f"{PREFLIGHT} + {FIELDS}",
    ),
    case(
        "label-keys",
        "`id2label` has words for numbers",
        edited(id2label={"one": "a"}),
        error(),
        "id2label",
        guarantee=PREFLIGHT,
    ),
    case("negative", "`hidden_size` is -1", edited(hidden_size=-1), error(), "hidden_size"),
    case(
        "negative-native",
        "`hidden_size` is -8, of a native type",
        edited(bert, hidden_size=-8),
        error(),
        "hidden_size",
        act=load_bert,
    ),
    case("zero", "`hidden_size` is 0", edited(hidden_size=0), error(), "hidden_size", "embed.weight"),
    case(
        "huge",
        "`hidden_size` is 10¹²",
        edited(hidden_size=10**12),
        error(),
        "hidden_size",
        guarantee=f"{PREFLIGHT} + {SIZES}",
    ),
    case(
        "huge-native",
        "`hidden_size` is 200,000, of a native type",
        edited(bert, hidden_size=200_000),
        error(),
        "hidden_size",
        "weight",
        act=load_bert,
    ),
    case(
        "layers",
        "a number of layers, under a name of its own, is 10⁹",
        edited(blocks=10**9),
        error(),
        "layers",
        "blocks",
        guarantee=SIZES,
    ),
    case(
        "layers-native",
        "`num_hidden_layers` is 10⁹",
        edited(bert, num_hidden_layers=10**9),
        error(),
        "num_hidden_layers",
        act=load_bert,
        guarantee=f"{PREFLIGHT} + {SIZES}",
    ),
    case(
        "memory",
        "a size of which no weight is in the file: 9 GB",
        edited(memory_size=600_000_000),
        error(),
        "memory_size",
        "memory.weight",
        guarantee=SIZES,
        everyday=True,
    ),
    case(
        "fewer-layers",
        "one layer fewer than the file has",
        edited(blocks=1),
        error(),
        "layers",
        "blocks",
        file="",
        guarantee="complete",
    ),
    case(
        "more-layers",
        "one layer more than the file has",
        edited(blocks=3),
        error(),
        "layers",
        "blocks",
        file="",
        guarantee="complete",
    ),
    # --- types
    case("text-for-number", '`hidden_size` is "4"', edited(hidden_size="4"), error(), "hidden_size"),
    case("float-for-integer", "`blocks` is 2.5", edited(blocks=2.5), error(), "blocks"),
    case(
        "text-for-boolean",
        '`tie_word_embeddings` is "false"',
        edited(tie_word_embeddings="false"),
        error(),
        "tie_word_embeddings",
        guarantee=FIELDS,
        everyday=True,
    ),
    case(
        "text-for-boolean-native",
        '`tie_word_embeddings` is "false", of a native type',
        edited(bert, tie_word_embeddings="false"),
        error(),
        "tie_word_embeddings",
        act=load_bert,
    ),
    case("null", "`scale` is null", edited(scale=None), error(), "scale"),
    case("list-for-text", "`hole` is a list", edited(hole=[]), error(), "hole"),
    case(
        "architectures-text",
        "`architectures` is a string",
        edited(architectures="ZigzagForCausalLM"),
        truth(),
        "architectures",
    ),
    # --- names of other things
    case("type-number", "`model_type` is 7", edited(model_type=7), error(), "model_type"),
    case(
        "type-list", "`model_type` is a list", edited(model_type=["zigzag"]), error(), "model_type", guarantee=PREFLIGHT
    ),
    case("type-null", "`model_type` is null", edited(model_type=None), error(), "model_type"),
    case("type-path", "`model_type` is a path", edited(model_type="../../zigzag"), error(), "model_type"),
    case("type-none", "there is no `model_type`", edited(model_type=...), error(), "model_type"),
    case("type-misspelt", "`model_type` is misspelt", edited(model_type="zigzga"), error(), "zigzga"),
    case(
        "dtype-function",
        "`dtype` is the name of a function",
        edited(dtype="load"),
        truth(fields=False),
        "dtype",
        guarantee=PREFLIGHT,
    ),
    case("dtype-unknown", "`dtype` is `float99`", edited(dtype="float99"), truth(fields=False), "dtype"),
    case(
        "kernel",
        "`attn_implementation` names a repository",
        edited(bert, attn_implementation="someone/kernel"),
        truth(BERT, fields=False),
        "attn_implementation",
        act=load_bert,
    ),
    case(
        "weights-outside",
        "`transformers_weights` leads out of the folder",
        outside_weights,
        error("unsafe"),
        "transformers_weights",
        guarantee=PREFLIGHT,
    ),
    case(
        "other-head",
        "loaded with an Auto class that the architecture lacks",
        zigzag,
        error(),
        "AutoModelForTokenClassification",
        act=loading("AutoModelForTokenClassification"),
    ),
)

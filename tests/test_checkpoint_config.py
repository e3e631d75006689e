# ruff: noqa: E501 # tables of whole messages, one case a line
"""A config.json that cannot be right is one clear sentence naming the file and what to do."""

import inspect
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import autoreg
from autoreg.checkpoint import ConfigFile, read_config
from autoreg.checkpoint.annotations import check_fields, fields_of_class, taken_by_class
from autoreg.checkpoint.fields import check_structure
from autoreg.checkpoint.json_file import read_json
from autoreg.checkpoint.names import METHODS, check_names
from autoreg.errors import UnsafeCheckpointError
from tests.conftest import MakePlugin
from tests.plugin_maker import write_checkpoint

AGAIN = "Save or download the checkpoint again."
SET = 'Set it to the checkpoint\'s model type, a string such as "bert".'
ALPHABET = "a model type holds ASCII letters, digits and `_ - . +` only, and starts with a letter or digit."
FACES = ["AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoTokenizer"]


@pytest.mark.parametrize("name", FACES)
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", f"the file is empty.\n{AGAIN}"),
        (b" \n", f"the file is empty.\n{AGAIN}"),
        (b'{"model_type": "be', f"not valid JSON (Unterminated string starting at: line 1 column 16 (char 15)); it was cut short or edited by hand.\n{AGAIN}"),
        (b"[1]", f"it holds a JSON list, and a config is an object ({{…}}).\n{AGAIN}"),
        (b"null", f"it holds a JSON null, and a config is an object ({{…}}).\n{AGAIN}"),
        (b'"x"', f"it holds a JSON string, and a config is an object ({{…}}).\n{AGAIN}"),
        (b'{"model_type": null}', f"`model_type` is null, and must be a string.\n{SET}"),
        (b'{"model_type": ["bert"]}', f'`model_type` is ["bert"], and must be a string.\n{SET}'),
        (b'{"model_type": 5}', f"`model_type` is 5, and must be a string.\n{SET}"),
        (b'{"model_type": ""}', f"`model_type` is '': a model type is a non-empty string.\n{SET}"),
        (b'{"model_type": "../../evil"}', f"`model_type` is '../../evil': {ALPHABET}\n{SET}"),
    ],
)  # fmt: skip
def test_a_config_that_cannot_be_right(
    isolated: object, tmp_path: Path, content: bytes, sentence: str, name: str
) -> None:
    """A config.json that is empty, cut short, no object, or of an impossible model type is a CheckpointError."""
    folder = write_checkpoint(tmp_path / "it", content)
    with pytest.raises(autoreg.CheckpointError) as caught:
        getattr(autoreg, name).from_pretrained(folder)
    assert str(caught.value) == f"{folder / 'config.json'}: {sentence}"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", FACES)
@pytest.mark.parametrize("as_text", [True, False], ids=["str", "Path"])
def test_a_path_that_does_not_exist(isolated: object, tmp_path: Path, name: str, as_text: bool) -> None:
    """A path that does not exist is said to be none, with a neighbour of a like name."""
    (tmp_path / "checkpoint").mkdir()
    path = tmp_path / "chekpoint"
    with pytest.raises(autoreg.CheckpointNotFoundError) as caught:
        getattr(autoreg, name).from_pretrained(str(path) if as_text else path)
    assert str(caught.value) == f"{path}: there is no such file or folder.\nDid you mean {tmp_path / 'checkpoint'}?"
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("~/models/bert", "`~` is not expanded here; use os.path.expanduser('~/models/bert')."),
        ("/no/such/folder/at/all", "There is no folder /no/such/folder/at either."),
        ("./qqqqqqqqqqqq", "The folder {here} is there."),
        ("../qqqqqqqqqqqq", "The folder {above} is there."),
        ("models/bert/checkpoint-1", "There is no folder {here}/models/bert either."),
        ("model.safetensors", "The folder {here} is there."),
        ("C:\\models\\bert", "The folder {here} is there."),
        ("a b", "The folder {here} is there."),
    ],
)
def test_what_is_plainly_a_path(
    isolated: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, advice: str
) -> None:
    """What is plainly a path is never taken for a hub id, whatever is wrong with it."""
    here = tmp_path / "work"
    here.mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(autoreg.CheckpointNotFoundError) as caught:
        autoreg.AutoModel.from_pretrained(path)
    expected = advice.format(here=here, above=tmp_path)
    assert str(caught.value) == f"{path}: there is no such file or folder.\n{expected}"


def test_a_folder_without_a_config(isolated: object, tmp_path: Path) -> None:
    """A folder without config.json is said to have none, with what it holds."""
    folder = tmp_path / "it"
    folder.mkdir()
    for name in ("AutoConfig", "AutoModel"):
        with pytest.raises(autoreg.CheckpointNotFoundError) as caught:
            getattr(autoreg, name).from_pretrained(folder)
        assert str(caught.value) == (
            f"{folder}: the folder has no config.json.\n"
            "It holds nothing. Point to the folder that save_pretrained wrote."
        )
    for number in range(8):
        (folder / f"file{number}").touch()
    with pytest.raises(autoreg.CheckpointNotFoundError, match="It holds file0, file1, file2, file3, file4, file5, …"):
        autoreg.AutoModel.from_pretrained(folder)


def test_a_folder_in_the_place_of_the_config(isolated: object, tmp_path: Path) -> None:
    """A folder named config.json is no config."""
    (tmp_path / "it" / "config.json").mkdir(parents=True)
    with pytest.raises(autoreg.CheckpointError, match=r"the folder has no config.json"):
        autoreg.AutoModel.from_pretrained(tmp_path / "it")


def test_a_config_that_may_not_be_read(isolated: object, tmp_path: Path) -> None:
    """A config.json that may not be read, or links to nothing, is a CheckpointError naming the file."""
    folder = tmp_path / "it"
    folder.mkdir()
    (folder / "config.json").symlink_to(tmp_path / "gone")
    with pytest.raises((autoreg.CheckpointError, OSError), match=r"config\.json"):
        autoreg.AutoModel.from_pretrained(folder)


def test_a_file_in_the_place_of_the_folder(isolated: object, tmp_path: Path) -> None:
    """The path of the config.json itself is as good as its folder, for a config."""
    folder = write_checkpoint(tmp_path / "it", {"model_type": "bert"})
    assert autoreg.AutoConfig.from_pretrained(folder / "config.json").model_type == "bert"
    assert autoreg.AutoConfig.from_pretrained(str(folder / "config.json")).model_type == "bert"


UTF_8 = f"Save the text again as UTF-8 without a byte order mark. {AGAIN}"
TAKE = "Take the line out of the file, or save or download the checkpoint again."
CORRECT = "Correct the value in the file, or save or download the checkpoint again."
METHOD = f"it is a method or property of every config, which the value would take the place of.\n{TAKE}"
OF_CLASS = f"it belongs to the class of the config, and cannot come from a file.\n{TAKE}"
NO_NUMBER = "it is no number that can be computed with.\nExpected a finite number, found {}.\n" + CORRECT
LABELS = "not a number of labels.\nExpected an integer from 0 to 1000000, found {}.\n" + CORRECT
TABLE = 'not a table of labels.\nExpected an object such as {{"0": "no", "1": "yes"}}, found {}.\n' + CORRECT
DTYPE = 'not a dtype of torch.\nExpected a name such as "bfloat16", found {}.\n{}'
LARGE = (
    "no model is that large; transformers would fill the memory with it.\nExpected at most {}, found {}.\n" + CORRECT
)
TWICE = "the key stands twice in one object, first {}, then {}; a parser silently takes the last.\nDelete the wrong one of the two lines."
KERNEL = "transformers would fetch the repository 'some/kernel' from the hub and run its code.\nTake the line out of the file. If you trust that code, pass attn_implementation='some/kernel' yourself."

STRUCTURE = [
    # the text
    (b"\xef\xbb\xbf{}", "", f"it begins with a byte order mark.\n{UTF_8}"),
    ("{}".encode("utf-16"), "", f"it is UTF-16 or UTF-32 text, and must be UTF-8.\n{UTF_8}"),
    ("{}".encode("utf-16-le"), "", f"it is UTF-16 or UTF-32 text, and must be UTF-8.\n{UTF_8}"),
    (b'{"a": "\xe9"}', "", f"it is not UTF-8 text: the byte 0xe9 at position 7 cannot be.\n{UTF_8}"),
    (b'{"a": ' * 33 + b"1" + b"}" * 33, "", f"it is nested more than 32 levels deep, and no config is.\n{AGAIN}"),
    (b"[" * 100_000, "", f"it is nested more than 32 levels deep, and no config is.\n{AGAIN}"),
    (
        b"{" + b" " * 2**24 + b"}",
        "",
        f"it is larger than 16 MB, and no config is; it was not read.\nSee whether another file was put in its place, then: {AGAIN}",
    ),
    # keys
    (b'{"hidden_size": 8, "hidden_size": 16}', "hidden_size", TWICE.format(8, 16)),
    (b'{"text_config": {"a": null, "b": 1, "a": "x"}}', "a", TWICE.format("null", '"x"')),
    (b'{"to_dict": 3}', "to_dict", METHOD),
    (b'{"validate": true}', "validate", METHOD),
    (b'{"use_return_dict": true}', "use_return_dict", METHOD),
    (b'{"__class__": 3}', "__class__", METHOD),
    (b'{"__dict__": {}}', "__dict__", METHOD),
    (b'{"text_config": {"to_dict": 3}}', "text_config.to_dict", METHOD),
    (b'{"encoder": {"model_type": "bert", "to_dict": 3}}', "encoder.to_dict", METHOD),
    (b'{"attribute_map": {"hidden_size": "vocab_size"}}', "attribute_map", OF_CLASS),
    # numbers
    (b'{"layer_norm_eps": NaN}', "layer_norm_eps", NO_NUMBER.format("NaN")),
    (b'{"layer_norm_eps": {"__float__": "NaN"}}', "layer_norm_eps", NO_NUMBER.format("NaN")),
    (b'{"dropout": Infinity}', "dropout", NO_NUMBER.format("Infinity")),
    (b'{"dropout": -1e999}', "dropout", NO_NUMBER.format("-Infinity")),
    (b'{"x": {"y": [0.5, [1e999]]}}', "x.y[1][0]", NO_NUMBER.format("Infinity")),
    # labels, layers, sizes, dtypes
    (b'{"num_labels": 1000000000}', "num_labels", LABELS.format(1000000000)),
    (b'{"num_labels": -3}', "num_labels", LABELS.format(-3)),
    (b'{"num_labels": "3"}', "num_labels", LABELS.format('"3"')),
    (b'{"num_labels": true}', "num_labels", LABELS.format("true")),
    (b'{"id2label": ["no", "yes"]}', "id2label", TABLE.format('["no", "yes"]')),
    (b'{"id2label": {"LABEL_0": "no"}}', "id2label", TABLE.format('the key "LABEL_0"')),
    (b'{"num_hidden_layers": 1000000000}', "num_hidden_layers", LARGE.format(10000, 1000000000)),
    (b'{"attention_types": [[["global", "local"], 100000000]]}', "attention_types", LARGE.format(10000, 100000000)),
    (b'{"text_config": {"n_embd": 99999999999}}', "text_config.n_embd", LARGE.format(2**31, 99999999999)),
    (b'{"dtype": "load"}', "dtype", DTYPE.format('"load"', CORRECT)),
    (
        b'{"torch_dtype": "torch.float16"}',
        "torch_dtype",
        DTYPE.format('"torch.float16"', "Take `torch.` away: 'float16'."),
    ),
    (
        b'{"vision_config": {"model_type": 5}}',
        "vision_config.model_type",
        f"not a model type.\nExpected a string, found 5.\n{CORRECT}",
    ),
]
UNSAFE = [
    (b'{"_auto_class": "AutoConfig"}', "_auto_class", f"with it, each later save would copy Python source files into the checkpoint.\n{TAKE}"),
    (b'{"attn_implementation": "some/kernel"}', "attn_implementation", KERNEL),
    (b'{"text_config": {"_attn_implementation": {"x": "some/kernel"}}}', "text_config._attn_implementation", KERNEL),
    (b'{"transformers_weights": "../other/model.safetensors"}', "transformers_weights", f"it names the file of the weights.\nExpected a file in the checkpoint's own folder, found \"../other/model.safetensors\".\n{TAKE}"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "part", "sentence"), STRUCTURE + UNSAFE)
def test_a_config_that_no_model_may_be_built_from(tmp_path: Path, content: bytes, part: str, sentence: str) -> None:
    """A config.json whose form, names or sizes no config has is a CheckpointError naming file and field."""
    folder = write_checkpoint(tmp_path / "it", content)
    with pytest.raises(autoreg.CheckpointError) as caught:
        read_config(folder, {})
    place = f"{folder / 'config.json'}, {part}" if part else str(folder / "config.json")
    assert str(caught.value) == f"{place}: {sentence}"
    assert caught.value.part == part
    assert isinstance(caught.value, UnsafeCheckpointError) == ((content, part, sentence) in UNSAFE)


@pytest.mark.parametrize("name", FACES)
def test_the_preflight_comes_before_every_auto_class(isolated: object, tmp_path: Path, name: str) -> None:
    """Whatever is loaded from it, a config.json is looked over before any class is built."""
    folder = write_checkpoint(tmp_path / "it", {"model_type": "bert", "num_labels": 10**9})
    with pytest.raises(autoreg.CheckpointError, match="not a number of labels"):
        getattr(autoreg, name).from_pretrained(folder)


@pytest.mark.parametrize(
    "content",
    [
        b'{"time_step_limit": [0.0, Infinity], "ssm_cfg": {"dt_limit": [0.0, Infinity]}}',
        b'{"anything": {"__float__": "-Infinity"}, "model_max_length": 1000000000000000019884624838656}',
        b'{"_name_or_path": "x", "_num_labels": 3, "_anything_at_all": 1, "_auto_class": null, "attribute_map": {}}',
        b'{"num_labels": null, "id2label": null, "dtype": null, "torch_dtype": "bfloat16", "hidden_size": null}',
        b'{"id2label": {"0": 3, " 7": null}, "label2id": {"to_dict": 0, "__class__": 1, "_auto_class": 2}}',
        b'{"vocabulary_map": {"to_dict": 1, "dtype": 2}, "quantization_config": {"update": 1, "dtype": "nf4"}}',
        b'{"attn_implementation": "flash_attention_2", "transformers_weights": "sub/model.safetensors"}',
        b'{"no_such_field": [[1, 2], {"a": "\\ud800"}], "num_hidden_layers": "many", "n_layer": -1}',
        b'{"a": ' * 32 + b"1" + b"}" * 32,
    ],
)
def test_what_is_sloppy_and_harmless_passes(tmp_path: Path, content: bytes) -> None:
    """What old releases wrote and people leave in their files is read as Python reads it."""
    found = read_config(write_checkpoint(tmp_path / "it", content), {})
    assert found is not None
    assert found.fields == json.loads(content)


def test_a_config_that_may_not_be_opened(tmp_path: Path) -> None:
    """What the system says of a file that cannot be read is passed on with the file's name."""
    with pytest.raises(autoreg.CheckpointError, match=r"it cannot be read \(Is a directory\)\.\nSee its permissions"):
        read_json(str(tmp_path))
    with pytest.raises(autoreg.CheckpointNotFoundError, match=r"there is no such file\."):
        read_json(str(tmp_path / "generation_config.json"))


@pytest.mark.slow
def test_every_config_that_transformers_writes_passes(tmp_path: Path) -> None:
    """The default config of each native model type, written whole and as a difference, passes as it was written."""
    file, seen = tmp_path / "config.json", 0
    for model_type, config in _default_configs():
        seen += 1
        known = fields_of_class(type(config))
        for use_diff in (True, False):
            config.to_json_file(file, use_diff=use_diff)
            found = read_config(tmp_path, {})
            assert found is not None, model_type
            assert found.fields == json.loads(file.read_bytes()), model_type
            check_names(found.fields, file=model_type, taken=taken_by_class(type(config)), own=known)
            check_fields(found.fields, known, file=model_type)
    assert seen > 300


def _default_configs() -> Iterator[tuple[str, Any]]:
    from transformers import CONFIG_MAPPING

    for model_type in CONFIG_MAPPING:
        try:
            yield model_type, CONFIG_MAPPING[model_type]()
        except Exception:  # a backbone that is not installed, a default that its own class refuses
            continue


def test_what_transformers_makes_of_such_a_config(tmp_path: Path) -> None:
    """Without the preflight a field gets another's value, a dtype becomes a function, a save would copy code: silently."""
    import transformers

    changes = {"attribute_map": {"hidden_size": "vocab_size"}, "_auto_class": "AutoConfig"}
    folder = write_checkpoint(tmp_path / "it", {"model_type": "bert", "hidden_size": 8, "vocab_size": 3, **changes})
    config = transformers.AutoConfig.from_pretrained(folder)
    assert config.hidden_size == 3
    assert config._auto_class == "AutoConfig"
    assert callable(transformers.BertConfig(dtype="load").dtype)
    with pytest.raises(autoreg.CheckpointError):
        autoreg.AutoConfig.from_pretrained(folder)


def test_the_names_of_methods_are_those_of_the_installed_transformers() -> None:
    """No method or read-only property of a config is missing from the table of names that no field may have."""
    from transformers import PreTrainedConfig

    members = {name: inspect.getattr_static(PreTrainedConfig, name) for name in dir(PreTrainedConfig)}
    taken = {
        name
        for name, member in members.items()
        if inspect.isfunction(member)
        or isinstance(member, (classmethod, staticmethod))
        or (isinstance(member, property) and member.fset is None)
    }
    assert {name for name in taken if not name.startswith("__")} <= METHODS


def test_the_names_of_dtypes_are_those_of_torch() -> None:
    """Each name that torch has for a dtype passes, and no other name that torch has."""
    import torch

    for name in dir(torch):
        is_dtype = isinstance(getattr(torch, name), torch.dtype)
        try:
            check_structure({"dtype": name}, file="config.json")
            passes = True
        except autoreg.CheckpointError:
            passes = False
        assert passes == is_dtype, name


@pytest.mark.parametrize("face", ["AutoConfig", "AutoModel", "AutoModelForSequenceClassification"])
@pytest.mark.parametrize(
    ("architectures", "advice"),
    [
        (["BertForSequenceClassification"], "Its `architectures` names BertForSequenceClassification: load it with that class, transformers.BertForSequenceClassification.from_pretrained({folder!r}), or add the line \"model_type\" to the file."),
        (["SomethingElse"], 'Add the line "model_type" to the file, or load the checkpoint with the class that saved it.'),
        (None, 'Add the line "model_type" to the file, or load the checkpoint with the class that saved it.'),
    ],
)  # fmt: skip
def test_no_model_type(
    isolated: object, tmp_path: Path, architectures: list[str] | None, advice: str, face: str
) -> None:
    """A config.json without `model_type` is refused, with the class that its `architectures` names."""
    folder = write_checkpoint(
        tmp_path / "it", {"vocab_size": 3, **({"architectures": architectures} if architectures else {})}
    )
    with pytest.raises(autoreg.CheckpointError) as caught:
        getattr(autoreg, face).from_pretrained(folder)
    assert str(caught.value) == (
        f"{folder / 'config.json'}: there is no `model_type` in it, so {face} cannot tell which architecture this is.\n"
        + advice.format(folder=str(folder))
    )


@pytest.mark.parametrize(
    ("model_type", "near"), [("brt", "'bert'"), ("Bert", "'bert'"), ("zigzga", "'zigzag'"), ("zig-zag", "'zigzag'")]
)
def test_one_letter_off(make_plugin: MakePlugin, tmp_path: Path, model_type: str, near: str) -> None:
    """A model type one letter off, native or a plugin's, is unknown and the right one is proposed."""
    make_plugin()
    folder = write_checkpoint(tmp_path / "it", {"model_type": model_type})
    with pytest.raises(autoreg.UnknownArchitectureError) as caught:
        autoreg.AutoModel.from_pretrained(folder)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(
        f"{folder / 'config.json'}: the model type {model_type!r} is neither one of transformers "
    )
    assert lines[1].startswith("Did you mean ")
    assert near in lines[1]


# --- any bytes at all --------------------------------------------------------------------------------

_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_fields = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["model_type", "architectures", "auto_map", "autoreg", "torch_dtype"], _json)
)
_content = (
    st.binary(max_size=60)
    | _fields.map(json.dumps).map(str.encode)
    | st.text(max_size=30).map(lambda text: text.encode("utf-16"))
)


@given(_content)
@example(b"\xef\xbb\xbf{}")
@example(b"[" * 100_000)
@example(b'{"a": ' * 3000)
@example(b'{"model_type": "\\ud800"}')
@example(b'{"model_type": "bert", "model_type": 3}')
@example(b'{"a": ' + b"1" * 5000 + b"}")
@example(b'{"model_type": NaN}')
@example(b'{"\\ud800": 1, "\\ud800": 2}')
@example(b'{"\\ud800_config": {"num_labels": "\\ud800", "\\n": NaN}}')
@example(b'{"__class__": {"x": 1}, "_auto_class": "\\ud800"}')
@example(b'{"a": {"__float__": NaN}}')
@example(b'{"dtype": "\\ud800", "id2label": {"\\ud800": 0}}')
@example(b'{"autoreg": {"requires": 3}, "auto_map": {"AutoModel": {"x": null}}, "architectures": [null, "A"]}')
def test_any_bytes_are_a_config_or_a_checkpoint_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever bytes are in the file, it is read or refused with its name; its fields never raise."""
    folder = tmp_path_factory.getbasetemp() / "any-bytes"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(content)
    try:
        found = read_config(folder, {})
    except autoreg.CheckpointError as error:
        assert str(error).startswith((f"{folder / 'config.json'}: ", f"{folder / 'config.json'}, "))  # noqa: PT017 # either outcome is right
        str(error).encode()  # it can be printed
        return
    assert isinstance(found, ConfigFile)
    assert found.model_type is None or isinstance(found.model_type, str)
    assert all(isinstance(name, str) for name in found.architectures)
    assert isinstance(found.requires, str)
    assert isinstance(found.remote_code("AutoModel"), str)


@given(st.text(max_size=40))
@example("/")
@example(".")
@example("a\x00b")
@example("a" * 5000)
@example("\ud800")
def test_any_text_is_a_path_or_a_hub_id(text: str) -> None:
    """Whatever text is given for a source, it is found, asked of the hub, or a CheckpointNotFoundError."""
    try:
        found: Any = read_config(text, {"local_files_only": True})
    except autoreg.CheckpointError:
        return
    assert found is None or os.path.isfile(found.file)


@given(_fields)
def test_a_requirement_is_one_printable_line(fields: dict[str, Any]) -> None:
    """What a checkpoint claims to need reaches messages only as one printable line."""
    fields.setdefault("autoreg", {"requires": "x\x1b[31m\nrm -rf"})
    assert ConfigFile("s", "f", fields).requires.isprintable()


# --- damage, thousands of times ------------------------------------------------------------------------

SOUND = {
    "architectures": ["BertForMaskedLM"],
    "dtype": "float32",
    "hidden_size": 48,
    "id2label": {"0": "no", "1": "yes"},
    "layer_norm_eps": 1e-12,
    "model_type": "bert",
    "num_hidden_layers": 2,
    "num_labels": 2,
    "text_config": {"model_type": "bert", "time_step_limit": [0.0, {"__float__": "Infinity"}], "name": "é\u2028"},
    "tie_word_embeddings": True,
}
EVERYDAY, LONG = 1000, 10_000
PIECES = (
    b"NaN",
    b"Infinity",
    b"1e999",
    b"[[[[",
    b"}}",
    b'"_auto_class": 1,',
    b"\xff\xfe",
    b"\x00",
    b'"to_dict": 0,',
    b"9" * 5000,
)


def _damaged(content: bytes, chance: random.Random) -> bytes:
    """Return the content with one to three bits flipped, spans overwritten, deleted, doubled or cut off."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        at, length = chance.randrange(len(data) + 1), chance.choice((1, 2, 8, 64))
        match chance.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at : at + length] = chance.randbytes(min(length, len(data) - at))
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = chance.choice(PIECES)
            case 4:
                data[at:at] = data[at : at + length]
            case _ if chance.random() < 0.3:
                del data[at:]
    return bytes(data)


def _survive(folder: Path, seed: int, times: int) -> dict[str, int]:
    """Damage a sound config again and again; each is refused by an error of ours, or read as Python reads it."""
    chance, counts = random.Random(seed), {"refused": 0, "read": 0}
    content = json.dumps(SOUND, indent=2, sort_keys=True, ensure_ascii=False).encode()
    for number in range(times):
        damaged = _damaged(content, chance)
        (folder / "config.json").write_bytes(damaged)
        try:
            found = read_config(folder, {})
        except autoreg.CheckpointError as error:
            counts["refused"] += 1
            str(error).encode()
            continue
        assert found is not None
        assert found.fields == json.loads(damaged.decode("utf-8")), (seed, number, damaged)
        counts["read"] += 1
    return counts


def test_a_damaged_config_is_refused_or_read_as_it_stands(tmp_path: Path) -> None:
    """Of a thousand damaged files none raises anything but a CheckpointError or is read as something else."""
    counts = _survive(tmp_path, seed=4, times=EVERYDAY)
    assert min(counts.values()) > EVERYDAY / 50, counts  # both ways are taken


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_config_is_refused_or_read_as_it_stands_at_length(tmp_path: Path, seed: int) -> None:
    """Of ten thousand damaged files a seed none raises anything but a CheckpointError or is read as something else."""
    _survive(tmp_path, seed=seed, times=LONG)


def test_the_damage_catches_a_reader_without_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the guard (bare `json.loads`), the same damage raises errors that are not ours."""
    monkeypatch.setattr("autoreg.checkpoint.config.read_json", lambda file: json.loads(Path(file).read_bytes()))
    with pytest.raises((ValueError, AttributeError, TypeError)) as caught:
        _survive(tmp_path, seed=4, times=EVERYDAY)
    assert not isinstance(caught.value, autoreg.CheckpointError)

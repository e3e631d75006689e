# ruff: noqa: E501 # tables of whole messages, one case a line
"""A config.json that cannot be right is one clear sentence naming the file and what to do."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import autoreg
from autoreg.checkpoint import ConfigFile, read_config
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
@example(b'{"autoreg": {"requires": 3}, "auto_map": {"AutoModel": {"x": null}}, "architectures": [null, "A"]}')
def test_any_bytes_are_a_config_or_a_checkpoint_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever bytes are in the file, it is read or refused with its name; its fields never raise."""
    folder = tmp_path_factory.getbasetemp() / "any-bytes"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(content)
    try:
        found = read_config(folder, {})
    except autoreg.CheckpointError as error:
        assert str(error).startswith(f"{folder / 'config.json'}: ")  # noqa: PT017 # either outcome is right
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

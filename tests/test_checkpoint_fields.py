# ruff: noqa: E501 # tables of whole messages, one case a line
"""The fields of a plugin's config against its class, the sizes against the weights, a path against what is here."""

from __future__ import annotations

import collections.abc
import enum
import json
import os
import typing
from pathlib import Path
from typing import Any

import pytest
import transformers
from huggingface_hub import constants

import autoreg
from autoreg.checkpoint import read_config
from autoreg.checkpoint.annotations import check_fields, fields_of_class, taken_by_class
from autoreg.checkpoint.fields import check_sizes
from autoreg.checkpoint.json_file import read_json
from autoreg.checkpoint.names import check_names
from tests.conftest import MakePlugin
from tests.hub.server import serve
from tests.plugin_maker import REPOSITORY, in_new_process

FILE = "checkpoint/config.json"
CORRECT = "Correct the value in the file, or save or download the checkpoint again."


class Form(enum.Enum):
    """A choice of words, as a config may have for a field."""

    CHUNK = "chunkwise"
    STEP = "recurrent"


class Rope(typing.TypedDict, total=False):
    """A dictionary with known keys."""

    theta: float


class Nested:
    """What looks like a config class: it has a model type."""

    model_type = "nested"
    width: int = 3
    scales: dict[str, float]


# --- types -------------------------------------------------------------------------------------------

Count = typing.NewType("Count", int)
MISFITS = [
    (bool, 1, "true or false", "1"),
    (int, True, "an integer", "true"),
    (int, 3.0, "an integer", "3.0"),
    (int, "3", "an integer", '"3"'),
    (int, None, "an integer", "null"),
    (int, {"__float__": "Infinity"}, "an integer", "Infinity"),
    (float, "0.1", "a number", '"0.1"'),
    (float, False, "a number", "false"),
    (str, 3, "a string", "3"),
    (int | None, "x", "an integer or null", '"x"'),
    (typing.Optional[int], [], "an integer or null", "[]"),  # noqa: UP045
    (float | int | str, None, "a number or an integer or a string", "null"),
    (list[int] | int, 0.5, "a list, each an integer or an integer", "0.5"),
    (typing.Literal["a", 1], True, 'one of "a", 1', "true"),
    (typing.Literal["a", 1], "b", 'one of "a", 1', '"b"'),
    (list, {}, "a list", "{}"),
    (collections.abc.Sequence[str], "ab", "a list, each a string", '"ab"'),
    (tuple[int, int], [1], "a list of 2: an integer, an integer", "[1]"),
    (dict, [], "an object", "[]"),
    (dict[str, int], 3, "an object, each key a string, each value an integer", "3"),
    (Form, "parallel", 'one of "chunkwise", "recurrent"', '"parallel"'),
    (Rope, 3, "an object", "3"),
    (Nested, "bert", "an object", '"bert"'),
    (Count, "1", "an integer", '"1"'),
    (typing.Annotated[int, "even"], "1", "an integer", '"1"'),
]
INNER = [
    (list[int], [1, "2"], "field[1]", "an integer", '"2"'),
    (tuple[float, ...], [1, None], "field[1]", "a number", "null"),
    (tuple[int, str], [1, 2], "field[1]", "a string", "2"),
    (dict[str, list[int]], {"a": [1, 0.5]}, "field.a[1]", "an integer", "0.5"),
    (dict[str, float] | None, {"a": 1, "b": "x"}, "field.b", "a number", '"x"'),
    (Rope, {"theta": "x"}, "field.theta", "a number", '"x"'),
    (Nested, {"width": 0.5}, "field.width", "an integer", "0.5"),
    (dict | Nested | None, {"model_type": "nested", "width": "3"}, "field.width", "an integer", '"3"'),
    (list[Nested], [{"width": 3}, {"scales": {"a": []}}], "field[1].scales.a", "a number", "[]"),
]


@pytest.mark.parametrize(("annotation", "value", "expected", "found"), MISFITS)
def test_a_value_of_another_type(annotation: Any, value: Any, expected: str, found: str) -> None:
    """A value that is not of its field's type is refused, with the type in words and the value."""
    with pytest.raises(autoreg.CheckpointError) as caught:
        check_fields({"field": value}, {"field": annotation}, file=FILE)
    assert str(caught.value) == (
        f"{FILE}, field: the value is not of the type that its config class gives the field.\n"
        f"Expected {expected}, found {found}.\n{CORRECT}"
    )


@pytest.mark.parametrize(("annotation", "value", "part", "expected", "found"), INNER)
def test_a_value_within_a_value(annotation: Any, value: Any, part: str, expected: str, found: str) -> None:
    """Of a list or an object it is the wrong item that is named."""
    with pytest.raises(autoreg.CheckpointError) as caught:
        check_fields({"field": value}, {"field": annotation}, file=FILE)
    assert (caught.value.part, caught.value.expected, caught.value.found) == (part, expected, found)


def test_a_key_of_another_type() -> None:
    """A key that cannot stand for the type of the keys is named."""
    with pytest.raises(
        autoreg.CheckpointError, match=r'field: .*\n.*Expected an object, each key an integer.*"LABEL_0"'
    ):
        check_fields({"field": {"0": "a", "LABEL_0": "b"}}, {"field": dict[int, str]}, file=FILE)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (float, 3),
        (float, {"__float__": "-Infinity"}),
        (int, -5),
        (int | None, None),
        (None, None),
        (list[float], [1, 0.5]),
        (set[str], ["a"]),
        (tuple, [1, "a", None]),
        (tuple[int], [1, 2, 3]),
        (tuple[float, float], [0, {"__float__": "Infinity"}]),
        (collections.abc.Sequence[int], []),
        (dict[int, str], {"0": "no", "-1": "yes"}),
        (dict[float, str], {"0.5": "no"}),
        (dict[str, Any], {"0": {"a": [1]}}),
        (collections.abc.Mapping[str, int], {"a": 1}),
        (typing.Literal["a", 1], 1),
        (Form, "recurrent"),
        (Rope, {"theta": 1}),
        (Nested, {}),
        (Nested, {"width": 3, "unknown": "x"}),
        (Nested, {"model_type": "another", "width": "x"}),
        (transformers.LlamaConfig, {"hidden_size": "x"}),
        (dict | transformers.PreTrainedConfig | None, {"model_type": "llama", "hidden_size": "x"}),
        (Any, None),
        (object, [1]),
        ("SomethingForTypeCheckers", 3),
        (typing.TypeVar("T"), 3),
        (Path, "a/b"),
        (complex, [1, 2]),
        (typing.Annotated[float | None, "rate"], 1),
    ],
)  # fmt: skip
def test_a_value_that_its_field_may_have(annotation: Any, value: Any) -> None:
    """What JSON makes of a value of the type passes; what no one can judge passes too."""
    assert check_fields({"field": value}, {"field": annotation}, file=FILE) == ()


# --- slips of the pen ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unknown", "known"),
    [
        ("scal", "scale"),
        ("hiden_size", "hidden_size"),
        ("hidden_szie", "hidden_size"),
        ("hiddenSize", "hidden_size"),
        ("num_layer", "num_layers"),
        ("layernorm_eps", "layer_norm_eps"),
        ("dorpout", "dropout"),
    ],
)
def test_an_unknown_field_like_an_absent_one(unknown: str, known: str) -> None:
    """An unknown field that looks like a known one is named if that one is absent, and not otherwise."""
    fields = {unknown: 1, "vocab_size": 3}
    names = {known: Any, "vocab_size": int}
    assert check_fields(fields, names, file=FILE) == (f"{FILE}: unknown `{unknown}`; did you mean `{known}`?",)
    assert check_fields({**fields, known: 2}, names, file=FILE) == ()


@pytest.mark.parametrize(
    ("unknown", "known"),
    [
        ("encoder_layers", "decoder_layers"),
        ("num_labels", "num_layers"),
        ("bos_token_id", "eos_token_id"),
        ("k_dim", "q_dim"),
        ("torch_dtype", "dtype"),
        ("max_length", "vocab_size"),
        ("_scale", "scale"),
        ("attention_dropout", "activation_dropout"),
        ("num_key_value_heads", "num_attention_heads"),
    ],
)
def test_an_unknown_field_of_its_own(unknown: str, known: str) -> None:
    """Two fields whose names merely belong to one family are not taken for each other."""
    assert check_fields({unknown: 1}, {known: Any}, file=FILE) == ()


# --- what a class says -----------------------------------------------------------------------------------


def test_the_fields_of_a_plugins_config(make_plugin: MakePlugin) -> None:
    """Annotations, arguments, second names and nullable fields of a real config class are found, methods too."""
    plugin = make_plugin(
        modules={
            "configuration": """
                from __future__ import annotations
                from typing import TYPE_CHECKING, Optional
                from transformers import PreTrainedConfig

                if TYPE_CHECKING:
                    from nowhere import Unknown

                class ${Class}Config(PreTrainedConfig):
                    model_type = "$model_type"
                    attribute_map = {"n_embd": "hidden_size"}
                    hidden_size: int = 4
                    scale: float = 1.0
                    pad_token_id: int = None
                    window: Optional[int] = 3
                    special: Unknown = 3

                    def widen(self):
                        return self.hidden_size * 2

                    @property
                    def width(self):
                        return self.hidden_size
                """
        }
    )
    known = fields_of_class(plugin.cls("configuration:Config"))
    assert {name: known[name] for name in ("hidden_size", "n_embd", "scale", "window", "special")} == {
        "hidden_size": int,
        "n_embd": int,
        "scale": float,
        "window": int | None,
        "special": Any,
    }
    assert check_fields({"pad_token_id": None, "n_embd": 3, "special": "x"}, known, file=FILE) == ()
    assert check_fields({"scal": 3}, known, file=FILE) == (f"{FILE}: unknown `scal`; did you mean `scale`?",)
    taken = taken_by_class(plugin.cls("configuration:Config"))
    assert {"widen", "width", "to_dict"} <= set(taken)
    assert not {"hidden_size", "scale", "num_labels", "output_attentions"} & set(taken)


def test_the_configs_in_a_plugins_config(make_plugin: MakePlugin) -> None:
    """A config within a config is compared with its own class, by annotation or `sub_configs`, misspelt fields too."""
    plugin = make_plugin(
        modules={
            "configuration": """
                from transformers import PreTrainedConfig

                class InnerConfig(PreTrainedConfig):
                    model_type = "inner"
                    scale: float = 1.0

                class ${Class}Config(PreTrainedConfig):
                    model_type = "$model_type"
                    sub_configs = {"text_config": InnerConfig}
                    text_config: dict | PreTrainedConfig | None = None
                    other: InnerConfig | None = None
                """
        }
    )
    known = fields_of_class(plugin.cls("configuration:Config"))
    assert check_fields({"text_config": None, "other": None}, known, file=FILE) == ()
    assert check_fields({"text_config": {"scale": 1}, "other": {"scale": 2.0}}, known, file=FILE) == ()
    for name in ("text_config", "other"):
        with pytest.raises(autoreg.CheckpointError, match=rf"{name}\.scale: .*\nExpected a number, found"):
            check_fields({name: {"scale": "x"}}, known, file=FILE)
        assert check_fields({name: {"scal": 3}}, known, file=FILE) == (
            f"{FILE}: unknown `{name}.scal`; did you mean `scale`?",
        )


def test_the_arguments_of_a_config_with_its_own_init(make_plugin: MakePlugin) -> None:
    """A config class with an `__init__` declares its fields there; one without an annotation takes anything."""
    plugin = make_plugin(
        modules={
            "configuration": """
                from transformers import PreTrainedConfig

                class ${Class}Config(PreTrainedConfig):
                    model_type = "$model_type"

                    def __init__(self, hidden_size: int = 4, kind="x", window: "int" = None, **kwargs):
                        super().__init__(**kwargs)
                """
        }
    )
    known = fields_of_class(plugin.cls("configuration:Config"))
    assert check_fields({"hidden_size": 4, "kind": [], "window": None}, known, file=FILE) == ()
    with pytest.raises(autoreg.CheckpointError, match=r"Expected an integer or null, found 0\.5"):
        check_fields({"window": 0.5}, known, file=FILE)


def test_a_real_plugin_and_its_checkpoint() -> None:
    """The checkpoint of a real plugin passes all that is asked of a plugin's config, and a slip in it does not."""
    from autoreg_retnet import RetNetConfig

    file = str(REPOSITORY / "plugins" / "autoreg-retnet" / "checkpoint" / "config.json")
    fields, known = read_json(file), fields_of_class(RetNetConfig)
    check_names(fields, file=file, taken=taken_by_class(RetNetConfig), own=known)
    assert check_fields(fields, known, file=file) == ()
    assert check_fields(json.loads(json.dumps(RetNetConfig().to_dict())), known, file=file) == ()
    misspelt = {"rotation_bas" if name == "rotation_base" else name: value for name, value in fields.items()}
    assert check_fields(misspelt, known, file=file) == (
        f"{file}: unknown `rotation_bas`; did you mean `rotation_base`?",
    )


def test_native_configs_fit_their_own_annotations() -> None:
    """What transformers writes for its own config classes fits their annotations: none is taken for a wrong type."""
    from transformers import BartConfig, BertConfig, GPT2Config, LlavaConfig, Mamba2Config, ViTConfig

    for cls in (BartConfig, BertConfig, GPT2Config, LlavaConfig, Mamba2Config, ViTConfig):
        written = json.loads(cls().to_json_string(use_diff=False))
        assert check_fields(written, fields_of_class(cls), file=FILE) == (), cls


# --- names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("widen", "it is a method or property of this config class, which the value would take the place of."),
        ("_cache", "a name that begins with `_` is private to the code, and neither transformers nor this config class writes this one."),
    ],
)  # fmt: skip
def test_a_name_that_a_plugins_config_cannot_have(name: str, problem: str) -> None:
    """A key that hides a method of the plugin's class, or is private to nobody known, is refused."""
    advice = "Take the line out of the file, or save or download the checkpoint again."
    with pytest.raises(autoreg.CheckpointError) as caught:
        check_names({name: 1}, file=FILE, taken={"widen"}, own={"scale"})
    assert str(caught.value) == f"{FILE}, {name}: {problem}\n{advice}"


def test_a_name_that_a_plugins_config_may_have() -> None:
    """Unknown names pass, transformers' own private ones, and what the class itself writes."""
    names = ("anything", "_name_or_path", "_attn_implementation", "_num_labels", "_pattern", "width")
    check_names(dict.fromkeys(names), file=FILE, taken={"width"}, own={"_pattern", "width"})


# --- sizes -----------------------------------------------------------------------------------------------

BERT = {"hidden_size": 768, "vocab_size": 30522, "intermediate_size": 3072, "num_hidden_layers": 12}


@pytest.mark.parametrize(
    ("change", "part", "found"),
    [
        ({"vocab_size": 3_052_200_000}, "hidden_size", "hidden_size 768 and vocab_size 3052200000"),
        ({"hidden_size": 768_000}, "hidden_size", "hidden_size 768000 and vocab_size 30522"),
        ({"hidden_size": -768}, "hidden_size", "-768"),
        ({"num_hidden_layers": 9999}, "hidden_size", "hidden_size 768 and num_hidden_layers * hidden_size 7679232"),
        ({"text_config": {"d_model": 10**6, "d_ff": 10**7}}, "text_config.d_model", "d_model 1000000 and d_ff 10000000"),
    ],
)  # fmt: skip
def test_sizes_beyond_the_weights(change: dict[str, Any], part: str, found: str) -> None:
    """A matrix that cannot be in weight files of that size is refused, with the two fields that make it."""
    check_sizes(BERT, file=FILE, weights=440_000_000)
    with pytest.raises(autoreg.CheckpointError) as caught:
        check_sizes({**BERT, **change}, file=FILE, weights=440_000_000)
    assert (caught.value.part, caught.value.found) == (part, found)


def test_what_the_weights_justify() -> None:
    """Weights shared by layers, factored or quantized, and small models of any shape, pass."""
    albert = {"hidden_size": 4096, "embedding_size": 128, "vocab_size": 30000, "num_hidden_layers": 12}
    check_sizes(albert, file=FILE, weights=890_000_000)
    large = {"hidden_size": 8192, "vocab_size": 128256, "intermediate_size": 28672, "num_hidden_layers": 80}
    check_sizes({**large, "quantization_config": {"bits": 2}}, file=FILE, weights=20_000_000_000)
    check_sizes({"hidden_size": 8, "vocab_size": 250_000, "num_hidden_layers": 1}, file=FILE, weights=1000)
    check_sizes({"hidden_size": [64, 128], "vocab_size": None}, file=FILE, weights=0)


# --- a path, mistyped ------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that holds `models/first`, `models/second` and `bert-base-cased`; nothing is in the cache."""
    folder = tmp_path / "here"
    for name in ("models/first", "models/second", "bert-base-cased"):
        (folder / name).mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("./modles/first", "There is no folder {here}/modles either; did you mean ./models/first?"),
        ("models/first/checkpoint-7", "The folder {here}/models/first is there."),
        ("{here}/modles/frist", "There is no folder {here}/modles either; did you mean {here}/models/first?"),
        ("https://huggingface.co/google/bert/tree/main", "This is an address. Pass the hub id alone: 'google/bert'."),
        ("google/bert/", "If it is a hub id, pass it bare: 'google/bert'."),
        ("models--first", "Did you mean {here}/models?"),
    ],
)
def test_a_mistyped_path(here: Path, text: str, advice: str) -> None:
    """A path that differs by slips of the pen, or is written as in another place, is answered with the right one."""
    with pytest.raises(autoreg.CheckpointNotFoundError) as caught:
        read_config(text.format(here=here), {})
    told = advice.format(here=here)
    assert str(caught.value) == f"{text.format(here=here)}: there is no such file or folder.\n{told}"


@pytest.mark.skipif(os.sep == "\\", reason="a backslash separates folders here")
def test_a_path_with_backslashes(here: Path) -> None:
    """A path as Windows writes it is answered with the folder that it means here."""
    with pytest.raises(autoreg.CheckpointNotFoundError, match="Did you mean models/first"):
        read_config("modles\\first", {})


def test_a_parent_that_may_not_be_listed(here: Path) -> None:
    """A folder that cannot be looked into is no reason for another error."""
    (here / "models").chmod(0o100)
    try:
        with pytest.raises(autoreg.CheckpointNotFoundError):
            read_config("./models/thrid", {})
    finally:
        (here / "models").chmod(0o700)


OUT_OF_REACH = [
    ("models/frist", "Did you mean the folder models/first?"),
    ("modles/second", "Did you mean the folder models/second?"),
    ("models/other", "The folder models is here, and there is no other in it; it holds first, second."),
    ("bert-base-casd", "Did you mean the folder bert-base-cased?"),
]


@pytest.mark.parametrize(("text", "hint"), OUT_OF_REACH)
def test_a_hub_id_that_reads_like_a_folder(here: Path, text: str, hint: str) -> None:
    """A string that may be a hub id and is not within reach is answered with the folder that it resembles."""
    with pytest.raises(autoreg.CheckpointNotFoundError) as caught:
        read_config(text, {"local_files_only": True})
    assert str(caught.value) == (
        f"{text}: there is no such folder, and no such repository on the hub within reach.\n{hint}\n"
        "If it is the repository that you mean, see its name, your token and the connection."
    )


def test_a_hub_id_that_resembles_nothing_here(here: Path) -> None:
    """A hub id out of reach that no folder resembles is left to transformers, and its own words."""
    assert read_config("elsewhere/entirely", {"local_files_only": True}) is None


def test_a_repository_in_the_cache_without_config(here: Path, tmp_path: Path) -> None:
    """A repository that is in the cache without a config.json, a tokenizer's say, is left to transformers."""
    repository = tmp_path / "cache" / "models--models--other"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (repository / "snapshots" / ("0" * 40) / "tokenizer.json").write_text("{}")
    assert read_config("models/other", {"local_files_only": True, "cache_dir": str(tmp_path / "cache")}) is None


def test_the_hub_is_asked_before_the_folder_is_named(here: Path, tmp_path: Path) -> None:
    """A repository that is there is loaded, whatever folders are here; one that is not there is answered with them."""
    repository = tmp_path / "hub" / "models" / "other"
    repository.mkdir(parents=True)
    (repository / "config.json").write_text('{"model_type": "bert"}')
    script = """
        import json, os, sys
        os.chdir(sys.argv[1])
        import autoreg
        from autoreg.checkpoint import read_config
        said = read_config("models/other", {}).model_type
        try:
            autoreg.AutoConfig.from_pretrained("models/frist")
        except autoreg.CheckpointNotFoundError as error:
            said += "; " + error.advice.splitlines()[0]
        print(json.dumps(said))
        """
    with serve(tmp_path / "hub") as hub:
        surroundings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
        said = in_new_process(script, arguments=[str(here)], environment=surroundings)
    assert said == "bert; Did you mean the folder models/first?"

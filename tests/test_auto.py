"""The drop-in Auto classes: every one there is, and alike to transformers' own for transformers' own."""

import ast
import inspect
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

import autoreg
from autoreg import natives
from tests.conftest import MakePlugin
from tests.plugin_maker import write_checkpoint

NAMES = sorted({*natives.auto_classes(), *natives.PROCESSING_AUTO_CLASSES})
HEADS = ["AutoModel", "AutoModelForMaskedLM", "AutoModelForSequenceClassification", "AutoModelForQuestionAnswering"]


def test_what_is_none_is_said() -> None:
    """A name that neither autoreg nor transformers has is an AttributeError."""
    with pytest.raises(
        AttributeError, match=r"^module 'autoreg' has no attribute 'AutoNothing'; nor has the installed"
    ):
        _ = autoreg.AutoNothing
    with pytest.raises(AttributeError, match=r"^module 'autoreg' has no attribute 'nothing'$"):
        _ = autoreg.nothing
    for name in ("AutoConfigs", "AutoModelMixin", "Auto"):
        assert not hasattr(autoreg, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_auto_class_is_a_thin_subclass(name: str) -> None:
    """Every Auto class of transformers has its drop-in: a subclass of the same name, made once."""
    import transformers

    pytest.importorskip("PIL", reason="AutoImageProcessor needs Pillow")
    if name == "AutoVideoProcessor":
        try:
            import torchvision  # noqa: F401
        except (ImportError, RuntimeError):
            pytest.skip("AutoVideoProcessor needs a torchvision that fits the installed torch")
    ours = getattr(autoreg, name)
    assert issubclass(ours, getattr(transformers, name))
    assert (ours.__name__, ours.__module__, ours.__qualname__) == (name, "autoreg", name)
    assert getattr(autoreg, name) is ours
    assert f"transformers.{name}" in inspect.getdoc(ours)
    with pytest.raises(OSError, match=f"{name} is designed to be instantiated"):
        ours()


def test_dir_lists_what_there_is() -> None:
    """`dir(autoreg)` lists the public names and every Auto class, importing nothing."""
    listed = dir(autoreg)
    assert {*autoreg.__all__, *NAMES} <= set(listed)
    assert listed == sorted(listed)


def test_type_checkers_see_the_same_names() -> None:
    """What type checkers are told of is `__all__` and every Auto class of the installed transformers."""
    tree = ast.parse(Path(autoreg.__file__).read_text())
    nodes = [node for block in tree.body if isinstance(block, ast.If) for node in ast.walk(block)]
    seen = {alias.asname or alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    annotated = {node.target.id for node in nodes if isinstance(node, ast.AnnAssign)}
    assert {*autoreg.__all__, *NAMES} <= seen | annotated
    if Version(version("transformers")) >= Version("5.23"):  # the release whose names are listed
        assert {name for name in seen if name.startswith("Auto")} <= {*autoreg.__all__, *NAMES}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a tiny native BERT with a tokenizer."""
    import transformers

    folder = tmp_path_factory.mktemp("bert")
    config = transformers.BertConfig(
        vocab_size=9, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
    transformers.BertTokenizer(vocab={word: number for number, word in enumerate(vocabulary)}).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", HEADS)
def test_transformers_own_load_alike(isolated: object, bert: Path, name: str) -> None:
    """A native checkpoint gives the same class and the same loading report through both, and equal weights."""
    import torch
    import transformers

    def load(face: Any) -> Any:
        torch.manual_seed(0)
        return getattr(face, name).from_pretrained(bert, output_loading_info=True)

    (ours, our_info), (theirs, their_info) = load(autoreg), load(transformers)
    assert type(ours) is type(theirs)
    assert our_info == their_info
    assert ours.config.to_dict() == theirs.config.to_dict()
    assert all(torch.equal(ours.state_dict()[key], value) for key, value in theirs.state_dict().items())


def test_the_rest_loads_alike(isolated: object, bert: Path) -> None:
    """Config and tokenizer of a native checkpoint are the same through both, keywords included."""
    import transformers

    for face in (autoreg, transformers):
        config, unused = face.AutoConfig.from_pretrained(bert, hidden_size=16, foo=1, return_unused_kwargs=True)
        assert (type(config), config.hidden_size, unused) == (transformers.BertConfig, 16, {"foo": 1})
        assert type(face.AutoTokenizer.from_pretrained(bert)) is transformers.BertTokenizer
        assert face.AutoTokenizer.from_pretrained(bert)("a b")["input_ids"] == [2, 5, 6, 3]
        assert face.AutoConfig.for_model("bert", hidden_size=20).hidden_size == 20
        assert type(face.AutoModel.from_config(config, attn_implementation="eager")) is transformers.BertModel


def test_keywords_reach_the_model(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """The keywords of `from_pretrained` reach config and model as they do in transformers."""
    import torch

    plugin = make_plugin()
    folder = tmp_path / "it"
    autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag", hidden_size=3)).save_pretrained(folder)
    model = autoreg.AutoModel.from_pretrained(folder, dtype=torch.bfloat16, output_attentions=True)
    assert type(model) is plugin.cls("modeling:Model")
    assert (model.scale.dtype, model.config.output_attentions, model.config.hidden_size) == (torch.bfloat16, True, 3)
    config = autoreg.AutoConfig.from_pretrained(folder)
    assert autoreg.AutoModel.from_pretrained(str(folder), config=config).config.to_dict() == config.to_dict()


def test_save_and_reload(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A plugin's model that is saved and loaded again is equal, through the Auto class and through its own."""
    import torch

    plugin = make_plugin()
    model = autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag"))
    torch.nn.init.normal_(model.scale)
    model.save_pretrained(tmp_path)
    for again in (autoreg.AutoModel.from_pretrained(tmp_path), plugin.cls("modeling:Model").from_pretrained(tmp_path)):
        assert torch.equal(again.scale, model.scale)
        assert type(again) is type(model)


def test_the_users_own_register_through_ours(make_plugin: MakePlugin) -> None:
    """`register` on autoreg's Auto classes is transformers' own."""
    import transformers

    plugin = make_plugin()
    config = type("MineConfig", (transformers.PreTrainedConfig,), {"model_type": "mine"})
    model = type("MineModel", (plugin.cls("modeling:Model"),), {"config_class": config, "__init__": _init})
    autoreg.AutoConfig.register("mine", config)
    autoreg.AutoModel.register(config, model)
    assert type(autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("mine"))) is model
    assert type(transformers.AutoModel.from_config(config())) is model


def _init(self: Any, config: Any) -> None:
    import transformers

    transformers.PreTrainedModel.__init__(self, config)
    self.post_init()


def test_a_path_like_source(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A source may be a str or any path-like object."""
    make_plugin()
    folder = write_checkpoint(tmp_path / "it", {"model_type": "zigzag"})
    assert type(autoreg.AutoConfig.from_pretrained(folder)) is type(autoreg.AutoConfig.from_pretrained(str(folder)))
    assert type(autoreg.AutoConfig.from_pretrained(pretrained_model_name_or_path=folder)).__name__ == "ZigzagConfig"

"""A package that registers, while it is imported, a model type that an installed plugin owns."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import autoreg
from autoreg import diagnosis
from autoreg.runtime import Runtime
from tests.conftest import MakePlugin
from tests.plugin_maker import Plugin

STRANGER = """
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
import torch

class StrangerConfig(PreTrainedConfig):
    model_type = "zigzag"
    hidden_size: int = 4

class StrangerModel(PreTrainedModel):
    config_class = StrangerConfig

    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.ones(config.hidden_size))
        self.post_init()

AutoConfig.register("zigzag", StrangerConfig, exist_ok=True)
AutoModel.register(StrangerConfig, StrangerModel, exist_ok=True)
"""


@pytest.fixture
def plugin(make_plugin: MakePlugin, site: Path) -> Iterator[Plugin]:
    """Install a plugin for zigzag, and a package that takes its place when it is imported."""
    (site / "stranger_zoo.py").write_text(STRANGER)
    yield make_plugin("zigzag")
    sys.modules.pop("stranger_zoo", None)


@pytest.fixture
def checkpoint(plugin: Plugin, tmp_path: Path) -> Path:
    """Return a checkpoint that the plugin saved, before the stranger is there."""
    model = autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag"))
    model.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_a_load_warns_and_names_class_plugin_and_remedy(plugin: Plugin, checkpoint: Path) -> None:
    """What was registered wins, and one warning names it, the plugin and the way back."""
    stranger = __import__("stranger_zoo")
    with pytest.warns(autoreg.AutoregWarning) as caught:
        models = [autoreg.AutoModel.from_pretrained(checkpoint) for _ in range(2)]
    assert {type(model) for model in models} == {stranger.StrangerModel}
    assert [str(warning.message) for warning in caught] == [
        f"'zigzag' belongs to the plugin {plugin.owner}, and stranger_zoo.StrangerConfig was registered in its place. "
        f'To load the plugin\'s class, set AUTOREG_PREFER="zigzag={plugin.distribution}".'
    ]


def test_the_remedy_works(plugin: Plugin, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With AUTOREG_PREFER naming the plugin, autoreg's and plain Auto classes give its classes, without a warning."""
    import transformers

    monkeypatch.setenv("AUTOREG_PREFER", f"zigzag={plugin.distribution}")
    stranger = __import__("stranger_zoo")
    with autoreg.isolated():
        transformers.AutoConfig.register("zigzag", stranger.StrangerConfig, exist_ok=True)
        transformers.AutoModel.register(stranger.StrangerConfig, stranger.StrangerModel, exist_ok=True)
        assert type(autoreg.AutoModel.from_pretrained(checkpoint)) is plugin.cls("modeling:Model")
        undo = autoreg.activate()
        assert type(transformers.AutoConfig.from_pretrained(checkpoint)) is plugin.cls("configuration:Config")
        assert type(transformers.AutoModel.from_pretrained(checkpoint)) is plugin.cls("modeling:Model")
        undo()


def test_doctor_names_the_culprit_and_the_remedy(plugin: Plugin, isolated: Runtime) -> None:
    """`doctor --classes` finds what was registered in the place of a plugin."""
    __import__("stranger_zoo")
    found = [finding for finding in diagnosis.doctor(isolated, classes=True) if finding.subject == "zigzag"]
    assert [(finding.severity, finding.problem, finding.mend) for finding in found] == [
        (
            "warning",
            f"stranger_zoo.StrangerConfig was registered in the place of {plugin.owner}'s.",
            f'export AUTOREG_PREFER="zigzag={plugin.distribution}" to load the plugin\'s class',
        )
    ]


def test_a_plugin_may_register_its_own_classes(plugin: Plugin, checkpoint: Path, isolated: Runtime) -> None:
    """What a plugin's own package registers is no replacement: no warning, no finding."""
    import transformers

    transformers.AutoConfig.register("zigzag", plugin.cls("configuration:Config"), exist_ok=True)
    transformers.AutoModel.register(plugin.cls("configuration:Config"), plugin.cls("modeling:Model"), exist_ok=True)
    assert type(autoreg.AutoModel.from_pretrained(checkpoint)) is plugin.cls("modeling:Model")
    assert not [finding for finding in diagnosis.doctor(isolated, classes=True) if finding.subject == "zigzag"]

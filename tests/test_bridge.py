"""What plugins look like from plain transformers, and that nothing of it is left after the undo."""

import importlib
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autoreg
import autoreg.runtime
from autoreg import natives
from tests.conftest import MakePlugin
from tests.plugin_maker import PROCESSING, in_new_process, write_checkpoint, write_plugin

AUTO_CLASSES = sorted(natives.auto_classes())  # `test_natives` proves that these are all
TABLES = "configuration", "modeling", "tokenization", "processing", "feature_extraction", "image_processing"


@pytest.fixture(autouse=True)
def vision() -> None:
    """Import what AutoImageProcessor needs, so that no test finds it missing halfway."""
    pytest.importorskip("PIL", reason="AutoImageProcessor needs Pillow")


def plain_state() -> dict[str, Any]:
    """Return all that an undo has to put back, comparable: which dicts, of which type, holding what."""
    importlib.import_module("transformers.processing_utils")  # makes a second `transformers`, once and for all
    import transformers
    from transformers import conversion_mapping

    state: dict[str, Any] = {"meta_path": list(map(id, sys.meta_path))}
    for name in TABLES:
        module = importlib.import_module(f"transformers.models.auto.{name}_auto")
        state[f"{name}.code"] = getattr(module, "get_class_from_dynamic_module", None)
        for attribute, value in vars(module).items():
            content = getattr(getattr(value, "_model_mapping", value), "_extra_content", None)
            if content is not None:
                state[f"{name}.{attribute}"] = (type(content), dict(content))
            elif attribute.endswith("MAPPING_NAMES") or attribute.startswith("REGISTERED_"):
                state[f"{name}.{attribute}"] = (type(value), dict(value))
    state["objects"] = (type(transformers._objects), id(transformers._objects))
    state["conversions"] = sorted(conversion_mapping.USER_REGISTERED_MAPPINGS)
    return state


# --- every Auto class ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AUTO_CLASSES)
def test_every_auto_class(make_plugin: MakePlugin, name: str) -> None:
    """A model declared under an Auto class is found by it: autoreg's at once, transformers' while activated."""
    import transformers

    plugin = make_plugin(models={name: "modeling:{0}Model"})
    plain, ours = getattr(transformers, name), getattr(autoreg, name)
    config, model = plugin.cls("configuration:Config")(), plugin.cls("modeling:Model")
    assert type(config) not in plain._model_mapping  # what its message lists imports every model there is
    undo = autoreg.activate()
    assert type(plain.from_config(config)) is model
    undo()
    assert type(config) not in plain._model_mapping
    assert issubclass(ours, plain)
    assert type(ours.from_config(config)) is model


def test_plain_transformers_does_not_know_it(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """Without activate() plain transformers refuses a plugin's checkpoint as it always did."""
    import transformers

    make_plugin()
    folder = write_checkpoint(tmp_path / "checkpoint", {"model_type": "zigzag"})
    for auto_class in (transformers.AutoConfig, transformers.AutoModel):
        with pytest.raises(ValueError, match="model type `zigzag`"):
            auto_class.from_pretrained(folder)
    undo = autoreg.activate()
    assert type(transformers.AutoConfig.from_pretrained(folder)).__name__ == "ZigzagConfig"
    undo()
    with pytest.raises(ValueError, match="model type `zigzag`"):
        transformers.AutoConfig.from_pretrained(folder)


# --- undo ------------------------------------------------------------------------------------------


def use_everything(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """Resolve a class of every kind through plain transformers."""
    import transformers

    modules = {"conversions": "RULES = []"}
    heads = {"AutoModel": "modeling:{0}Model", "AutoModelForCausalLM": "modeling:{0}ForCausalLM"}
    make_plugin(models=heads, weight_conversions="conversions:RULES", modules=modules, **PROCESSING)
    folder = write_checkpoint(
        tmp_path / "checkpoint",
        {"model_type": "zigzag"},
        preprocessor_config={},
        tokenizer_config={"tokenizer_class": "ZigzagTokenizer", "processor_class": "ZigzagProcessor"},
    )
    config = transformers.AutoConfig.from_pretrained(folder)
    assert transformers.AutoModel.from_config(config).config is config
    assert transformers.AutoModelForCausalLM.from_config(config)
    for name in ("AutoTokenizer", "AutoProcessor", "AutoImageProcessor", "AutoFeatureExtractor"):
        kind = name.removeprefix("Auto")
        assert type(getattr(transformers, name).from_pretrained(folder)).__name__ == f"Zigzag{kind}"


def test_undo_restores_the_very_same_state(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """After the undo every table of transformers' is of the type and holds what it held before."""
    before = plain_state()
    undo = autoreg.activate()
    assert plain_state() != before
    use_everything(make_plugin, tmp_path)
    undo()
    assert plain_state() == before
    undo()  # a second time is nothing
    assert plain_state() == before


def test_isolated_restores_the_very_same_state(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """After `isolated()` nothing is left of what was activated, resolved or registered inside."""
    import transformers

    before = plain_state()
    with autoreg.isolated():
        autoreg.activate()
        use_everything(make_plugin, tmp_path)
        autoreg.AutoConfig.for_model("zigzag")
        transformers.AutoConfig.register("mine", mine("mine"))
    assert plain_state() == before


def test_activations_are_counted(make_plugin: MakePlugin) -> None:
    """Plugins stay visible until the last activation is undone."""
    import transformers

    make_plugin()
    first, second = autoreg.activate(), autoreg.activate()
    first()
    first()
    assert "zigzag" in transformers.CONFIG_MAPPING
    second()
    assert "zigzag" not in transformers.CONFIG_MAPPING


def test_a_native_types_conversions_come_back(make_plugin: MakePlugin) -> None:
    """Conversions that a plugin declares for a native type it overrides give way to transformers' own on undo."""
    import transformers
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    details = {"overrides_native": ">=5", "weight_conversions": "rules:RULES", "modules": {"rules": "RULES = []"}}
    plugin = make_plugin("mixtral", distribution="my-mixtral", **details)
    before = get_checkpoint_conversion_mapping("mixtral")
    assert before
    undo = autoreg.activate()
    transformers.AutoModel.from_config(plugin.cls("configuration:Config")())
    assert get_checkpoint_conversion_mapping("mixtral") == []
    undo()
    assert list(map(str, get_checkpoint_conversion_mapping("mixtral") or ())) == list(map(str, before))


# --- what users register ---------------------------------------------------------------------------


def mine(model_type: str) -> Any:
    import transformers

    return type("MineConfig", (transformers.PreTrainedConfig,), {"model_type": model_type})


def test_what_is_registered_while_active_survives(make_plugin: MakePlugin) -> None:
    """What the user registers while plugins are active is there after the undo, in a plain dict."""
    import transformers

    plugin = make_plugin()
    undo = autoreg.activate()
    config = mine("mine")
    model = type("MineModel", (plugin.cls("modeling:Model"),), {"config_class": config})
    transformers.AutoConfig.register("mine", config)
    transformers.AutoModel.register(config, model)
    assert transformers.AutoModel.from_config(plugin.cls("configuration:Config")())
    undo()
    assert transformers.CONFIG_MAPPING._extra_content == {"mine": config}
    assert transformers.AutoModel._model_mapping._extra_content == {config: model}
    assert type(transformers.AutoModel._model_mapping._extra_content) is dict


@pytest.mark.parametrize("first", ["user", "plugin"])
def test_the_users_model_for_a_plugins_config_wins(make_plugin: MakePlugin, first: str) -> None:
    """A model that the user registers for a plugin's config wins, before and after the plugin's was used."""
    import transformers

    plugin = make_plugin()
    autoreg.activate()
    config = transformers.AutoConfig.for_model("zigzag")
    if first == "plugin":
        assert type(transformers.AutoModel.from_config(config)) is plugin.cls("modeling:Model")
    own = type("Own", (plugin.cls("modeling:Model"),), {})
    transformers.AutoModel.register(type(config), own)
    assert type(transformers.AutoModel.from_config(config)) is own
    assert type(autoreg.AutoModel.from_config(config)) is own


# --- the mappings themselves -----------------------------------------------------------------------

SMALL = "AutoModelForTableQuestionAnswering"  # its mapping has one native entry: walking it is cheap


def test_a_look_alike_is_not_the_plugins(make_plugin: MakePlugin) -> None:
    """A config class of the same name and model type that is not the plugin's has no model of the plugin's."""
    import transformers

    plugin = make_plugin(models={SMALL: "modeling:{0}Model"})
    autoreg.activate()
    look_alike = type("ZigzagConfig", (transformers.PreTrainedConfig,), {"model_type": "zigzag"})
    mapping = getattr(transformers, SMALL)._model_mapping
    assert plugin.cls("configuration:Config") in mapping
    assert look_alike not in mapping
    with pytest.raises(ValueError, match="Unrecognized configuration class"):
        getattr(transformers, SMALL).from_config(look_alike())


def test_walking_a_mapping_never_raises(make_plugin: MakePlugin) -> None:
    """Keys, values, items and length of a mapping raise nothing though a broken plugin is installed and imported."""
    import transformers

    broken = make_plugin("broken", modules={"plugin": "1/0"}, models={SMALL: "modeling:{0}Model"})
    stuck = make_plugin("stuck", modules={"modeling": "1/0"}, models={SMALL: "modeling:{0}Model"})
    good = make_plugin("good", models={SMALL: "modeling:{0}Model"})
    autoreg.activate()
    for plugin in (broken, stuck):
        __import__(plugin.package)
        with pytest.raises(autoreg.PluginError):
            getattr(transformers, SMALL).from_config(transformers.AutoConfig.for_model(plugin.model_type))
    mapping = getattr(transformers, SMALL)._model_mapping
    assert len(mapping.keys()) == len(mapping) == len(mapping.items()) == len(mapping.values())
    getattr(transformers, SMALL).from_config(good.cls("configuration:Config")())
    assert good.cls("configuration:Config") in mapping.keys()  # noqa: SIM118 # `keys` is what is tested
    assert good.cls("modeling:Model") in mapping.values()


def test_values_see_a_model_that_was_built_by_hand(make_plugin: MakePlugin) -> None:
    """Values hold the classes of a plugin whose model was built without an Auto class, as pipelines need."""
    import transformers

    plugin = make_plugin(models={SMALL: "modeling:{0}Model"})
    autoreg.activate()
    values = getattr(transformers, SMALL)._model_mapping.values
    assert plugin.prefix not in str(values())
    __import__(f"{plugin.package}.plugin")
    model = plugin.cls("modeling:Model")
    assert model in values()


def test_tables_of_names_learn_the_models_in_use(make_plugin: MakePlugin) -> None:
    """The table of causal language models, which the Trainer reads, has a plugin's model once it is in use."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as names  # noqa: N811

    plugin = make_plugin(models={"AutoModelForCausalLM": "modeling:{0}ForCausalLM"})
    undo = autoreg.activate()
    assert "zigzag" not in names
    transformers.AutoModelForCausalLM.from_config(plugin.cls("configuration:Config")())
    assert names["zigzag"] == "ZigzagForCausalLM"
    undo()
    assert "zigzag" not in names


def test_pickling_a_mapping_imports_no_plugin(make_plugin: MakePlugin) -> None:
    """A mapping is pickled and read back without any plugin being imported."""
    import transformers

    plugin = make_plugin(models={SMALL: "modeling:{0}Model"})
    autoreg.activate()
    mapping = getattr(transformers, SMALL)._model_mapping
    assert len(pickle.loads(pickle.dumps(mapping))) == len(mapping)
    assert plugin.imported() == []


def test_a_tuple_of_models_is_chosen_by_architectures(make_plugin: MakePlugin) -> None:
    """Of several models under one Auto class the config's `architectures` chooses, and the first is the default."""
    import transformers

    plugin = make_plugin(models={"AutoModel": ("modeling:{0}Model", "modeling:{0}ForCausalLM")})
    autoreg.activate()
    for auto_class in (autoreg.AutoModel, transformers.AutoModel):
        for architectures, expected in ((["ZigzagForCausalLM"], "ForCausalLM"), (["Other"], "Model")):
            config = autoreg.AutoConfig.for_model("zigzag", architectures=architectures)
            assert type(auto_class.from_config(config)) is plugin.cls(f"modeling:{expected}")


STRING = """
from __future__ import annotations
from transformers import PreTrainedModel
from .configuration import ZigzagConfig

class ZigzagModel(PreTrainedModel):
    config: ZigzagConfig
"""


def test_a_config_class_given_as_a_string_is_refused(make_plugin: MakePlugin) -> None:
    """A model whose `config_class` is a string, by the future import, is refused with the line that mends it."""
    plugin = make_plugin(modules={"modeling": STRING})
    with pytest.raises(autoreg.PluginError) as caught:
        autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag"))
    assert str(caught.value) == plugin.cannot_be_used(
        "its `config_class` is the string 'ZigzagConfig'; set `config_class = ZigzagConfig` in the class body",
        declared=f"the class {plugin.package}.modeling:ZigzagModel",
    )


def test_a_model_for_another_config_is_refused(make_plugin: MakePlugin) -> None:
    """A model whose `config_class` is not the declared config is refused naming both, though the names agree."""
    other = make_plugin("zigzag", distribution="other", entry_points="[console_scripts]\n")
    source = f"from {other.package}.modeling import ZigzagModel"
    plugin = make_plugin(modules={"modeling": source})
    with pytest.raises(autoreg.PluginError) as caught:
        autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag"))
    assert str(caught.value) == plugin.cannot_be_used(
        f"its `config_class` is {other.package}.configuration.ZigzagConfig,"
        f" not {plugin.package}.configuration:ZigzagConfig",
        declared=f"the class {plugin.package}.modeling:ZigzagModel",
    )


# --- processing classes, by config and by name ------------------------------------------------------

FILES = {
    "AutoTokenizer": {"tokenizer_config": {"tokenizer_class": "ZigzagTokenizer"}},
    "AutoImageProcessor": {"preprocessor_config": {"image_processor_type": "ZigzagImageProcessor"}},
    "AutoFeatureExtractor": {"preprocessor_config": {"feature_extractor_type": "ZigzagFeatureExtractor"}},
    "AutoProcessor": {
        "processor_config": {"processor_class": "ZigzagProcessor"},
        "tokenizer_config": {"tokenizer_class": "ZigzagTokenizer"},
    },
}


@pytest.mark.parametrize("with_config", [False, True], ids=["by name", "by name and config"])
@pytest.mark.parametrize("face", ["autoreg", "transformers"])
@pytest.mark.parametrize("name", FILES)
def test_by_name(make_plugin: MakePlugin, tmp_path: Path, name: str, face: str, with_config: bool) -> None:
    """A processing class that a checkpoint names is found, with a config.json beside it and without."""
    plugin = make_plugin(**PROCESSING)
    autoreg.activate()
    folder = write_checkpoint(tmp_path / "it", {"model_type": "zigzag"} if with_config else None, **FILES[name])
    found = getattr(importlib.import_module(face), name).from_pretrained(folder)
    assert type(found) is plugin.cls(f"processing:{name.removeprefix('Auto')}")


@pytest.mark.parametrize("face", ["autoreg", "transformers"])
@pytest.mark.parametrize("name", FILES)
def test_by_config(make_plugin: MakePlugin, tmp_path: Path, name: str, face: str) -> None:
    """A processing class that no file names is found by the model type."""
    plugin = make_plugin(**PROCESSING)
    autoreg.activate()
    folder = write_checkpoint(tmp_path / "it", {"model_type": "zigzag"}, preprocessor_config={}, tokenizer_config={})
    found = getattr(importlib.import_module(face), name).from_pretrained(folder)
    assert type(found) is plugin.cls(f"processing:{name.removeprefix('Auto')}")


def test_by_name_from_transformers_itself(make_plugin: MakePlugin) -> None:
    """`getattr(transformers, name)` finds declared classes, also after a processor was imported."""
    import transformers

    plugin = make_plugin(**PROCESSING)
    for _ in range(2):
        undo = autoreg.activate()
        assert transformers.ZigzagTokenizer is plugin.cls("processing:Tokenizer")
        assert transformers.ZigzagModel is plugin.cls("modeling:Model")
        importlib.import_module("transformers.processing_utils")  # executes transformers/__init__.py once more
        again = importlib.import_module("transformers")
        assert again.ZigzagTokenizer is plugin.cls("processing:Tokenizer")
        assert again.ZigzagProcessor is plugin.cls("processing:Processor")
        undo()
        assert not hasattr(again, "ZigzagTokenizer")
        assert not hasattr(transformers, "ZigzagTokenizer")


def test_by_name_after_a_processor_was_imported() -> None:
    """By-name look-ups see plugins although importing a processor executes transformers/__init__.py once more."""
    # In a process of its own: in this one somebody has imported a processor before.
    script = """
    import json, sys, tempfile
    from pathlib import Path
    from tests.plugin_maker import PROCESSING, write_plugin
    site = Path(tempfile.mkdtemp())
    sys.path.insert(0, str(site))
    write_plugin(site, **PROCESSING)
    import autoreg
    undo = autoreg.activate()
    import transformers
    from transformers import ProcessorMixin
    new = sys.modules["transformers"]
    seen = [hasattr(module, "ZigzagTokenizer") for module in (transformers, new)]
    undo()
    kinds = [type(module._objects).__name__ for module in (transformers, new)]
    print(json.dumps([new is transformers, seen, kinds]))
    """
    assert in_new_process(script) == [False, [True, True], ["dict", "dict"]]


def test_probing_transformers_loads_no_plugin(make_plugin: MakePlugin) -> None:
    """Probing transformers for names that are no class names loads no declaration."""
    import transformers

    plugin = make_plugin()
    autoreg.activate()
    for name in ("is_torch_xla_available", "no_such_name", "__path__", "NoSuchThing", "NOT_THERE"):
        hasattr(transformers, name)
    assert plugin.imported() == []


@pytest.mark.parametrize("asked", ["pil", "torchvision", None])
def test_an_image_processor_with_backends(make_plugin: MakePlugin, tmp_path: Path, asked: str | None) -> None:
    """Of an image processor's backends the one that is asked for is loaded; one that fails to import is passed by."""
    source = "from transformers.image_processing_utils import BaseImageProcessor\nclass {}(BaseImageProcessor): pass"
    plugin = make_plugin(
        image_processor={"pil": "slow:{0}ImageProcessorPil", "torchvision": "quick:{0}ImageProcessor"},
        modules={
            "slow": source.format("ZigzagImageProcessorPil"),
            "quick": "import no_such_library" if asked is None else source.format("ZigzagImageProcessor"),
        },
    )
    autoreg.activate()
    folder = write_checkpoint(tmp_path / "it", {"model_type": "zigzag"}, preprocessor_config={})
    for face in (autoreg, importlib.import_module("transformers")):
        options = {} if asked is None else {"backend": asked}
        found = face.AutoImageProcessor.from_pretrained(folder, **options)
        assert type(found) is plugin.cls("quick:ImageProcessor" if asked == "torchvision" else "slow:ImageProcessorPil")


def test_a_video_processor(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A video processor is found by its name and by the model type."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        pytest.skip("AutoVideoProcessor needs a torchvision that fits the installed torch")
    import transformers

    plugin = make_plugin(video_processor="video:{0}VideoProcessor")
    autoreg.activate()
    named = write_checkpoint(
        tmp_path / "named", video_preprocessor_config={"video_processor_type": "ZigzagVideoProcessor"}
    )
    typed = write_checkpoint(tmp_path / "typed", {"model_type": "zigzag"}, video_preprocessor_config={})
    for face in (autoreg, transformers):
        for folder in (named, typed):
            found = face.AutoVideoProcessor.from_pretrained(folder)
            assert type(found) is plugin.cls("video:VideoProcessor")


# --- composite models, conversions, own Auto classes, backbones --------------------------------------

COMBO = {
    "configuration": """
        from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

        class ComboConfig(PreTrainedConfig):
            model_type = "combo"
            sub_configs = {"text_config": AutoConfig, "vision_config": AutoConfig}
            text_config: dict | PreTrainedConfig | None = None
            vision_config: dict | PreTrainedConfig | None = None

            def __post_init__(self, **kwargs):
                for name in self.sub_configs:
                    value = getattr(self, name)
                    if isinstance(value, dict):
                        setattr(self, name, CONFIG_MAPPING[value["model_type"]](**value))
                super().__post_init__(**kwargs)
        """,
    "modeling": """
        from transformers import AutoModel, PreTrainedModel
        from .configuration import ComboConfig

        class ComboModel(PreTrainedModel):
            config_class = ComboConfig

            def __init__(self, config):
                super().__init__(config)
                self.text = AutoModel.from_config(config.text_config)
                self.vision = AutoModel.from_config(config.vision_config)
                self.post_init()
        """,
}


def test_a_composite_of_other_plugins_models(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A composite model's parts come from other plugins, by the model types of its nested configs."""
    text, vision = make_plugin("text"), make_plugin("eye")
    combo = make_plugin("combo", modules=COMBO)
    parts = {"text_config": {"model_type": "text", "hidden_size": 2}, "vision_config": {"model_type": "eye"}}
    folder = write_checkpoint(tmp_path / "combo", {"model_type": "combo", **parts})
    model = autoreg.AutoModel.from_config(autoreg.AutoConfig.from_pretrained(folder))
    assert (type(model), type(model.text), type(model.vision)) == tuple(
        plugin.cls("modeling:Model") for plugin in (combo, text, vision)
    )
    model.save_pretrained(folder)
    again = autoreg.AutoModel.from_pretrained(folder)
    assert again.text.scale.shape == (2,)
    assert [type(again.text), type(again.vision)] == [type(model.text), type(model.vision)]


def test_a_composite_of_a_broken_plugin_blames_it(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A nested config whose plugin is broken raises that plugin's own error."""
    make_plugin("text", modules={"plugin": "1/0"})
    make_plugin("combo", modules=COMBO)
    folder = write_checkpoint(tmp_path / "combo", {"model_type": "combo", "text_config": {"model_type": "text"}})
    with pytest.raises(autoreg.PluginError, match=r"'text' belongs to the plugin autoreg-text 1.0"):
        autoreg.AutoConfig.from_pretrained(folder)


RULES = "from transformers.core_model_loading import WeightRenaming\n"


@pytest.mark.parametrize(
    "rules",
    ["RULES = [WeightRenaming('gain', 'scale')]", "def RULES():\n    return [WeightRenaming('gain', 'scale')]"],
    ids=["list", "function"],
)
def test_weight_conversions_of_ones_own(make_plugin: MakePlugin, tmp_path: Path, rules: str) -> None:
    """A checkpoint of older names loads by the plugin's own conversions, given as a list or a function."""
    import torch
    from safetensors.torch import save_file

    make_plugin(weight_conversions="rules:RULES", modules={"rules": RULES + rules})
    folder = write_checkpoint(tmp_path / "old", {"model_type": "zigzag", "architectures": ["ZigzagModel"]})
    save_file({"gain": torch.arange(4.0)}, folder / "model.safetensors", metadata={"format": "pt"})
    model, info = autoreg.AutoModel.from_pretrained(folder, output_loading_info=True)
    assert model.scale.tolist() == [0, 1, 2, 3]
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]


def test_weight_conversions_inherited(make_plugin: MakePlugin) -> None:
    """Conversions inherited from a native model type are that type's own."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping as conversions

    plugin = make_plugin(weight_conversions="mixtral")
    assert conversions("zigzag") is None
    autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag"))
    assert [str(item) for item in conversions("zigzag")] == [str(item) for item in conversions("mixtral")]
    assert plugin.imported()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("nothing_like_it", "LookupError: transformers has no conversions for 'nothing_like_it'"),
        ("rules:NONE", "ImportError: module '{package}.rules' has no 'NONE'"),
        ("rules:BAD", "'int' object is not iterable"),
    ],
)
def test_weight_conversions_that_are_none(make_plugin: MakePlugin, value: str, problem: str) -> None:
    """Conversions that cannot be had are the plugin's error, naming the field."""
    plugin = make_plugin(weight_conversions=value, modules={"rules": "BAD = 3"})
    declared = f"{plugin.package}.{value}" if ":" in value else value
    with pytest.raises(autoreg.PluginError) as caught:
        autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag"))
    expected = problem.format(package=plugin.package).removeprefix("LookupError: ")
    assert str(caught.value) == plugin.cannot_be_used(expected, declared=f"weight_conversions={declared!r}")


OWN = {
    "autos": """
        from collections import OrderedDict
        from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

        class AutoModelForFolding(_BaseAutoModelClass):
            _model_mapping = _LazyAutoMapping(CONFIG_MAPPING_NAMES, OrderedDict())
        """
}


@pytest.mark.parametrize("order", ["config first", "Auto class first", "Auto class first, config by hand"])
def test_an_auto_class_of_the_packages_own(make_plugin: MakePlugin, order: str) -> None:
    """An Auto class that a package defines itself finds the plugin's model, whatever is imported first."""
    import transformers

    plugin = make_plugin(models={"autos:AutoModelForFolding": "modeling:{0}Model"}, modules=OWN)
    undo = autoreg.activate()
    steps: dict[str, Callable[[], Any]] = {
        "config": lambda: transformers.AutoConfig.for_model("zigzag"),
        "autos": lambda: importlib.import_module(f"{plugin.package}.autos").AutoModelForFolding,
        "by hand": lambda: plugin.cls("configuration:Config")(),  # noqa: PLW0108 # the class is made anew
    }
    if order == "config first":
        config, auto_class = steps["config"](), steps["autos"]()
    else:
        auto_class, config = steps["autos"](), steps["by hand" if "hand" in order else "config"]()
    assert type(auto_class.from_config(config)) is plugin.cls("modeling:Model")
    undo()
    assert type(auto_class._model_mapping._extra_content) is dict


def test_a_backbone_from_a_folder(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """autoreg.AutoBackbone loads a backbone from a local folder: a plugin's, and transformers' own."""
    import transformers

    plugin = make_plugin(models={"AutoBackbone": "modeling:{0}Model"})
    ours, native = tmp_path / "ours", tmp_path / "native"
    plugin.cls("modeling:Model")(plugin.cls("configuration:Config")()).save_pretrained(ours)
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1])
    transformers.ResNetBackbone(config).save_pretrained(native)
    assert type(autoreg.AutoBackbone.from_pretrained(ours)) is plugin.cls("modeling:Model")
    assert type(autoreg.AutoBackbone.from_pretrained(native)) is transformers.ResNetBackbone


# --- a transformers of another shape -----------------------------------------------------------------


class Odd(dict):
    """A table of a type that the bridge has not met."""


@pytest.mark.parametrize("where", ["CONFIG_MAPPING", "AutoModel", "AutoTokenizer", "everything"])
def test_an_unknown_transformers(
    make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    """On a transformers of another shape, architectures are registered by its public functions as they are loaded."""
    import transformers
    from transformers.models.auto import tokenization_auto

    mappings = {
        "CONFIG_MAPPING": transformers.CONFIG_MAPPING,
        "AutoModel": transformers.AutoModel._model_mapping,
        "AutoTokenizer": tokenization_auto.TOKENIZER_MAPPING,
    }
    for name in mappings if where == "everything" else [where]:
        monkeypatch.setattr(mappings[name], "_extra_content", Odd(mappings[name]._extra_content))
    with autoreg.isolated() as runtime:
        plugin = make_plugin(tokenizer=PROCESSING["tokenizer"])
        folder = tmp_path / "it"
        config = autoreg.AutoConfig.for_model("zigzag")
        autoreg.AutoModel.from_config(config).save_pretrained(folder)
        write_checkpoint(folder, tokenizer_config={"tokenizer_class": "ZigzagTokenizer"})
        assert type(autoreg.AutoModel.from_pretrained(folder)) is plugin.cls("modeling:Model")
        assert type(autoreg.AutoTokenizer.from_pretrained(folder)) is plugin.cls("processing:Tokenizer")
        missed = ["CONFIG_MAPPING", "AutoModel", "TOKENIZER_MAPPING"]
        seen = [name for name in missed if any(name in item for item in runtime.bridge.unknown)]
        assert seen == (missed if where == "everything" else [where.replace("AutoTokenizer", "TOKENIZER_MAPPING")])
    assert all("zigzag" not in str(mapping._extra_content) for mapping in mappings.values())


# --- before transformers is imported -----------------------------------------------------------------


def test_activate_before_transformers_is_imported(tmp_path: Path) -> None:
    """activate() before transformers is imported works as after it, and undo leaves no trace in what was imported."""
    plugin = write_plugin(tmp_path, **PROCESSING)
    write_checkpoint(tmp_path / "it", {"model_type": "zigzag"}, tokenizer_config={"tokenizer_class": "ZigzagTokenizer"})
    script = """
    import json, sys
    import autoreg
    before = list(sys.meta_path)
    undo = autoreg.activate()
    light = sorted({"torch", "transformers"} & set(sys.modules))
    import transformers
    config = transformers.AutoConfig.from_pretrained(sys.argv[1])
    model = transformers.AutoModel.from_config(config)
    tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
    undo()
    tables = [transformers.CONFIG_MAPPING, transformers.AutoModel._model_mapping]
    print(json.dumps([
        light,
        [type(value).__name__ for value in (config, model, tokenizer)],
        [[type(table._extra_content).__name__, len(table._extra_content)] for table in tables],
        [type(finder).__module__ for finder in sys.meta_path if type(finder).__module__.startswith("autoreg")],
        [module.__spec__.loader.__class__.__name__ for module in (transformers, transformers.models.auto)],
    ]))
    """
    assert in_new_process(script, path=[tmp_path], arguments=[str(tmp_path / "it")]) == [
        [],
        ["ZigzagConfig", "ZigzagModel", "ZigzagTokenizer"],
        [["dict", 0], ["dict", 0]],
        [],
        ["SourceFileLoader", "SourceFileLoader"],
    ]
    assert plugin.imported() == []


def test_a_class_of_any_name_is_found_once_its_plugin_is_in_use(make_plugin: MakePlugin) -> None:
    """`getattr(transformers, name)` finds a class whose name says nothing of its kind, of a plugin that is in use."""
    import transformers

    source = "from .modeling import ${Class}Model\n\nclass Evo(${Class}Model):\n    pass\n"
    plugin = make_plugin(models={"AutoModel": "evo:Evo"}, modules={"evo": source})
    autoreg.activate()
    assert not hasattr(transformers, "Evo")
    assert plugin.imported() == []
    transformers.AutoConfig.for_model("zigzag")
    assert transformers.Evo.__module__ == f"{plugin.package}.evo"


def test_an_auto_class_over_a_mapping_of_transformers(make_plugin: MakePlugin) -> None:
    """An Auto class that another package defines over a mapping of transformers' finds plugins too."""
    import transformers
    from transformers.models.auto.auto_factory import _BaseAutoModelClass

    plugin = make_plugin()
    autoreg.activate()

    class AutoElsewhere(_BaseAutoModelClass):
        _model_mapping = transformers.MODEL_MAPPING

    assert autoreg.runtime.current().bridge.unknown == []
    config = transformers.AutoConfig.for_model("zigzag")
    assert type(AutoElsewhere.from_config(config)) is plugin.cls("modeling:Model")


def test_an_auto_class_that_needs_the_base_class_alone(site: Path) -> None:
    """It is filled where nobody imports transformers' own Auto classes for models."""
    plugin = write_plugin(site)
    script = f"""
        import json
        from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping
        import {plugin.package}.elsewhere
        from autoreg import AutoConfig
        config = AutoConfig.for_model("zigzag")
        print(json.dumps(type({plugin.package}.elsewhere.AutoElsewhere.from_config(config)).__name__))
        """
    (site / plugin.package / "elsewhere.py").write_text(
        "from collections import OrderedDict\n"
        "from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping\n"
        "class AutoElsewhere(_BaseAutoModelClass):\n"
        "    _model_mapping = _LazyAutoMapping(OrderedDict(), OrderedDict())\n"
    )
    (site / plugin.package / "plugin.py").write_text(
        "from autoreg import Architecture, hookimpl\n"
        "@hookimpl\n"
        "def autoreg_architectures():\n"
        f"    key = '{plugin.package}.elsewhere:AutoElsewhere'\n"
        f"    models = {{key: '{plugin.package}.modeling:{plugin.prefix}Model'}}\n"
        f"    config = '{plugin.package}.configuration:{plugin.prefix}Config'\n"
        f"    yield Architecture(model_type='zigzag', config=config, models=models)\n"
    )
    assert in_new_process(script, path=[site]) == f"{plugin.prefix}Model"

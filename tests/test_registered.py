"""A declaration that wraps a package's own register function: run in isolation, read back."""

import pickle
from pathlib import Path

import pytest
from transformers import (
    CONFIG_MAPPING,
    IMAGE_PROCESSOR_MAPPING,
    MODEL_MAPPING,
    PROCESSOR_MAPPING,
    TOKENIZER_MAPPING,
    BertConfig,
)

import autoreg
from autoreg import Architecture, diagnosis
from autoreg.errors import DeclarationError, PluginError, UnknownArchitectureError
from autoreg.runtime import Runtime
from tests.conftest import MakePlugin
from tests.plugin_maker import Plugin, in_new_process

HEAD = """
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, BertConfig, BertModel

    from .configuration import ${Class}Config
    from .modeling import ${Class}ForCausalLM, ${Class}Model
    """
WHOLE = """
    def register_all():
        AutoConfig.register("$model_type", ${Class}Config)
        AutoModel.register(${Class}Config, ${Class}Model)
        AutoModelForCausalLM.register(${Class}Config, ${Class}ForCausalLM)
    """


@pytest.fixture
def wrapped(make_plugin: MakePlugin):
    """Return the function that installs a plugin whose declaration names nothing but a register function."""

    def make(body: str = WHOLE, **details: object) -> Plugin:
        facts = {"config": None, "models": None, "registered_by": "registering:register_all", **details}
        return make_plugin("zigzag", modules={"registering": HEAD + body}, **facts)

    return make


@pytest.mark.parametrize(
    ("beside", "named"),
    [
        ({"config": "a.b:C"}, "config"),
        ({"models": {"AutoModel": "a.b:C"}}, 'models["AutoModel"]'),
        ({"tokenizer": "a.b:C"}, "tokenizer"),
        ({"architectures": ("C",)}, "architectures"),
    ],
)
def test_classes_beside_the_function_are_refused(beside, named) -> None:
    """A declaration with a register function that names a class as well is refused, and the field is named."""
    with pytest.raises(DeclarationError) as caught:
        Architecture(model_type="zigzag", registered_by="a.b:register", **beside)
    assert str(caught.value) == (
        "Architecture field `registered_by` is 'a.b:register': its classes are those that the function registers, "
        f"and `{named}` is declared beside it."
    )


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("def register_all(): raise OSError('no disk')", "it raised OSError: no disk, and registered nothing"),
        ("def register_all(): raise SystemExit(3)", "it raised SystemExit: 3, and registered nothing"),
        ("def register_all(): pass", "it registered nothing"),
        ("def register_al(): pass", "has no 'register_all'; it has 'register_al', and registered nothing"),
        (
            "import flash_zigzag",
            "it raised ModuleNotFoundError: No module named 'flash_zigzag', and registered nothing",
        ),
        (
            """
    def register_all():
        class Inner(${Class}Config):
            model_type = "$model_type"
        AutoConfig.register("$model_type", Inner)
            """,
            "does not have: it could be neither found again nor pickled",
        ),
        (
            """
    def register_all():
        try:
            AutoConfig.register("bert", ${Class}Config)
        except ValueError:
            pass
            """,
            "it registered nothing",
        ),
    ],
)
def test_what_goes_wrong_is_the_plugins_error(wrapped, body: str, problem: str) -> None:
    """A function that fails, is missing, or swallows its own error ends in a PluginError that names all of it."""
    plugin = wrapped(body if body.startswith("\n") else f"\n    {body}\n")
    with pytest.raises(PluginError) as caught:
        autoreg.AutoConfig.for_model("zigzag")
    lines = str(caught.value).splitlines()
    assert lines[0] == f"'zigzag' belongs to the plugin {plugin.owner} ({plugin.site}), which cannot be used."
    assert lines[1].startswith(f"It declares the register function {plugin.package}.registering:register_all: ")
    assert lines[1].endswith(f"{problem}.")
    assert "autoreg doctor" in lines[2]


def test_an_error_half_way_spares_what_was_registered_before_it(wrapped) -> None:
    """Of a function that fails in the middle, the types before the error are used; those after it quote the error."""
    body = """
    class LateConfig(${Class}Config):
        model_type = "late"

    def register_all():
        AutoConfig.register("$model_type", ${Class}Config)
        AutoModel.register(${Class}Config, ${Class}Model)
        AutoConfig.register("bert", ${Class}Config)
        AutoConfig.register("late", LateConfig)
    """
    declaration = """
    from autoreg import Architecture, hookimpl

    @hookimpl
    def autoreg_architectures():
        for name in ("$model_type", "late"):
            yield Architecture(model_type=name, registered_by="$package.registering:register_all")
    """
    lines = "[autoreg]\nzigzag = $package.plugin\nlate = $package.plugin\n"
    plugin = wrapped(body, entry_points=lines)
    source = declaration.replace("$model_type", "zigzag").replace("$package", plugin.package)
    (plugin.site / plugin.package / "plugin.py").write_text("\n".join(line[4:] for line in source.splitlines()))
    assert type(autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag"))) is plugin.cls("modeling:Model")
    with pytest.raises(PluginError, match=r"raised ValueError: .*not consistent.*registered 'zigzag', and not 'late'"):
        autoreg.AutoConfig.for_model("late")


def test_every_class_is_found(wrapped) -> None:
    """Config and heads come from the function, for autoreg's Auto classes and for plain ones after `activate`."""
    import transformers

    plugin = wrapped()
    config = autoreg.AutoConfig.for_model("zigzag")
    assert type(config) is plugin.cls("configuration:Config")
    assert type(autoreg.AutoModelForCausalLM.from_config(config)) is plugin.cls("modeling:ForCausalLM")
    autoreg.activate()
    assert type(transformers.AutoModel.from_config(config)) is plugin.cls("modeling:Model")
    with pytest.raises(UnknownArchitectureError, match="declares it with: AutoModel, AutoModelForCausalLM"):
        autoreg.AutoModelForMaskedLM.from_config(config)


def test_saved_and_loaded(wrapped, tmp_path: Path) -> None:
    """A checkpoint of such an architecture is saved with its package and loaded again; its config pickles."""
    plugin = wrapped()
    model = autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag"))
    autoreg.save_pretrained(model, tmp_path / "saved")
    loaded = autoreg.AutoModel.from_pretrained(tmp_path / "saved")
    assert type(loaded) is plugin.cls("modeling:Model")
    assert loaded.config.autoreg["distribution"] == plugin.distribution
    assert type(pickle.loads(pickle.dumps(loaded.config))) is plugin.cls("configuration:Config")


def test_nothing_that_it_does_stays(wrapped) -> None:
    """What the function registers beside the declared type, native types that it replaces included, is gone again."""
    body = """
    class OtherConfig(${Class}Config):
        model_type = "other"

    class OverridingConfig(BertConfig):
        model_type = "bert"

    class OverridingModel(BertModel):
        config_class = BertConfig

    def register_all():
        AutoConfig.register("$model_type", ${Class}Config)
        AutoConfig.register("other", OtherConfig)
        AutoConfig.register("bert", OverridingConfig, exist_ok=True)
        AutoModel.register(BertConfig, OverridingModel, exist_ok=True)
    """
    wrapped(body)
    autoreg.AutoConfig.for_model("zigzag")
    assert "other" not in CONFIG_MAPPING
    assert CONFIG_MAPPING["bert"] is BertConfig
    assert MODEL_MAPPING[BertConfig].__module__.startswith("transformers.")


def test_it_may_look_whether_it_is_registered_already(wrapped) -> None:
    """A function that registers only what transformers lacks sees transformers as it is without the plugin."""
    body = """
    from transformers import CONFIG_MAPPING

    def register_all():
        if "$model_type" not in CONFIG_MAPPING:
            AutoConfig.register("$model_type", ${Class}Config)
            AutoModel.register(${Class}Config, ${Class}Model)
    """
    plugin = wrapped(body)
    assert type(autoreg.AutoConfig.for_model("zigzag")) is plugin.cls("configuration:Config")


def test_it_runs_once(wrapped) -> None:
    """However many classes are looked up, the function runs once."""
    body = WHOLE.replace('"$model_type", ${Class}Config)', '"$model_type", ${Class}Config); calls.append(1)', 1)
    plugin = wrapped("\n    calls = []\n" + body)
    config = autoreg.AutoConfig.for_model("zigzag")
    autoreg.AutoModel.from_config(config)
    autoreg.AutoModelForCausalLM.from_config(config)
    assert __import__(f"{plugin.package}.registering", fromlist=["_"]).calls == [1]


def test_the_user_who_calls_it_himself_goes_first(wrapped) -> None:
    """What a user registers with the same function stays registered when the bridge goes."""
    plugin = wrapped()
    undo = autoreg.activate()
    __import__(f"{plugin.package}.registering", fromlist=["_"]).register_all()
    assert type(autoreg.AutoConfig.for_model("zigzag")) is plugin.cls("configuration:Config")
    undo()
    assert CONFIG_MAPPING["zigzag"] is plugin.cls("configuration:Config")


def test_processing_classes_and_own_auto_classes_are_read_back(make_plugin: MakePlugin) -> None:
    """Tokenizers, image processors and Auto classes of the package itself are found as the function registered them."""
    own = """
    from collections import OrderedDict
    from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping

    class AutoModelFor${Class}ing(_BaseAutoModelClass):
        _model_mapping = _LazyAutoMapping(OrderedDict(), OrderedDict())
    """
    body = """
    from transformers import AutoImageProcessor, AutoProcessor
    from .own import AutoModelFor${Class}ing
    from .processing import ${Class}ImageProcessor, ${Class}Processor, ${Class}Tokenizer

    def register_all():
        AutoConfig.register("$model_type", ${Class}Config)
        AutoModelFor${Class}ing.register(${Class}Config, ${Class}Model)
        AutoTokenizer.register(${Class}Config, tokenizer_class=${Class}Tokenizer)
        AutoProcessor.register(${Class}Config, ${Class}Processor)
        AutoImageProcessor.register(${Class}Config, image_processor_classes={"pil": ${Class}ImageProcessor})
    """
    modules = {"registering": HEAD + body, "own": own}
    facts = {"config": None, "models": None, "registered_by": "registering:register_all"}
    plugin = make_plugin("zigzag", modules=modules, **facts)
    config = autoreg.AutoConfig.for_model("zigzag")
    made = __import__(f"{plugin.package}.own", fromlist=["_"]).AutoModelForZigzaging.from_config(config)
    assert type(made) is plugin.cls("modeling:Model")
    assert TOKENIZER_MAPPING[type(config)] is plugin.cls("processing:Tokenizer")
    assert PROCESSOR_MAPPING[type(config)] is plugin.cls("processing:Processor")
    assert IMAGE_PROCESSOR_MAPPING[type(config)] == {"pil": plugin.cls("processing:ImageProcessor")}


def test_nothing_runs_before_a_look_up(wrapped, isolated: Runtime) -> None:
    """`list`, `show`, `why` and `doctor` read the declaration, and the function's module is not imported."""
    plugin = wrapped()
    (row,) = (row for row in diagnosis.installed(isolated, declared=True) if row.name == "zigzag")
    assert row.classes == (("registered_by", f"{plugin.package}.registering:register_all"),)
    diagnosis.explain(isolated, "zigzag")
    assert not [finding for finding in diagnosis.doctor(isolated) if plugin.distribution in finding.subject]
    assert plugin.imported() == ["plugin"]


def test_doctor_finds_a_misspelt_function_unimported(wrapped, isolated: Runtime) -> None:
    """A function that its module does not have is found without importing the module."""
    plugin = wrapped(WHOLE.replace("register_all", "register_everything"))
    (found,) = (finding for finding in diagnosis.doctor(isolated) if finding.subject == plugin.owner)
    assert "has no 'register_all'" in found.problem
    assert plugin.imported() == ["plugin"]


def test_doctor_names_what_no_entry_point_does(wrapped, isolated: Runtime) -> None:
    """`doctor --classes` calls the function, and names a type that it registers and the plugin does not know."""
    body = (
        WHOLE
        + """
        class_ = type("OtherConfig", (${Class}Config,), {"model_type": "other", "__module__": __name__})
        AutoConfig.register("other", class_)
    """
    )
    plugin = wrapped(body)
    found = [finding for finding in diagnosis.doctor(isolated, classes=True) if finding.subject == plugin.owner]
    assert [(finding.severity, finding.problem) for finding in found] == [
        (
            "warning",
            f"{plugin.package}.registering:register_all also registers 'other', which no entry point names: "
            "it stays unknown.",
        )
    ]


def test_doctor_quotes_a_function_that_fails(wrapped, isolated: Runtime) -> None:
    """`doctor --classes` names the plugin and quotes what its function raised."""
    plugin = wrapped("\n    def register_all(): raise OSError('no disk')\n")
    found = [finding for finding in diagnosis.doctor(isolated, classes=True) if finding.subject == plugin.owner]
    assert [finding.severity for finding in found] == ["error"]
    assert "OSError: no disk" in found[0].problem


def test_a_fresh_process_loads_through_it(wrapped, tmp_path: Path) -> None:
    """In a process that imports nothing but autoreg, the checkpoint loads with the wrapped classes."""
    plugin = wrapped()
    autoreg.save_pretrained(autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag")), tmp_path / "saved")
    script = """
    import json, sys
    from autoreg import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
    print(json.dumps(type(model).__name__))
    """
    assert in_new_process(script, path=[plugin.site], arguments=[str(tmp_path / "saved")]) == "ZigzagForCausalLM"

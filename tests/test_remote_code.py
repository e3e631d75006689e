"""Code from a checkpoint runs only where nobody owns the model type and the caller asked for it by name."""

import importlib
import json
import os
import select
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autoreg
from autoreg import natives
from autoreg.errors import RemoteCodeError
from autoreg.runtime import Runtime
from tests.conftest import MakePlugin
from tests.plugin_maker import PROCESSING, REPOSITORY, Plugin, write_checkpoint

MODELS = sorted(natives.auto_classes())
PROCESSORS = ["AutoTokenizer", "AutoProcessor", "AutoImageProcessor", "AutoVideoProcessor", "AutoFeatureExtractor"]
EVERY = ["AutoConfig", *PROCESSORS, *MODELS]
NAMES = dict(
    zip(
        PROCESSORS,
        [
            "tokenizer_class",
            "processor_class",
            "image_processor_type",
            "video_processor_type",
            "feature_extractor_type",
        ],
        strict=True,
    )
)
TRUST = (None, False, True)

CODE = """
from pathlib import Path
import torch
from transformers import FeatureExtractionMixin, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizer, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor

Path({marker!r}).touch()

class RemoteConfig(PreTrainedConfig):
    model_type = {model_type!r}

class RemoteModel(PreTrainedModel):
    config_class = RemoteConfig

    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.ones(4))
        self.post_init()

class RemoteTokenizer(PreTrainedTokenizer):
    vocab_size = 1

    def get_vocab(self):
        return {{"a": 0}} | self.added_tokens_encoder

class RemoteImageProcessor(BaseImageProcessor):
    pass

class RemoteFeatureExtractor(FeatureExtractionMixin):
    pass

class RemoteProcessor(ProcessorMixin):
    def __init__(self, tokenizer=None, **kwargs):
        super().__init__(tokenizer)

def __getattr__(name):
    if name == "RemoteVideoProcessor":
        from transformers.video_processing_utils import BaseVideoProcessor
        return type(name, (BaseVideoProcessor,), {{"__module__": __name__}})
    raise AttributeError(name)
"""


class Checkpoint:
    """A checkpoint that carries code for one Auto class, and whether that code has run."""

    def __init__(self, folder: Path, auto_class: str, model_type: str, *, named: bool = False) -> None:
        import torch
        from safetensors.torch import save_file

        self.folder, self.auto_class = folder, auto_class
        self.marker = folder.with_name(f"{folder.name}-has-run")
        kind = auto_class.removeprefix("Auto") if auto_class in PROCESSORS else "Model"
        self.remote_name = "RemoteConfig" if auto_class == "AutoConfig" else f"Remote{kind}"
        self.reference = f"remote_code.{self.remote_name}"
        auto_map = {"auto_map": {auto_class: [self.reference, None] if kind == "Tokenizer" else self.reference}}
        in_config = {"auto_map": {"AutoConfig": "remote_code.RemoteConfig", auto_class: self.reference}}
        if named:  # as `save_pretrained` of such a class writes it
            auto_map[NAMES[auto_class]] = self.remote_name
        write_checkpoint(
            folder,
            {"model_type": model_type, **(in_config if kind == "Model" else {})},
            tokenizer_config=auto_map if kind == "Tokenizer" else {"tokenizer_class": self.tokenizer(model_type)},
            processor_config=auto_map if kind == "Processor" else None,
            preprocessor_config=auto_map if kind in ("ImageProcessor", "FeatureExtractor") else {},
            video_preprocessor_config=auto_map if kind == "VideoProcessor" else None,
        )
        save_file({"scale": torch.ones(4)}, folder / "model.safetensors", metadata={"format": "pt"})
        source = CODE.format(marker=str(self.marker), model_type=model_type)
        (folder / "remote_code.py").write_text(source)

    def tokenizer(self, model_type: str) -> str:
        """Return a tokenizer class that needs no files, for what is not the code's business."""
        return "ZigzagTokenizer" if model_type == "zigzag" else "ByT5Tokenizer"

    @property
    def has_run(self) -> bool:
        return self.marker.exists()

    def load(self, face: Any, trust: bool | None, **options: Any) -> Any:
        """Load it; with `trust=None` the argument is not passed."""
        given = {} if trust is None else {"trust_remote_code": trust}
        return getattr(face, self.auto_class).from_pretrained(self.folder, **given, **options)


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Sit at a terminal at which "y" has been typed already: whoever asks is answered, and caught."""
    master, slave = os.openpty()
    os.write(master, b"y\n")
    with os.fdopen(slave) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield slave
    os.close(master)


def was_asked(terminal: int) -> bool:
    """Say whether somebody has read what was typed."""
    return not select.select([terminal], [], [], 0)[0]


def need(auto_class: str) -> None:
    """Skip where the libraries for this Auto class are not installed."""
    pytest.importorskip("PIL", reason="AutoImageProcessor needs Pillow")
    if auto_class == "AutoVideoProcessor":
        try:
            importlib.import_module("torchvision")
        except (ImportError, RuntimeError):
            pytest.skip("AutoVideoProcessor needs a torchvision that fits the installed torch")


def owner(make_plugin: MakePlugin, **details: Any) -> Plugin:
    """Install a plugin that owns the model type, with a class for every Auto class."""
    declared = {"models": dict.fromkeys(MODELS, "modeling:{0}Model"), **PROCESSING}
    return make_plugin(**{**declared, "video_processor": "video:{0}VideoProcessor", **details})


@pytest.mark.parametrize(
    ("auto_class", "named"), [*((name, False) for name in EVERY), *((name, True) for name in PROCESSORS)]
)
def test_a_plugin_owns_it(make_plugin: MakePlugin, tmp_path: Path, terminal: int, auto_class: str, named: bool) -> None:
    """Where a plugin owns the model type its class is loaded and no code runs, whatever trust_remote_code says."""
    need(auto_class)
    import transformers

    plugin = owner(make_plugin)
    autoreg.activate()
    checkpoint = Checkpoint(tmp_path / "it", auto_class, "zigzag", named=named)
    for face in (autoreg, transformers):
        for trust in TRUST:
            if (face, auto_class) == (transformers, "AutoBackbone"):  # loads from no folder at all
                with pytest.raises((OSError, ValueError, ImportError)):
                    checkpoint.load(face, trust)
            else:
                assert type(checkpoint.load(face, trust)).__module__.startswith(f"{plugin.package}.")
            assert not checkpoint.has_run
    assert not was_asked(terminal)


@pytest.mark.parametrize("auto_class", [name for name in EVERY if name != "AutoConfig"])
def test_a_plugin_owns_it_and_has_no_such_class(
    make_plugin: MakePlugin, tmp_path: Path, terminal: int, auto_class: str
) -> None:
    """Where the plugin has no class for the Auto class nothing runs either, and the error says so."""
    need(auto_class)
    import transformers

    make_plugin(models={})
    checkpoint = Checkpoint(tmp_path / "it", auto_class, "zigzag")
    for trust in TRUST:
        with pytest.raises((autoreg.RemoteCodeError, autoreg.UnknownArchitectureError), match=r"autoreg-zigzag 1.0"):
            checkpoint.load(autoreg, trust)
    assert not was_asked(terminal)
    for trust in TRUST:  # here the terminal's "y" is taken for an answer, and changes nothing
        with pytest.raises((ValueError, OSError, ImportError)):
            checkpoint.load(transformers, trust)
    assert not checkpoint.has_run


@pytest.mark.parametrize("auto_class", EVERY)
def test_nobody_owns_it(make_plugin: MakePlugin, tmp_path: Path, terminal: int, auto_class: str) -> None:
    """Where nobody owns the model type the code does not run and nobody is asked, until trust_remote_code=True."""
    need(auto_class)
    make_plugin("other")
    checkpoint = Checkpoint(tmp_path / "it", auto_class, "qqqqq")
    for trust in (None, False):
        with pytest.raises(autoreg.RemoteCodeError) as caught:
            checkpoint.load(autoreg, trust)
        assert str(caught.value) == refused(checkpoint)
        assert not checkpoint.has_run
    assert not was_asked(terminal)
    loaded = checkpoint.load(autoreg, True)
    assert checkpoint.has_run
    assert type(loaded).__name__ == checkpoint.remote_name


def refused(checkpoint: Checkpoint) -> str:
    reference = "auto_map" if checkpoint.auto_class in PROCESSORS else checkpoint.reference
    return (
        f"{checkpoint.folder} carries its own Python code for {checkpoint.auto_class} ({reference});"
        " it was not run.\nInstall a plugin that has this architecture, make one of the code to read it first"
        f" (`autoreg adopt {checkpoint.folder}`), or, if you have read it and trust it, pass trust_remote_code=True."
    )


@pytest.mark.parametrize("auto_class", ["AutoModelForCausalLM", *PROCESSORS])
def test_the_owners_missing_class_is_named(make_plugin: MakePlugin, tmp_path: Path, auto_class: str) -> None:
    """The refusal names the plugin with its version, through autoreg and through plain transformers."""
    need(auto_class)
    import transformers

    make_plugin(models={})
    autoreg.activate()
    checkpoint = Checkpoint(tmp_path / "it", auto_class, "zigzag")
    with pytest.raises(autoreg.RemoteCodeError) as caught:
        checkpoint.load(transformers, True)
    assert str(caught.value) == owned(checkpoint, checkpoint.reference)
    if auto_class in PROCESSORS:
        with pytest.raises(autoreg.RemoteCodeError) as caught:
            checkpoint.load(autoreg, True)
        assert str(caught.value) == owned(checkpoint, checkpoint.reference)
    assert not checkpoint.has_run


def owned(checkpoint: Checkpoint, reference: str) -> str:
    return (
        f"{checkpoint.folder} carries its own Python code for {checkpoint.auto_class} ({reference}); it was not run.\n"
        "The plugin autoreg-zigzag 1.0 owns this model type, so no code from the checkpoint runs, and the plugin"
        f" declares no class for {checkpoint.auto_class}.\nAsk the plugin's author for one, or take the plugin out of"
        ' the way for this process with AUTOREG_DISABLE="autoreg-zigzag".'
    )


UNUSABLE = {
    "broken": {"modules": {"plugin": "1/0"}},
    "unmet": {"requires": ["no-such-thing"]},
    "no model": {"modules": {"modeling": "1/0"}},
}


@pytest.mark.parametrize(
    ("auto_class", "why"),
    [
        ("AutoModel", "no model"),
        *((name, why) for name in ("AutoModel", *PROCESSORS) for why in ("broken", "unmet", "conflict")),
    ],
)
def test_an_owner_that_cannot_be_used_owns_it_all_the_same(
    make_plugin: MakePlugin, tmp_path: Path, terminal: int, auto_class: str, why: str
) -> None:
    """Where the owner is broken, unusable or in doubt the code does not run either: its error is raised."""
    need(auto_class)
    import transformers

    make_plugin(**UNUSABLE.get(why, {}))
    if why == "conflict":
        make_plugin(distribution="other")
    autoreg.activate()
    checkpoint = Checkpoint(tmp_path / "it", auto_class, "zigzag")
    for trust in TRUST:
        with pytest.raises((autoreg.PluginError, autoreg.ConflictError)):
            checkpoint.load(autoreg, trust)
    assert not was_asked(terminal)
    for trust in (False, True):
        with pytest.raises((ValueError, OSError, ImportError)):
            checkpoint.load(transformers, trust)
    assert not checkpoint.has_run


def test_a_disabled_plugin_owns_nothing(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin that the user switched off does not stand between him and the code that he trusts."""
    owner(make_plugin)
    monkeypatch.setenv("AUTOREG_DISABLE", "zigzag")
    checkpoint = Checkpoint(tmp_path / "it", "AutoModel", "zigzag")
    with pytest.raises(autoreg.RemoteCodeError):
        checkpoint.load(autoreg, None)
    assert not checkpoint.has_run
    assert type(checkpoint.load(autoreg, True)).__name__ == "RemoteModel"


@pytest.mark.parametrize("trust", TRUST)
def test_the_config_may_be_given(make_plugin: MakePlugin, tmp_path: Path, terminal: int, trust: bool | None) -> None:
    """A config object that carries `auto_map` runs no code where a plugin owns its model type."""
    import transformers

    plugin = owner(make_plugin)
    autoreg.activate()
    checkpoint = Checkpoint(tmp_path / "it", "AutoModel", "zigzag")
    config = autoreg.AutoConfig.from_pretrained(checkpoint.folder)
    assert config.auto_map["AutoModel"] == "remote_code.RemoteModel"
    given = {} if trust is None else {"trust_remote_code": trust}
    for face in (autoreg, transformers):
        for model in (checkpoint.load(face, trust, config=config), face.AutoModel.from_config(config, **given)):
            assert type(model) is plugin.cls("modeling:Model")
    assert not checkpoint.has_run
    assert not was_asked(terminal)


@pytest.mark.parametrize("reference", ["somebody/else--remote_code.RemoteModel", "../remote_code.RemoteModel"])
def test_code_from_elsewhere(make_plugin: MakePlugin, tmp_path: Path, terminal: int, reference: str) -> None:
    """Code that `auto_map` fetches from another repository is refused the same, by autoreg, with no question."""
    make_plugin("other")
    checkpoint = Checkpoint(tmp_path / "it", "AutoModel", "qqqqq")
    write_checkpoint(checkpoint.folder, {"model_type": "qqqqq", "auto_map": {"AutoModel": reference}})
    checkpoint.reference = reference
    with pytest.raises(autoreg.RemoteCodeError) as caught:
        checkpoint.load(autoreg, None)
    assert str(caught.value) == refused(checkpoint)
    assert not was_asked(terminal)


def test_a_checkpoint_in_a_subfolder(make_plugin: MakePlugin, tmp_path: Path, terminal: int) -> None:
    """A plugin owns a checkpoint that lies in a subfolder as well."""
    import transformers

    plugin = owner(make_plugin)
    autoreg.activate()
    for auto_class in ("AutoModel", "AutoTokenizer"):
        checkpoint = Checkpoint(tmp_path / "it" / auto_class, auto_class, "zigzag")
        (checkpoint.folder / "remote_code.py").rename(tmp_path / "it" / "remote_code.py")
        for face in (autoreg, transformers):
            for trust in TRUST:
                options = {} if trust is None else {"trust_remote_code": trust}
                found = getattr(face, auto_class).from_pretrained(tmp_path / "it", subfolder=auto_class, **options)
                assert type(found).__module__.startswith(f"{plugin.package}.")
        assert not checkpoint.has_run
    assert not was_asked(terminal)


@pytest.mark.parametrize("trust", TRUST)
def test_a_native_model_type_stays_native_unless_trusted(
    isolated: object, tmp_path: Path, terminal: int, trust: bool | None
) -> None:
    """Code beside a checkpoint of a native model type runs only where it is trusted, as in transformers."""
    import transformers

    checkpoint = Checkpoint(tmp_path / "it", "AutoModel", "t5")
    config = {"model_type": "t5", "d_model": 4, "d_kv": 2, "d_ff": 4, "num_layers": 1, "num_heads": 1, "vocab_size": 5}
    transformers.T5Model(transformers.T5Config(**config)).save_pretrained(checkpoint.folder)
    write_checkpoint(checkpoint.folder, {**config, "auto_map": {"AutoModel": checkpoint.reference}})
    source = "\n".join(
        [
            "import transformers",
            "from pathlib import Path",
            f"Path({str(checkpoint.marker)!r}).touch()",
            "class RemoteModel(transformers.T5Model): pass",
        ]
    )
    (checkpoint.folder / "remote_code.py").write_text(source)
    assert type(checkpoint.load(autoreg, trust)).__name__ == ("RemoteModel" if trust else "T5Model")
    assert checkpoint.has_run is bool(trust)
    assert not was_asked(terminal)


@pytest.mark.parametrize("auto_class", ["AutoConfig", "AutoModel", "AutoTokenizer", "AutoFeatureExtractor"])
def test_plain_transformers_runs_what_nobody_owns(make_plugin: MakePlugin, tmp_path: Path, auto_class: str) -> None:
    """While plugins are active plain transformers runs trusted code of a model type that nobody owns, as ever."""
    import transformers

    make_plugin("other")
    autoreg.activate()
    checkpoint = Checkpoint(tmp_path / "it", auto_class, "qqqqq")
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        checkpoint.load(transformers, False)
    assert not checkpoint.has_run
    assert type(checkpoint.load(transformers, True)).__name__ == checkpoint.remote_name
    assert checkpoint.has_run


RETNET = REPOSITORY / "plugins" / "autoreg-retnet" / "checkpoint"


def test_a_custom_generate_of_an_owned_checkpoint_does_not_run(isolated: Runtime, tmp_path: Path) -> None:
    """A `custom_generate` in an owned checkpoint runs through no Auto class; the plugin's own class would run it."""
    import transformers
    from autoreg_retnet import RetNetForCausalLM

    folder, marker = tmp_path / "it", tmp_path / "ran"
    shutil.copytree(RETNET, folder)
    (folder / "custom_generate").mkdir()
    source = f"open({str(marker)!r}, 'w').close()\n\ndef generate(model, **kwargs):\n    pass\n"
    (folder / "custom_generate" / "generate.py").write_text(source)
    autoreg.activate()
    for face in (autoreg, transformers):
        for trust in TRUST:
            face.AutoModelForCausalLM.from_pretrained(folder, **({} if trust is None else {"trust_remote_code": trust}))
    assert not marker.exists()
    RetNetForCausalLM.from_pretrained(folder, trust_remote_code=True)
    assert marker.exists()


@pytest.mark.parametrize("owned", [True, False])
def test_a_custom_pipeline_runs_only_where_no_plugin_owns_the_checkpoint(
    isolated: Runtime, tmp_path: Path, owned: bool
) -> None:
    """`pipeline()` runs the code of a `custom_pipelines` entry, except for a checkpoint that a plugin owns."""
    import transformers

    folder, marker = tmp_path / "it", tmp_path / "ran"
    shutil.copytree(RETNET, folder)
    config = json.loads((folder / "config.json").read_text())
    task = {"impl": "divining.Divining", "pt": ["AutoModelForCausalLM"], "type": "text"}
    config["custom_pipelines"] = {"divining": task}
    config["model_type"] = "retnet" if owned else "gpt2"
    (folder / "config.json").write_text(json.dumps(config))
    parent = "from transformers import TextGenerationPipeline\n"
    source = f"{parent}open({str(marker)!r}, 'w').close()\n\nclass Divining(TextGenerationPipeline):\n    pass\n"
    (folder / "divining.py").write_text(source)
    autoreg.activate()
    if owned:
        with pytest.raises(autoreg.RemoteCodeError, match="owns this model type"):
            transformers.pipeline("divining", model=str(folder), trust_remote_code=True)
    else:
        transformers.pipeline("divining", model=str(folder), trust_remote_code=True)
    assert marker.exists() == (not owned)


NESTED = """
    from transformers import AutoConfig, PreTrainedConfig

    class ${Class}Config(PreTrainedConfig):
        model_type = "$model_type"

        def __init__(self, encoder=None, **options):
            super().__init__(**options)
            self.encoder = encoder
            if encoder is not None:
                AutoConfig.from_pretrained(encoder, trust_remote_code=True)
    """


def test_a_package_that_trusts_for_the_caller_does_not_run_code(tmp_path: Path, make_plugin: MakePlugin) -> None:
    """A config class that passes `trust_remote_code=True` on for a nested checkpoint runs nothing by itself."""
    plugin = make_plugin("zigzag", modules={"configuration": NESTED})
    inner = Checkpoint(tmp_path / "inner", "AutoConfig", "remote")
    write_checkpoint(tmp_path / "outer", {"model_type": "zigzag", "encoder": str(inner.folder)})
    with pytest.raises(RemoteCodeError) as caught:
        autoreg.AutoConfig.from_pretrained(tmp_path / "outer")
    assert not inner.has_run
    assert str(caught.value).startswith(
        f"{inner.folder} carries its own Python code for AutoConfig (remote_code.RemoteConfig); it was not run."
    )
    found = autoreg.AutoConfig.from_pretrained(tmp_path / "outer", trust_remote_code=True)
    assert type(found) is plugin.cls("configuration:Config")
    assert inner.has_run

"""Loading leaves no hole: incomplete, reinterpreted, unwritten and pickled weights are errors that name them."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import autoreg
from autoreg import IncompleteCheckpointError, UnsafeCheckpointError
from autoreg.errors import CheckpointError, IntegrityError
from tests.conftest import MakePlugin
from tests.plugin_maker import Plugin

CONFIGURATION = """
    from transformers import PreTrainedConfig

    class ${Class}Config(PreTrainedConfig):
        model_type = "$model_type"
        vocab_size: int = 7
        hidden_size: int = 4
        blocks: int = 2
        tie_word_embeddings: bool = True
        hole: str = ""
        noisy: bool = False
        memory_size: int = 0
    """

MODELING = """
    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from .configuration import ${Class}Config

    class ${Class}PreTrainedModel(PreTrainedModel):
        config_class = ${Class}Config
        base_model_prefix = "model"

        def _init_weights(self, module):
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
            if isinstance(module, ${Class}Model):
                nn.init.ones_(module.scale)

    class ${Class}Model(${Class}PreTrainedModel):
        def __init__(self, config, pooled=True):
            super().__init__(config)
            self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
            self.layers = nn.ModuleList(
                nn.Linear(config.hidden_size, config.hidden_size) for _ in range(config.blocks)
            )
            self.pooler = nn.Linear(config.hidden_size, config.hidden_size) if pooled else None
            self.register_buffer("scale", torch.ones(config.hidden_size), persistent=False)
            self.register_buffer("count", torch.tensor([3]))
            if config.memory_size:
                self.memory = nn.Embedding(config.memory_size, config.hidden_size)
            if config.hole == "buffer":
                self.register_buffer("angles", torch.arange(4.0), persistent=False)
            if config.hole == "attribute":
                self.angles = torch.arange(4.0)
            if config.hole == "parameter":
                self.angles = nn.Parameter(torch.empty(4))
            if config.noisy:
                self.noise = torch.zeros(2, 4, device="cpu").normal_() + nn.init.uniform_(torch.zeros(4, device="cpu"))
            self.post_init()

        def forward(self, input_ids):
            hidden = self.embed(input_ids) * self.scale
            for layer in self.layers:
                hidden = hidden + layer(hidden)
            return hidden

    class ${Class}ForCausalLM(${Class}PreTrainedModel):
        _tied_weights_keys = {"head.weight": "model.embed.weight"}

        def __init__(self, config):
            super().__init__(config)
            self.model = ${Class}Model(config, pooled=False)
            self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
            self.post_init()

        def get_output_embeddings(self):
            return self.head

        def forward(self, input_ids):
            return self.head(self.model(input_ids))

    class ${Class}ForSequenceClassification(${Class}PreTrainedModel):
        def __init__(self, config):
            super().__init__(config)
            self.model = ${Class}Model(config)
            self.classifier = nn.Linear(config.hidden_size, config.num_labels)
            self.post_init()

        def forward(self, input_ids):
            return self.classifier(self.model(input_ids))
    """

MODELS = {
    "AutoModel": "modeling:{0}Model",
    "AutoModelForCausalLM": "modeling:{0}ForCausalLM",
    "AutoModelForSequenceClassification": "modeling:{0}ForSequenceClassification",
}


@pytest.fixture
def plugin(make_plugin: MakePlugin) -> Plugin:
    """Install an architecture with layers, ties, buffers, a base model and two heads."""
    return make_plugin(modules={"configuration": CONFIGURATION, "modeling": MODELING}, models=MODELS)


Save = Callable[..., Path]


@pytest.fixture
def save(plugin: Plugin, tmp_path: Path) -> Save:
    """Return what saves a model of the plugin, by plain transformers, in a folder of its own."""

    def saved(name: str = "ForCausalLM", **fields: Any) -> Path:
        options = {key: fields.pop(key) for key in ("max_shard_size",) if key in fields}
        folder = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        config = plugin.cls("configuration:Config")(**fields)
        plugin.cls(f"modeling:{name}")(config).save_pretrained(folder, **options)
        return folder

    return saved


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """Change the tensors of a checkpoint's one file."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def configure(folder: Path, **fields: Any) -> Path:
    """Change fields of a checkpoint's config."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    return folder


def test_a_missing_weight_is_named(save: Save) -> None:
    """Loading the class that was saved raises where a weight is missing, and names every one of them."""
    folder = rewrite(save(), lambda tensors: [tensors.pop(f"model.layers.{n}.bias") for n in (0, 1)])
    with pytest.raises(IncompleteCheckpointError) as caught:
        autoreg.AutoModelForCausalLM.from_pretrained(folder)
    assert caught.value.missing == ("model.layers.0.bias", "model.layers.1.bias")
    assert str(caught.value) == (
        f"{folder}: the weights in its files are not those of ZigzagForCausalLM.\n"
        "  2 in the model and in no file: model.layers.0.bias, model.layers.1.bias\n"
        "To load it all the same, with what is missing drawn at random, pass strict=False."
    )
    assert autoreg.AutoModelForCausalLM.from_pretrained(folder, strict=False).config.model_type == "zigzag"


def test_an_unexpected_weight_is_named(save: Save) -> None:
    """A weight that no class of the architecture has raises: the files are of another model, or a name was changed."""
    folder = rewrite(save(), lambda tensors: tensors.update({"model.layers.0.wieght": torch.ones(4, 4)}))
    with pytest.raises(IncompleteCheckpointError, match=r"not in the model: model\.layers\.0\.wieght"):
        autoreg.AutoModelForCausalLM.from_pretrained(folder)


def test_a_relatives_weight_is_welcome(save: Save) -> None:
    """A pooler that another class of the architecture has may lie in the files of a language model."""

    def add_pooler(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.pooler.weight"], tensors["model.pooler.bias"] = torch.ones(4, 4), torch.ones(4)

    folder = rewrite(save(), add_pooler)
    assert autoreg.AutoModelForCausalLM.from_pretrained(folder)
    with pytest.raises(IncompleteCheckpointError, match=r"2 in the files and not in the model"):
        autoreg.AutoModelForCausalLM.from_pretrained(folder, strict=True)


def test_every_shape_that_differs_is_named(save: Save) -> None:
    """Other shapes than the config's raise before any memory is allocated, with all names and both shapes."""
    folder = configure(save(), hidden_size=6)
    with pytest.raises(IncompleteCheckpointError) as caught:
        autoreg.AutoModelForCausalLM.from_pretrained(folder)
    assert {name for name, _, _ in caught.value.mismatched} == {
        "model.embed.weight",
        *(f"model.layers.{n}.{what}" for n in (0, 1) for what in ("weight", "bias")),
    }
    assert "model.embed.weight: (7, 4) in the file, (7, 6) in the model" in str(caught.value)
    model, info = autoreg.AutoModelForCausalLM.from_pretrained(
        folder, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert model.config.hidden_size == 6
    assert len(info["mismatched_keys"]) >= 5


def test_ties_that_the_files_deny_are_named(save: Save) -> None:
    """A config that ties two weights which the files tell apart raises with both names."""
    folder = configure(save(tie_word_embeddings=False), tie_word_embeddings=True)
    with pytest.raises(IncompleteCheckpointError) as caught:
        autoreg.AutoModelForCausalLM.from_pretrained(folder)
    assert caught.value.untied == (("head.weight", "model.embed.weight"),)


def test_fine_tuning_works_as_ever(save: Save) -> None:
    """Another head may lack its own weights, and the base model's parts that the saved class never had."""
    folder = save("ForCausalLM")
    model = autoreg.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    assert model.classifier.out_features == 3
    assert autoreg.AutoModel.from_pretrained(folder).pooler is not None
    with pytest.raises(IncompleteCheckpointError, match="strict=True was asked for"):
        autoreg.AutoModelForSequenceClassification.from_pretrained(folder, strict=True)


def test_a_base_weight_is_missed_by_any_head(save: Save) -> None:
    """A weight of the base model that the saved class had is missed whatever head is put on."""
    folder = rewrite(save("ForCausalLM"), lambda tensors: tensors.pop("model.layers.1.weight"))
    for name in ("AutoModel", "AutoModelForSequenceClassification"):
        with pytest.raises(IncompleteCheckpointError, match=r"1 in the model and in no file: .*layers\.1\.weight\n"):
            getattr(autoreg, name).from_pretrained(folder)


def test_the_loading_info_is_transformers_own(save: Save) -> None:
    """`output_loading_info=True` returns the pair that transformers returns."""
    model, info = autoreg.AutoModelForCausalLM.from_pretrained(save(), output_loading_info=True)
    assert type(model).__name__ == "ZigzagForCausalLM"
    assert info == {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set(), "error_msgs": []}


def test_integers_are_never_read_as_floats(save: Save) -> None:
    """A weight that is stored as integers raises, with its file, name, and both kinds."""
    folder = rewrite(save(), lambda tensors: tensors.update({"model.layers.0.bias": torch.ones(4, dtype=torch.int32)}))
    with pytest.raises(CheckpointError) as caught:
        autoreg.AutoModelForCausalLM.from_pretrained(folder)
    assert caught.value.file == str(folder / "model.safetensors")
    assert (caught.value.part, caught.value.expected, caught.value.found) == (
        "model.layers.0.bias",
        "torch.float32",
        "I32",
    )


@pytest.mark.parametrize("hole", ["buffer", "attribute"])
def test_memory_that_nobody_wrote_to_is_named(save: Save, hole: str) -> None:
    """A buffer or attribute that is left without values after loading raises, and the error says what to do."""
    folder = save("Model", hole=hole)
    with pytest.raises(CheckpointError, match=r"nothing was ever written to: angles\.\n.*`_init_weights`") as caught:
        autoreg.AutoModel.from_pretrained(folder)
    assert caught.value.part == "angles"


def test_a_random_model_warns_of_its_holes(save: Save, recwarn: pytest.WarningsRecorder) -> None:
    """A parameter that `_init_weights` leaves out is named where a model is built from its config; on meta none is."""
    config = autoreg.AutoConfig.from_pretrained(save("Model"))
    assert autoreg.AutoModel.from_config(config).scale.eq(1).all()
    config.hole = "parameter"
    with torch.device("meta"):
        assert autoreg.AutoModel.from_config(config).angles.is_meta
    assert not recwarn.list
    with pytest.warns(autoreg.AutoregWarning, match=r"ZigzagModel .* nothing was ever written to: angles\. .*NaN"):
        assert autoreg.AutoModel.from_config(config).angles.isnan().all()


def test_random_numbers_are_transformers_own(save: Save, plugin: Plugin) -> None:
    """A new head, and what a model draws off the meta device, are what plain transformers draws from the same seed."""
    folder = save(noisy=True)
    models, states = [], []
    for loaded in (plugin.cls("modeling:ForSequenceClassification"), autoreg.AutoModelForSequenceClassification):
        torch.manual_seed(7)
        models.append(loaded.from_pretrained(folder))
        states.append(torch.get_rng_state())
    plain, ours = models
    assert ours.model.noise.unique().numel() == 8
    assert torch.equal(ours.model.noise, plain.model.noise)
    assert torch.equal(ours.classifier.weight, plain.classifier.weight)
    assert torch.equal(*states)


def test_too_many_layers_end_early(save: Save) -> None:
    """A config that asks for a million layers raises while the model is built, not hours later."""
    folder = configure(save(), blocks=1_000_000)
    with pytest.raises(CheckpointError, match="more than 10,"):
        autoreg.AutoModelForCausalLM.from_pretrained(folder)


def test_memory_without_weights_is_refused(save: Save) -> None:
    """A size in the config that asks for gigabytes which no file has is refused before they are allocated."""
    folder = configure(save("Model"), memory_size=300_000_000)
    with pytest.raises(CheckpointError, match=r"memory\.weight: by this config, .* GiB of weights are missing"):
        autoreg.AutoModel.from_pretrained(folder)


def test_pickles_are_not_opened(save: Save, plugin: Plugin, tmp_path: Path) -> None:
    """Pickled weights raise unless the caller allows them, whoever names them."""
    folder = save()
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(UnsafeCheckpointError, match=r"pytorch_model\.bin: the weights are pickled"):
        autoreg.AutoModelForCausalLM.from_pretrained(folder)
    with pytest.raises(UnsafeCheckpointError, match="use_safetensors=False asks for pickled weights"):
        autoreg.AutoModelForCausalLM.from_pretrained(folder, use_safetensors=False)
    with pytest.raises(UnsafeCheckpointError, match="weights_only=False runs"):
        autoreg.AutoModelForCausalLM.from_pretrained(folder, allow_pickle=True, weights_only=False)
    model = autoreg.AutoModelForCausalLM.from_pretrained(folder, allow_pickle=True)
    assert torch.equal(model.model.embed.weight, tensors["model.embed.weight"])


def test_an_index_may_not_name_pickles(save: Save) -> None:
    """An index of safetensors that names a pickle as a shard raises."""
    folder = save()
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(tensors, "pytorch_model.bin")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
        autoreg.AutoModelForCausalLM.from_pretrained(folder)


def test_a_cut_file_is_named(save: Save) -> None:
    """A weight file that was cut short raises with its name before anything is built."""
    folder = save()
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        autoreg.AutoModelForCausalLM.from_pretrained(folder)


def test_a_lost_shard_is_named(save: Save) -> None:
    """A shard that the index names and the folder lacks raises with its name."""
    folder = save(max_shard_size=200)
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(CheckpointError, match=shard.name):
        autoreg.AutoModelForCausalLM.from_pretrained(folder)


def test_two_tensors_for_one_weight(save: Save) -> None:
    """A weight that lies there with and without the base model's prefix raises with both names, unless told not to."""
    folder = rewrite(save(), lambda tensors: tensors.update({"embed.weight": tensors["model.embed.weight"] + 1}))
    with pytest.raises(CheckpointError, match=r"(model\.)?embed\.weight is the same weight of the model"):
        autoreg.AutoModelForCausalLM.from_pretrained(folder)
    autoreg.AutoModelForCausalLM.from_pretrained(folder, strict=False)


def test_strict_says_otherwise(save: Save) -> None:
    """`strict=True` forbids another head's missing weights, `strict=False` allows what is lost."""
    folder = save()
    with pytest.raises(IncompleteCheckpointError, match=r"classifier\.weight[\s\S]*strict=True was asked for"):
        autoreg.AutoModelForSequenceClassification.from_pretrained(folder, strict=True)
    rewrite(folder, lambda tensors: tensors.pop("model.layers.0.bias"))
    autoreg.AutoModelForCausalLM.from_pretrained(folder, strict=False)


def test_a_pickle_with_code_is_not_run(save: Save, tmp_path: Path) -> None:
    """Where pickles are allowed, one that holds more than tensors raises and does nothing."""
    folder = save()
    (folder / "model.safetensors").unlink()
    trap = f"cos\nsystem\n(S'touch {tmp_path / 'ran'}'\ntR."
    (folder / "pytorch_model.bin").write_bytes(trap.encode())
    with pytest.raises(UnsafeCheckpointError, match=r"pytorch_model\.bin: it holds more than tensors"):
        autoreg.AutoModelForCausalLM.from_pretrained(folder, allow_pickle=True)
    assert not (tmp_path / "ran").exists()


def test_a_config_edited_by_hand_is_a_warning(save: Save) -> None:
    """With a manifest beside it, a config.json that is not as it was saved is said and loaded."""
    folder = save("Model")
    autoreg.save_pretrained(autoreg.AutoModel.from_pretrained(folder), folder)
    configure(folder, note="mine")
    with pytest.warns(autoreg.AutoregWarning, match=r"config\.json: its size changed since the manifest was written"):
        autoreg.AutoModel.from_pretrained(folder)


def test_an_isolated_model_outlives_its_files(save: Save) -> None:
    """With `isolate=True` a model keeps its weights when the file is overwritten in place; ties stay ties."""
    folder = save()
    model = autoreg.AutoModelForCausalLM.from_pretrained(folder, isolate=True)
    before = model.model.embed.weight.clone()
    file = folder / "model.safetensors"
    with file.open("r+b") as stream:
        stream.write(b"\0" * file.stat().st_size)
    assert torch.equal(model.model.embed.weight, before)
    assert model.head.weight is model.model.embed.weight


def test_verify_is_spot_or_full(save: Save) -> None:
    """Another value of `verify` raises and says which there are."""
    with pytest.raises(ValueError, match='it is "spot" or "full"'):
        autoreg.AutoModel.from_pretrained(save("Model"), verify="yes")


def test_a_changed_weight_file_is_noticed(save: Save) -> None:
    """With a manifest beside it, a weight file of the same size and other bytes raises."""
    folder = save("Model")
    autoreg.save_pretrained(autoreg.AutoModel.from_pretrained(folder), folder)
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)
    for verify in ("spot", "full"):
        with pytest.raises(IntegrityError, match=r"model\.safetensors"):
            autoreg.AutoModel.from_pretrained(folder, verify=verify)


def test_threads_load_one_after_another(save: Save) -> None:
    """Eight threads that load at once, in two dtypes, get the weights of the file and leave torch as it was."""
    folder = save()
    wanted = load_file(folder / "model.safetensors")
    wrong: list[str] = []

    def load(dtype: torch.dtype) -> None:
        for _ in range(5):
            model = autoreg.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
            same = all(torch.equal(model.state_dict()[name], value.to(dtype)) for name, value in wanted.items())
            if not same or model.head.weight is not model.model.embed.weight:
                wrong.append(str(dtype))

    threads = [threading.Thread(target=load, args=([torch.float32, torch.bfloat16][n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong
    assert torch.get_default_dtype() == torch.float32


def test_a_poisoned_process_is_healed(save: Save, caplog: pytest.LogCaptureFixture) -> None:
    """What two loads in plain transformers left replaced for good is put back before the next load, and logged."""
    from transformers import PreTrainedModel
    from transformers.initialization import no_tie_weights

    folder, before = save(), PreTrainedModel.tie_weights
    autoreg.AutoModelForCausalLM.from_pretrained(folder)
    first, second = no_tie_weights(), no_tie_weights()
    try:
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)  # puts the stub back that it took for the original
        assert PreTrainedModel.tie_weights is not before
        model = autoreg.AutoModelForCausalLM.from_pretrained(folder)
        assert PreTrainedModel.tie_weights is before
        assert model.head.weight is model.model.embed.weight
        assert "PreTrainedModel.tie_weights" in caplog.text
    finally:
        PreTrainedModel.tie_weights = before


def test_code_of_another_repository_is_not_trusted(tmp_path: Path, isolated: object) -> None:
    """`trust_remote_code=True` trusts the checkpoint's own modules, not a repository that its config names."""
    folder = tmp_path / "far"
    folder.mkdir()
    fields = {"model_type": "far", "auto_map": {"AutoConfig": "someone/else--configuration_far.FarConfig"}}
    (folder / "config.json").write_text(json.dumps(fields))
    with pytest.raises(UnsafeCheckpointError, match=r"someone/else--configuration_far\.FarConfig"):
        autoreg.AutoConfig.from_pretrained(folder, trust_remote_code=True)

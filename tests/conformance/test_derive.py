"""Deriving a tiny config and inputs for classes that nobody has described: transformers' own, and some awkward ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from autoreg_retnet.modeling_retnet import RetNetForCausalLM
from huggingface_hub.dataclasses import strict

from autoreg.conformance.derive import Derivation, derive
from autoreg.errors import DerivationError

pytestmark = pytest.mark.filterwarnings("ignore")

# Of every sort one: text, vision, sound, several of them at once, time series, states instead of attention.
NATIVES = (
    ("BertModel", {"input_ids", "attention_mask"}),
    ("BertForTokenClassification", {"input_ids", "attention_mask"}),
    ("GPT2LMHeadModel", {"input_ids", "attention_mask"}),
    ("LlamaForCausalLM", {"input_ids", "attention_mask"}),
    ("MixtralForCausalLM", {"input_ids", "attention_mask"}),
    ("MambaForCausalLM", {"input_ids"}),
    ("Mamba2ForCausalLM", {"input_ids"}),
    ("DeepseekV3ForCausalLM", {"input_ids"}),
    ("BartForConditionalGeneration", {"input_ids", "decoder_input_ids"}),
    ("T5ForConditionalGeneration", {"input_ids", "decoder_input_ids"}),
    ("ViTForImageClassification", {"pixel_values"}),
    ("ConvNextModel", {"pixel_values"}),
    ("SwinModel", {"pixel_values"}),
    ("DetrForObjectDetection", {"pixel_values"}),
    ("CLIPModel", {"input_ids", "pixel_values"}),
    ("LlavaForConditionalGeneration", {"input_ids", "pixel_values"}),
    ("Qwen2VLForConditionalGeneration", {"input_ids", "pixel_values", "image_grid_thw"}),
    ("LayoutLMv3Model", {"input_ids"}),
    ("Wav2Vec2ForCTC", {"input_values"}),
    ("WhisperForConditionalGeneration", {"input_features", "decoder_input_ids"}),
    ("PatchTSTModel", {"past_values"}),
    ("VideoMAEModel", {"pixel_values"}),
    ("SamModel", {"pixel_values"}),
    ("AutoformerModel", {"past_values", "past_observed_mask"}),
    ("LwDetrModel", {"pixel_values"}),
    ("IdeficsModel", {"input_ids", "pixel_values", "image_attention_mask"}),
    ("VideoLlama3VisionModel", {"pixel_values", "grid_thw", "merge_sizes"}),
    ("BltForCausalLM", {"input_ids"}),
)
_MOST_PARAMETERS = 3_000_000


def derived(name: str) -> Derivation:
    return derive(getattr(transformers, name), auto_classes=())


def run(derivation: Derivation, inputs: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    model = derivation.model_class._from_config(derivation.config).eval()
    with torch.no_grad():
        return model(**inputs)


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first if isinstance(first[name], torch.Tensor))


@pytest.mark.parametrize(("name", "expected"), NATIVES, ids=[name for name, _ in NATIVES])
def test_native(name: str, expected: set[str]) -> None:
    """A native class gets a small config, and inputs with which it runs, of another batch size as well."""
    found = derived(name)
    inputs = found.make_inputs()
    assert expected <= set(inputs)
    assert set(inputs) == {each.name for each in found.inputs}
    assert sum(each.numel() for each in found.model_class(found.config).parameters()) < _MOST_PARAMETERS
    run(found, inputs)
    run(found, found.make_inputs(batch_size=3, seed=1))


@pytest.mark.parametrize(
    "name", ["LlamaForCausalLM", "CLIPModel", "LlavaForConditionalGeneration", "WhisperForConditionalGeneration"]
)
def test_contents(name: str) -> None:
    """Inputs are the same for the same seed, others for another in the same shapes, and their rows differ."""
    found = derived(name)
    first, again, other = found.make_inputs(), found.make_inputs(), found.make_inputs(seed=1)
    assert same(first, again)
    assert not same(first, other)
    assert {name: value.shape for name, value in first.items()} == {name: value.shape for name, value in other.items()}
    main = first[found.model_class.main_input_name]
    assert not torch.equal(main[0], main[1])


def test_ids_lie_in_the_vocabulary_and_are_not_special() -> None:
    """Ids are below the vocabulary's size and none of them is padding, beginning or end."""
    found = derived("LlamaForCausalLM")
    ids = found.make_inputs(batch_size=8, length=64)["input_ids"]
    config = found.config
    assert int(ids.max()) < config.vocab_size
    assert not {config.bos_token_id, config.eos_token_id} & set(ids.unique().tolist())


def test_length() -> None:
    """The length moves the text of the inputs and of the labels, masks included."""
    found = derived("BertForMaskedLM")
    inputs, labels = found.make_inputs(length=13), found.make_labels(length=13)
    assert {tuple(value.shape) for value in (*inputs.values(), *labels.values())} == {(2, 13)}


@pytest.mark.parametrize(
    ("name", "auto_class"),
    [
        ("GPT2LMHeadModel", "AutoModelForCausalLM"),
        ("BertForSequenceClassification", "AutoModelForSequenceClassification"),
        ("BertForTokenClassification", "AutoModelForTokenClassification"),
        ("BertForQuestionAnswering", "AutoModelForQuestionAnswering"),
        ("T5ForConditionalGeneration", "AutoModelForSeq2SeqLM"),
        ("ViTForImageClassification", "AutoModelForImageClassification"),
        ("Wav2Vec2ForCTC", "AutoModelForCTC"),
    ],
)
def test_labels(name: str, auto_class: str) -> None:
    """The labels make the model return a finite loss."""
    found = derive(getattr(transformers, name), auto_classes=[auto_class])
    labels = found.make_labels()
    assert labels
    assert torch.isfinite(run(found, {**found.make_inputs(), **labels}).loss)


def test_base_model_has_no_labels() -> None:
    """A class that takes no labels has none."""
    assert derived("BertModel").make_labels() == {}


def test_kinds_of_layers_and_heads_stay() -> None:
    """Two layers at least, every kind of layer once, and fewer key-value heads than heads where that was so."""
    config = derived("MixtralForCausalLM").config
    assert config.num_hidden_layers == 2
    assert config.num_attention_heads > config.num_key_value_heads > 1
    hybrid = derived("Gemma3ForCausalLM").config
    assert len(set(hybrid.layer_types)) == 2


def test_numbers_of_layers() -> None:
    """A list that names layers names some of those that are left, and leaves one out where it did so before."""
    assert derived("Qwen3VLVisionModel").config.deepstack_visual_indexes == (1,)
    assert derived("SamVisionModel").config.global_attn_indexes == (1,)
    assert derived("MllamaForCausalLM").config.cross_attention_layers == [1]


@pytest.mark.parametrize("name", ["BambaForCausalLM", "GraniteMoeHybridForCausalLM", "Sam3LiteTextTextModel"])
def test_hybrids_have_attention(name: str) -> None:
    """An architecture that mixes attention with something else has a layer of it, and a mask of text."""
    found = derived(name)
    inputs = found.make_inputs()
    assert inputs["attention_mask"].shape == inputs["input_ids"].shape
    model = found.model_class._from_config(found.config)
    assert any(type(module).__name__.endswith("Attention") for module in model.modules())


def test_kinds_of_layers_that_only_more_layers_show() -> None:
    """Where the first and the last layer are special there are three, and as many as a pattern takes up to four."""
    assert derived("Sam3LiteTextTextModel").config.num_hidden_layers == 3
    assert derived("RecurrentGemmaModel").config.num_hidden_layers > 2
    assert derived("BertModel").config.num_hidden_layers == 2


@pytest.mark.parametrize("name", ["DeformableDetrModel", "GroundingDinoModel"])
def test_one_row(name: str) -> None:
    """A single row runs as well: the image is large enough for what is normalised over it."""
    found = derived(name)
    run(found, found.make_inputs(batch_size=1))
    run(found, found.make_inputs(batch_size=3))


@pytest.mark.parametrize("name", ["BertForMultipleChoice", "XLNetForMultipleChoice"])
def test_choices(name: str) -> None:
    """A model that chooses is given a text for each choice, and the number of the right one."""
    found = derive(getattr(transformers, name), auto_classes=["AutoModelForMultipleChoice"])
    inputs = found.make_inputs(batch_size=2, length=7)
    assert {tuple(value.shape) for value in inputs.values()} == {(2, 3, 7)}
    assert {each.length_axis for each in found.inputs} == {2}
    outputs = run(found, {**inputs, **found.make_labels(batch_size=2, length=7)})
    assert outputs.logits.shape == (2, 3)
    assert torch.isfinite(outputs.loss)
    run(found, found.make_inputs(batch_size=1))


def test_sound_is_not_hidden() -> None:
    """A mask whose ones mean padding has none."""
    found = derived("Gemma3nAudioEncoder")
    assert not found.make_inputs()["audio_mel_mask"].any()


def test_patches_with_places() -> None:
    """Patches may have their rows and columns in front of them."""
    patches = derived("Pix2StructForConditionalGeneration").make_inputs()["flattened_patches"]
    assert patches[0, :, :2].unique(dim=0).shape[0] == patches.shape[1]


def test_sequences_for_encoder_and_decoder() -> None:
    """Without what makes sequences of sound, both sides are given sequences."""
    inputs = derived("SpeechT5Model").make_inputs()
    assert inputs["input_values"].shape[1] > 1
    assert inputs["decoder_input_values"].shape[1] > 1


def test_compression_is_smaller_than_the_text() -> None:
    """What puts several tokens together does so within the few that there are."""
    found = derived("DeepseekV4Model")
    assert max(found.config.compress_rates.values()) < found.make_inputs()["input_ids"].shape[1]


def test_placeholders() -> None:
    """As many tokens of a row stand for the image as it has features, and the length counts the others."""
    found = derived("LlavaForConditionalGeneration")
    short, long = found.make_inputs(length=4)["input_ids"], found.make_inputs(length=10)["input_ids"]
    token = found.config.image_token_id
    assert (short == token).sum() == (long == token).sum() > 0
    assert long.shape[1] - short.shape[1] == 6


def test_codes_are_no_ids() -> None:
    """A text just long enough to pass for codes is not taken for them: any length runs."""
    found = derived("DiaModel")
    for length in (1, 5):
        inputs = found.make_inputs(length=length)
        assert inputs["decoder_input_ids"].shape == (2, length, found.config.decoder_config.num_channels)
        run(found, inputs)


@pytest.mark.parametrize(
    ("name", "other", "kept"),
    [
        ("SeamlessM4TModel", "input_features", "input_ids"),
        ("XcodecModel", "audio_codes", "input_values"),
        ("Kosmos2Model", "image_embeds", "pixel_values"),
    ],
)
def test_no_argument_takes_the_place_of_another(name: str, other: str, kept: str) -> None:
    """Of two arguments of which a model reads one, the main one is given."""
    inputs = derived(name).make_inputs()
    assert kept in inputs
    assert other not in inputs


def test_places_of_an_image() -> None:
    """A mask of the places where the image comes has as many ones as the image has features."""
    found = derived("Kosmos2Model")
    inputs = found.make_inputs(batch_size=1)
    assert inputs["image_embeds_position_mask"].sum() == found.config.latent_query_num < inputs["input_ids"].numel()
    run(found, inputs)


def test_grids_of_images_that_are_to_be_made() -> None:
    """Each row says how many grids are its own: that of its image, and that of one to be made."""
    found = derived("GlmImageModel")
    inputs = found.make_inputs(batch_size=3)
    assert inputs["images_per_sample"].tolist() == [2, 2, 2]
    assert len(inputs["image_grid_thw"]) == 6
    run(found, found.make_inputs(batch_size=1))
    # What an image becomes are codes, and those are none of the special ids.
    assert found.config.vq_config.num_embeddings <= found.config.image_start_token_id


def test_retnet() -> None:
    """The plugin's own model is derived at the first attempt."""
    found = derive(RetNetForCausalLM)
    assert found.attempts == 1
    assert found.make_labels()


def test_start() -> None:
    """A head begins with what the base model runs with."""
    base = derived("BertModel")
    head = derive(transformers.BertForMaskedLM, start=base)
    assert head.attempts == 1
    assert head.config.hidden_size == base.config.hidden_size


def test_fields() -> None:
    """Every field that was changed has a row that says from what, to what and why."""
    rows = {field.path: field for field in derived("CLIPModel").fields}
    row = rows["vision_config.num_hidden_layers"]
    assert (row.default, row.value, row.why) == (12, 2, "shrunk: layers")


@strict
class TiedConfig(transformers.PreTrainedConfig):
    """Awkward on purpose: an explicit head dimension, a list with an entry for each layer, a validator."""

    model_type = "autoreg-test-tied"

    vocab_size: int = 5000
    hidden_size: int = 960
    num_hidden_layers: int = 6
    num_attention_heads: int = 15
    head_dim: int = 64
    widths: list[int] | None = None
    magic: int = 640
    pad_token_id: int | None = 4999

    def __post_init__(self, **kwargs: Any) -> None:
        if self.widths is None:
            self.widths = [self.hidden_size] * self.num_hidden_layers
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        if self.hidden_size != self.num_attention_heads * self.head_dim:
            raise ValueError(f"hidden_size ({self.hidden_size}) must be num_attention_heads * head_dim")


class TiedModel(transformers.PreTrainedModel):
    """Runs only with `needed`, which nothing but the error says."""

    config_class = TiedConfig
    main_input_name = "input_ids"

    def __init__(self, config: TiedConfig) -> None:
        super().__init__(config)
        self.embed = torch.nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        assert config.widths is not None
        self.layers = torch.nn.ModuleList([torch.nn.Linear(width, config.hidden_size) for width in config.widths])
        self.post_init()

    def forward(self, input_ids: Any = None, token_type_ids: Any = None) -> Any:
        if token_type_ids is None:
            raise ValueError("token_type_ids must be given")
        hidden = self.embed(input_ids)
        for layer in self.layers:
            hidden = layer(hidden)
        return transformers.modeling_outputs.BaseModelOutput(last_hidden_state=hidden)


def test_awkward_config() -> None:
    """Validators, tied sizes, lists for each layer and demands that only an error states are met."""
    found = derive(TiedModel)
    config: Any = found.config
    assert config.hidden_size == config.num_attention_heads * config.head_dim < 960
    assert len(config.widths) == config.num_hidden_layers == 2
    assert config.pad_token_id < config.vocab_size < 5000
    assert set(found.make_inputs()) == {"input_ids", "token_type_ids"}


@strict
class OuterConfig(transformers.PreTrainedConfig):
    """A config with a nested one."""

    model_type = "autoreg-test-outer"
    sub_configs = {"text_config": TiedConfig}  # noqa: RUF012 - the attribute of transformers

    text_config: Any = None
    projection_dim: int = 512

    def __post_init__(self, **kwargs: Any) -> None:
        if self.text_config is None:
            self.text_config = TiedConfig()
        elif isinstance(self.text_config, dict):
            self.text_config = TiedConfig(**self.text_config)
        super().__post_init__(**kwargs)


class OuterModel(transformers.PreTrainedModel):
    """Projects what the nested model gives."""

    config_class = OuterConfig
    main_input_name = "input_ids"

    def __init__(self, config: OuterConfig) -> None:
        super().__init__(config)
        self.text = TiedModel(config.text_config)
        self.project = torch.nn.Linear(config.text_config.hidden_size, config.projection_dim)
        self.post_init()

    def forward(self, input_ids: Any = None, token_type_ids: Any = None) -> Any:
        return (self.project(self.text(input_ids, token_type_ids).last_hidden_state),)


def test_nested_config() -> None:
    """The fields of a nested config shrink too, and are named by their path."""
    found = derive(OuterModel)
    assert found.config.text_config.hidden_size < 960
    assert {"text_config.hidden_size", "projection_dim"} <= {field.path for field in found.fields}


def test_hints() -> None:
    """What the author says counts: fields by path, and arguments."""

    def inputs(config: Any, batch_size: int, length: int, seed: int) -> dict[str, Any]:
        return {"token_type_ids": torch.full((batch_size, length), seed)}

    found = derive(OuterModel, config_hints={"projection_dim": 24}, input_hints=inputs)
    assert found.config.projection_dim == 24
    assert [field.why for field in found.fields if field.path == "projection_dim"] == ["hint"]
    assert int(found.make_inputs(seed=3)["token_type_ids"].max()) == 3


class BrokenModel(TiedModel):
    """Never runs."""

    def forward(self, input_ids: Any = None) -> Any:
        raise RuntimeError("nothing will do")


class NeedyModel(TiedModel):
    """Needs a package."""

    def __init__(self, config: TiedConfig) -> None:
        raise ImportError("NeedyModel requires the natten library but it was not found in your environment.")


class DownloadingModel(TiedModel):
    """Fetches a part of itself when it is built."""

    def __init__(self, config: TiedConfig) -> None:
        super().__init__(config)
        self.part = transformers.AutoModel.from_pretrained("autoreg-test/not-there")


def test_error_of_a_model_that_never_runs() -> None:
    """The error says which class, what was tried, the model's own words and what to do."""
    with pytest.raises(DerivationError) as caught:
        derive(BrokenModel)
    error = caught.value
    assert error.subject == "BrokenModel"
    assert error.problem == "RuntimeError: nothing will do"
    assert "configs were tried" in error.tried
    assert "hints" in error.advice


class Session:
    """What only this architecture knows."""


class SessionModel(BrokenModel):
    """Runs on a session."""

    def forward(self, session: Session) -> Any:  # type: ignore[override]
        """Use the session."""
        return session


def test_error_of_an_object_that_nobody_can_make() -> None:
    """An argument of a class of the architecture's own is named at once, and nothing is tried."""
    with pytest.raises(DerivationError, match=r"needs `session`, an object of Session") as caught:
        derive(SessionModel)
    assert caught.value.tried == "nothing was tried"


def test_error_of_a_missing_package() -> None:
    """A missing package is said to be one, at once."""
    with pytest.raises(DerivationError, match="natten") as caught:
        derive(NeedyModel)
    assert caught.value.advice == "It needs a package that is not installed here."


def test_nothing_is_downloaded() -> None:
    """A model that fetches weights when it is built fails, and nothing is fetched."""
    with pytest.raises(DerivationError, match="downloads a part of itself"):
        derive(DownloadingModel)

"""The parts of a captioner, and what joins them."""

# No `from __future__ import annotations` here: transformers makes config classes dataclasses whose
# fields `strict` validates from the annotations themselves.
from autoreg import AutoConfig
from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.configuration_utils import SubConfigSpec


class PartSpec(SubConfigSpec):
    """A nested config of any model type that is installed, in transformers or in a plugin.

    transformers' own specification looks into the table of transformers' model types, where plugins are only
    after `autoreg.activate()`.
    """

    def __init__(self, model_type: str, **init_kwargs):
        super().__init__(AutoConfig, model_type, init_kwargs)

    def get_config_class(self, model_type: str | None = None) -> type[PreTrainedConfig]:
        """Return the config class; `autoreg.UnknownArchitectureError` where nobody has the model type."""
        return type(AutoConfig.for_model(model_type))


@strict
class CaptionerConfig(PreTrainedConfig):
    r"""Describe a captioner: a vision tower, a projector and a language model.

    Args:
        vision_config: Config of the vision tower, as a dictionary with a `model_type` or as a config. A tower
            returns features of `(batch_size, hidden_size, rows, columns)`; a `ConvMixerConfig` when `None`.
        text_config: Config of the language model, likewise; a `RetNetConfig` with room for the image token
            when `None`.
        image_token_id: Id of the placeholder that stands for one position of the vision tower's features.
        projector_hidden_act: Activation of the projector, a name of `transformers.activations.ACT2FN`.
        initializer_range: Standard deviation of the normal distribution that the projector starts from; the
            parts have their own.
        tie_word_embeddings: Whether the language-model head is the embedding's transpose. The text config's own
            says nothing here, because it has no head.

    Raises:
        huggingface_hub.errors.StrictDataclassFieldValidationError: A field has the wrong type.
        huggingface_hub.errors.StrictDataclassClassValidationError: The fields do not fit together;
            the message names the fields, what they are and what they must be.
        autoreg.errors.UnknownArchitectureError: Nobody has the `model_type` of a part; the message says which
            package the part needs, if it says so itself.

    Depth: classes (imports transformers and the parts' configs; never modelling code).
    """

    model_type = "captioner"
    keys_to_ignore_at_inference = ["past_key_values"]
    sub_configs_defaults = {
        "vision_config": PartSpec("convmixer"),
        "text_config": PartSpec("retnet", vocab_size=260),
    }

    vision_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    image_token_id: int = 259
    projector_hidden_act: str = "gelu"
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True

    def validate_architecture(self):
        """Check what the fields must satisfy together; ValueError with the field names (called by `strict`)."""
        if not 0 <= self.image_token_id < self.text_config.vocab_size:
            raise ValueError(
                f"`image_token_id` ({self.image_token_id}) must be an id of the language model, whose "
                f"`text_config.vocab_size` is {self.text_config.vocab_size}."
            )
        if self.projector_hidden_act not in ACT2FN:
            raise ValueError(
                f"`projector_hidden_act` ({self.projector_hidden_act!r}) is none of transformers' activations: "
                f"{', '.join(sorted(ACT2FN))}."
            )


__all__ = ["CaptionerConfig"]

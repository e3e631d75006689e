"""The sizes and switches of a ConvS2S."""

# No `from __future__ import annotations` here: transformers makes config classes dataclasses whose
# fields `strict` validates from the annotations themselves.
from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

CONVOLUTION_LAYER_TYPE = "causal_convolution"
"""The one entry of `ConvS2SConfig.layer_types`; the cache layer of `cache_convs2s` announces itself under it."""


@strict
class ConvS2SConfig(PreTrainedConfig):
    r"""Describe a ConvS2S (Gehring et al. 2017, arXiv:1705.03122).

    The defaults are the model of the paper for WMT'16 English-Romanian (section 4.2).

    Args:
        vocab_size: Rows of the embedding, which source and target share.
        hidden_size: Width of the embeddings and of what encoder and decoder return, *f* in the paper.
        conv_channels: Width of the convolutions' inputs, *d* in the paper. Each convolution has twice as many
            outputs, half of which gate the other half.
        encoder_layers: Number of encoder blocks.
        decoder_layers: Number of decoder blocks, each with an attention of its own.
        encoder_kernel_size: Tokens that an encoder convolution sees, *k*.
        decoder_kernel_size: Tokens that a decoder convolution sees, the current one and those before it.
        max_position_embeddings: Rows of each of the two tables of positions: the longest text.
        dropout: Dropout probability on embeddings, on the inputs of the convolutions and on the decoder's output.
        weight_norm: Whether the layers are weight-normalized, as the paper trains them; see
            `ConvS2SPreTrainedModel.fold_weight_norm`.
        scale_encoder_gradient: Whether gradients into the encoder's stack are divided by twice the number of
            attentions (section 3.4; twice, because each attention uses the encoder's output as key and as value).
            The paper trains so; off by default, because the gradients are then not those of the loss.
        use_cache: Whether the decoder returns the last inputs of its convolutions.
        pad_token_id: Id of the padding token.
        bos_token_id: Id of the token that opens a text; not used by this architecture.
        eos_token_id: Id or ids that end generation.
        decoder_start_token_id: Id that the decoder begins with.
        is_encoder_decoder: Always `True`.
        tie_word_embeddings: Whether the output layer's weight is the embedding.

    Raises:
        huggingface_hub.errors.StrictDataclassFieldValidationError: A field has the wrong type.
        huggingface_hub.errors.StrictDataclassClassValidationError: A field is out of range; the message names
            the field, what it is and what it must be.

    Depth: classes (imports transformers; never the modelling code).
    """

    model_type = "convs2s"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"num_hidden_layers": "encoder_layers"}

    vocab_size: int = 40000
    hidden_size: int = 512
    conv_channels: int = 512
    encoder_layers: int = 20
    decoder_layers: int = 20
    encoder_kernel_size: int = 3
    decoder_kernel_size: int = 3
    max_position_embeddings: int = 1024
    dropout: float | int = 0.2
    weight_norm: bool = True
    scale_encoder_gradient: bool = False
    use_cache: bool = True
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    decoder_start_token_id: int | None = 2
    is_encoder_decoder: bool = True
    tie_word_embeddings: bool = False

    def validate_architecture(self):
        """Check what the fields must satisfy; ValueError with the field's name (called by `strict`)."""
        for name in (
            "vocab_size",
            "hidden_size",
            "conv_channels",
            "encoder_layers",
            "decoder_layers",
            "encoder_kernel_size",
            "decoder_kernel_size",
            "max_position_embeddings",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` ({getattr(self, name)}) must be greater than 0.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` ({self.dropout}) must be at least 0 and less than 1.")
        if not self.is_encoder_decoder:
            raise ValueError("`is_encoder_decoder` (False) must be True: the decoder attends to an encoder.")

    # A property and not a field: transformers sets fields such as `decoder_layers` on a loaded config
    # (`from_pretrained(path, decoder_layers=2)`), and a stored list would keep the old length.
    @property
    def layer_types(self) -> list[str]:
        """One `"causal_convolution"` a decoder layer: what `DynamicCache(config=config)` makes its layers from."""
        # `get_text_config(decoder=True)`, which caches are made from, moves `decoder_layers` to `num_hidden_layers`.
        return [CONVOLUTION_LAYER_TYPE] * self.__dict__.get("decoder_layers", self.num_hidden_layers)

    @layer_types.setter
    def layer_types(self, value: list[str]) -> None:
        # transformers assigns the list back when it renames layer types of old checkpoints.
        if foreign := sorted(set(value) - {CONVOLUTION_LAYER_TYPE}):
            raise ValueError(f"`layer_types` may only hold {CONVOLUTION_LAYER_TYPE!r}, and it holds {foreign}.")

    def validate_layer_type(self):
        """Accept: the setter has checked, and transformers' list of layer types does not know this one."""


__all__ = ["ConvS2SConfig"]

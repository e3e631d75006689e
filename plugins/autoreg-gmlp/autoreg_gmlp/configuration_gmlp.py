"""The sizes and switches of a gMLP."""

# No `from __future__ import annotations` here: transformers makes config classes dataclasses whose
# fields `strict` validates from the annotations themselves.
from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN


@strict
class GMLPConfig(PreTrainedConfig):
    r"""Describe a gMLP (Liu, Dai, So and Le 2021, arXiv:2105.08050); the defaults are the paper's gMLP-base.

    Args:
        vocab_size: Rows of the embedding; 260 is `GMLPTokenizer`'s four special tokens and 256 bytes.
        hidden_size: Width of the residual stream, *d_model* in the paper.
        num_hidden_layers: Number of blocks.
        intermediate_size: Width of the channel projection, *d_ffn* in the paper; even, because one half of it
            gates the other.
        max_position_embeddings: Longest text in tokens, *n* in the paper. Each block holds a matrix of this
            many rows and columns; there are no embeddings of positions besides.
        attention_head_dim: Width of the one head of tiny attention that is added to the gate of each block
            (the paper's aMLP, which takes 64); `None` for gMLP, which has no attention.
        hidden_act: Activation of the channel projection, a name of `transformers.activations.ACT2FN`.
        hidden_dropout: Dropout probability on what each block adds to the residual stream.
        classifier_dropout: Dropout probability in front of the classifiers; `hidden_dropout` when `None`.
        layer_norm_eps: Epsilon of all layer norms.
        initializer_range: Standard deviation of the normal distribution that channel weights start from.
        spatial_initializer_range: The same for the spatial weights. Near zero, so that with the bias of one
            each block starts as an ordinary feed-forward network (section 2.1 of the paper).
        pad_token_id: Id of the padding token.
        tie_word_embeddings: Whether the masked-language-model head is the embedding's transpose.

    Raises:
        huggingface_hub.errors.StrictDataclassFieldValidationError: A field has the wrong type.
        huggingface_hub.errors.StrictDataclassClassValidationError: The fields do not fit together;
            the message names the fields, what they are and what they must be.

    Depth: classes (imports transformers; never the modelling code).
    """

    model_type = "gmlp"

    vocab_size: int = 260
    hidden_size: int = 512
    num_hidden_layers: int = 48
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    attention_head_dim: int | None = None
    hidden_act: str = "gelu"
    hidden_dropout: float | int = 0.0
    classifier_dropout: float | int | None = None
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    spatial_initializer_range: float = 1e-3
    pad_token_id: int | None = 0
    tie_word_embeddings: bool = True

    def validate_architecture(self):
        """Check what the fields must satisfy together; ValueError with the field names (called by `strict`)."""
        self._require_positive()
        if self.intermediate_size % 2:
            raise ValueError(
                f"`intermediate_size` ({self.intermediate_size}) must be even, because one half of the channels "
                f"gates the other."
            )
        for name in ("hidden_dropout", "classifier_dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"`{name}` ({value}) must be at least 0 and less than 1.")
        if self.hidden_act not in ACT2FN:
            raise ValueError(
                f"`hidden_act` ({self.hidden_act!r}) is none of transformers' activations: {', '.join(sorted(ACT2FN))}."
            )

    def _require_positive(self) -> None:
        for name in (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "intermediate_size",
            "max_position_embeddings",
            "attention_head_dim",
            "layer_norm_eps",
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` ({value}) must be greater than 0.")


__all__ = ["GMLPConfig"]

"""The sizes and switches of a RetNet."""

# No `from __future__ import annotations` here: transformers makes config classes dataclasses whose
# fields `strict` validates from the annotations themselves.
from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN

RETENTION_LAYER_TYPE = "retention"
"""The one entry of `RetNetConfig.layer_types`; the cache layer of `cache_retnet` announces itself under it."""


@strict
class RetNetConfig(PreTrainedConfig):
    r"""Describe a RetNet (Sun et al. 2023, arXiv:2307.08621).

    Args:
        vocab_size: Rows of the embedding; 259 is `RetNetTokenizer`'s 256 bytes and three special tokens.
        hidden_size: Width of the residual stream, *d_model* in the paper.
        num_hidden_layers: Number of blocks, each retention then feed-forward.
        num_attention_heads: Number of retention heads; head *h* decays by `1 - 2**(-5 - h)` a token.
        head_dim: Width of a query and a key; `hidden_size // num_attention_heads` when `None`.
            Must be even, because the rotation acts on pairs.
        value_head_dim: Width of a value; `2 * head_dim` when `None`, the paper's choice.
        intermediate_size: Width of the feed-forward network; `2 * hidden_size` when `None`, the paper's choice.
        hidden_act: Activation of the feed-forward network, a name of `transformers.activations.ACT2FN`.
        hidden_dropout: Dropout probability on what each half block adds to the residual stream.
        layer_norm_eps: Epsilon of the layer norms and of the group norm on each head.
        initializer_range: Standard deviation of the normal distribution weights start from.
        rotation_base: Base *b* of the angles `theta_i = b**(-2 i / head_dim)`.
        retention_form: Which of the three equal forms a forward pass over several tokens takes.
        chunk_size: Tokens a chunk of the chunkwise form; a shorter input is one chunk.
        use_cache: Whether a forward pass returns the recurrent state.
        pad_token_id: Id of the padding token.
        bos_token_id: Id of the token that opens a text.
        eos_token_id: Id or ids that end generation.
        tie_word_embeddings: Whether the language-model head is the embedding's transpose.

    Raises:
        huggingface_hub.errors.StrictDataclassFieldValidationError: A field has the wrong type.
        huggingface_hub.errors.StrictDataclassClassValidationError: The fields do not fit together;
            the message names the fields, what they are and what they must be.

    Depth: classes (imports transformers; never the modelling code).
    """

    model_type = "retnet"
    keys_to_ignore_at_inference = ["past_key_values"]

    vocab_size: int = 259
    hidden_size: int = 512
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    head_dim: int | None = None
    value_head_dim: int | None = None
    intermediate_size: int | None = None
    hidden_act: str = "gelu"
    hidden_dropout: float | int = 0.0
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    rotation_base: float | int = 10000.0
    retention_form: Literal["parallel", "recurrent", "chunkwise"] = "chunkwise"
    chunk_size: int = 512
    use_cache: bool = True
    pad_token_id: int | None = 256
    bos_token_id: int | None = 257
    eos_token_id: int | list[int] | None = 258
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs):
        # A head count of zero has to reach the validator, whose message is better than ZeroDivisionError.
        if self.head_dim is None:
            self.head_dim = self.hidden_size // max(self.num_attention_heads, 1)
        if self.value_head_dim is None:
            self.value_head_dim = 2 * self.head_dim
        if self.intermediate_size is None:
            self.intermediate_size = 2 * self.hidden_size
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Check what the fields must satisfy together; ValueError with the field names (called by `strict`)."""
        self._require_positive()
        if self.head_dim % 2:
            raise ValueError(
                f"`head_dim` ({self.head_dim}) must be even, because the rotation e^(i n theta) acts on pairs of "
                f"channels; it is `hidden_size // num_attention_heads` unless given."
            )
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"`hidden_size` ({self.hidden_size}) must be a multiple of `num_attention_heads` "
                f"({self.num_attention_heads})."
            )
        if not 0 <= self.hidden_dropout < 1:
            raise ValueError(f"`hidden_dropout` ({self.hidden_dropout}) must be at least 0 and less than 1.")
        if self.hidden_act not in ACT2FN:
            raise ValueError(
                f"`hidden_act` ({self.hidden_act!r}) is none of transformers' activations: {', '.join(sorted(ACT2FN))}."
            )

    def _require_positive(self) -> None:
        for name in (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "head_dim",
            "value_head_dim",
            "intermediate_size",
            "chunk_size",
            "layer_norm_eps",
            "rotation_base",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` ({getattr(self, name)}) must be greater than 0.")

    # A property and not a field: transformers sets fields such as `num_hidden_layers` on a loaded config
    # (`from_pretrained(path, num_hidden_layers=2)`), and a stored list would keep the old length.
    @property
    def layer_types(self) -> list[str]:
        """One `"retention"` a layer: what `DynamicCache(config=config)` makes its layers from."""
        return [RETENTION_LAYER_TYPE] * self.num_hidden_layers

    @layer_types.setter
    def layer_types(self, value: list[str]) -> None:
        # transformers assigns the list back when it renames layer types of old checkpoints.
        if foreign := sorted(set(value) - {RETENTION_LAYER_TYPE}):
            raise ValueError(f"`layer_types` may only hold {RETENTION_LAYER_TYPE!r}, and it holds {foreign}.")

    def validate_layer_type(self):
        """Accept: the setter has checked, and transformers' list of layer types does not know this one."""


__all__ = ["RetNetConfig"]

"""The config of the correct original, with a nested config in it."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class TidyFeedForwardConfig(PreTrainedConfig):
    """The feed-forward half of a layer."""

    model_type = "tidy_feed_forward"

    intermediate_size: int = 64
    hidden_act: str = "silu"
    dropout: float | int = 0.1


@strict
class TidyConfig(PreTrainedConfig):
    """A decoder of grouped-query attention."""

    model_type = "tidy"
    sub_configs = {"feed_forward_config": TidyFeedForwardConfig}
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {"d_model": "hidden_size"}
    base_model_tp_plan = {
        "layers.*.attention.q_proj": "colwise",
        "layers.*.attention.k_proj": "colwise",
        "layers.*.attention.v_proj": "colwise",
        "layers.*.attention.o_proj": "rowwise",
        "layers.*.feed_forward.up_proj": "colwise",
        "layers.*.feed_forward.down_proj": "rowwise",
    }

    vocab_size: int = 259
    hidden_size: int = 64
    num_hidden_layers: int = 4
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    feed_forward_config: dict | PreTrainedConfig | None = None
    layer_scales: list[float] | None = None
    head_names: dict[str, int] | None = None
    attention_dropout: float | int = 0.1
    norm_eps: float = 1e-6
    rotation_base: float | int = 10000.0
    initializer_range: float = 0.02
    use_cache: bool = True
    pad_token_id: int | None = 258
    bos_token_id: int | None = 256
    eos_token_id: int | list[int] | None = 257
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs):
        if self.feed_forward_config is None:
            self.feed_forward_config = TidyFeedForwardConfig()
        elif isinstance(self.feed_forward_config, dict):
            self.feed_forward_config = TidyFeedForwardConfig(**self.feed_forward_config)
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Heads divide the width, and groups divide the heads."""
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError("`hidden_size` must be a multiple of twice `num_attention_heads`")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("`num_attention_heads` must be a multiple of `num_key_value_heads`")

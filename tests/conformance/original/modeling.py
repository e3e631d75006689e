"""The models of the correct original: a decoder and two heads."""

import torch
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.cache_utils import DynamicCache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    CausalLMOutputWithPast,
    SequenceClassifierOutputWithPast,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import can_return_tuple

from .configuration import TidyConfig


def rotate(states, positions, base):
    """Rotate pairs of channels by angles that grow with the position; `states` is (batch, heads, length, size)."""
    half = states.shape[-1] // 2
    steps = torch.arange(half, device=states.device, dtype=torch.float32)
    angles = positions[:, None, :, None].float() * base ** (-steps / half)
    cosine, sine = angles.cos().to(states.dtype), angles.sin().to(states.dtype)
    left, right = states[..., :half], states[..., half:]
    return torch.cat([left * cosine - right * sine, left * sine + right * cosine], dim=-1)


def repeat_heads(states, groups):
    """Repeat each key or value head for the query heads of its group."""
    return states.repeat_interleave(groups, dim=1)


def eager_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """Attend in plain torch; returns (batch, length, heads, size) and the weights."""
    key, value = repeat_heads(key, module.num_key_value_groups), repeat_heads(value, module.num_key_value_groups)
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2), weights


class TidyNorm(nn.Module):
    """Root mean square norm."""

    def __init__(self, config):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.hidden_size))
        self.eps = config.norm_eps

    def forward(self, states):
        """Norm the last axis."""
        variance = states.float().pow(2).mean(-1, keepdim=True)
        return self.weight * (states.float() * torch.rsqrt(variance + self.eps)).to(states.dtype)


class TidyAttention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, config, layer_idx):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.is_causal = True
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        self.scaling = self.head_dim**-0.5
        self.q_proj = nn.Linear(config.hidden_size, config.num_attention_heads * self.head_dim, bias=True)
        self.k_proj = nn.Linear(config.hidden_size, config.num_key_value_heads * self.head_dim, bias=True)
        self.v_proj = nn.Linear(config.hidden_size, config.num_key_value_heads * self.head_dim, bias=True)
        self.o_proj = nn.Linear(config.num_attention_heads * self.head_dim, config.hidden_size, bias=False)

    def forward(self, hidden_states, *, positions, attention_mask=None, past_key_values=None, **kwargs):
        """Mix the tokens; returns the states and the attention weights, or None."""
        shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        query = self.q_proj(hidden_states).view(shape).transpose(1, 2)
        key = self.k_proj(hidden_states).view(shape).transpose(1, 2)
        value = self.v_proj(hidden_states).view(shape).transpose(1, 2)
        query = rotate(query, positions, self.config.rotation_base)
        key = rotate(key, positions, self.config.rotation_base)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention)
        dropout = self.config.attention_dropout if self.training else 0.0
        states, weights = attend(
            self, query, key, value, attention_mask, scaling=self.scaling, dropout=dropout, **kwargs
        )
        return self.o_proj(states.flatten(2).contiguous()), weights


class TidyFeedForward(nn.Module):
    """Two linear maps with an activation between them."""

    def __init__(self, config):
        super().__init__()
        inner = config.feed_forward_config
        self.up_proj = nn.Linear(config.hidden_size, inner.intermediate_size)
        self.down_proj = nn.Linear(inner.intermediate_size, config.hidden_size)
        self.act_fn = ACT2FN[inner.hidden_act]
        self.dropout = nn.Dropout(inner.dropout)

    def forward(self, hidden_states):
        """Map each token."""
        return self.dropout(self.down_proj(self.act_fn(self.up_proj(hidden_states))))


class TidyLayer(GradientCheckpointingLayer):
    """One block: attention, then feed-forward, each added to the stream."""

    def __init__(self, config, layer_idx):
        super().__init__()
        self.attention_norm = TidyNorm(config)
        self.attention = TidyAttention(config, layer_idx)
        self.feed_forward_norm = TidyNorm(config)
        self.feed_forward = TidyFeedForward(config)
        scales = config.layer_scales or [1.0]
        self.scale = float(scales[layer_idx % len(scales)])

    def forward(self, hidden_states, **kwargs):
        """Return the states and the attention weights."""
        mixed, weights = self.attention(self.attention_norm(hidden_states), **kwargs)
        hidden_states = hidden_states + self.scale * mixed
        return hidden_states + self.feed_forward(self.feed_forward_norm(hidden_states)), weights


class TidyPreTrainedModel(PreTrainedModel):
    """What transformers has to know of every Tidy model."""

    config_class = TidyConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["TidyLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_sdpa = True
    _can_compile_fullgraph = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, TidyNorm):
            nn.init.ones_(module.weight)
        elif isinstance(module, TidyModel):
            nn.init.constant_(module.stream_scale, module.config.hidden_size**0.5)


class TidyModel(TidyPreTrainedModel):
    """The stack of blocks."""

    def __init__(self, config):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.register_buffer("stream_scale", torch.tensor(config.hidden_size**0.5), persistent=True)
        self.layers = nn.ModuleList(TidyLayer(config, index) for index in range(config.num_hidden_layers))
        self.norm = TidyNorm(config)
        self.gradient_checkpointing = False
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        inputs_embeds=None,
        use_cache=None,
        output_hidden_states=None,
        output_attentions=None,
        **kwargs,
    ):
        """Run the stack over ids or embeddings."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of `input_ids` and `inputs_embeds`")
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        use_cache = self.config.use_cache if use_cache is None else use_cache
        if use_cache and past_key_values is None and not (self.gradient_checkpointing and self.training):
            past_key_values = DynamicCache(config=self.config)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if output_attentions is None:
            output_attentions = self.config.output_attentions
        if position_ids is None:
            position_ids = self._positions(inputs_embeds, attention_mask, past_key_values)
        causal_mask = create_causal_mask(
            config=self.config,
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            position_ids=None,
        )
        hidden_states = inputs_embeds * self.stream_scale.to(inputs_embeds)
        all_hidden_states, all_attentions = (hidden_states,), ()
        for layer in self.layers:
            hidden_states, weights = layer(
                hidden_states,
                positions=position_ids,
                attention_mask=causal_mask,
                past_key_values=past_key_values,
                output_attentions=output_attentions,
            )
            all_hidden_states += (hidden_states,)
            all_attentions += (weights,)
        hidden_states = self.norm(hidden_states)
        return BaseModelOutputWithPast(
            last_hidden_state=hidden_states,
            past_key_values=past_key_values,
            hidden_states=(*all_hidden_states[:-1], hidden_states) if output_hidden_states else None,
            attentions=all_attentions if output_attentions else None,
        )

    def _positions(self, inputs_embeds, attention_mask, past_key_values):
        """Count the real tokens of each row, so that padding on either side moves nobody."""
        length = inputs_embeds.shape[1]
        past = 0 if past_key_values is None else past_key_values.get_seq_length()
        if attention_mask is None:
            return past + torch.arange(length, device=inputs_embeds.device)[None]
        counted = attention_mask.long().cumsum(-1) - 1
        return counted.clamp(min=0)[:, -length:]


class TidyForCausalLM(TidyPreTrainedModel, GenerationMixin):
    """Tidy with a language-model head."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}
    _tp_plan = {"lm_head": "colwise_gather_output"}

    def __init__(self, config):
        super().__init__(config)
        self.model = TidyModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        inputs_embeds=None,
        labels=None,
        use_cache=None,
        logits_to_keep=0,
        **kwargs,
    ):
        """Return the logits of the next token at each place, and the loss if there are labels."""
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class TidyForSequenceClassification(TidyPreTrainedModel):
    """Tidy with a classifier on the last real token."""

    def __init__(self, config):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.model = TidyModel(config)
        self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        inputs_embeds=None,
        labels=None,
        use_cache=None,
        **kwargs,
    ):
        """Return one row of logits a text, and the loss if there are labels."""
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )
        states = outputs.last_hidden_state
        if attention_mask is None and input_ids is not None and self.config.pad_token_id is not None:
            attention_mask = input_ids != self.config.pad_token_id
        if attention_mask is None:
            attention_mask = states.new_ones(states.shape[:2])
        columns = torch.arange(states.shape[1], device=states.device)
        # Under a device map the last states may lie elsewhere than the inputs.
        last = (columns * attention_mask[:, -states.shape[1] :].to(columns)).argmax(-1)
        logits = self.score(states[torch.arange(states.shape[0], device=states.device), last])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

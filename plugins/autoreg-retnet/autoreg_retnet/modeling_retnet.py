"""RetNet as transformers models: multi-scale retention, the decoder stack and its heads."""

from typing import Any

import torch
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    CausalLMOutputWithPast,
    SequenceClassifierOutputWithPast,
)
from transformers.utils import can_return_tuple
from transformers.utils.generic import merge_with_config_defaults

from .cache_retnet import RetentionCacheLayer
from .configuration_retnet import RetNetConfig
from .retention import (
    RetentionState,
    chunkwise_retention,
    head_log_decays,
    parallel_retention,
    recurrent_retention,
    rotate,
    rotation,
    row_scale,
)


class MultiScaleRetention(nn.Module):
    """Mix tokens by retention with one decay a head, group norm and a swish gate (eq. 8).

    MSR(X) = (swish(X W_G) * GroupNorm_h(Concat(head_1 .. head_h))) W_O
    """

    def __init__(self, config: RetNetConfig, layer_idx: int):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.num_heads = config.num_attention_heads
        self.head_dim = config.head_dim
        self.value_head_dim = config.value_head_dim
        key_size, value_size = self.num_heads * self.head_dim, self.num_heads * self.value_head_dim
        self.q_proj = nn.Linear(config.hidden_size, key_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, key_size, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, value_size, bias=False)
        self.g_proj = nn.Linear(config.hidden_size, value_size, bias=False)
        self.o_proj = nn.Linear(value_size, config.hidden_size, bias=False)

    def forward(
        self,
        hidden_states: torch.Tensor,
        *,
        positions: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
    ) -> torch.Tensor:
        """Return the mixed states, `(batch_size, length, hidden_size)`, and move the cache on.

        Args:
            hidden_states: `(batch_size, length, hidden_size)`.
            positions: `(batch_size or 1, length)`, int64, never decreasing.
            position_embeddings: Cosine and sine of `retention.rotation`; their dtype is the one retention
                is computed and its state kept in, float32 or wider.
            attention_mask: `(batch_size, length)`, bool, False on padding.
            past_key_values: A cache of `RetentionCacheLayer`.
        """
        cosine, sine = position_embeddings
        query = rotate(self._split(self.q_proj(hidden_states)).to(cosine.dtype), cosine, sine)
        key = rotate(self._split(self.k_proj(hidden_states)).to(cosine.dtype), cosine, sine)
        value = self._split(self.v_proj(hidden_states)).to(cosine.dtype)
        if attention_mask is not None:
            key = key * attention_mask[:, None, :, None]

        output = self._retain(query * self.head_dim**-0.5, key, value, positions, past_key_values)
        output = nn.functional.layer_norm(output, (self.value_head_dim,), eps=self.config.layer_norm_eps)
        output = output.transpose(1, 2).flatten(2).to(hidden_states.dtype)
        return self.o_proj(nn.functional.silu(self.g_proj(hidden_states)) * output)

    def _split(self, states: torch.Tensor) -> torch.Tensor:
        """`(batch, length, heads * dim)` to `(batch, heads, length, dim)`."""
        return states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def _retain(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        positions: torch.Tensor,
        past_key_values: Cache | None,
    ) -> torch.Tensor:
        # From the config in every pass: a buffer would be lost on the meta device that
        # `from_pretrained` builds models on, and the few flops are cheaper than remembering that.
        log_decay = head_log_decays(self.num_heads, device=query.device, dtype=query.dtype)
        past = None if past_key_values is None else _read_state(past_key_values, self.layer_idx)
        output, state = self._form(query, key, value, positions, log_decay, past)
        if past_key_values is not None:
            position = state.position.expand(query.shape[0])
            past_key_values.update(state.memory, position, self.layer_idx, num_new_tokens=query.shape[2])
        return output * row_scale(positions, log_decay)

    def _form(self, query: torch.Tensor, *rest) -> tuple[torch.Tensor, RetentionState]:
        """Take the form the config asks for, except that one token is always a recurrent step."""
        form, length = self.config.retention_form, query.shape[2]
        if form == "recurrent" or length == 1:
            return recurrent_retention(query, *rest)
        # A single chunk skips the loop over chunks, which `torch.export` would unroll for one length.
        if form == "parallel" or length <= self.config.chunk_size:
            return parallel_retention(query, *rest)
        return chunkwise_retention(query, *rest, chunk_size=self.config.chunk_size)


def _read_state(past_key_values: Cache, layer_idx: int) -> RetentionState | None:
    """Return the state of a layer, None before its first token; TypeError for a cache of keys and values."""
    layer = past_key_values.layers[layer_idx] if layer_idx < len(past_key_values.layers) else None
    if not isinstance(layer, RetentionCacheLayer):
        raise TypeError(
            f"RetNet keeps a recurrent state and not keys and values, but `past_key_values` is a "
            f"{type(past_key_values).__name__} whose layer {layer_idx} is {layer!r}. "
            "Make it with `DynamicCache(config=model.config)`, or pass `use_cache=True` and no cache."
        )
    return RetentionState(layer.keys, layer.values) if layer.is_initialized else None


class RetNetFeedForward(nn.Module):
    """FFN(X) = gelu(X W_1) W_2 (section 2.3)."""

    def __init__(self, config: RetNetConfig):
        super().__init__()
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.act_fn = ACT2FN[config.hidden_act]
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map `(..., hidden_size)` to the same shape."""
        return self.down_proj(self.act_fn(self.up_proj(hidden_states)))


class RetNetLayer(GradientCheckpointingLayer):
    """One block: Y = MSR(LN(X)) + X, then FFN(LN(Y)) + Y (eq. 9)."""

    def __init__(self, config: RetNetConfig, layer_idx: int):
        super().__init__()
        self.retention_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.retention = MultiScaleRetention(config, layer_idx)
        self.mlp_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = RetNetFeedForward(config)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        """Map `(batch_size, length, hidden_size)` to the same shape; `kwargs` are `MultiScaleRetention`'s."""
        mixed = self.retention(self.retention_layer_norm(hidden_states), **kwargs)
        hidden_states = hidden_states + self.dropout(mixed)
        return hidden_states + self.dropout(self.mlp(self.mlp_layer_norm(hidden_states)))


class RetNetPreTrainedModel(PreTrainedModel):
    """What every RetNet model tells transformers about itself."""

    config: RetNetConfig
    # Set outright: derived from the annotation alone it would break for a subclass in a module with
    # `from __future__ import annotations`, where annotations are strings.
    config_class = RetNetConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["RetNetLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    # `generate` refuses assisted decoding, which would have to take tokens out of the state again.
    _is_stateful = True


class RetNetModel(RetNetPreTrainedModel):
    """The stack of retention blocks under a final layer norm."""

    def __init__(self, config: RetNetConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList(RetNetLayer(config, layer_idx) for layer_idx in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    # Hidden states are collected here and not by transformers' `capture_outputs`, whose forward hooks are
    # local functions: after one pass with `output_hidden_states=True` the model could not be pickled.
    @can_return_tuple
    @merge_with_config_defaults
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPast:
        """Run the stack.

        Args:
            input_ids: `(batch_size, length)`, int64; or `inputs_embeds`, exactly one of the two.
            attention_mask: `(batch_size, length)` or `(batch_size, past_length + length)`, 0 on padding, which
                may lie anywhere. Of a longer mask the last `length` columns count: padding of the past is
                already in the state.
            position_ids: `(batch_size or 1, length)`, int64. By default each row counts its real tokens, on
                from the cache. Given ones may skip numbers, and a skipped number ages the state.
            past_key_values: A `DynamicCache(config=model.config)`, updated in place.
            inputs_embeds: `(batch_size, length, hidden_size)`, floating point.
            use_cache: Whether to make a cache if none is given; `config.use_cache` when `None`.
            output_hidden_states: Whether to return `hidden_states`; `config.output_hidden_states` when `None`.
            **kwargs: `return_dict`, as everywhere in transformers; anything else is ignored.

        Returns:
            `last_hidden_state` `(batch_size, length, hidden_size)`, `past_key_values`, and with
            `output_hidden_states=True` `num_hidden_layers + 1` `hidden_states`, the last one normed.

        Raises:
            ValueError: Both or none of `input_ids` and `inputs_embeds`; an attention mask that is not 2D or
                too short; `position_ids` that go back within a row (several texts packed into one).
            TypeError: A cache that does not hold retention states.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("You must specify exactly one of input_ids or inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)

        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        layer_inputs = self._layer_inputs(inputs_embeds, attention_mask, position_ids, past_key_values)
        hidden_states = inputs_embeds
        all_hidden_states = (hidden_states,)
        for layer in self.layers:
            hidden_states = layer(hidden_states, **layer_inputs)
            if output_hidden_states:
                all_hidden_states += (hidden_states,)
        hidden_states = self.norm(hidden_states)
        return BaseModelOutputWithPast(
            last_hidden_state=hidden_states,
            past_key_values=past_key_values,
            hidden_states=(*all_hidden_states[:-1], hidden_states) if output_hidden_states else None,
        )

    def _layer_inputs(
        self,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor | None,
        past_key_values: Cache | None,
    ) -> dict[str, Any]:
        """Return what every layer gets besides the hidden states: the arguments of `MultiScaleRetention.forward`."""
        past = None if past_key_values is None else _read_state(past_key_values, 0)
        mask = _padding_mask(attention_mask, inputs_embeds.shape[1])
        positions = _positions(position_ids, mask, past, inputs_embeds)
        # Sums over thousands of tokens and angles of thousands of radians need more than 8 or 11 bits.
        dtype = torch.promote_types(inputs_embeds.dtype, torch.float32)
        return {
            "positions": positions,
            "position_embeddings": rotation(
                positions, self.config.head_dim, base=self.config.rotation_base, dtype=dtype
            ),
            "attention_mask": mask,
            "past_key_values": past_key_values,
        }


def _padding_mask(attention_mask: torch.Tensor | None, length: int) -> torch.Tensor | None:
    """Return the last `length` columns as bool, `(batch_size, length)`; ValueError unless 2D and long enough."""
    if attention_mask is None:
        return None
    if attention_mask.dim() != 2 or attention_mask.shape[1] < length:  # noqa: PLR2004 - batch and length
        raise ValueError(
            f"RetNet takes an attention mask of one number a token, here (batch_size, {length}) or longer, and this "
            f"one has the shape {tuple(attention_mask.shape)}: there are no scores that a mask over pairs could cover."
        )
    return attention_mask[:, -length:].bool()


def _positions(
    position_ids: torch.Tensor | None,
    mask: torch.Tensor | None,
    past: RetentionState | None,
    inputs_embeds: torch.Tensor,
) -> torch.Tensor:
    """Return each column's position, `(batch_size or 1, length)`, int64; padding repeats the one before it."""
    length, device = inputs_embeds.shape[1], inputs_embeds.device
    start = torch.full((1, 1), -1, device=device) if past is None else past.position[:, None]
    if position_ids is None and mask is None:
        return start + torch.arange(1, length + 1, device=device)
    if position_ids is None:
        return start + mask.cumsum(-1)
    if mask is not None:
        position_ids = torch.where(mask, position_ids, start)
    positions = torch.maximum(position_ids, start).cummax(-1).values
    _refuse_packing(position_ids, positions, mask)
    return positions


def _refuse_packing(position_ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None) -> None:
    """Raise ValueError if the position of a real token had to be raised to keep the row from going back."""
    # A single column cannot go back within itself; a traced graph cannot look at values.
    if position_ids.shape[-1] == 1 or torch.compiler.is_compiling():
        return
    went_back = positions != position_ids
    if mask is not None:
        went_back = went_back & mask
    if went_back.any():
        raise ValueError(
            "`position_ids` go back within a row, or behind the cache. RetNet does not take several texts packed into "
            "one row, because its state would run on from one into the next: pad them instead."
        )


class RetNetForCausalLM(RetNetPreTrainedModel, GenerationMixin):
    """RetNet with a language-model head, for next-token loss and `generate`."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: RetNetConfig):
        super().__init__(config)
        self.model = RetNetModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs,
    ) -> CausalLMOutputWithPast:
        """Return the logits, and the loss if there are labels; arguments and errors of `RetNetModel.forward`.

        Args:
            labels: `(batch_size, length)`, int64, shifted inside; -100 is ignored.
            logits_to_keep: Number of last columns to compute logits for, 0 for all; or their indices, 1D int64.

        Returns:
            `loss` (scalar), `logits` `(batch_size, kept columns, vocab_size)`, `past_key_values`, `hidden_states`.
        """
        outputs: BaseModelOutputWithPast = self.model(
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
        )


class RetNetForSequenceClassification(RetNetPreTrainedModel):
    """RetNet with a linear classifier on the last real token.

    Not `GenericForSequenceClassification`, which makes its base model with `AutoModel` and so could be
    constructed only where the architecture is registered.
    """

    def __init__(self, config: RetNetConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.model = RetNetModel(config)
        self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs,
    ) -> SequenceClassifierOutputWithPast:
        """Return one row of logits a text; arguments and errors of `RetNetModel.forward`.

        Args:
            labels: `(batch_size,)` int64 classes, or floats for a regression, as `config.problem_type` says.

        Returns:
            `loss` (scalar), `logits` `(batch_size, num_labels)`, `past_key_values`, `hidden_states`.
        """
        outputs: BaseModelOutputWithPast = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )
        last = self._last_column(input_ids, attention_mask, outputs.last_hidden_state)
        rows = torch.arange(last.shape[0], device=last.device)
        logits = self.score(outputs.last_hidden_state[rows, last])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
        )

    def _last_column(
        self, input_ids: torch.Tensor | None, attention_mask: torch.Tensor | None, hidden_states: torch.Tensor
    ) -> torch.Tensor:
        """Return the column of each row's last real token, `(batch_size,)`: by the mask, else by the padding id."""
        mask = _padding_mask(attention_mask, hidden_states.shape[1])
        if mask is None and input_ids is not None and self.config.pad_token_id is not None:
            mask = input_ids != self.config.pad_token_id
        if mask is None:
            mask = hidden_states.new_ones(hidden_states.shape[:2], dtype=torch.bool)
        columns = torch.arange(mask.shape[1], device=mask.device)
        return (columns * mask).argmax(-1)


__all__ = ["RetNetForCausalLM", "RetNetForSequenceClassification", "RetNetModel", "RetNetPreTrainedModel"]

"""ConvS2S as transformers models: gated convolutions, multi-step attention, encoder, decoder and head."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithPastAndCrossAttentions,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import can_return_tuple
from transformers.utils.generic import merge_with_config_defaults

from .cache_convs2s import ConvolutionCacheLayer
from .configuration_convs2s import ConvS2SConfig
from .packing import Packing
from .weight_norm import WeightNorm, WeightNormConv1d, WeightNormLinear, row_norms

HALF = 0.5**0.5
"""Keeps the variance of a sum of two terms of equal variance (section 3.4)."""


@dataclass
class ConvS2SEncoderOutput(BaseModelOutput):
    """What the encoder returns: `last_hidden_state` is z, what the attentions compare with.

    Attributes:
        attention_values: `(batch_size, length, hidden_size)`, what the attentions sum up: z plus the embeddings of
            the tokens, times sqrt(0.5) (equation 2).
    """

    attention_values: torch.FloatTensor | None = None


class ScaleGradient(torch.autograd.Function):
    """Return a tensor as it is, and scale the gradient that flows back through it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(states: torch.Tensor, factor: float) -> torch.Tensor:
        """Return a view of `states`."""
        return states.view_as(states)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, float], output: torch.Tensor) -> None:
        """Remember the factor."""
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the scaled gradient."""
        return gradient * ctx.factor, None


def _linear(config: ConvS2SConfig, in_features: int, out_features: int, *, gain: float = 1.0) -> nn.Module:
    """Return a linear layer whose weights start with the variance `gain / in_features`."""
    layer = (WeightNormLinear if config.weight_norm else nn.Linear)(in_features, out_features)
    layer.init_gain = gain
    return layer


def _convolution(config: ConvS2SConfig, kernel_size: int) -> nn.Module:
    """Return the convolution in front of a gate; it starts with the variance of section 3.5 for dropped-out inputs."""
    channels = config.conv_channels
    layer = (WeightNormConv1d if config.weight_norm else nn.Conv1d)(channels, 2 * channels, kernel_size)
    layer.init_gain = 4 * (1 - config.dropout)
    return layer


def _gated(convolution: nn.Module, states: torch.Tensor) -> torch.Tensor:
    """Convolve `(batch, length, channels)` without padding, and gate: v([A B]) = A * sigmoid(B)."""
    return nn.functional.glu(convolution(states.transpose(1, 2)), dim=1).transpose(1, 2)


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend with the weights written out, as transformers' attention functions do.

    Args:
        module: Not used; transformers' functions have it.
        query: `(batch_size, heads, query_length, width)`.
        key: `(batch_size, heads, length, width)`.
        value: `(batch_size, heads, length, width)`.
        attention_mask: Added to the scores, `(batch_size, 1, 1, length)`.
        scaling: Factor of the scores.

    Returns:
        The sums, `(batch_size, query_length, heads, width)`, and the weights,
        `(batch_size, heads, query_length, length)`.
    """
    scores = query @ key.transpose(-1, -2) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(-1, dtype=torch.float32 if scores.dtype.itemsize < 4 else None).to(query.dtype)  # noqa: PLR2004
    return (weights @ value).transpose(1, 2), weights


class ConvS2SAttention(nn.Module):
    """Attend from a decoder layer to the source (equations 1 and 2).

    d = (W_d h + b_d + g) sqrt(0.5), a_j = softmax_j(d z_j), c = sqrt(m) sum_j a_j v_j for m source tokens.
    """

    # Read by transformers' attention functions, which would make a causal mask where there is none.
    is_causal = False

    def __init__(self, config: ConvS2SConfig):
        super().__init__()
        self.config = config
        self.in_proj = _linear(config, config.conv_channels, config.hidden_size)
        self.out_proj = _linear(config, config.hidden_size, config.conv_channels)

    def forward(
        self,
        hidden_states: torch.Tensor,
        target_embeds: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        *,
        attention_mask: torch.Tensor | None,
        source_lengths: torch.Tensor | int,
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the attended source, `(batch_size, length, conv_channels)`, and the weights if they are asked for.

        Args:
            hidden_states: What the layer's gate gave, h, `(batch_size, length, conv_channels)`.
            target_embeds: Embeddings g of the tokens that the decoder has read, `(batch_size, length, hidden_size)`.
            keys: The encoder's output z, `(batch_size, source_length, hidden_size)`.
            values: `ConvS2SEncoderOutput.attention_values`, v, of the same shape.
            attention_mask: Added to the scores, `(batch_size, 1, 1, source_length)`.
            source_lengths: m, the number of real source tokens, one for all or `(batch_size,)`.
            output_attentions: Whether to write the weights out, `(batch_size, 1, length, source_length)`.
        """
        query = (self.in_proj(hidden_states) + target_embeds) * HALF
        attend = eager_attention_forward
        if not output_attentions:
            attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        attended, weights = attend(
            self, query[:, None], keys[:, None], values[:, None], attention_mask, dropout=0.0, scaling=1.0
        )
        # A mean of m values has 1/m of their variance; sqrt(m) gives it back (section 3.4).
        if isinstance(source_lengths, torch.Tensor):
            # Through the wider dtype: bfloat16 has no 257, and an integer's root would be float32 in a float64 model.
            wide = source_lengths.to(torch.promote_types(attended.dtype, torch.float32))
            scale = wide.sqrt().to(attended.dtype)[:, None, None]
        else:
            scale = source_lengths**0.5
        return self.out_proj(attended.squeeze(2) * scale), weights if output_attentions else None


class ConvS2SEncoderLayer(GradientCheckpointingLayer):
    """One encoder block: (v(W x + b) + x) sqrt(0.5) over `encoder_kernel_size` tokens around each (section 3.2)."""

    def __init__(self, config: ConvS2SConfig):
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.conv = _convolution(config, config.encoder_kernel_size)
        # Of an even number of tokens one more lies ahead.
        self.padding = ((config.encoder_kernel_size - 1) // 2, config.encoder_kernel_size // 2)

    def forward(self, hidden_states: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        """Map `(batch_size, length, conv_channels)` to the same shape; `real` is False on padding, `(…, length, 1)`."""
        inputs = hidden_states if real is None else hidden_states.masked_fill(~real, 0)
        inputs = nn.functional.pad(self.dropout(inputs), (0, 0, *self.padding))
        return (_gated(self.conv, inputs) + hidden_states) * HALF


class ConvS2SDecoderLayer(GradientCheckpointingLayer):
    """One decoder block: a gate over the current token and those before, attention, and the residual."""

    def __init__(self, config: ConvS2SConfig, layer_idx: int):
        super().__init__()
        self.layer_idx = layer_idx
        self.window = config.decoder_kernel_size - 1
        self.dropout = nn.Dropout(config.dropout)
        self.conv = _convolution(config, config.decoder_kernel_size)
        self.attention = ConvS2SAttention(config)

    def forward(
        self,
        hidden_states: torch.Tensor,
        target_embeds: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        packing: Packing | None,
        past_key_values: Cache | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Map `(batch_size, length, conv_channels)` to the same shape and the attention weights, and move the cache on.

        `target_embeds`, `keys`, `values` and `kwargs` are `ConvS2SAttention`'s. The states are packed.
        """
        inputs = self.dropout(hidden_states)
        past = None if past_key_values is None else _read(past_key_values, self.layer_idx)
        start = inputs.new_zeros(inputs.shape[0], self.window, inputs.shape[2]) if past is None else past.keys
        inputs = torch.cat((start, inputs), dim=1)
        if past_key_values is not None:
            self._remember(inputs, packing, past, past_key_values)
        gated = _gated(self.conv, inputs)
        attended, weights = self.attention(gated, target_embeds, keys, values, **kwargs)
        return ((gated + attended) * HALF + hidden_states) * HALF, weights

    def _remember(
        self, inputs: torch.Tensor, packing: Packing | None, past: ConvolutionCacheLayer | None, cache: Cache
    ) -> None:
        """Keep the window behind each row's last real token."""
        batch_size, length = inputs.shape[0], inputs.shape[1] - self.window
        counts = torch.full((batch_size,), length) if packing is None else packing.counts
        counts = counts.to(inputs.device)
        columns = (counts[:, None] + torch.arange(self.window, device=inputs.device))[..., None]
        window = inputs.gather(1, columns.expand(-1, -1, inputs.shape[2]))
        seen = counts if past is None else counts + past.values
        cache.update(window, seen, self.layer_idx, num_new_tokens=length)


def _read(past_key_values: Cache, layer_idx: int) -> ConvolutionCacheLayer | None:
    """Return the layer of a cache, None before its first token; TypeError for a cache of keys and values."""
    layer = past_key_values.layers[layer_idx] if layer_idx < len(past_key_values.layers) else None
    if not isinstance(layer, ConvolutionCacheLayer):
        raise TypeError(
            f"ConvS2S keeps the last inputs of its convolutions and not keys and values, but `past_key_values` holds a "
            f"{type(past_key_values).__name__} whose layer {layer_idx} is {layer!r}. Make it with "
            "`EncoderDecoderCache(DynamicCache(config=model.config), DynamicCache(config=model.config))`, or pass "
            "`use_cache=True` and no cache."
        )
    return layer if layer.is_initialized else None


class ConvS2SPreTrainedModel(PreTrainedModel):
    """What every ConvS2S model tells transformers about itself, and how its weights begin."""

    config: ConvS2SConfig
    # Set outright: derived from the annotation alone it would break for a subclass in a module with
    # `from __future__ import annotations`, where annotations are strings.
    config_class = ConvS2SConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["ConvS2SEncoderLayer", "ConvS2SDecoderLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    # `generate` refuses assisted decoding, which would have to take tokens out of the windows again.
    _is_stateful = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Draw weights as section 3.5 says: embeddings N(0, 0.1), layers by their inputs, gates and dropout."""
        if isinstance(module, nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=0.1)
            if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
                init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, (nn.Linear, nn.Conv1d, WeightNorm)):
            normed = isinstance(module, WeightNorm)
            weight = module.direction if normed else module.weight
            # transformers makes a linear layer of its own when the vocabulary grows.
            variance = getattr(module, "init_gain", 1.0) / weight[0].numel()
            init.normal_(weight, mean=0.0, std=variance**0.5)
            if normed:
                init.copy_(module.gain, row_norms(weight))
            if module.bias is not None:
                init.zeros_(module.bias)

    def fold_weight_norm(self) -> None:
        """Turn the weight-normalized layers into plain ones that compute the same, in place, and say so in the config.

        A folded model saves `weight` in place of `gain` and `direction`, runs without the normalization, and is
        one that adapters and quantizers know. It trains on without weight normalization.
        """
        for parent in list(self.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, WeightNorm):
                    plain = child.folded()
                    plain.init_gain = child.init_gain
                    setattr(parent, name, plain)
        for module in self.modules():
            if isinstance(module, PreTrainedModel):
                module.config.weight_norm = False


class ConvS2SEncoder(ConvS2SPreTrainedModel):
    """The stack of encoder blocks between two projections, and the embedding of source and target."""

    def __init__(self, config: ConvS2SConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.in_proj = _linear(config, config.hidden_size, config.conv_channels, gain=1 - config.dropout)
        self.layers = nn.ModuleList(ConvS2SEncoderLayer(config) for _ in range(config.encoder_layers))
        self.out_proj = _linear(config, config.conv_channels, config.hidden_size)
        self.gradient_checkpointing = False
        self.post_init()

    @can_return_tuple
    @merge_with_config_defaults
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> ConvS2SEncoderOutput:
        """Read the source.

        Args:
            input_ids: `(batch_size, length)`, int64; or `inputs_embeds`, exactly one of the two.
            attention_mask: `(batch_size, length)`, 0 on padding, which may lie anywhere.
            inputs_embeds: `(batch_size, length, hidden_size)`, floating point.
            output_hidden_states: Whether to return `hidden_states`; `config.output_hidden_states` when `None`.
            **kwargs: `return_dict`, as everywhere in transformers; anything else is ignored.

        Returns:
            `last_hidden_state` and `attention_values`, both `(batch_size, length, hidden_size)`, and with
            `output_hidden_states=True` `encoder_layers + 1` `hidden_states`, `(batch_size, length, conv_channels)`.

        Raises:
            ValueError: Both or none of `input_ids` and `inputs_embeds`; a mask that is not 2D or of another length;
                a text longer than `max_position_embeddings`.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("You must specify exactly one of input_ids or inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        packing = _packing(attention_mask, inputs_embeds.shape[1])
        if packing is not None:
            inputs_embeds = packing.pack(inputs_embeds)
        embeds = self.dropout(inputs_embeds + _embed_positions(self.embed_positions, inputs_embeds, packing))

        real = None if packing is None else packing.real[..., None]
        hidden_states = self.in_proj(embeds)
        states = [hidden_states]
        for layer in self.layers:
            hidden_states = layer(hidden_states, real)
            if output_hidden_states:
                states.append(hidden_states)
        last = self.out_proj(hidden_states)
        if self.config.scale_encoder_gradient:
            # The embeddings reach the values on a way of their own, whose gradient stays whole (section 3.4).
            last = ScaleGradient.apply(last, 1 / (2 * self.config.decoder_layers))
        return ConvS2SEncoderOutput(
            last_hidden_state=_unpacked(packing, last),
            hidden_states=tuple(_unpacked(packing, each) for each in states) if output_hidden_states else None,
            attention_values=_unpacked(packing, (last + embeds.to(last.device)) * HALF),
        )


class ConvS2SDecoder(ConvS2SPreTrainedModel):
    """The stack of decoder blocks between two projections.

    It takes embeddings and no ids: source and target share one table, which the encoder holds.
    """

    main_input_name = "inputs_embeds"

    def __init__(self, config: ConvS2SConfig):
        super().__init__(config)
        self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.in_proj = _linear(config, config.hidden_size, config.conv_channels, gain=1 - config.dropout)
        self.layers = nn.ModuleList(ConvS2SDecoderLayer(config, idx) for idx in range(config.decoder_layers))
        self.out_proj = _linear(config, config.conv_channels, config.hidden_size)
        self.gradient_checkpointing = False
        self.post_init()

    @can_return_tuple
    @merge_with_config_defaults
    def forward(
        self,
        inputs_embeds: torch.FloatTensor,
        attention_mask: torch.Tensor | None = None,
        encoder_outputs: ConvS2SEncoderOutput | None = None,
        encoder_attention_mask: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Read the target so far, beside the source.

        Args:
            inputs_embeds: `(batch_size, length, hidden_size)`, floating point.
            attention_mask: `(batch_size, length)` or `(batch_size, past_length + length)`, 0 on padding, which may
                lie anywhere. Of a longer mask the last `length` columns count.
            encoder_outputs: What the encoder returned.
            encoder_attention_mask: `(batch_size, source_length)`, 0 on padding.
            past_key_values: A cache of `DynamicCache(config=model.config)`, alone or as the first part of an
                `EncoderDecoderCache`; updated in place.
            use_cache: Whether to make a cache if none is given; `config.use_cache` when `None`.
            output_hidden_states: Whether to return `hidden_states`; `config.output_hidden_states` when `None`.
            output_attentions: Whether to return `cross_attentions`; `config.output_attentions` when `None`.
            **kwargs: `return_dict`, as everywhere in transformers; anything else is ignored.

        Returns:
            `last_hidden_state` `(batch_size, length, hidden_size)`, `past_key_values`; if asked for,
            `decoder_layers + 1` `hidden_states` `(batch_size, length, conv_channels)` and `decoder_layers`
            `cross_attentions` `(batch_size, 1, length, source_length)`.

        Raises:
            ValueError: A mask that is not 2D or too short; a text longer than `max_position_embeddings`.
            TypeError: A cache that does not hold windows of convolution inputs.
        """
        if use_cache and past_key_values is None:
            past_key_values = EncoderDecoderCache(DynamicCache(config=self.config), DynamicCache(config=self.config))
        # The other half of an EncoderDecoderCache stays empty: the source's keys and values are the encoder's output.
        cache = getattr(past_key_values, "self_attention_cache", past_key_values)
        past = None if cache is None else _read(cache, 0)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if output_attentions is None:
            output_attentions = self.config.output_attentions

        packing = _packing(attention_mask, inputs_embeds.shape[1], longer=True)
        if packing is not None:
            inputs_embeds = packing.pack(inputs_embeds)
        embeds = self.dropout(inputs_embeds + _embed_positions(self.embed_positions, inputs_embeds, packing, past))
        hidden_states = self.in_proj(embeds)
        states, weights = [hidden_states], []
        source = _source(encoder_outputs, encoder_attention_mask)
        keys, values = encoder_outputs.last_hidden_state, encoder_outputs.attention_values
        for layer in self.layers:
            # Positional, because reentrant checkpointing gives gradients to positional arguments only.
            hidden_states, attended = layer(
                hidden_states,
                embeds,
                keys,
                values,
                packing,
                past_key_values=cache,
                output_attentions=output_attentions,
                **source,
            )
            weights.append(attended)
            if output_hidden_states:
                states.append(hidden_states)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=_unpacked(packing, self.dropout(self.out_proj(hidden_states))),
            past_key_values=past_key_values,
            hidden_states=tuple(_unpacked(packing, each) for each in states) if output_hidden_states else None,
            cross_attentions=_unpacked_weights(packing, weights) if output_attentions else None,
        )


def _packing(attention_mask: torch.Tensor | None, length: int, *, longer: bool = False) -> Packing | None:
    """Return the packing of the last `length` columns; ValueError unless 2D and of that length, or `longer`."""
    if attention_mask is None:
        return None
    return Packing.of(_padding_mask(attention_mask, length, longer=longer))


def _padding_mask(attention_mask: torch.Tensor, length: int, *, longer: bool = False) -> torch.Tensor:
    """Return the last `length` columns as bool, `(batch_size, length)`; errors of `_packing`."""
    fits = attention_mask.dim() == 2 and attention_mask.shape[1] >= length  # noqa: PLR2004 - batch and length
    if not fits or (attention_mask.shape[1] > length and not longer):
        raise ValueError(
            f"ConvS2S takes a mask of one number a token, here (batch_size, {length}), and this one has the shape "
            f"{tuple(attention_mask.shape)}: there are no scores within a text that a mask over pairs could cover."
        )
    return attention_mask[:, -length:].bool()


def _unpacked(packing: Packing | None, states: torch.Tensor) -> torch.Tensor:
    return states if packing is None else packing.unpack(states)


def _unpacked_weights(packing: Packing | None, weights: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return tuple(_unpacked(packing, each[:, 0])[:, None] for each in weights)


def _embed_positions(
    table: nn.Embedding, embeds: torch.Tensor, packing: Packing | None, past: ConvolutionCacheLayer | None = None
) -> torch.Tensor:
    """Return the embeddings of the packed columns' positions, `(batch_size or 1, length, hidden_size)`."""
    positions = torch.arange(embeds.shape[1], device=embeds.device)[None]
    columns = embeds.shape[1] if past is None else embeds.shape[1] + past.get_seq_length()
    if past is not None:
        positions = positions + past.values[:, None].to(embeds.device)
    if packing is not None:
        # Padding has no position; it lies behind the last one, where the table may end.
        positions = positions.masked_fill(~packing.real, 0)
    # Looking at values waits for the device, and a traced graph has none.
    if columns > table.num_embeddings and not torch.compiler.is_compiling() and positions.numel():
        _refuse_length(int(positions.max()) + 1, table.num_embeddings)
    return table(positions)


def _refuse_length(length: int, limit: int) -> None:
    if length > limit:
        raise ValueError(
            f"A text of {length} tokens is longer than `config.max_position_embeddings` ({limit}): a ConvS2S has "
            "learned no position behind that. Truncate, or set `max_length`."
        )


def _source(outputs: ConvS2SEncoderOutput, attention_mask: torch.Tensor | None) -> dict[str, Any]:
    """Return the arguments of `ConvS2SAttention.forward` that say which source tokens are real."""
    states = outputs.last_hidden_state
    if attention_mask is None:
        return {"attention_mask": None, "source_lengths": states.shape[1]}
    real = _padding_mask(attention_mask, states.shape[1])
    # The least number and not -inf: a row without a source would give NaN.
    scores = torch.zeros_like(real, dtype=states.dtype).masked_fill(~real, torch.finfo(states.dtype).min)
    return {"attention_mask": scores[:, None, None], "source_lengths": real.sum(-1)}


class ConvS2SModel(ConvS2SPreTrainedModel):
    """Encoder and decoder."""

    def __init__(self, config: ConvS2SConfig):
        super().__init__(config)
        self.encoder = ConvS2SEncoder(config)
        self.decoder = ConvS2SDecoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the one embedding, which the encoder holds."""
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embedding of source and target."""
        self.encoder.embed_tokens = value

    def get_encoder(self, modality: str | None = None) -> ConvS2SEncoder:
        """Return the encoder; there is one, of text."""
        return self.encoder

    def get_decoder(self) -> ConvS2SDecoder:
        """Return the decoder, which takes embeddings."""
        return self.decoder

    @can_return_tuple
    @merge_with_config_defaults
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.LongTensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: ConvS2SEncoderOutput | tuple | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        decoder_inputs_embeds: torch.FloatTensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs,
    ) -> Seq2SeqModelOutput:
        """Read source and target.

        Args:
            input_ids: The source, `(batch_size, source_length)`, int64; or `inputs_embeds`; or `encoder_outputs`.
            attention_mask: `(batch_size, source_length)`, 0 on padding, which may lie anywhere.
            decoder_input_ids: The target so far, `(batch_size, length)`, int64; or `decoder_inputs_embeds`. With
                neither, the decoder reads the source moved one to the right, as BART's does, so that the model gives
                features of one text.
            decoder_attention_mask: `(batch_size, length)` or `(batch_size, past_length + length)`, 0 on padding,
                which may lie anywhere. Of a longer mask the last `length` columns count.
            encoder_outputs: What `get_encoder()` returned for the source, as its output or as a tuple.
            past_key_values: An `EncoderDecoderCache` of two `DynamicCache(config=model.config)`, updated in place.
            inputs_embeds: `(batch_size, source_length, hidden_size)`, floating point.
            decoder_inputs_embeds: `(batch_size, length, hidden_size)`, floating point.
            use_cache: Whether to make a cache if none is given; `config.use_cache` when `None`.
            output_hidden_states: Whether to return the hidden states of encoder and decoder.
            output_attentions: Whether to return `cross_attentions`, one a decoder layer; they are then computed
                eagerly. The convolutions have no attentions.
            **kwargs: `return_dict`, as everywhere in transformers; anything else is ignored.

        Returns:
            `last_hidden_state` `(batch_size, length, hidden_size)`, `past_key_values`, `encoder_last_hidden_state`,
            and what was asked for.

        Raises:
            ValueError: Not exactly one form of the source or of the target; encoder outputs without the attention
                values; a mask that is not 2D or of another length; a text longer than `max_position_embeddings`.
            TypeError: A cache that does not hold windows of convolution inputs.
        """
        asked = {"output_hidden_states": output_hidden_states, "return_dict": True}
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_ids, attention_mask, inputs_embeds=inputs_embeds, **asked)
        encoder_outputs = _complete(encoder_outputs)
        if decoder_input_ids is None and decoder_inputs_embeds is None and input_ids is not None:
            decoder_input_ids = shift_right(input_ids, self.config)
        if (decoder_input_ids is None) == (decoder_inputs_embeds is None):
            raise ValueError("You must specify exactly one of decoder_input_ids or decoder_inputs_embeds")
        if decoder_inputs_embeds is None:
            decoder_inputs_embeds = self.encoder.embed_tokens(decoder_input_ids)
        outputs = self.decoder(
            decoder_inputs_embeds,
            decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            encoder_attention_mask=attention_mask,
            past_key_values=past_key_values,
            use_cache=use_cache,
            output_attentions=output_attentions,
            **asked,
        )
        return Seq2SeqModelOutput(
            last_hidden_state=outputs.last_hidden_state,
            past_key_values=outputs.past_key_values,
            decoder_hidden_states=outputs.hidden_states,
            cross_attentions=outputs.cross_attentions,
            encoder_last_hidden_state=encoder_outputs.last_hidden_state,
            encoder_hidden_states=encoder_outputs.hidden_states,
        )


def _complete(outputs: ConvS2SEncoderOutput | tuple) -> ConvS2SEncoderOutput:
    """Return encoder outputs by name; ValueError if the values to sum up are not among them."""
    if isinstance(outputs, (tuple, list)):
        # Hidden states, which may come between, are a tuple of tensors.
        tensors = [each for each in outputs if isinstance(each, torch.Tensor)]
        states = next((each for each in outputs if isinstance(each, tuple)), None)
        values = tensors[1] if len(tensors) > 1 else None
        outputs = ConvS2SEncoderOutput(last_hidden_state=tensors[0], hidden_states=states, attention_values=values)
    if getattr(outputs, "attention_values", None) is None:
        raise ValueError(
            "`encoder_outputs` hold no `attention_values`, which the decoder sums up: pass all that "
            "`model.get_encoder()(...)` returns, not `last_hidden_state` alone."
        )
    return outputs


class ConvS2SForConditionalGeneration(ConvS2SPreTrainedModel, GenerationMixin):
    """ConvS2S with an output layer over the vocabulary, for sequence-to-sequence loss and `generate`.

    The output layer is a plain linear one, without weight normalization, so that it can be tied to the embedding and
    resized with it.
    """

    _tied_weights_keys = {"lm_head.weight": "model.encoder.embed_tokens.weight"}

    def __init__(self, config: ConvS2SConfig):
        super().__init__(config)
        self.model = ConvS2SModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        self.lm_head.init_gain = 1 - config.dropout
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the one embedding, which the encoder holds."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embedding of source and target."""
        self.model.set_input_embeddings(value)

    def get_encoder(self, modality: str | None = None) -> ConvS2SEncoder:
        """Return the encoder; there is one, of text."""
        return self.model.get_encoder()

    def get_decoder(self) -> ConvS2SDecoder:
        """Return the decoder, which takes embeddings."""
        return self.model.get_decoder()

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """Return labels moved one to the right behind the start token, -100 as padding, `(batch_size, length)`."""
        return shift_right(labels, self.config)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.LongTensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: ConvS2SEncoderOutput | tuple | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        decoder_inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs,
    ) -> Seq2SeqLMOutput:
        """Return the logits, and the loss if there are labels; arguments and errors of `ConvS2SModel.forward`.

        Args:
            labels: The target, `(batch_size, length)`, int64, not shifted; -100 is ignored. Without another target
                the decoder reads them one to the right; no cache is made.
            **kwargs: `num_items_in_batch`, the number that the loss is divided by, as the Trainer passes it.

        Returns:
            `loss` (scalar), `logits` `(batch_size, length, vocab_size)`, and what `ConvS2SModel.forward` returns.
        """
        if labels is not None:
            use_cache = False
            if decoder_input_ids is None and decoder_inputs_embeds is None:
                decoder_input_ids = shift_right(labels, self.config)
        elif decoder_input_ids is None and decoder_inputs_embeds is None:
            raise ValueError(
                "You must specify labels, decoder_input_ids or decoder_inputs_embeds: what is written so far"
            )
        outputs: Seq2SeqModelOutput = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            return_dict=True,
        )
        logits = self.lm_head(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            # `shift_labels`: the target is already the token after the one read.
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.vocab_size, shift_labels=labels, **kwargs
            )
        return Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            decoder_hidden_states=outputs.decoder_hidden_states,
            cross_attentions=outputs.cross_attentions,
            encoder_last_hidden_state=outputs.encoder_last_hidden_state,
            encoder_hidden_states=outputs.encoder_hidden_states,
        )


def shift_right(labels: torch.Tensor, config: ConvS2SConfig) -> torch.Tensor:
    """Return what the decoder reads to predict `labels`, `(batch_size, length)`; ValueError without the ids needed."""
    for name in ("decoder_start_token_id", "pad_token_id"):
        if getattr(config, name) is None:
            raise ValueError(f"`config.{name}` must be set to make decoder inputs from labels, and it is None.")
    start = torch.full_like(labels[:, :1], config.decoder_start_token_id)
    shifted = torch.cat((start, labels[:, :-1]), dim=1)
    return shifted.masked_fill(shifted == -100, config.pad_token_id)  # noqa: PLR2004 - what losses ignore


__all__ = [
    "ConvS2SDecoder",
    "ConvS2SEncoder",
    "ConvS2SEncoderOutput",
    "ConvS2SForConditionalGeneration",
    "ConvS2SModel",
    "ConvS2SPreTrainedModel",
]

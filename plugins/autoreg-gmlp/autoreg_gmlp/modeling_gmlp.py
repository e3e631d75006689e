"""gMLP as transformers models: the spatial gating unit, the encoder stack and its heads."""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import can_return_tuple

from .configuration_gmlp import GMLPConfig


class SpatialProjection(nn.Module):
    """f(Z) = W Z + b: one linear map over the places of a text, the same for every channel (eq. 2)."""

    def __init__(self, max_length: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(max_length, max_length))
        self.bias = nn.Parameter(torch.ones(max_length))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map `(batch_size, length, channels)` to the same shape; a shorter text takes the corner of W."""
        length = states.shape[1]
        return torch.matmul(self.weight[:length, :length], states) + self.bias[:length, None]


class SpatialGatingUnit(nn.Module):
    """s(Z) = Z_1 * f(LN(Z_2)), Z_1 and Z_2 being the halves of the channels (eq. 4)."""

    def __init__(self, config: GMLPConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.intermediate_size // 2, eps=config.layer_norm_eps)
        self.proj = SpatialProjection(config.max_position_embeddings)

    def forward(
        self, states: torch.Tensor, attention: torch.Tensor | None, padding: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the gated half, `(batch_size, length, intermediate_size / 2)`.

        Args:
            states: `(batch_size, length, intermediate_size)`.
            attention: `(batch_size, length, intermediate_size / 2)`, added to the gate in an aMLP.
            padding: `(batch_size, length)`, bool, True on padding.
        """
        value, gate = states.chunk(2, dim=-1)
        gate = self.norm(gate)
        if padding is not None:
            # Behind the norm, whose bias would fill the places again, and before the only step that mixes places.
            gate = gate.masked_fill(padding[..., None], 0)
        gate = self.proj(gate)
        return value * (gate if attention is None else gate + attention)


class TinyAttention(nn.Module):
    """One narrow head of self-attention, as wide at its end as the gate it is added to (aMLP, section 4.3)."""

    def __init__(self, config: GMLPConfig):
        super().__init__()
        self.config = config
        self.is_causal = False
        self.scaling = config.attention_head_dim**-0.5
        self.q_proj = nn.Linear(config.hidden_size, config.attention_head_dim)
        self.k_proj = nn.Linear(config.hidden_size, config.attention_head_dim)
        self.v_proj = nn.Linear(config.hidden_size, config.attention_head_dim)
        self.o_proj = nn.Linear(config.attention_head_dim, config.intermediate_size // 2)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what is added to the gate, `(batch_size, length, intermediate_size / 2)`, and the weights if eager.

        Args:
            hidden_states: `(batch_size, length, hidden_size)`.
            attention_mask: As `create_bidirectional_mask` makes it for the attention implementation in use.
        """
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, _eager_attention)
        query, key, value = (proj(hidden_states)[:, None] for proj in (self.q_proj, self.k_proj, self.v_proj))
        output, weights = attend(self, query, key, value, attention_mask, dropout=0.0, scaling=self.scaling)
        return self.o_proj(output.flatten(2)), weights


def _eager_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Map queries, keys and values, `(batch, heads, length, dim)`, to `(batch, length, heads, dim)` and the weights."""
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    weights = (scores if attention_mask is None else scores + attention_mask).softmax(dim=-1)
    return torch.matmul(weights, value).transpose(1, 2), weights


class GMLPLayer(GradientCheckpointingLayer):
    """One block: Z = act(LN(X) U), then X + s(Z) V (eq. 1, with the norm in front as in figure 1)."""

    def __init__(self, config: GMLPConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.in_proj = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act_fn = ACT2FN[config.hidden_act]
        self.gating = SpatialGatingUnit(config)
        self.attention = None if config.attention_head_dim is None else TinyAttention(config)
        self.out_proj = nn.Linear(config.intermediate_size // 2, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        padding: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the new states, `(batch_size, length, hidden_size)`, and the attention weights where there are any.

        Args:
            hidden_states: `(batch_size, length, hidden_size)`.
            padding: `(batch_size, length)`, bool, True on padding, which is at the end of each row.
            attention_mask: The same for tiny attention, as `create_bidirectional_mask` makes it.
        """
        normed = self.norm(hidden_states)
        attention, weights = (None, None) if self.attention is None else self.attention(normed, attention_mask)
        gated = self.gating(self.act_fn(self.in_proj(normed)), attention, padding)
        return hidden_states + self.dropout(self.out_proj(gated)), weights


class GMLPPreTrainedModel(PreTrainedModel):
    """What every gMLP model tells transformers about itself."""

    config: GMLPConfig
    # Set outright: derived from the annotation alone it would break for a subclass in a module with
    # `from __future__ import annotations`, where annotations are strings.
    config_class = GMLPConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["GMLPLayer"]
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise as transformers does, and a spatial projection near W = 0, b = 1."""
        super()._init_weights(module)
        if isinstance(module, SpatialProjection):
            nn.init.normal_(module.weight, std=self.config.spatial_initializer_range)
            nn.init.ones_(module.bias)


class GMLPModel(GMLPPreTrainedModel):
    """The stack of gMLP blocks under a final layer norm."""

    def __init__(self, config: GMLPConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList(GMLPLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    # Hidden states are collected here and not by transformers' `capture_outputs`, whose hooks would see the
    # places in the order that the layers have them in, and not in the caller's.
    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs,
    ) -> BaseModelOutput:
        """Run the stack.

        Args:
            input_ids: `(batch_size, length)`, int64; or `inputs_embeds`, exactly one of the two.
            attention_mask: `(batch_size, length)`, 0 on padding, which may lie anywhere: the place of a token is
                its number among the real tokens of its row.
            inputs_embeds: `(batch_size, length, hidden_size)`, floating point.
            output_hidden_states: Whether to return `hidden_states`; `config.output_hidden_states` when `None`.
            output_attentions: Whether to return `attentions`; `config.output_attentions` when `None`. There are
                some only in an aMLP (`config.attention_head_dim`) with the attention implementation "eager".
            **kwargs: `return_dict`, as everywhere in transformers; `position_ids` are refused, and anything else is
                ignored.

        Returns:
            `last_hidden_state` `(batch_size, length, hidden_size)`, and as asked `num_hidden_layers + 1`
            `hidden_states`, the last one normed, and `num_hidden_layers` `attentions`
            `(batch_size, 1, length, length)`. The states of padding mean nothing.

        Raises:
            ValueError: Both or none of `input_ids` and `inputs_embeds`; a text longer than
                `config.max_position_embeddings`; an attention mask of another shape; `position_ids`.
        """
        if kwargs.get("position_ids") is not None:
            raise ValueError(
                "gMLP takes no `position_ids`: the place of a token is its number among the real tokens of its row. "
                "Texts cannot be packed into one row either, because W would mix them: pad them instead."
            )
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("You must specify exactly one of input_ids or inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        self._require_fitting(inputs_embeds, attention_mask)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if output_attentions is None:
            output_attentions = self.config.output_attentions

        order = None if attention_mask is None else _real_tokens_first(attention_mask, self.config)
        hidden_states = _take(inputs_embeds, order)
        layer_inputs = self._layer_inputs(hidden_states, attention_mask, order)
        all_hidden_states, all_attentions = (hidden_states,), ()
        for layer in self.layers:
            hidden_states, weights = layer(hidden_states, **layer_inputs)
            if output_hidden_states:
                all_hidden_states += (hidden_states,)
            if output_attentions and weights is not None:
                all_attentions += (weights,)
        hidden_states = self.norm(hidden_states)

        back = None if order is None else order.argsort(dim=1)
        states = (*all_hidden_states[:-1], hidden_states) if output_hidden_states else None
        return BaseModelOutput(
            last_hidden_state=_take(hidden_states, back),
            hidden_states=states and tuple(_take(each, back) for each in states),
            attentions=tuple(_take_pairs(each, back) for each in all_attentions) or None,
        )

    def _require_fitting(self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor | None) -> None:
        """Raise ValueError for a text that is too long, or a mask of another shape than the text."""
        shape, longest = inputs_embeds.shape[:2], self.config.max_position_embeddings
        if shape[1] > longest:
            raise ValueError(
                f"The text has {shape[1]} tokens, and this gMLP reads at most {longest} "
                f"(`config.max_position_embeddings`): its spatial projections have no rows for more."
            )
        if attention_mask is not None and attention_mask.shape != shape:
            raise ValueError(
                f"gMLP takes an attention mask of one number a token, here {tuple(shape)}, and this one has the shape "
                f"{tuple(attention_mask.shape)}: there are no scores that a mask over pairs could cover."
            )

    def _layer_inputs(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None, order: torch.Tensor | None
    ) -> dict[str, torch.Tensor | None]:
        """Return what every layer gets besides the hidden states: the arguments of `GMLPLayer.forward`."""
        real = None if order is None else attention_mask.bool().gather(1, order)
        scores = None
        if self.config.attention_head_dim is not None:
            scores = create_bidirectional_mask(self.config, hidden_states, real)
        return {"padding": None if real is None else ~real, "attention_mask": scores}


def _real_tokens_first(attention_mask: torch.Tensor, config: GMLPConfig) -> torch.Tensor:
    """Return each row's columns with the real tokens in front, in their order, `(batch_size, length)`, int64."""
    places = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    # No two keys are equal, so that any sort gives this order: torch exports no stable one to ONNX, and no product
    # with a length that it keeps open either.
    keys = attention_mask.logical_not() * config.max_position_embeddings + places
    return keys.argsort(dim=1)


def _take(states: torch.Tensor, columns: torch.Tensor | None) -> torch.Tensor:
    """Return `(batch_size, length, channels)` with the columns of each row in another order; None is the same."""
    if columns is None:
        return states
    # The layers may be spread over several devices.
    return states.gather(1, columns.to(states.device)[..., None].expand_as(states))


def _take_pairs(weights: torch.Tensor, columns: torch.Tensor | None) -> torch.Tensor:
    """Return `(batch_size, 1, length, length)` with rows and columns in another order; None is the same."""
    return weights if columns is None else _take(_take(weights[:, 0], columns).mT, columns).mT[:, None]


class GMLPForMaskedLM(GMLPPreTrainedModel):
    """gMLP with a language-model head on every token, for filling in masked ones."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: GMLPConfig):
        super().__init__(config)
        self.model = GMLPModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        **kwargs,
    ) -> MaskedLMOutput:
        """Return the logits, and the loss if there are labels; arguments and errors of `GMLPModel.forward`.

        Args:
            labels: `(batch_size, length)`, int64, the ids behind the masked tokens; -100 is ignored.

        Returns:
            `loss` (scalar), `logits` `(batch_size, length, vocab_size)`, `hidden_states`, `attentions`.
        """
        outputs: BaseModelOutput = self.model(input_ids, attention_mask, inputs_embeds, return_dict=True, **kwargs)
        logits = self.lm_head(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return MaskedLMOutput(loss, logits, outputs.hidden_states, outputs.attentions)


class GMLPForSequenceClassification(GMLPPreTrainedModel):
    """gMLP with a linear classifier on the mean of the real tokens.

    Not on the first token as in BERT: one row of each W would have to gather the whole text for it.
    """

    def __init__(self, config: GMLPConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.model = GMLPModel(config)
        self.dropout = nn.Dropout(_classifier_dropout(config))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput:
        """Return one row of logits a text; arguments and errors of `GMLPModel.forward`.

        Args:
            labels: `(batch_size,)` int64 classes, or floats for a regression, as `config.problem_type` says.

        Returns:
            `loss` (scalar), `logits` `(batch_size, num_labels)`, `hidden_states`, `attentions`.
        """
        outputs: BaseModelOutput = self.model(input_ids, attention_mask, inputs_embeds, return_dict=True, **kwargs)
        logits = self.classifier(self.dropout(_mean_of_real(outputs.last_hidden_state, attention_mask)))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, pooled_logits=logits, config=self.config, **kwargs)
        return SequenceClassifierOutput(loss, logits, outputs.hidden_states, outputs.attentions)


class GMLPForTokenClassification(GMLPPreTrainedModel):
    """gMLP with a linear classifier on every token."""

    def __init__(self, config: GMLPConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.model = GMLPModel(config)
        self.dropout = nn.Dropout(_classifier_dropout(config))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        **kwargs,
    ) -> TokenClassifierOutput:
        """Return one row of logits a token; arguments and errors of `GMLPModel.forward`.

        Args:
            labels: `(batch_size, length)`, int64 classes; -100 is ignored.

        Returns:
            `loss` (scalar), `logits` `(batch_size, length, num_labels)`, `hidden_states`, `attentions`.
        """
        outputs: BaseModelOutput = self.model(input_ids, attention_mask, inputs_embeds, return_dict=True, **kwargs)
        logits = self.classifier(self.dropout(outputs.last_hidden_state))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, config=self.config, **kwargs)
        return TokenClassifierOutput(loss, logits, outputs.hidden_states, outputs.attentions)


def _classifier_dropout(config: GMLPConfig) -> float:
    return config.hidden_dropout if config.classifier_dropout is None else config.classifier_dropout


def _mean_of_real(hidden_states: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """Return the mean state of each row's tokens that are not padding, `(batch_size, hidden_size)`."""
    if attention_mask is None:
        return hidden_states.mean(dim=1)
    padding = attention_mask.to(hidden_states.device).logical_not()[..., None]
    number = (~padding).sum(dim=1).clamp(min=1)
    return hidden_states.masked_fill(padding, 0).sum(dim=1) / number


__all__ = [
    "GMLPForMaskedLM",
    "GMLPForSequenceClassification",
    "GMLPForTokenClassification",
    "GMLPModel",
    "GMLPPreTrainedModel",
]

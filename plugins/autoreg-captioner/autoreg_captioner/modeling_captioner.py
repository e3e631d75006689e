"""The captioner as transformers models: vision tower, projector, language model and its head."""

from dataclasses import dataclass
from typing import Any

import torch
from autoreg import AutoModel
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_captioner import CaptionerConfig


@dataclass
class CaptionerModelOutputWithPast(BaseModelOutputWithPast):
    """What the language model returns, and the projected features, `(num_images, image_length, hidden_size)`."""

    image_hidden_states: torch.FloatTensor | None = None


@dataclass
class CaptionerCausalLMOutputWithPast(ModelOutput):
    """Loss and logits, and what `CaptionerModelOutputWithPast` holds beside the last hidden state."""

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None
    image_hidden_states: torch.FloatTensor | None = None


class CaptionerProjector(nn.Module):
    """Map the vision tower's features to embeddings of the language model: W_2 act(W_1 x)."""

    def __init__(self, config: CaptionerConfig):
        super().__init__()
        width = config.text_config.hidden_size
        self.up_proj = nn.Linear(config.vision_config.hidden_size, width)
        self.act_fn = ACT2FN[config.projector_hidden_act]
        self.down_proj = nn.Linear(width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map `(..., vision hidden_size)` to `(..., text hidden_size)`."""
        return self.down_proj(self.act_fn(self.up_proj(features)))


class CaptionerPreTrainedModel(PreTrainedModel):
    """What every captioner tells transformers about itself; its parts say the rest."""

    config: CaptionerConfig
    # Set outright: derived from the annotation alone it would break for a subclass in a module with
    # `from __future__ import annotations`, where annotations are strings.
    config_class = CaptionerConfig
    base_model_prefix = "model"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    # Of the usual parts; transformers adds those of any others when a model is built.
    _no_split_modules = ["ConvMixerLayer", "RetNetLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    # `generate` refuses assisted decoding, which would have to take tokens out of a RetNet's state again.
    _is_stateful = True


class CaptionerModel(CaptionerPreTrainedModel):
    """The parts: images become embeddings that take the place of the image tokens in a text."""

    def __init__(self, config: CaptionerConfig):
        super().__init__(config)
        self.vision_tower = AutoModel.from_config(config.vision_config)
        self.projector = CaptionerProjector(config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    @can_return_tuple
    def get_image_features(self, pixel_values: torch.FloatTensor, **kwargs) -> BaseModelOutputWithPooling:
        """Return the projected features of images as `pooler_output`, `(num_images, image_length, text hidden_size)`.

        `image_length` is the number of positions of the tower's features, row by row.

        Args:
            pixel_values: `(num_images, num_channels, height, width)`, floating point.
            **kwargs: Arguments of the vision tower.
        """
        outputs = self.vision_tower(pixel_values, **{**kwargs, "return_dict": True})
        features = self.projector(outputs.last_hidden_state.flatten(2).transpose(1, 2))
        return BaseModelOutputWithPooling(
            last_hidden_state=outputs.last_hidden_state,
            pooler_output=features,
            hidden_states=outputs.hidden_states,
        )

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs,
    ) -> CaptionerModelOutputWithPast:
        """Run the parts.

        Args:
            input_ids: `(batch_size, length)`, int64, with `image_length` tokens `config.image_token_id` for each
                image; or `inputs_embeds`, exactly one of the two.
            pixel_values: `(num_images, num_channels, height, width)`, floating point: the images of all texts in
                the order of their tokens, of any number a text.
            attention_mask: `(batch_size, length)`, 0 on padding, as the language model takes it.
            position_ids: `(batch_size or 1, length)`, int64, as the language model takes them.
            past_key_values: The language model's cache, updated in place.
            inputs_embeds: `(batch_size, length, hidden_size)`, floating point. Image tokens are told by their
                embedding.
            mm_encoder_outputs: In place of `pixel_values`, what `get_image_features` returned for them, under
                `"image"`. `generate` looks at each image once, whatever the number of beams.
            **kwargs: Arguments of the language model, such as `use_cache` and `output_hidden_states`.

        Returns:
            `last_hidden_state` `(batch_size, length, hidden_size)`, `past_key_values`, `hidden_states` and
            `attentions` of the language model, `image_hidden_states` `(num_images, image_length, hidden_size)`.

        Raises:
            ValueError: Both or none of `input_ids` and `inputs_embeds`, or of `pixel_values` and
                `mm_encoder_outputs`; image tokens without images, or not as many as features.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("You must specify exactly one of input_ids or inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        features = self._features(pixel_values, mm_encoder_outputs)
        if features is not None:
            inputs_embeds = self._place(features, input_ids, inputs_embeds)
        outputs = self.language_model(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            **{**kwargs, "return_dict": True},
        )
        return CaptionerModelOutputWithPast(
            last_hidden_state=outputs.last_hidden_state,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.get("attentions"),
            image_hidden_states=features,
        )

    def _features(self, pixel_values: torch.Tensor | None, encoded: dict[str, Any] | None) -> torch.Tensor | None:
        images = None if encoded is None else encoded.get("image")
        if pixel_values is not None and images is not None:
            raise ValueError("You cannot specify both pixel_values and mm_encoder_outputs")
        if pixel_values is not None:
            images = self.get_image_features(pixel_values, return_dict=True)
        return None if images is None else images.pooler_output

    def _place(
        self, features: torch.Tensor, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor
    ) -> torch.Tensor:
        """Return `(batch_size, length, hidden_size)` with the features in the places of the image tokens."""
        if input_ids is not None:
            places = input_ids == self.config.image_token_id
        else:
            token = torch.tensor(self.config.image_token_id, device=inputs_embeds.device)
            places = (inputs_embeds == self.get_input_embeddings()(token)).all(-1)
        images, length, _ = features.shape
        # A traced graph cannot look at values.
        if not torch.compiler.is_compiling() and int(places.sum()) != images * length:
            raise ValueError(
                f"There are {int(places.sum())} image tokens (id {self.config.image_token_id}) in the texts and "
                f"{images * length} image features: {images} images of {length}. `CaptionerProcessor` puts as many "
                "tokens as an image has features in the place of each `<image>`."
            )
        return inputs_embeds.masked_scatter(places[..., None], features.to(inputs_embeds))


class CaptionerForConditionalGeneration(CaptionerPreTrainedModel, GenerationMixin):
    """The captioner with a language-model head, for next-token loss and `generate`."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}

    def __init__(self, config: CaptionerConfig):
        super().__init__(config)
        self.model = CaptionerModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_image_features(self, pixel_values: torch.FloatTensor, **kwargs) -> BaseModelOutputWithPooling:
        """Return what `CaptionerModel.get_image_features` does."""
        return self.model.get_image_features(pixel_values, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs,
    ) -> CaptionerCausalLMOutputWithPast:
        """Return the logits, and the loss if there are labels; arguments and errors of `CaptionerModel.forward`.

        Args:
            labels: `(batch_size, length)`, int64, shifted inside; -100 is ignored, as image tokens should be.
            logits_to_keep: Number of last columns to compute logits for, 0 for all; or their indices, 1D int64.

        Returns:
            `loss` (scalar), `logits` `(batch_size, kept columns, vocab_size)`, and of `CaptionerModel`'s outputs all
            but the last hidden state.
        """
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            mm_encoder_outputs=mm_encoder_outputs,
            **{**kwargs, "return_dict": True},
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.text_config.vocab_size, **kwargs
            )
        return CaptionerCausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=outputs.image_hidden_states,
        )


__all__ = ["CaptionerForConditionalGeneration", "CaptionerModel", "CaptionerPreTrainedModel"]

"""ConvMixer as transformers models: patch embedding, mixer layers, classifier and backbone."""

import math

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.backbone_utils import BackboneMixin
from transformers.modeling_outputs import (
    BackboneOutput,
    BaseModelOutputWithPoolingAndNoAttention,
    ImageClassifierOutputWithNoAttention,
)
from transformers.utils import can_return_tuple

from .configuration_convmixer import ConvMixerConfig


class ConvMixerBlock(nn.Module):
    """Convolution, activation, batch norm: BN(sigma(Conv(x))), the one building block of the paper."""

    def __init__(self, config: ConvMixerConfig, in_channels: int, kernel_size: int, **convolution):
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, config.hidden_size, kernel_size, **convolution)
        self.activation = ACT2FN[config.hidden_act]
        self.normalization = nn.BatchNorm2d(
            config.hidden_size, eps=config.batch_norm_eps, momentum=config.batch_norm_momentum
        )

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map `(batch_size, in_channels, height, width)` to `(batch_size, hidden_size, rows, columns)`."""
        return self.normalization(self.activation(self.convolution(hidden_states)))


class ConvMixerLayer(nn.Module):
    """Mix positions, then channels (eqs. 2 and 3 of the paper).

    z' = BN(sigma(ConvDepthwise(z))) + z, then BN(sigma(ConvPointwise(z')))
    """

    def __init__(self, config: ConvMixerConfig):
        super().__init__()
        width = config.hidden_size
        self.depthwise = ConvMixerBlock(config, width, config.kernel_size, groups=width, padding="same")
        self.pointwise = ConvMixerBlock(config, width, 1)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map `(batch_size, hidden_size, rows, columns)` to the same shape."""
        return self.pointwise(self.depthwise(hidden_states) + hidden_states)


class ConvMixerEmbeddings(nn.Module):
    """Embed patches: z_0 = BN(sigma(Conv(x, stride=p, kernel_size=p))) (eq. 1)."""

    def __init__(self, config: ConvMixerConfig):
        super().__init__()
        self.num_channels = config.num_channels
        self.patch_size = config.patch_size
        self.block = ConvMixerBlock(config, config.num_channels, config.patch_size, stride=config.patch_size)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Map `(batch_size, num_channels, height, width)` to `(batch_size, hidden_size, rows, columns)`.

        Raises:
            ValueError: Not four dimensions, another number of channels, or less than a patch.
        """
        shape = tuple(pixel_values.shape)
        if len(shape) != 4 or shape[1] != self.num_channels:  # noqa: PLR2004 - batch, channels, height, width
            raise ValueError(
                f"`pixel_values` must have the shape (batch_size, {self.num_channels}, height, width), as the config's "
                f"`num_channels` says, and have {shape}."
            )
        if shape[2] < self.patch_size or shape[3] < self.patch_size:
            raise ValueError(
                f"`pixel_values` of the shape {shape} do not hold one patch of {self.patch_size} x {self.patch_size} "
                "pixels, the config's `patch_size`."
            )
        return self.block(pixel_values)


class ConvMixerPreTrainedModel(PreTrainedModel):
    """What every ConvMixer tells transformers about itself.

    Gradient checkpointing is not offered: a layer that is computed twice would count its batch twice in the
    running statistics of its batch norms.
    """

    config: ConvMixerConfig
    # Set outright: derived from the annotation alone it would break for a subclass in a module with
    # `from __future__ import annotations`, where annotations are strings.
    config_class = ConvMixerConfig
    base_model_prefix = "convmixer"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _no_split_modules = ["ConvMixerLayer"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Start convolutions and the classifier as torch does by itself, as the paper did; norms from 1 and 0."""
        if not isinstance(module, nn.Conv2d | nn.Linear):
            super()._init_weights(module)
            return
        init.kaiming_uniform_(module.weight, a=math.sqrt(5))
        if module.bias is not None:
            bound = module.weight[0].numel() ** -0.5
            init.uniform_(module.bias, -bound, bound)


class ConvMixerModel(ConvMixerPreTrainedModel):
    """The patch embedding and the stack of mixer layers, with global average pooling."""

    def __init__(self, config: ConvMixerConfig):
        super().__init__(config)
        self.embeddings = ConvMixerEmbeddings(config)
        self.layers = nn.ModuleList(ConvMixerLayer(config) for _ in range(config.num_hidden_layers))
        self.post_init()

    @can_return_tuple
    def forward(
        self, pixel_values: torch.Tensor | None = None, output_hidden_states: bool | None = None, **kwargs
    ) -> BaseModelOutputWithPoolingAndNoAttention:
        """Run the stack.

        Args:
            pixel_values: `(batch_size, num_channels, height, width)`, floating point.
            output_hidden_states: Whether to return `hidden_states`; `config.output_hidden_states` when `None`.
            **kwargs: `return_dict`, as everywhere in transformers; anything else is ignored.

        Returns:
            `last_hidden_state` `(batch_size, hidden_size, height // patch_size, width // patch_size)`,
            `pooler_output` `(batch_size, hidden_size)`, its mean over the positions, and with
            `output_hidden_states=True` `num_hidden_layers + 1` `hidden_states`, the first the embedded patches.

        Raises:
            ValueError: No `pixel_values`, or such as `ConvMixerEmbeddings.forward` refuses.
        """
        hidden_states = _stages(self, pixel_values)
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        return BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=hidden_states[-1],
            pooler_output=hidden_states[-1].mean((-2, -1)),
            hidden_states=hidden_states if wanted else None,
        )


# Hidden states are collected here and not by transformers' `capture_outputs`, whose forward hooks are
# local functions: a backbone, which always has them, could not be pickled.
def _stages(model: "ConvMixerModel | ConvMixerBackbone", pixel_values: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
    """Return the embedded patches and the output of every layer; ValueError without `pixel_values`."""
    if pixel_values is None:
        raise ValueError("You have to specify pixel_values")
    hidden_states = (model.embeddings(pixel_values),)
    for layer in model.layers:
        hidden_states += (layer(hidden_states[-1]),)
    return hidden_states


class ConvMixerForImageClassification(ConvMixerPreTrainedModel):
    """ConvMixer with a linear classifier on the pooled features."""

    # The loss is a mean over the batch, and takes no `num_items_in_batch` of the Trainer's.
    accepts_loss_kwargs = False

    def __init__(self, config: ConvMixerConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.convmixer = ConvMixerModel(config)
        has_classifier = config.num_labels > 0
        self.classifier = nn.Linear(config.hidden_size, config.num_labels) if has_classifier else nn.Identity()
        self.post_init()

    @can_return_tuple
    def forward(
        self, pixel_values: torch.Tensor | None = None, labels: torch.Tensor | None = None, **kwargs
    ) -> ImageClassifierOutputWithNoAttention:
        """Return one row of logits an image; arguments and errors of `ConvMixerModel.forward`.

        Args:
            labels: `(batch_size,)` int64 classes, or floats for a regression, as `config.problem_type` says.

        Returns:
            `loss` (scalar), `logits` `(batch_size, num_labels)`, `hidden_states`.
        """
        outputs = self.convmixer(pixel_values, **{**kwargs, "return_dict": True})
        logits = self.classifier(outputs.pooler_output)
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return ImageClassifierOutputWithNoAttention(loss=loss, logits=logits, hidden_states=outputs.hidden_states)


class ConvMixerBackbone(BackboneMixin, ConvMixerPreTrainedModel):
    """ConvMixer as a backbone: the feature maps of the stages in `config.out_features`, all of one size."""

    has_attentions = False

    def __init__(self, config: ConvMixerConfig):
        super().__init__(config)
        self.num_features = [config.hidden_size] * len(config.stage_names)
        self.embeddings = ConvMixerEmbeddings(config)
        self.layers = nn.ModuleList(ConvMixerLayer(config) for _ in range(config.num_hidden_layers))
        self.post_init()

    # BackboneMixin reads what the config stores, and one that asks for no stage stores none.
    @BackboneMixin.out_features.getter
    def out_features(self) -> list[str]:
        """Return the names of the stages in `feature_maps`."""
        return self.config.out_features

    @BackboneMixin.out_indices.getter
    def out_indices(self) -> list[int]:
        """Return the indices of the stages in `feature_maps`."""
        return self.config.out_indices

    @can_return_tuple
    def forward(
        self, pixel_values: torch.Tensor | None = None, output_hidden_states: bool | None = None, **kwargs
    ) -> BackboneOutput:
        """Return the feature maps; arguments and errors of `ConvMixerModel.forward`.

        Returns:
            `feature_maps`, for each of `out_features` one of `(batch_size, hidden_size, height // patch_size,
            width // patch_size)`, and with `output_hidden_states=True` those of all stages as `hidden_states`.
        """
        hidden_states = _stages(self, pixel_values)
        stages = dict(zip(self.stage_names, hidden_states, strict=True))
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        return BackboneOutput(
            feature_maps=tuple(stages[name] for name in self.out_features),
            hidden_states=hidden_states if wanted else None,
        )


__all__ = ["ConvMixerBackbone", "ConvMixerForImageClassification", "ConvMixerModel", "ConvMixerPreTrainedModel"]

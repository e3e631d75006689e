"""The sizes and switches of a ConvMixer."""

# No `from __future__ import annotations` here: transformers makes config classes dataclasses whose
# fields `strict` validates from the annotations themselves.
from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.backbone_utils import BackboneConfigMixin


@strict
class ConvMixerConfig(BackboneConfigMixin, PreTrainedConfig):
    r"""Describe a ConvMixer (Trockman and Kolter 2022, arXiv:2201.09792); the defaults are ConvMixer-768/32.

    Args:
        num_channels: Channels of an image.
        image_size: Side of the images it was trained on, in pixels. Images of any size from one patch on are
            accepted; rows and columns that do not fill a patch are left out.
        patch_size: Side and stride of a patch *p*, in pixels.
        hidden_size: Width *h*: channels of every feature map.
        num_hidden_layers: Depth *d*: number of ConvMixer layers.
        kernel_size: Side *k* of the depthwise convolutions, in patches.
        hidden_act: Activation, a name of `transformers.activations.ACT2FN`; the paper's sigma.
        batch_norm_eps: Epsilon of the batch norms.
        batch_norm_momentum: Weight of a new batch in the running statistics.
        out_features: Names of the stages that the backbone returns, of `stage_names`; the last when `None`.
        out_indices: Their indices in `stage_names`, in place of the names.

    Raises:
        huggingface_hub.errors.StrictDataclassFieldValidationError: A field has the wrong type.
        huggingface_hub.errors.StrictDataclassClassValidationError: The fields do not fit together;
            the message names the fields, what they are and what they must be.
        ValueError: `out_features` or `out_indices` are no stages, come twice or out of order (where they are given
            to the constructor or assigned).

    Depth: classes (imports transformers; never the modelling code).
    """

    model_type = "convmixer"

    num_channels: int = 3
    image_size: int = 224
    patch_size: int = 7
    hidden_size: int = 768
    num_hidden_layers: int = 32
    kernel_size: int = 7
    hidden_act: str = "gelu"
    batch_norm_eps: float = 1e-5
    batch_norm_momentum: float = 0.1
    _out_features: list[str] | None = None
    _out_indices: list[int] | None = None

    def __post_init__(self, **kwargs):
        # As in transformers' own configs, the private fields are set through the public names only.
        self._out_features = self._out_indices = None
        out_features, out_indices = kwargs.pop("out_features", None), kwargs.pop("out_indices", None)
        if out_features is not None or out_indices is not None:
            self.set_output_features_output_indices(out_features=out_features, out_indices=out_indices)
        super().__post_init__(**kwargs)

    # Properties, and not filled in when the config is made: transformers sets fields such as
    # `num_hidden_layers` on a loaded config (`from_pretrained(path, num_hidden_layers=2)`), and what was
    # stored would name stages that are gone.
    @property
    def stage_names(self) -> list[str]:
        """`"stem"`, the embedded patches, and one `"stage{i}"` for each layer, counted from 1."""
        return ["stem", *(f"stage{layer}" for layer in range(1, self.num_hidden_layers + 1))]

    @BackboneConfigMixin.out_features.getter
    def out_features(self) -> list[str]:
        """Return the names of the stages that the backbone returns."""
        return self.stage_names[-1:] if self._out_features is None else self._out_features

    @BackboneConfigMixin.out_indices.getter
    def out_indices(self) -> list[int]:
        """Return the indices of the stages that the backbone returns."""
        return [self.num_hidden_layers] if self._out_indices is None else self._out_indices

    def validate_architecture(self):
        """Check what the fields must satisfy together; ValueError with the field names (called by `strict`)."""
        self._require_positive()
        self.verify_out_features_out_indices()
        if self.image_size < self.patch_size:
            raise ValueError(
                f"`image_size` ({self.image_size}) must be at least `patch_size` ({self.patch_size}): "
                "an image has to hold a patch."
            )
        if not 0 <= self.batch_norm_momentum <= 1:
            raise ValueError(f"`batch_norm_momentum` ({self.batch_norm_momentum}) must be between 0 and 1.")
        if self.hidden_act not in ACT2FN:
            raise ValueError(
                f"`hidden_act` ({self.hidden_act!r}) is none of transformers' activations: {', '.join(sorted(ACT2FN))}."
            )

    def _require_positive(self) -> None:
        for name in (
            "num_channels",
            "patch_size",
            "hidden_size",
            "num_hidden_layers",
            "kernel_size",
            "batch_norm_eps",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` ({getattr(self, name)}) must be greater than 0.")


__all__ = ["ConvMixerConfig"]

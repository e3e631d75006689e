"""The image processor of ConvMixer on torchvision."""

# A missing torchvision has to fail here: transformers then takes the backend that is there.
import torchvision  # noqa: F401
from transformers.image_processing_backends import TorchvisionBackend

from .image_processing_defaults import ConvMixerImageDefaults


class ConvMixerImageProcessor(ConvMixerImageDefaults, TorchvisionBackend):
    """Turn images into `pixel_values`, `(batch_size, 3, height, width)` float32, in batches on any device.

    The arguments are those of every image processor of transformers; the defaults are `ConvMixerImageDefaults`.

    Depth: classes (imports transformers, torch and torchvision).
    """


__all__ = ["ConvMixerImageProcessor"]

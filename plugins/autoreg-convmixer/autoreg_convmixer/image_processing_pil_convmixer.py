"""The image processor of ConvMixer on PIL and NumPy."""

from transformers.image_processing_backends import PilBackend

from .image_processing_defaults import ConvMixerImageDefaults


class ConvMixerImageProcessorPil(ConvMixerImageDefaults, PilBackend):
    """Turn images into `pixel_values`, `(batch_size, 3, height, width)` float32, with PIL.

    The arguments are those of every image processor of transformers; the defaults are
    `ConvMixerImageDefaults`. transformers saves it under the name that both backends share,
    `ConvMixerImageProcessor`.

    Depth: classes (imports transformers and PIL).
    """


__all__ = ["ConvMixerImageProcessorPil"]

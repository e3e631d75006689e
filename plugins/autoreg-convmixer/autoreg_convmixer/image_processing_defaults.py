"""What both image processors of ConvMixer do to an image unless told otherwise."""

from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, PILImageResampling


class ConvMixerImageDefaults:
    """Resize the shorter side to 233 pixels, crop the middle 224, normalize by ImageNet's mean and deviation.

    These are the settings of the paper's models: 224 pixels are 96 % of 233.
    """

    resample = PILImageResampling.BICUBIC
    image_mean = IMAGENET_DEFAULT_MEAN
    image_std = IMAGENET_DEFAULT_STD
    size = {"shortest_edge": 233}
    default_to_square = False
    crop_size = {"height": 224, "width": 224}
    do_resize = True
    do_center_crop = True
    do_rescale = True
    do_normalize = True
    do_convert_rgb = True

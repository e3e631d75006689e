"""What this distribution declares to autoreg: one architecture, its classes by name."""

from collections.abc import Iterable

from autoreg import Architecture, hookimpl


@hookimpl
def autoreg_architectures() -> Iterable[Architecture]:
    """Declare ConvMixer (depth: declaration; imports neither torch nor transformers)."""
    yield Architecture(
        model_type="convmixer",
        config="autoreg_convmixer.configuration_convmixer:ConvMixerConfig",
        models={
            "AutoModel": "autoreg_convmixer.modeling_convmixer:ConvMixerModel",
            "AutoModelForImageClassification": "autoreg_convmixer.modeling_convmixer:ConvMixerForImageClassification",
            "AutoBackbone": "autoreg_convmixer.modeling_convmixer:ConvMixerBackbone",
        },
        # Each backend in a module of its own: where torchvision is missing, only its own module fails.
        image_processor={
            "pil": "autoreg_convmixer.image_processing_pil_convmixer:ConvMixerImageProcessorPil",
            "torchvision": "autoreg_convmixer.image_processing_convmixer:ConvMixerImageProcessor",
        },
        summary="ConvMixer: patches mixed by depthwise and pointwise convolutions (Trockman and Kolter 2022)",
        homepage="https://arxiv.org/abs/2201.09792",
    )

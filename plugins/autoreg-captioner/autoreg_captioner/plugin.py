"""What this distribution declares to autoreg: one architecture, its classes by name."""

from collections.abc import Iterable

from autoreg import Architecture, hookimpl


@hookimpl
def autoreg_architectures() -> Iterable[Architecture]:
    """Declare the captioner (depth: declaration; imports neither torch nor transformers).

    Its tokenizer and its image processor belong to `autoreg-retnet` and `autoreg-convmixer`, which declare them.
    """
    yield Architecture(
        model_type="captioner",
        config="autoreg_captioner.configuration_captioner:CaptionerConfig",
        models={
            "AutoModel": "autoreg_captioner.modeling_captioner:CaptionerModel",
            "AutoModelForImageTextToText": "autoreg_captioner.modeling_captioner:CaptionerForConditionalGeneration",
        },
        processor="autoreg_captioner.processing_captioner:CaptionerProcessor",
        summary="A vision tower and a language model of other plugins, joined by a projector",
    )

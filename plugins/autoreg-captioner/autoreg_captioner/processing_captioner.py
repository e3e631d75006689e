"""Images and texts for a captioner: the image processor and the tokenizer of other plugins, side by side."""

from autoreg_convmixer import ConvMixerImageProcessorPil
from autoreg_retnet import RetNetTokenizer
from transformers import AddedToken, ProcessorMixin
from transformers.image_utils import make_flat_list_of_images


class CaptionerProcessor(ProcessorMixin):
    """Turn images and texts into `pixel_values`, `input_ids` and `attention_mask`.

    Each `<image>` in a text stands for one image, in their order, and becomes as many image tokens as the vision
    tower has positions for it: `(height // patch_size) * (width // patch_size)` of its `pixel_values`.

    Args:
        image_processor: ConvMixer's on PIL when `None`.
        tokenizer: RetNet's when `None`. It is given `image_token` as a further special token if it has it not yet.
        chat_template: As for every processor.
        image_token: The placeholder in texts.
        patch_size: `vision_config.patch_size`.

    Raises:
        ValueError: (on a call) There are not as many images as placeholders.

    Depth: classes (imports transformers, PIL and the other plugins; torch for tensors only).
    """

    def __init__(
        self,
        image_processor=None,
        tokenizer=None,
        chat_template=None,
        image_token: str = "<image>",
        patch_size: int = 7,
    ):
        tokenizer = RetNetTokenizer() if tokenizer is None else tokenizer
        if image_token not in tokenizer.get_vocab():
            tokenizer.add_tokens([AddedToken(image_token, special=True, normalized=False)], special_tokens=True)
        self.image_token = image_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)
        self.patch_size = patch_size
        image_processor = ConvMixerImageProcessorPil() if image_processor is None else image_processor
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    def validate_inputs(self, images=None, text=None, **kwargs) -> None:
        """Check that each placeholder has an image, which transformers 5.20 does not (called by `ProcessorMixin`)."""
        super().validate_inputs(images=images, text=text, **kwargs)
        placeholders = sum(each.count(self.image_token) for each in text or ())
        given = 0 if images is None else len(make_flat_list_of_images(images))
        if text is not None and placeholders != given:
            raise ValueError(f"There are {placeholders} times {self.image_token} in the texts, and {given} images.")

    def replace_image_token(self, image_inputs: dict, image_idx: int, **kwargs) -> str:
        """Return the image tokens of one image (called by `ProcessorMixin`)."""
        height, width = image_inputs["pixel_values"][image_idx].shape[-2:]
        return self.image_token * ((height // self.patch_size) * (width // self.patch_size))


__all__ = ["CaptionerProcessor"]

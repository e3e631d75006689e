"""The processor: placeholders become image tokens, in batches too, and its parts come from other plugins."""

import json

import autoreg
import numpy as np
import pytest
import torch
from autoreg_convmixer import ConvMixerImageProcessorPil
from autoreg_retnet import RetNetTokenizer

from autoreg_captioner import CaptionerConfig, CaptionerProcessor


def _image(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)


@pytest.fixture
def processor() -> CaptionerProcessor:
    """Return a processor of images of 8 by 12 pixels and patches of 4: six tokens an image."""
    images = ConvMixerImageProcessorPil(size={"height": 8, "width": 12}, do_center_crop=False)
    return CaptionerProcessor(images, RetNetTokenizer(padding_side="left"), patch_size=4)


def test_a_placeholder_becomes_the_tokens_of_an_image(processor):
    """Each `<image>` is as many image tokens as the image has patches; the text around it stays."""
    inputs = processor(images=_image(), text="a<image>b", return_tensors="pt")
    assert inputs.input_ids.tolist() == [[257, 97, *[259] * 6, 98]]
    assert inputs.pixel_values.shape == (1, 3, 8, 12)
    assert processor.decode(inputs.input_ids[0], skip_special_tokens=True) == "ab"


def test_batches_of_several_images_and_texts(processor):
    """Texts with two, one and no image are padded on the left, and the images stand in their order."""
    pictures = [_image(seed) for seed in range(3)]
    texts = ["<image>x<image>", "none", "<image>y"]
    inputs = processor(images=[pictures[:2], [], pictures[2:]], text=texts, padding=True, return_tensors="pt")
    assert (inputs.input_ids == 259).sum(1).tolist() == [12, 0, 6]
    assert inputs.attention_mask.sum(1).tolist() == [14, 5, 8]
    assert inputs.input_ids[1, :9].eq(256).all()
    for row, picture in enumerate(pictures):
        alone = processor(images=picture, text="<image>", return_tensors="pt").pixel_values
        assert inputs.pixel_values[row].equal(alone[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": [_image()], "text": "no placeholder"}, "[Tt](here are|otal) 0 .*<image>.*1 images"),
        ({"text": "<image>"}, "no images were passed|1 times <image> in the texts, and 0 images"),
    ],
)
def test_placeholders_and_images_must_agree(processor, arguments, message):
    """Another number of placeholders than of images raises."""
    with pytest.raises(ValueError, match=message):
        processor(**arguments)


def test_parts_are_loaded_from_their_own_plugins(processor, tmp_path):
    """A saved processor comes back with tokenizer and image processor of the other distributions."""
    autoreg.save_pretrained(CaptionerConfig(), tmp_path)
    autoreg.save_pretrained(processor, tmp_path)
    loaded = autoreg.AutoProcessor.from_pretrained(tmp_path, backend="pil")
    assert (type(loaded), type(loaded.tokenizer)) == (CaptionerProcessor, RetNetTokenizer)
    assert type(loaded.image_processor) is ConvMixerImageProcessorPil
    assert (loaded.patch_size, loaded.image_token_id, loaded.tokenizer.padding_side) == (4, 259, "left")
    texts = {"images": _image(), "text": "a<image>b", "return_tensors": "pt"}
    for name, tensor in processor(**texts).items():
        assert torch.equal(loaded(**texts)[name], tensor)
    assert json.loads((tmp_path / "processor_config.json").read_text())["processor_class"] == "CaptionerProcessor"
    assert type(autoreg.AutoTokenizer.from_pretrained(tmp_path)) is RetNetTokenizer


def test_text_in_the_form_of_the_token_stays_one_token(processor):
    """The image token is a special token of its own, added once, behind the tokenizer's."""
    again = CaptionerProcessor(processor.image_processor, processor.tokenizer, patch_size=4)
    assert len(again.tokenizer) == 260
    assert again.tokenizer.convert_tokens_to_ids("<image>") == 259

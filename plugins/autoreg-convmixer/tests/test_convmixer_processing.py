"""The image processor: what it does to an image, and which backend is taken."""

import json
from importlib.util import find_spec

import autoreg
import numpy as np
import pytest
import torch
from PIL import Image

from autoreg_convmixer import ConvMixerConfig, ConvMixerImageProcessorPil

BACKENDS = (
    "pil",
    pytest.param("torchvision", marks=pytest.mark.skipif(not find_spec("torchvision"), reason="no torchvision")),
)


def _picture(height, width, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.fixture
def folder(tmp_path):
    autoreg.save_pretrained(ConvMixerConfig(), tmp_path)
    autoreg.save_pretrained(ConvMixerImageProcessorPil(), tmp_path)
    return tmp_path


def test_defaults_are_those_of_the_papers_models():
    """The shorter side becomes 233 pixels, the middle 224 are kept and normalized by ImageNet's figures."""
    picture = _picture(466, 699)
    pixels = ConvMixerImageProcessorPil()(picture, return_tensors="pt").pixel_values
    assert (pixels.shape, pixels.dtype) == ((1, 3, 224, 224), torch.float32)
    resized = np.asarray(picture.resize((349, 233), Image.Resampling.BICUBIC), dtype=np.float64)
    middle = resized[4 : 4 + 224, 62 : 62 + 224] / 255
    expected = (middle - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(pixels[0].permute(1, 2, 0), expected, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_auto_class_takes_the_backend_asked_for(folder, backend):
    """`AutoImageProcessor` gives the class of each backend with the saved settings."""
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, "image_mean": [0.1, 0.2, 0.3]}))
    processor = autoreg.AutoImageProcessor.from_pretrained(folder, backend=backend)
    assert type(processor).__name__ == {"pil": "ConvMixerImageProcessorPil"}.get(backend, "ConvMixerImageProcessor")
    assert processor.backend == backend
    assert list(processor.image_mean) == [0.1, 0.2, 0.3]


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
def test_without_torchvision_the_auto_class_takes_pil(folder):
    """Where torchvision is missing, the processor is PIL's without asking, and reaching for the other says why."""
    assert isinstance(autoreg.AutoImageProcessor.from_pretrained(folder), ConvMixerImageProcessorPil)
    with pytest.raises(ModuleNotFoundError, match="torchvision"):
        from autoreg_convmixer import ConvMixerImageProcessor  # noqa: F401


def test_backends_agree(folder):
    """Both backends make nearly the same numbers of a picture: to a hundredth without resizing, else as they round."""
    pytest.importorskip("torchvision")
    picture = _picture(300, 300)
    for options, tolerance in (({"do_resize": False}, 1e-5), ({}, 0.05)):
        made = [
            autoreg.AutoImageProcessor.from_pretrained(folder, backend=backend)(
                picture, return_tensors="pt", **options
            ).pixel_values
            for backend in ("pil", "torchvision")
        ]
        torch.testing.assert_close(made[0], made[1], rtol=0, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
def test_grey_images_are_made_colour(folder, backend):
    """A grey picture has three equal channels before normalization."""
    processor = autoreg.AutoImageProcessor.from_pretrained(folder, backend=backend)
    grey = _picture(224, 224).convert("L")
    pixels = processor(grey, do_resize=False, do_normalize=False, return_tensors="pt").pixel_values
    assert pixels.shape == (1, 3, 224, 224)
    assert pixels[:, 0].equal(pixels[:, 2])

"""Weights of timm's ConvMixer give the same logits here."""

import json

import autoreg
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from autoreg_convmixer import ConvMixerForImageClassification, convert_timm

SIZES = {"dim": 24, "depth": 3, "kernel_size": 5, "patch_size": 4, "num_classes": 7}
TIMM = {
    "architecture": "convmixer_768_32",
    "num_classes": 7,
    "pretrained_cfg": {
        "input_size": [3, 32, 32],
        "interpolation": "bicubic",
        "crop_pct": 0.96,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
}


def _timm_names():
    """Return names and shapes as timm's ConvMixer of `SIZES` has them, read off timm 1.0.31."""

    def block(convolution, norm, *shape):
        return {
            f"{convolution}.weight": shape,
            f"{convolution}.bias": (24,),
            **{f"{norm}.{name}": (24,) for name in ("weight", "bias", "running_mean", "running_var")},
            f"{norm}.num_batches_tracked": (),
        }

    shapes = block("stem.0", "stem.2", 24, 3, 4, 4)
    for layer in range(3):
        shapes |= block(f"blocks.{layer}.0.fn.0", f"blocks.{layer}.0.fn.2", 24, 1, 5, 5)
        shapes |= block(f"blocks.{layer}.1", f"blocks.{layer}.3", 24, 24, 1, 1)
    return shapes | {"head.weight": (7, 24), "head.bias": (7,)}


def _weights():
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.tensor(3) if not shape else torch.rand(shape, generator=generator) + ("running" in name)
        for name, shape in _timm_names().items()
    }


def test_a_folder_of_timms_is_converted(tmp_path):
    """A checkpoint in timm's files loads by the Auto classes, with its sizes, activation and image settings."""
    weights = _weights()
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(TIMM))
    convert_timm.convert(tmp_path, tmp_path / "converted")
    model = autoreg.AutoModelForImageClassification.from_pretrained(tmp_path / "converted")
    config = model.config
    assert (config.hidden_size, config.num_hidden_layers, config.kernel_size, config.patch_size) == (24, 3, 5, 4)
    assert (config.hidden_act, config.image_size, config.num_labels) == ("relu", 32, 7)
    assert sorted(map(tuple, (t.flatten().tolist() for t in model.state_dict().values()))) == sorted(
        map(tuple, (t.flatten().tolist() for t in weights.values()))
    )
    processor = autoreg.AutoImageProcessor.from_pretrained(tmp_path / "converted")
    pixels = processor(Image.new("RGB", (64, 48)), return_tensors="pt").pixel_values
    assert pixels.shape == (1, 3, 32, 32)
    assert processor.size["shortest_edge"] == 33
    assert model(pixels).logits.shape == (1, 7)


def test_foreign_weights_are_refused():
    """A name that is none of timm's ConvMixer raises, and is named."""
    with pytest.raises(ValueError, match=r"'blocks\.0\.2\.weight' is no weight of timm's ConvMixer"):
        convert_timm.rename({"blocks.0.2.weight": torch.zeros(1)})


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_logits_equal_timms(dtype, tolerance, activation):
    """The logits of timm's own module and of the converted model agree to rounding, in training mode too."""
    timm_convmixer = pytest.importorskip("timm.models.convmixer", exc_type=ImportError)
    torch.manual_seed(0)
    theirs = timm_convmixer.ConvMixer(**SIZES, act_layer={"gelu": torch.nn.GELU, "relu": torch.nn.ReLU}[activation])
    theirs.load_state_dict(_weights())
    ours = ConvMixerForImageClassification(convert_timm.config_of(theirs.state_dict(), hidden_act=activation))
    ours.load_state_dict(convert_timm.rename(theirs.state_dict()))
    ours, theirs = ours.to(dtype), theirs.to(dtype)
    pixels = torch.randn(4, 3, 33, 40, dtype=dtype)
    for training in (False, True):
        actual, expected = ours.train(training)(pixels).logits, theirs.train(training)(pixels)
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)

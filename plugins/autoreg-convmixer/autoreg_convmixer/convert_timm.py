"""Take over a ConvMixer of timm's: its weights, sizes and image settings. timm itself is not needed.

    python -m autoreg_convmixer.convert_timm FOLDER OUTPUT

FOLDER holds timm's config.json and model.safetensors, as its repositories on the hub do.
"""

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import autoreg
import torch
from safetensors.torch import load_file
from transformers.image_utils import PILImageResampling

from .configuration_convmixer import ConvMixerConfig
from .image_processing_pil_convmixer import ConvMixerImageProcessorPil
from .modeling_convmixer import ConvMixerForImageClassification

# timm's blocks are nested `Sequential`s, in which a convolution, an activation and a norm follow each other.
_NAMES = (
    (r"stem\.0\.", "convmixer.embeddings.block.convolution."),
    (r"stem\.2\.", "convmixer.embeddings.block.normalization."),
    (r"blocks\.(\d+)\.0\.fn\.0\.", r"convmixer.layers.\1.depthwise.convolution."),
    (r"blocks\.(\d+)\.0\.fn\.2\.", r"convmixer.layers.\1.depthwise.normalization."),
    (r"blocks\.(\d+)\.1\.", r"convmixer.layers.\1.pointwise.convolution."),
    (r"blocks\.(\d+)\.3\.", r"convmixer.layers.\1.pointwise.normalization."),
    (r"head\.", "classifier."),
)
_RELU = ("convmixer_768_32",)
"""The architectures of timm's with ReLU; the others have GELU."""


def rename(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of timm's `ConvMixer` under the names of `ConvMixerForImageClassification`.

    Raises:
        ValueError: A name is none of timm's ConvMixer.
    """
    return {_renamed(name): tensor for name, tensor in state_dict.items()}


def _renamed(name: str) -> str:
    for pattern, ours in _NAMES:
        if match := re.match(pattern, name):
            return match.expand(ours) + name[match.end() :]
    raise ValueError(f"{name!r} is no weight of timm's ConvMixer, whose names begin with `stem`, `blocks` and `head`.")


def config_of(state_dict: Mapping[str, torch.Tensor], **options: Any) -> ConvMixerConfig:
    """Return the config with the sizes of timm's weights; what they do not show (`hidden_act`, …) is an option."""
    width, channels, patch_size, _ = state_dict["stem.0.weight"].shape
    depth = 1 + max(int(name.split(".")[1]) for name in state_dict if name.startswith("blocks."))
    # Without a classifier (`num_classes=0`) timm has no `head`.
    labels = len(state_dict["head.bias"]) if "head.bias" in state_dict else 0
    sizes = {
        "num_channels": channels,
        "patch_size": patch_size,
        "hidden_size": width,
        "num_hidden_layers": depth,
        "kernel_size": state_dict["blocks.0.0.fn.0.weight"].shape[-1],
        "num_labels": labels,
    }
    return ConvMixerConfig(**{**sizes, **options})


def processor_of(settings: Mapping[str, Any]) -> ConvMixerImageProcessorPil:
    """Return the image processor with the settings of timm's `pretrained_cfg`."""
    side = settings["input_size"][-1]
    return ConvMixerImageProcessorPil(
        # timm rounds down.
        size={"shortest_edge": int(side / settings["crop_pct"])},
        crop_size={"height": side, "width": side},
        resample=PILImageResampling[settings["interpolation"].upper()],
        image_mean=list(settings["mean"]),
        image_std=list(settings["std"]),
    )


def convert(folder: Path, output: Path) -> ConvMixerForImageClassification:
    """Read timm's checkpoint in `folder`, save it for `AutoModelForImageClassification` in `output`, return it."""
    timm = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings = timm.get("pretrained_cfg", timm)
    weights = load_file(folder / "model.safetensors")
    config = config_of(
        weights,
        hidden_act="relu" if timm["architecture"] in _RELU else "gelu",
        image_size=settings["input_size"][-1],
    )
    model = ConvMixerForImageClassification(config)
    model.load_state_dict(rename(weights))
    autoreg.save_pretrained(model.eval(), output)
    autoreg.save_pretrained(processor_of(settings), output)
    return model


def main() -> None:
    """Convert one folder, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with timm's config.json and model.safetensors")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    model = convert(arguments.folder, arguments.output)
    print(f"{arguments.output}: {model.num_parameters():,} parameters")


if __name__ == "__main__":
    main()

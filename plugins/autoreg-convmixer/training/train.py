"""Train the checkpoint that ships with autoreg-convmixer: a ConvMixer on scikit-learn's handwritten digits.

The 1,797 images of 8 x 8 pixels come with PyPI's scikit-learn (UCI's optical digits, licence CC BY 4.0):

    pip install scikit-learn
    python train.py

The last 360 images of the file are never trained on; `heldout.npz` holds them. Everything is seeded and runs on
one thread, so a second run on the same machine and torch gives the same weights.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import autoreg
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from autoreg_convmixer import ConvMixerConfig, ConvMixerForImageClassification, ConvMixerImageProcessorPil

HERE = Path(__file__).resolve().parent
HELD_OUT = 360
SEED = 0
BATCH_SIZE = 64
PEAK_LEARNING_RATE = 1e-2
WEIGHT_DECAY = 0.02


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the images, `(1797, 8, 8)` uint8 of 0 to 255, and their labels, `(1797,)` int64."""
    digits = load_digits()
    return np.round(digits.images * (255 / 16)).astype(np.uint8), digits.target.astype(np.int64)


def make_processor() -> ConvMixerImageProcessorPil:
    """Return the image processor for 8 x 8 pixels: the digits' own size, and about their mean and deviation."""
    return ConvMixerImageProcessorPil(
        size={"height": 8, "width": 8}, do_center_crop=False, image_mean=[0.3] * 3, image_std=[0.4] * 3
    )


def pixel_values(processor: ConvMixerImageProcessorPil, images: np.ndarray) -> torch.Tensor:
    """Return `(batch_size, 3, 8, 8)` float32 of grey images `(batch_size, 8, 8)` uint8."""
    coloured = [np.repeat(image[:, :, None], 3, axis=2) for image in images]
    return processor(coloured, input_data_format="channels_last", return_tensors="pt").pixel_values


def augmented(pixels: torch.Tensor, generator: torch.Generator, *, background: float) -> torch.Tensor:
    """Return the images turned by up to 12 degrees, resized by up to 12 % and moved by up to one pixel."""
    count = len(pixels)
    angle, height, width, down, right = 2 * torch.rand(5, count, generator=generator) - 1
    angle, height, width = angle * math.radians(12), 1 + 0.12 * height, 1 + 0.12 * width
    rows = (
        torch.stack((angle.cos() * width, -angle.sin() * height, right / 4), dim=-1),
        torch.stack((angle.sin() * width, angle.cos() * height, down / 4), dim=-1),
    )
    grid = torch.nn.functional.affine_grid(torch.stack(rows, dim=1), list(pixels.shape), align_corners=False)
    # What comes in from outside is background, which is not zero after normalization.
    return torch.nn.functional.grid_sample(pixels - background, grid, align_corners=False) + background


def batches(count: int, generator: torch.Generator, *, epochs: int) -> Iterator[torch.Tensor]:
    """Yield indices, `(BATCH_SIZE,)` int64: all images once an epoch, without the incomplete last batch."""
    for _ in range(epochs):
        yield from torch.randperm(count, generator=generator)[: count // BATCH_SIZE * BATCH_SIZE].split(BATCH_SIZE)


@torch.no_grad()
def predict(model: ConvMixerForImageClassification, pixels: torch.Tensor) -> torch.Tensor:
    """Return logits, `(batch_size, 10)`, in evaluation mode; the model's own mode is put back."""
    was_training = model.training
    logits = model.eval()(pixels).logits
    model.train(was_training)
    return logits


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of images whose largest logit is their label's."""
    return (logits.argmax(-1) == labels).double().mean().item()


def make_optimizer(model: ConvMixerForImageClassification) -> torch.optim.Optimizer:
    """Return AdamW with weight decay on convolutions and classifier, and not on biases and norms."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_LEARNING_RATE)


def train(
    model: ConvMixerForImageClassification,
    training: tuple[torch.Tensor, torch.Tensor],
    held_out: tuple[torch.Tensor, torch.Tensor],
    *,
    epochs: int,
) -> list[dict[str, float]]:
    """Train in place; return a row an epoch: epoch, mean training loss, held-out loss and accuracy.

    Nothing is chosen by the held-out figures: the last epoch is what is saved.
    """
    pixels, labels = training
    generator = torch.Generator().manual_seed(SEED)
    optimizer, background = make_optimizer(model), pixels.min().item()
    per_epoch = len(pixels) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LEARNING_RATE, total_steps=epochs * per_epoch, pct_start=0.2, final_div_factor=100
    )
    rows, losses, started = [], [], time.monotonic()
    model.train()
    for step, chosen in enumerate(batches(len(pixels), generator, epochs=epochs), start=1):
        inputs = augmented(pixels[chosen], generator, background=background)
        loss = model(inputs, labels=labels[chosen]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
        if step % per_epoch == 0:
            logits = predict(model, held_out[0])
            rows.append(
                {
                    "epoch": step // per_epoch,
                    "training": sum(losses) / len(losses),
                    "held_out": torch.nn.functional.cross_entropy(logits, held_out[1]).item(),
                    "held_out_accuracy": accuracy(logits, held_out[1]),
                }
            )
            losses.clear()
            print(rows[-1], f"{time.monotonic() - started:.0f} s", flush=True)
    return rows


def baselines(images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the held-out accuracy of scikit-learn's classifiers on the same split, trained on the raw pixels."""
    flat = images.reshape(len(images), -1) / 255
    classifiers = {
        "logistic regression": LogisticRegression(max_iter=2000),
        "nearest neighbour": KNeighborsClassifier(1),
    }
    return {
        name: round(
            float(each.fit(flat[:-HELD_OUT], labels[:-HELD_OUT]).score(flat[-HELD_OUT:], labels[-HELD_OUT:])), 4
        )
        for name, each in classifiers.items()
    }


def make_config() -> ConvMixerConfig:
    """Return ConvMixer-64/4 with a patch of one pixel, as small images have it in the paper's appendix."""
    return ConvMixerConfig(
        image_size=8,
        patch_size=1,
        hidden_size=64,
        num_hidden_layers=4,
        kernel_size=5,
        num_labels=10,
        id2label={digit: str(digit) for digit in range(10)},
        label2id={str(digit): digit for digit in range(10)},
    )


def main() -> None:
    """Train, measure and save; write the held-out images, the curve and the figures beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--output", type=Path, default=HERE.parent / "checkpoint")
    arguments = parser.parse_args()

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    images, labels = read_digits()
    np.savez_compressed(HERE / "heldout.npz", images=images[-HELD_OUT:], labels=labels[-HELD_OUT:].astype(np.uint8))
    processor = make_processor()
    pixels, targets = pixel_values(processor, images), torch.from_numpy(labels)
    training, held_out = (pixels[:-HELD_OUT], targets[:-HELD_OUT]), (pixels[-HELD_OUT:], targets[-HELD_OUT:])
    model = ConvMixerForImageClassification(make_config())

    started = time.monotonic()
    curve = train(model, training, held_out, epochs=arguments.epochs)
    seconds = time.monotonic() - started
    logits = predict(model.eval(), held_out[0])
    autoreg.save_pretrained(model, arguments.output)
    autoreg.save_pretrained(processor, arguments.output)
    figures = {
        "parameters": model.num_parameters(),
        "training_images": len(training[0]),
        "held_out_images": HELD_OUT,
        "held_out_accuracy": round(accuracy(logits, held_out[1]), 4),
        "held_out_mistakes": int((logits.argmax(-1) != held_out[1]).sum()),
        "baseline_accuracy": baselines(images, labels),
        "epochs": arguments.epochs,
        "wall_seconds_on_one_core": round(seconds),
        "torch": torch.__version__,
    }
    (HERE / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    (HERE / "curve.jsonl").write_text("\n".join(json.dumps(row) for row in curve) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

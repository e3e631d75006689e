"""Draw digits.png: held-out images with what the checkpoint says of them, every mistake, and the curve.

The README's example, a held-out five that is read right, is written too: five.png.
"""

import json
from pathlib import Path

import matplotlib
import numpy as np
import torch

matplotlib.use("Agg")

from matplotlib import pyplot
from PIL import Image

from autoreg_convmixer import ConvMixerForImageClassification, ConvMixerImageProcessorPil

HERE = Path(__file__).resolve().parent
COLUMNS, RIGHT = 12, 24


def predictions(images: np.ndarray) -> list[int]:
    """Return the digit that the checkpoint reads in each image, `(count, 8, 8)` uint8."""
    model = ConvMixerForImageClassification.from_pretrained(HERE.parent / "checkpoint")
    processor = ConvMixerImageProcessorPil.from_pretrained(HERE.parent / "checkpoint")
    coloured = [np.repeat(image[:, :, None], 3, axis=2) for image in images]
    with torch.no_grad():
        return model(**processor(coloured, return_tensors="pt")).logits.argmax(-1).tolist()


def draw_digits(axes: np.ndarray, images: np.ndarray, titles: list[str], *, color: str) -> None:
    """Fill the axes with as many images as there are, and their titles."""
    for place in axes.flat:
        place.set_axis_off()
    for place, image, title in zip(axes.flat, images, titles, strict=False):
        place.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        place.set_title(title, fontsize=8, color=color, pad=2)


def draw_curve(axes: pyplot.Axes) -> None:
    """Draw the losses of curve.jsonl by epoch."""
    rows = [json.loads(line) for line in (HERE / "curve.jsonl").read_text().splitlines()]
    epochs = [row["epoch"] for row in rows]
    axes.plot(epochs, [row["training"] for row in rows], label="training (augmented)")
    axes.plot(epochs, [row["held_out"] for row in rows], label="held out")
    axes.set(xlabel="epoch", ylabel="cross entropy (nats)", yscale="log", title="Loss")
    axes.grid(alpha=0.3)
    axes.legend()


def main() -> None:
    """Read the held-out images and the checkpoint, and write the picture."""
    held_out = np.load(HERE / "heldout.npz")
    images, labels = held_out["images"], held_out["labels"].tolist()
    predicted = predictions(images)
    wrong = [index for index, label in enumerate(labels) if predicted[index] != label]
    right = [index for index, label in enumerate(labels) if predicted[index] == label][:RIGHT]
    Image.fromarray(images[next(index for index in right if labels[index] == 5)]).save(HERE / "five.png")  # noqa: PLR2004
    figure = pyplot.figure(figsize=(10, 7.5), constrained_layout=True)
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=[2, -(-len(wrong) // COLUMNS), 3.4])
    top.suptitle(f"The first {RIGHT} held-out digits that are read right", fontsize=10)
    draw_digits(top.subplots(RIGHT // COLUMNS, COLUMNS), images[right], [str(labels[i]) for i in right], color="black")
    middle.suptitle(f"All {len(wrong)} mistakes of {len(labels)}: what it is, and what is read", fontsize=10)
    titles = [f"{labels[index]} as {predicted[index]}" for index in wrong]
    places = middle.subplots(-(-len(wrong) // COLUMNS), COLUMNS, squeeze=False)
    draw_digits(places, images[wrong], titles, color="firebrick")
    draw_curve(bottom.subplots())
    figure.savefig(HERE / "digits.png", dpi=100)


if __name__ == "__main__":
    main()

"""Draw captions.png: held-out images with their captions under them, some of the mistakes, and the curve.

The README's example, the first held-out image whose caption is right, is written too: example.png.
"""

import json
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")

from autoreg import AutoModelForImageTextToText, AutoProcessor
from matplotlib import pyplot
from PIL import Image
from train import captions

HERE = Path(__file__).resolve().parent
COLUMNS, ROWS = 3, 4


def draw_images(axes: np.ndarray, images: list[np.ndarray], texts: list[str], *, color: str) -> None:
    """Fill the axes with the images, and write each text under its image."""
    for place, image, text in zip(axes.flat, images, texts, strict=True):
        place.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        place.set(xticks=[], yticks=[])
        place.spines[:].set_color("lightgrey")
        place.set_xlabel(text, fontsize=8, color=color)


def draw_curve(axes: pyplot.Axes) -> None:
    """Draw the losses of curve.jsonl by step."""
    rows = [json.loads(line) for line in (HERE / "curve.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows]
    axes.plot(steps, [row["training"] for row in rows], label="training (mean of 50 steps)")
    axes.plot(steps, [row["held_out"] for row in rows], label="held out (100 images)")
    axes.set(xlabel="step", ylabel="nats a byte", yscale="log", title="Loss on the captions")
    axes.grid(alpha=0.3)
    axes.legend()


def main() -> None:
    """Caption the held-out images with the checkpoint, and write the picture."""
    stored = np.load(HERE / "heldout.npz")
    images, expected = list(stored["images"]), stored["captions"].tolist()
    folder = HERE.parent / "checkpoint"
    model = AutoModelForImageTextToText.from_pretrained(folder)
    found = captions(model, AutoProcessor.from_pretrained(folder), images)
    wrong = [index for index, text in enumerate(found) if text != expected[index]]
    example = next(index for index in range(len(found)) if index not in wrong)
    Image.fromarray(images[example]).convert("RGB").save(HERE / "example.png")
    count = COLUMNS * ROWS
    figure = pyplot.figure(figsize=(11, 9.5), constrained_layout=True)
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=[4, 2.6, 3])
    top.suptitle(f"The first {count} held-out images, with their captions (red: not all right)", fontsize=10)
    places = top.subplots(ROWS, COLUMNS)
    draw_images(places, images[:count], found[:count], color="black")
    for index in set(wrong) & set(range(count)):
        places.flat[index].xaxis.label.set_color("firebrick")
    middle.suptitle(f"The first of the {len(wrong)} mistakes in {len(images)}, with what it should be", fontsize=10)
    chosen = wrong[: COLUMNS * 2]
    texts = [f"{found[index]}\n({expected[index]})" for index in chosen]
    draw_images(middle.subplots(2, COLUMNS), [images[index] for index in chosen], texts, color="firebrick")
    draw_curve(bottom.subplots())
    figure.savefig(HERE / "captions.png", dpi=100)


if __name__ == "__main__":
    main()

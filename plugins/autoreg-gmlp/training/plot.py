"""Draw training/languages.png: the accuracy while training, the confusions, and what one spatial projection learned."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import torch
from matplotlib import pyplot
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent
LAYER, SHOWN = 0, 12


def main() -> None:
    """Read the figures and the checkpoint, and write the picture beside this file."""
    figures = json.loads((HERE / "figures.json").read_text())
    figure, axes = pyplot.subplots(1, 3, figsize=(15, 5), constrained_layout=True, width_ratios=(1.2, 1.2, 1))
    draw_curve(axes[0])
    draw_confusion(axes[1], figures["confusion"], figures["languages"])
    draw_projection(axes[2])
    figure.savefig(HERE / "languages.png", dpi=100)


def draw_curve(axes: pyplot.Axes) -> None:
    """Draw training and held-out accuracy over the steps, with the baselines as lines."""
    rows = [json.loads(line) for line in (HERE / "curve.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows]
    axes.plot(steps, [row["training"] for row in rows], label="training (mean of 200 steps)")
    axes.plot(steps, [row["held_out"] for row in rows], label="held out")
    baseline = json.loads((HERE / "baseline.json").read_text())["naive_bayes_accuracy_by_order"]
    for (order, value), style in zip(baseline.items(), ("-", "-.", "--", ":"), strict=True):
        axes.axhline(value, color="grey", ls=style, lw=1, label=f"naive Bayes, up to {order} letters, held out")
    axes.set(xlabel="step", ylabel="accuracy", title="Which of ten languages is this word?")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")


def draw_confusion(axes: pyplot.Axes, table: list[list[int]], languages: list[str]) -> None:
    """Draw the share of each language's held-out words (rows) that were taken for each language (columns)."""
    shares = torch.tensor(table, dtype=torch.float64)
    shares = 100 * shares / shares.sum(1, keepdim=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, values in enumerate(shares.tolist()):
        for column, value in enumerate(values):
            colour = "white" if value > 50 else "black"  # noqa: PLR2004 - half of the scale
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(languages)), languages, rotation=60, ha="right")
    axes.set_yticks(range(len(languages)), languages)
    axes.set(xlabel="taken for", ylabel="is", title="Held-out words, in per cent")


def draw_projection(axes: pyplot.Axes) -> None:
    """Draw the corner of one layer's spatial weights: how place `column` gates place `row`."""
    weights = load_file(HERE.parent / "checkpoint" / "model.safetensors")
    corner = weights[f"model.layers.{LAYER}.gating.proj.weight"][:SHOWN, :SHOWN]
    limit = corner.abs().max()
    image = axes.imshow(corner, cmap="RdBu", vmin=-limit, vmax=limit)
    axes.set(xlabel="from place", ylabel="to place", title=f"Spatial weights of layer {LAYER}, first {SHOWN} places")
    axes.figure.colorbar(image, ax=axes, shrink=0.7)


if __name__ == "__main__":
    main()

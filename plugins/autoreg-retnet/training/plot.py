"""Draw loss.png from the curve and the figures that train.py wrote."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Read both files and write the picture beside them."""
    rows = [json.loads(line) for line in (HERE / "curve.jsonl").read_text().splitlines()]
    figures = json.loads((HERE / "figures.json").read_text())
    steps = [row["step"] for row in rows]
    figure, axes = pyplot.subplots(figsize=(8, 4.5), constrained_layout=True)
    axes.plot(steps, [row["training"] for row in rows], label="training (mean of 100 steps)")
    axes.plot(steps, [row["held_out"] for row in rows], label="held out (first 8 KiB)")
    for (name, bits), style in zip(figures["baseline_bits_per_byte"].items(), ("--", ":"), strict=True):
        axes.axhline(bits, color="grey", ls=style, lw=1, label=f"{name} on the held-out text")
    axes.set(xlabel="step", ylabel="bits per byte", title="RetNet on the King James Bible")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(HERE / "loss.png", dpi=110)


if __name__ == "__main__":
    main()

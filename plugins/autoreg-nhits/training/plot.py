"""Draw forecasts.png, stacks.png and loss.png from the checkpoint and the files that train.py wrote."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
import train
from matplotlib import pyplot

from autoreg_nhits import NHitsFeatureExtractor, NHitsForPrediction

HERE = Path(__file__).resolve().parent
TITLES = {
    "co2": "CO2 at Mauna Loa, ppm",
    "elnino": "sea surface, Niño 1+2, °C",
    "elec_equip": "electrical equipment, EU, index",
    "airpassengers": "airline passengers, thousands",
    "wineind": "wine sales, Australia, bottles",
}
SHARES = ("stack 1: two knots", "stack 2: a knot every 4 months", "stack 3: a knot a month")
PAST = np.arange(-train.CONTEXT_LENGTH, 0)
FUTURE = np.arange(train.PREDICTION_LENGTH)


def draw_forecasts(model, extractor, series) -> pyplot.Figure:
    """Draw for each series the first and the last forecast of the held-out part."""
    figure, grid = pyplot.subplots(len(series), 2, figsize=(12, 13), constrained_layout=True, sharex=True)
    for each, row in zip(series, grid, strict=True):
        pasts, futures = train.windows(each)
        quantiles, naive = train.forecast(model, extractor, pasts), train.seasonal_naive(pasts)
        for axes, window, when in zip(row, (0, -1), ("first", "last"), strict=True):
            axes.plot(PAST[-36:], pasts[window, -36:], color="black", lw=1)
            axes.plot(FUTURE, futures[window], color="black", lw=1.6, label="truth")
            axes.fill_between(
                FUTURE, quantiles[window, :, 0], quantiles[window, :, -1], alpha=0.25, label="N-HiTS, 10 % to 90 %"
            )
            axes.plot(FUTURE, quantiles[window, :, 1], lw=1.6, label="N-HiTS, median")
            axes.plot(FUTURE, naive[window], color="grey", lw=1, ls="--", label="seasonal naive")
            axes.set_title(f"{TITLES[each.name]}: {when} held-out window", fontsize=10)
            axes.axvline(-0.5, color="grey", lw=0.6)
            axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("months from the start of the forecast")
    grid[0, 0].legend(fontsize=8)
    return figure


def draw_stacks(model, extractor, series) -> pyplot.Figure:
    """Draw what each stack reads and adds to the forecast, for the first held-out window of two series."""
    chosen = [each for each in series if each.name in {"co2", "airpassengers"}]
    figure, grid = pyplot.subplots(4, len(chosen), figsize=(12, 10), constrained_layout=True, sharex=True)
    for each, column in zip(chosen, grid.T, strict=True):
        pasts, futures = train.windows(each)
        with torch.no_grad():
            outputs = model(**extractor(pasts[:1], return_tensors="pt"))
        column[0].plot(PAST, pasts[0], color="black", lw=1, label="past")
        column[0].plot(FUTURE, futures[0], color="black", lw=1.6, label="truth")
        column[0].plot(FUTURE, outputs.mean_predictions[0], lw=1.6, label="forecast: the sum")
        column[0].set_title(TITLES[each.name], fontsize=10)
        for stack, (axes, name) in enumerate(zip(column[1:], SHARES, strict=True)):
            residual = outputs.residuals[0, stack * model.config.num_blocks_per_stack] * outputs.scale[0]
            axes.plot(PAST, residual, color="black", lw=0.8, label="what it reads")
            axes.plot(FUTURE, outputs.stack_predictions[0, stack], color=f"C{stack + 1}", lw=1.6, label="what it adds")
            axes.set_title(name, fontsize=10)
        for axes in column:
            axes.axvline(-0.5, color="grey", lw=0.6)
            axes.grid(alpha=0.3)
        column[-1].set_xlabel("months from the start of the forecast")
    for axes in grid[:2, 0]:
        axes.legend(fontsize=8)
    return figure


def draw_loss() -> pyplot.Figure:
    """Draw the training loss and the held-out MASE over the steps, with the baselines' MASE."""
    rows = [json.loads(line) for line in (HERE / "curve.jsonl").read_text().splitlines()]
    baselines = json.loads((HERE / "figures.json").read_text())["mean_mase"]
    steps = [row["step"] for row in rows]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), constrained_layout=True)
    left.plot(steps, [row["training"] for row in rows])
    left.set(xlabel="step", ylabel="pinball loss", title="training (mean of 100 steps)")
    right.plot(steps, [row["held_out_mase"] for row in rows], label="N-HiTS")
    for name, label, style in (("seasonal_naive", "seasonal naive", "--"), ("ets", "ETS", ":")):
        right.axhline(baselines[name], color="grey", ls=style, lw=1, label=label)
    right.set(xlabel="step", ylabel="MASE", title="held out (mean of the five series)", ylim=(0, None))
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Read everything and write the pictures beside this file."""
    checkpoint = HERE.parent / "checkpoint"
    model = NHitsForPrediction.from_pretrained(checkpoint)
    extractor = NHitsFeatureExtractor.from_pretrained(checkpoint)
    series = train.read_held_out(HERE / "heldout.json")
    draw_forecasts(model, extractor, series).savefig(HERE / "forecasts.png", dpi=80)
    draw_stacks(model, extractor, series).savefig(HERE / "stacks.png", dpi=80)
    draw_loss().savefig(HERE / "loss.png", dpi=80)


if __name__ == "__main__":
    main()

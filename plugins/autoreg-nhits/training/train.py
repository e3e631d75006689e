"""Train the checkpoint that ships with autoreg-nhits: one N-HiTS for five monthly series.

The series come with two PyPI packages, `pip install statsmodels pmdarima`; see SERIES. Run

    python train.py
    python baseline.py
    python plot.py

The last years of each series are never trained on; `heldout.json` holds them, with the months before that
the first forecast reads. Everything is seeded and runs on one thread, so a second run on the same machine
and torch gives the same weights. `baseline.py` adds the errors of exponential smoothing. Sizes, the mixing of
windows and the number of steps were chosen with `--validate`, which holds out the three years before those
years instead.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import autoreg
import numpy as np
import torch

from autoreg_nhits import NHitsConfig, NHitsFeatureExtractor, NHitsForPrediction

HERE = Path(__file__).resolve().parent
SERIES = {
    "co2": "Mauna Loa CO2, monthly means of weekly values, ppm (statsmodels.datasets.co2)",
    "elnino": "sea surface temperature of Nino 1+2, degrees Celsius (statsmodels.datasets.elnino)",
    "elec_equip": "EU turnover of electrical equipment, index (statsmodels.datasets.elec_equip)",
    "airpassengers": "international airline passengers, thousands (pmdarima.datasets)",
    "wineind": "Australian wine sales, bottles (pmdarima.datasets)",
}
HELD_OUT = {"co2": 120, "elnino": 120, "elec_equip": 60, "airpassengers": 36, "wineind": 36}
SEASON = 12
CONTEXT_LENGTH = 72
PREDICTION_LENGTH = 24
QUANTILES = (0.1, 0.5, 0.9)
SEED = 0
STEPS = 1000
BATCH_SIZE = 128
PEAK_LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.01
WARMUP_STEPS = 100
ALONE = 0.5
"""Share of training windows that are not mixed."""
UPSIDE_DOWN = 0.5
"""Share of training windows whose sign is turned: without it everything is expected to go on rising."""
GAPS = 0.2
"""Share of training windows that are shortened, and of those that lose months at random."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """One series: `training` ends where `held_out` begins; both float64, NaN where a month is missing."""

    name: str
    training: np.ndarray
    held_out: np.ndarray
    mase_scale: float
    """Mean absolute error of the seasonal-naive forecast of one year on the training part."""


def read_series() -> dict[str, np.ndarray]:
    """Return the series of SERIES in full, one value a month, float64."""
    from pmdarima import datasets
    from statsmodels.datasets import co2, elec_equip, elnino

    return {
        "co2": co2.load_pandas().data["co2"].resample("MS").mean().to_numpy(),
        "elnino": elnino.load_pandas().data.drop(columns="YEAR").to_numpy().ravel(),
        "elec_equip": elec_equip.load_pandas().data.to_numpy().ravel(),
        "airpassengers": datasets.load_airpassengers(),
        "wineind": datasets.load_wineind(),
    }


def split(name: str, values: np.ndarray, *, held_out: int) -> Split:
    """Cut the last `held_out` months off."""
    training = np.asarray(values, dtype=np.float64)[:-held_out]
    scale = float(np.nanmean(np.abs(training[SEASON:] - training[:-SEASON])))
    return Split(name=name, training=training, held_out=np.asarray(values)[-held_out:], mase_scale=scale)


def windows(series: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return pasts and futures of all forecasts that lie in the held-out part, one starting each month."""
    values = np.concatenate((series.training[-CONTEXT_LENGTH:], series.held_out))
    starts = range(CONTEXT_LENGTH, len(values) - PREDICTION_LENGTH + 1)
    pasts = np.stack([values[start - CONTEXT_LENGTH : start] for start in starts])
    return pasts, np.stack([values[start : start + PREDICTION_LENGTH] for start in starts])


def training_windows(series: Split) -> np.ndarray:
    """Return one row a month: what came before it and what came after, in units of the past's deviation.

    Of the shape `(number of months, CONTEXT_LENGTH + PREDICTION_LENGTH)`; NaN before the series begins, and behind
    the end of its training part. There are at least two years of past and half a year of future in each.
    """
    edges = np.full(CONTEXT_LENGTH, np.nan), np.full(PREDICTION_LENGTH, np.nan)
    values = np.concatenate((edges[0], series.training, edges[1]))
    rows = np.lib.stride_tricks.sliding_window_view(values, CONTEXT_LENGTH + PREDICTION_LENGTH)
    rows = rows[2 * SEASON : len(series.training) - SEASON // 2]
    pasts = rows[:, :CONTEXT_LENGTH]
    return (rows - np.nanmean(pasts, axis=1, keepdims=True)) / np.nanstd(pasts, axis=1, keepdims=True)


def batches(series: list[Split], extractor: NHitsFeatureExtractor, *, steps: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yield batches of training windows, half of them mixed from any two, half of them upside down.

    A series is drawn first and then a month in it. One past in five is made shorter than the context and loses
    months at random, so that the model learns what a mask means.
    """
    generator = np.random.default_rng(SEED)
    rows = [training_windows(each) for each in series]
    months = np.concatenate(rows)
    chances = np.concatenate([np.full(len(row), 1 / len(row) / len(rows)) for row in rows])
    for _ in range(steps):
        first, second = generator.choice(len(months), size=(2, BATCH_SIZE), p=chances)
        alone = generator.random(BATCH_SIZE) < ALONE
        share = generator.random((BATCH_SIZE, 1))
        batch = share * months[first] + (1 - share) * months[np.where(alone, first, second)]
        batch *= np.where(generator.random((BATCH_SIZE, 1)) < UPSIDE_DOWN, -1, 1)
        for row in batch[generator.random(BATCH_SIZE) < GAPS]:
            row[: generator.integers(CONTEXT_LENGTH - 2 * SEASON)] = np.nan
        pasts, futures = np.split(batch, [CONTEXT_LENGTH], axis=1)
        gaps = generator.random(pasts.shape) < generator.uniform(0, 0.2)
        pasts[gaps & (generator.random((BATCH_SIZE, 1)) < GAPS)] = np.nan
        yield dict(extractor(pasts, futures, return_tensors="pt"))


def seasonal_naive(pasts: np.ndarray) -> np.ndarray:
    """Return the last year of each past, over and over, `(number of windows, PREDICTION_LENGTH)`."""
    return np.stack([np.resize(past[-SEASON:], PREDICTION_LENGTH) for past in pasts])


@torch.no_grad()
def forecast(model: NHitsForPrediction, extractor: NHitsFeatureExtractor, pasts: np.ndarray) -> np.ndarray:
    """Return the quantiles of each window, `(number of windows, PREDICTION_LENGTH, len(QUANTILES))`."""
    was_training = model.training
    model.eval()
    outputs = model(**extractor(pasts, return_tensors="pt"))
    model.train(was_training)
    return outputs.full_predictions.double().numpy()


def measure(model: NHitsForPrediction, extractor: NHitsFeatureExtractor, series: list[Split]) -> dict[str, Any]:
    """Return the errors on the held-out part: by series and method the MAE and the MASE, and their means."""
    rows: dict[str, Any] = {}
    for each in series:
        pasts, futures = windows(each)
        quantiles = forecast(model, extractor, pasts)
        inside = (quantiles[..., 0] <= futures) & (futures <= quantiles[..., -1])
        rows[each.name] = {
            "windows": len(pasts),
            "coverage": float(inside.mean()),
            "nhits": errors(quantiles[..., QUANTILES.index(0.5)], futures, each),
            "seasonal_naive": errors(seasonal_naive(pasts), futures, each),
        }
    return rows


def errors(forecasts: np.ndarray, futures: np.ndarray, series: Split) -> dict[str, float]:
    """Return the mean absolute error, in the unit of the series and as a multiple of its `mase_scale`."""
    mae = float(np.abs(forecasts - futures).mean())
    return {"mae": mae, "mase": mae / series.mase_scale}


def mean_mase(rows: dict[str, Any], method: str) -> float:
    """Return the mean over the series of a method's MASE."""
    return statistics.fmean(row[method]["mase"] for row in rows.values())


def write_held_out(series: list[Split], path: Path) -> None:
    """Write what the forecasts read and what they are compared with, as JSON."""
    found = {
        each.name: {
            "mase_scale": each.mase_scale,
            "context": each.training[-CONTEXT_LENGTH:].tolist(),
            "held_out": each.held_out.tolist(),
        }
        for each in series
    }
    path.write_text(json.dumps(found) + "\n")


def read_held_out(path: Path) -> list[Split]:
    """Read what `write_held_out` wrote; the training parts hold the context of the first forecast only."""
    return [
        Split(
            name=name,
            training=np.array(found["context"]),
            held_out=np.array(found["held_out"]),
            mase_scale=found["mase_scale"],
        )
        for name, found in json.loads(path.read_text()).items()
    ]


def learning_rate(step: int, steps: int) -> float:
    """Return the rate of a step: linear warm-up, then a cosine down to a hundredth of the peak."""
    if step < WARMUP_STEPS:
        return PEAK_LEARNING_RATE * step / WARMUP_STEPS
    progress = (step - WARMUP_STEPS) / max(steps - WARMUP_STEPS, 1)
    return PEAK_LEARNING_RATE * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


def train(
    model: NHitsForPrediction, extractor: NHitsFeatureExtractor, series: list[Split], *, steps: int
) -> list[dict[str, float]]:
    """Train in place; return a row for every 100 steps: step, training loss and mean held-out MASE."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    rows, losses, started = [], [], time.monotonic()
    model.train()
    for step, batch in enumerate(batches(series, extractor, steps=steps), start=1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 100 == 0:
            held_out = mean_mase(measure(model, extractor, series), "nhits")
            rows.append({"step": step, "training": statistics.fmean(losses), "held_out_mase": held_out})
            losses.clear()
            print(rows[-1], f"{time.monotonic() - started:.0f} s", flush=True)
    return rows


def make_model() -> NHitsForPrediction:
    """Return the untrained model: trend, season and detail, from two knots of the forecast to one a month."""
    config = NHitsConfig(
        context_length=CONTEXT_LENGTH,
        prediction_length=PREDICTION_LENGTH,
        pooling_kernel_sizes=[12, 3, 1],
        frequency_downsampling=[12, 4, 1],
        num_blocks_per_stack=2,
        hidden_size=256,
        hidden_dropout=0.3,
        quantiles=list(QUANTILES),
    )
    return NHitsForPrediction(config)


def rounded(value: Any) -> Any:
    """Round every float in nested dictionaries to six digits."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value


def write_figures(figures: dict[str, Any]) -> None:
    """Write figures.json, and print it."""
    text = json.dumps(rounded(figures), indent=2)
    (HERE / "figures.json").write_text(text + "\n")
    print(text)


def main() -> None:
    """Train, measure and save; write the held-out months, the curve and the figures beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--validate", action="store_true", help="hold out the three years before, and save nothing")
    parser.add_argument("--output", type=Path, default=HERE.parent / "checkpoint")
    arguments = parser.parse_args()

    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # at this size a second thread costs more than it helps
    torch.use_deterministic_algorithms(True)
    series = [split(name, values, held_out=HELD_OUT[name]) for name, values in read_series().items()]
    if arguments.validate:
        series = [split(each.name, each.training, held_out=36) for each in series]
    model, extractor = make_model(), NHitsFeatureExtractor(context_length=CONTEXT_LENGTH)

    started = time.monotonic()
    curve = train(model, extractor, series, steps=arguments.steps)
    seconds = time.monotonic() - started
    model.eval()
    rows = measure(model, extractor, series)
    if arguments.validate:
        print(json.dumps(rounded(rows), indent=2))
        return
    autoreg.save_pretrained(model, arguments.output)
    autoreg.save_pretrained(extractor, arguments.output)
    figures = {
        "parameters": model.num_parameters(),
        "mean_mase": {method: mean_mase(rows, method) for method in ("nhits", "seasonal_naive")},
        "series": rows,
        "training_months": sum(len(each.training) for each in series),
        "steps": arguments.steps,
        "windows_seen": arguments.steps * BATCH_SIZE,
        "wall_seconds_on_one_core": round(seconds),
        "torch": torch.__version__,
    }
    write_held_out(series, HERE / "heldout.json")
    write_figures(figures)
    (HERE / "curve.jsonl").write_text("\n".join(json.dumps(rounded(row)) for row in curve) + "\n")


if __name__ == "__main__":
    main()

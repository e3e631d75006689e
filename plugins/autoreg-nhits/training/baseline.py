"""Add to figures.json what exponential smoothing (ETS) achieves on the months that train.py holds out.

It is the stronger classical baseline, fitted anew to the whole past of each window, where N-HiTS sees six years of
it and was fitted once. A minute or two; needs `pip install statsmodels pmdarima`.
"""

import json
import warnings

import numpy as np
import train
from statsmodels.tsa.holtwinters import ExponentialSmoothing


def exponential_smoothing(past: np.ndarray) -> np.ndarray:
    """Return the forecast of ETS, `(PREDICTION_LENGTH,)`, for a past without missing values.

    Additive damped trend; additive or multiplicative seasonality, whichever has the lower AICc.
    """
    fits = [
        ExponentialSmoothing(
            past, trend="add", damped_trend=True, seasonal=seasonal, seasonal_periods=train.SEASON
        ).fit()
        for seasonal in ("add", "mul")
    ]
    return min(fits, key=lambda fit: fit.aicc).forecast(train.PREDICTION_LENGTH)


def forecasts(series: train.Split) -> np.ndarray:
    """Return the forecasts of all windows of the held-out part, missing months interpolated."""
    values = np.concatenate((series.training, series.held_out))
    known = np.isfinite(values)
    values = np.interp(np.arange(len(values)), np.flatnonzero(known), values[known])
    starts = range(len(series.training), len(values) - train.PREDICTION_LENGTH + 1)
    return np.stack([exponential_smoothing(values[:start]) for start in starts])


def main() -> None:
    """Measure every series and write figures.json again."""
    warnings.simplefilter("ignore")  # of fits that have not converged: their forecasts count all the same
    figures = json.loads((train.HERE / "figures.json").read_text())
    for name, values in train.read_series().items():
        series = train.split(name, values, held_out=train.HELD_OUT[name])
        figures["series"][name]["ets"] = train.errors(forecasts(series), train.windows(series)[1], series)
        print(name, figures["series"][name], flush=True)
    figures["mean_mase"]["ets"] = train.mean_mase(figures["series"], "ets")
    train.write_figures(figures)


if __name__ == "__main__":
    main()

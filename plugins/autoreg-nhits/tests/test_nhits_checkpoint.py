"""The checkpoint that ships with the plugin is as good as its model card says."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoreg_nhits import NHitsFeatureExtractor, NHitsForPrediction

PLUGIN = Path(__file__).resolve().parents[1]
CHECKPOINT = PLUGIN / "checkpoint"
FIGURES = json.loads((PLUGIN / "training" / "figures.json").read_text())


@pytest.fixture(scope="module")
def model() -> NHitsForPrediction:
    return NHitsForPrediction.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def extractor() -> NHitsFeatureExtractor:
    return NHitsFeatureExtractor.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def training():
    spec = importlib.util.spec_from_file_location("nhits_training", PLUGIN / "training" / "train.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["nhits_training"] = module  # where its dataclass looks for its own module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def held_out(training):
    return training.read_held_out(PLUGIN / "training" / "heldout.json")


def test_errors_are_as_stated(model, extractor, training, held_out):
    """The held-out months measure the stated errors, and all series but one are forecast better than naively."""
    rows = training.measure(model, extractor, held_out)
    assert set(rows) == set(FIGURES["series"])
    for name, row in rows.items():
        stated = FIGURES["series"][name]
        assert row["windows"] == stated["windows"]
        assert row["coverage"] == pytest.approx(stated["coverage"], abs=5e-3)
        assert row["nhits"]["mae"] == pytest.approx(stated["nhits"]["mae"], rel=1e-3)
        assert row["seasonal_naive"]["mae"] == pytest.approx(stated["seasonal_naive"]["mae"], rel=1e-5)
    assert training.mean_mase(rows, "nhits") == pytest.approx(FIGURES["mean_mase"]["nhits"], rel=1e-3)
    assert training.mean_mase(rows, "nhits") < 0.7 * training.mean_mase(rows, "seasonal_naive")
    worse = {name for name, row in rows.items() if row["nhits"]["mase"] >= row["seasonal_naive"]["mase"]}
    assert worse == {"elec_equip"}


def test_model_card_states_the_figures(model):
    """The model card and the README name the measured figures of every series and method."""
    assert model.num_parameters() == FIGURES["parameters"]
    for card in (CHECKPOINT / "README.md", PLUGIN / "README.md"):
        text = card.read_text()
        assert f"{FIGURES['parameters']:,}" in text
        for name, row in FIGURES["series"].items():
            line = next(line for line in text.splitlines() if line.startswith(f"| `{name}`"))
            for method in ("nhits", "seasonal_naive", "ets"):
                assert f"{row[method]['mase']:.2f}" in line
                assert f"{row[method]['mae']:,.{digits(row)}f}" in line
        for mase in FIGURES["mean_mase"].values():
            assert f"{mase:.2f}" in text


def digits(row) -> int:
    """Digits behind the point of the errors of a series."""
    return 0 if row["seasonal_naive"]["mae"] > 100 else 2


def test_readme_examples_run(tmp_path):
    """The README's Python blocks run as they stand in a folder that has the checkpoint, and print what they say."""
    pytest.importorskip("accelerate")
    (tmp_path / "checkpoint").symlink_to(CHECKPOINT)
    blocks = re.findall(r"```python\n(.*?)```", (PLUGIN / "README.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "torch.Size([1, 24, 3])" in done.stdout
    assert "'train_loss'" in done.stdout


def test_gaps_are_bearable(model, extractor, training, held_out):
    """With a tenth of the past missing the forecasts are at most a quarter worse."""
    generator = np.random.default_rng(0)
    for series in held_out:
        pasts, futures = training.windows(series)
        whole = np.abs(training.forecast(model, extractor, pasts)[..., 1] - futures).mean()
        pasts = np.where(generator.random(pasts.shape) < 0.1, np.nan, pasts)
        gaps = np.abs(training.forecast(model, extractor, pasts)[..., 1] - futures).mean()
        assert gaps < 1.25 * whole


def test_files_are_small():
    """Weights and held-out months stay small, so that the repository does."""
    assert (CHECKPOINT / "model.safetensors").stat().st_size <= 4_000_000
    assert (PLUGIN / "training" / "heldout.json").stat().st_size <= 50_000


def test_curve_falls():
    """The recorded training loss ends far under where it began."""
    rows = [json.loads(line) for line in (PLUGIN / "training" / "curve.jsonl").read_text().splitlines()]
    assert rows[-1]["training"] < 0.6 * rows[0]["training"]
    assert rows[-1]["step"] == FIGURES["steps"]

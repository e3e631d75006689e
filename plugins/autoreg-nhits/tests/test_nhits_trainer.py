"""transformers' Trainer, which knows nothing of autoreg, fine-tunes the checkpoint by its path."""

from pathlib import Path

import autoreg
import numpy as np
import pytest
import torch
import transformers

CHECKPOINT = Path(__file__).resolve().parents[1] / "checkpoint"


@pytest.fixture
def _activated():
    undo = autoreg.activate()
    yield
    undo()


def _series(count, seed):
    """Monthly series with a season and a level that drifts; a tenth of the past is missing."""
    generator = np.random.default_rng(seed)
    months = np.arange(96)
    season = 5 * np.sin(2 * np.pi * (months + generator.integers(12, size=(count, 1))) / 12)
    series = season + generator.normal(size=(count, 96)).cumsum(axis=1) + 100
    series[:, :72][generator.random((count, 72)) < 0.1] = np.nan
    return series


def _windows(extractor, series):
    batch = extractor(series[:, :72], series[:, 72:], return_tensors="pt")
    return [{name: values[row] for name, values in batch.items()} for row in range(len(series))]


@pytest.mark.usefixtures("_activated")
def test_trainer_runs_an_epoch(tmp_path):
    """One epoch lowers the loss on new series, with no word on labels; what is saved is what was trained."""
    pytest.importorskip("accelerate")
    extractor = transformers.AutoFeatureExtractor.from_pretrained(CHECKPOINT)
    model = transformers.AutoModelForTimeSeriesPrediction.from_pretrained(CHECKPOINT)
    arguments = transformers.TrainingArguments(
        output_dir=tmp_path / "run",
        num_train_epochs=1,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=32,
        learning_rate=1e-3,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    held_out = _windows(extractor, _series(64, seed=1))
    trainer = transformers.Trainer(
        model=model, args=arguments, train_dataset=_windows(extractor, _series(1024, seed=0)), eval_dataset=held_out
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    after = trainer.evaluate()["eval_loss"]
    assert after < 0.95 * before

    mean, full = trainer.predict(held_out).predictions
    assert (mean.shape, full.shape) == ((64, 24), (64, 24, 3))
    trainer.save_model(tmp_path / "saved")
    saved = transformers.AutoModelForTimeSeriesPrediction.from_pretrained(tmp_path / "saved")
    inputs = extractor(_series(64, seed=1)[:, :72], return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(saved.eval()(**inputs).mean_predictions, torch.tensor(mean), rtol=1e-5, atol=1e-4)

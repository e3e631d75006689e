"""The checkpoint that ships with the plugin is as good as its model card says, and others can use it by its path."""

import json
from pathlib import Path

import autoreg
import numpy as np
import pytest
import torch
import transformers
from PIL import Image

PLUGIN = Path(__file__).resolve().parents[1]
CHECKPOINT = PLUGIN / "checkpoint"
FIGURES = json.loads((PLUGIN / "training" / "figures.json").read_text())


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [Image.fromarray(image) for image in np.load(PLUGIN / "training" / "heldout.npz")["images"]]


@pytest.fixture(scope="module")
def labels() -> torch.Tensor:
    return torch.from_numpy(np.load(PLUGIN / "training" / "heldout.npz")["labels"]).long()


@pytest.fixture
def _activated():
    undo = autoreg.activate()
    yield
    undo()


def test_held_out_accuracy_is_as_stated(pictures, labels):
    """The held-out images, read through the image processor, measure the stated accuracy, above the baselines."""
    model = autoreg.AutoModelForImageClassification.from_pretrained(CHECKPOINT)
    processor = autoreg.AutoImageProcessor.from_pretrained(CHECKPOINT, backend="pil")
    with torch.no_grad():
        predicted = model(**processor(pictures, return_tensors="pt")).logits.argmax(-1)
    assert len(labels) == FIGURES["held_out_images"]
    assert int((predicted != labels).sum()) == FIGURES["held_out_mistakes"]
    accuracy = (predicted == labels).double().mean().item()
    assert accuracy == pytest.approx(FIGURES["held_out_accuracy"], abs=1e-4)
    assert accuracy > max(FIGURES["baseline_accuracy"].values())


def test_model_card_states_the_figures():
    """The model card and the README name the measured figures, and the weights have the stated number."""
    model = autoreg.AutoModelForImageClassification.from_pretrained(CHECKPOINT)
    assert model.num_parameters() == FIGURES["parameters"]
    size = (CHECKPOINT / "model.safetensors").stat().st_size
    shares = [FIGURES["held_out_accuracy"], *FIGURES["baseline_accuracy"].values()]
    for card in (CHECKPOINT / "README.md", PLUGIN / "README.md"):
        text = card.read_text()
        for stated in (f"{FIGURES['parameters']:,}", f"{size:,}", *(f"{100 * share:.1f} %" for share in shares)):
            assert stated in text, f"{card}: {stated}"


def test_checkpoint_is_whole():
    """The manifest's digests hold, config.json says which package it needs, and the weights are small."""
    autoreg.AutoModel.from_pretrained(CHECKPOINT, verify="full")
    config = json.loads((CHECKPOINT / "config.json").read_text())
    assert config["autoreg"]["distribution"] == "autoreg-convmixer"
    assert (CHECKPOINT / "model.safetensors").stat().st_size < 200_000


def test_curve_falls():
    """The recorded held-out loss ends at a tenth of where it began, and the last accuracy is the stated one."""
    rows = [json.loads(line) for line in (PLUGIN / "training" / "curve.jsonl").read_text().splitlines()]
    assert rows[-1]["epoch"] == len(rows) == FIGURES["epochs"]
    assert rows[-1]["held_out"] < rows[0]["held_out"] / 10
    assert rows[-1]["held_out_accuracy"] == pytest.approx(FIGURES["held_out_accuracy"], abs=1e-4)


@pytest.mark.usefixtures("_activated")
def test_the_pipeline_takes_the_path_alone(pictures, labels):
    """`pipeline("image-classification")` needs nothing but the checkpoint's path after `activate()`."""
    classify = transformers.pipeline("image-classification", model=str(CHECKPOINT), device="cpu")
    answers = classify(pictures[:40], top_k=1)
    right = sum(answer[0]["label"] == str(label) for answer, label in zip(answers, labels.tolist(), strict=False))
    assert right >= 36


@pytest.mark.usefixtures("_activated")
def test_the_trainer_takes_the_path_alone(pictures, labels, tmp_path):
    """transformers' Trainer fine-tunes what the plain Auto class loads, and saves its batch norms."""
    pytest.importorskip("accelerate")
    model = transformers.AutoModelForImageClassification.from_pretrained(CHECKPOINT)
    processor = transformers.AutoImageProcessor.from_pretrained(CHECKPOINT, backend="pil")
    pixels = processor(pictures[:16], return_tensors="pt").pixel_values
    rows = [{"pixel_values": image, "labels": label} for image, label in zip(pixels, labels, strict=False)]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=16, report_to=[], use_cpu=True
    )
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=rows)
    assert trainer.train().training_loss < 1
    trainer.save_model(str(tmp_path / "tuned"))
    tuned = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "tuned").state_dict()
    changed = {name for name, tensor in tuned.items() if not tensor.equal(before[name])}
    assert changed == set(before)

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
def held_out() -> list[tuple[Image.Image, str]]:
    stored = np.load(PLUGIN / "training" / "heldout.npz")
    pictures = [Image.fromarray(image).convert("RGB") for image in stored["images"]]
    return list(zip(pictures, stored["captions"].tolist(), strict=True))


@pytest.fixture
def _activated():
    undo = autoreg.activate()
    yield
    undo()


def test_exact_match_is_as_stated(held_out):
    """The held-out images are captioned as exactly as stated, above the baselines."""
    model = autoreg.AutoModelForImageTextToText.from_pretrained(CHECKPOINT)
    processor = autoreg.AutoProcessor.from_pretrained(CHECKPOINT, backend="pil")
    assert len(held_out) == FIGURES["held_out_images"]
    found = []
    for start in range(0, len(held_out), 100):
        pictures = [picture for picture, _ in held_out[start : start + 100]]
        inputs = processor(images=pictures, text=["<image>"] * len(pictures), return_tensors="pt")
        ids = model.generate(**inputs, max_new_tokens=50, do_sample=False)
        found += processor.batch_decode(ids[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    right = sum(text == caption for text, (_, caption) in zip(found, held_out, strict=True))
    # A near tie between two bytes may fall the other way on another machine.
    assert right / len(held_out) == pytest.approx(FIGURES["held_out_exact_match"], abs=0.005)
    assert right / len(held_out) > max(FIGURES["baseline_exact_match"].values())


def test_model_card_states_the_figures():
    """The model card and the README name the measured figures, and the weights have the stated number."""
    model = autoreg.AutoModelForImageTextToText.from_pretrained(CHECKPOINT)
    assert model.num_parameters() == FIGURES["parameters"]
    size = (CHECKPOINT / "model.safetensors").stat().st_size
    assert size <= 4_000_000
    shares = [FIGURES["held_out_exact_match"], *FIGURES["baseline_exact_match"].values()]
    for card in (CHECKPOINT / "README.md", PLUGIN / "README.md"):
        text = card.read_text()
        for stated in (f"{FIGURES['parameters']:,}", f"{size:,}", *(f"{100 * share:.1f} %" for share in shares)):
            assert stated in text, f"{card}: {stated}"


def test_checkpoint_is_whole():
    """The manifest's digests hold, and config.json says which package it needs, and the model types of its parts."""
    autoreg.AutoModelForImageTextToText.from_pretrained(CHECKPOINT, verify="full")
    config = json.loads((CHECKPOINT / "config.json").read_text())
    assert config["autoreg"]["distribution"] == "autoreg-captioner"
    assert (config["vision_config"]["model_type"], config["text_config"]["model_type"]) == ("convmixer", "retnet")


def test_curve_falls():
    """The recorded held-out loss ends at a fifth of where it began."""
    rows = [json.loads(line) for line in (PLUGIN / "training" / "curve.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == FIGURES["steps"]
    assert rows[-1]["held_out"] < rows[0]["held_out"] / 5


def test_the_tower_can_be_taken_out(held_out, tmp_path):
    """The vision tower of the captioner, saved by itself, is a checkpoint of the other plugin."""
    tower = autoreg.AutoModelForImageTextToText.from_pretrained(CHECKPOINT).model.vision_tower
    processor = autoreg.AutoProcessor.from_pretrained(CHECKPOINT, backend="pil")
    pixels = processor.image_processor(held_out[0][0], return_tensors="pt").pixel_values
    autoreg.save_pretrained(tower, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["autoreg"]["distribution"] == "autoreg-convmixer"
    loaded = autoreg.AutoModel.from_pretrained(tmp_path)
    with torch.no_grad():
        assert loaded(pixels).pooler_output.equal(tower(pixels).pooler_output)


@pytest.mark.usefixtures("_activated")
def test_the_pipeline_takes_the_path_alone(held_out):
    """`pipeline("image-text-to-text")` needs nothing but the checkpoint's path after `activate()`."""
    write = transformers.pipeline("image-text-to-text", model=str(CHECKPOINT), device="cpu")
    right = 0
    for picture, caption in held_out[:20]:
        answer = write(images=picture, text="<image>", max_new_tokens=50, return_full_text=False)
        right += answer[0]["generated_text"] == caption
    assert right >= 10


@pytest.mark.usefixtures("_activated")
def test_the_trainer_takes_the_path_alone(held_out, tmp_path):
    """transformers' Trainer fine-tunes what the plain Auto class loads, every part of it, and saves it whole."""
    pytest.importorskip("accelerate")
    model = transformers.AutoModelForImageTextToText.from_pretrained(CHECKPOINT)
    processor = transformers.AutoProcessor.from_pretrained(CHECKPOINT, backend="pil")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def collate(rows):
        pictures, captions = zip(*rows, strict=True)
        texts = [f"<image>{caption}{processor.tokenizer.eos_token}" for caption in captions]
        batch = processor(images=list(pictures), text=texts, padding=True, return_tensors="pt")
        ignored = batch.input_ids.eq(processor.image_token_id) | batch.attention_mask.eq(0)
        return {**batch, "labels": batch.input_ids.masked_fill(ignored, -100)}

    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=1,
        per_device_train_batch_size=8,
        report_to=[],
        use_cpu=True,
        remove_unused_columns=False,
    )
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=held_out[:8], data_collator=collate)
    trainer.train()
    trainer.save_model(str(tmp_path / "tuned"))
    tuned = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path / "tuned").state_dict()
    assert tuned.keys() == before.keys()
    assert {name for name, tensor in tuned.items() if not tensor.equal(before[name])} == set(before)

"""The checkpoint that ships with the plugin is as good as its model card says."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from autoreg_retnet import RetNetForCausalLM, RetNetTokenizer

PLUGIN = Path(__file__).resolve().parents[1]
CHECKPOINT = PLUGIN / "checkpoint"
FIGURES = json.loads((PLUGIN / "training" / "figures.json").read_text())


@pytest.fixture(scope="module")
def model() -> RetNetForCausalLM:
    return RetNetForCausalLM.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def tokenizer() -> RetNetTokenizer:
    return RetNetTokenizer.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def training():
    spec = importlib.util.spec_from_file_location("retnet_training", PLUGIN / "training" / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bits_per_byte_are_as_stated(model, tokenizer, training):
    """The held-out text measures the stated bits per byte, and the stated size of the text is its own."""
    held_out = (PLUGIN / "training" / "heldout.txt").read_text()
    assert len(held_out) == FIGURES["held_out_bytes"]
    measured = training.bits_per_byte(model, tokenizer, held_out)
    assert measured == pytest.approx(FIGURES["held_out_bits_per_byte"], abs=2e-4)
    assert measured < 2.2 < min(training.baselines(held_out).values())


def test_model_card_states_the_figures(model):
    """The model card and the README name the measured figures, and the weights have the stated number."""
    assert model.num_parameters() == FIGURES["parameters"]
    bits = f"{FIGURES['held_out_bits_per_byte']:.3f}"
    for card in (CHECKPOINT / "README.md", PLUGIN / "README.md"):
        text = card.read_text()
        assert bits in text
        assert f"{FIGURES['parameters']:,}" in text
        for baseline in FIGURES["baseline_bits_per_byte"].values():
            assert f"{baseline:.2f}" in text


def test_continuation_reads_like_the_source(model, tokenizer):
    """A greedy continuation is made of the source's words: all letters, spaces and its punctuation."""
    prompt = tokenizer("And the LORD said unto Moses,", return_tensors="pt")
    text = tokenizer.decode(model.generate(**prompt, max_new_tokens=120, do_sample=False)[0], skip_special_tokens=True)
    assert re.fullmatch(r"[A-Za-z ,.:;'\n()?!-]+", text)
    words = set(re.findall(r"[a-z]+", text.lower()))
    assert {"the", "and"} <= words


def test_weights_are_small():
    """The weights stay under four million bytes, so that the repository stays small."""
    assert (CHECKPOINT / "model.safetensors").stat().st_size <= 4_000_000


def test_curve_falls():
    """The recorded held-out curve ends far under where it began, and at its lowest within a hundredth."""
    rows = [json.loads(line) for line in (PLUGIN / "training" / "curve.jsonl").read_text().splitlines()]
    held_out = [row["held_out"] for row in rows]
    assert held_out[-1] < held_out[0] - 0.5
    assert held_out[-1] <= min(held_out) + 0.01

"""The checkpoint that ships with the plugin is as good as its model card says."""

import importlib.util
import json
from pathlib import Path

import pytest

from autoreg_gmlp import GMLPForSequenceClassification, GMLPTokenizer

PLUGIN = Path(__file__).resolve().parents[1]
CHECKPOINT = PLUGIN / "checkpoint"
FIGURES = json.loads((PLUGIN / "training" / "figures.json").read_text())
BASELINE = json.loads((PLUGIN / "training" / "baseline.json").read_text())["naive_bayes_accuracy_by_order"]


@pytest.fixture(scope="module")
def model() -> GMLPForSequenceClassification:
    return GMLPForSequenceClassification.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def tokenizer() -> GMLPTokenizer:
    return GMLPTokenizer.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def training():
    spec = importlib.util.spec_from_file_location("gmlp_training", PLUGIN / "training" / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def held_out(training) -> list[tuple[str, int]]:
    lines = (PLUGIN / "training" / "heldout.tsv").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in lines]
    return [(word, training.LANGUAGES.index(language)) for word, language in pairs]


def test_accuracy_is_as_stated(model, tokenizer, training, held_out):
    """The held-out words measure the stated accuracy and the stated confusions."""
    assert len(held_out) == FIGURES["held_out_words"] == 10 * training.HELD_OUT_WORDS
    predicted = training.predict(model, tokenizer, [word for word, _ in held_out])
    # One word in a thousand may be so close that another machine's rounding turns it.
    assert training.accuracy(predicted, held_out) == pytest.approx(FIGURES["held_out_accuracy"], abs=1e-3)
    measured = training.confusion(predicted, held_out)
    moved = sum(
        abs(a - b) for rows in zip(measured, FIGURES["confusion"], strict=True) for a, b in zip(*rows, strict=True)
    )
    assert moved <= 10


def test_model_card_states_the_figures(model):
    """The model card and the README name the measured figures, and the weights have the stated number."""
    assert model.num_parameters() == FIGURES["parameters"]
    for card in (CHECKPOINT / "README.md", PLUGIN / "README.md"):
        text = card.read_text()
        assert f"{FIGURES['parameters']:,}" in text
        assert f"**{100 * FIGURES['held_out_accuracy']:.1f} %**" in text
        assert ", ".join(f"{100 * value:.1f}" for value in BASELINE.values()) in text


def test_the_config_names_the_languages(model, tokenizer, training):
    """Labels, vocabulary and longest text of the config are those of the training and the tokenizer."""
    assert tuple(model.config.id2label.values()) == training.LANGUAGES
    assert model.config.vocab_size == len(tokenizer) == FIGURES["vocab_size"]
    assert model.config.max_position_embeddings == tokenizer.model_max_length == 32


def test_the_checkpoint_says_what_it_needs():
    """config.json names the package and the version that it was saved with."""
    note = json.loads((CHECKPOINT / "config.json").read_text())["autoreg"]
    assert (note["distribution"], note["requires"]) == ("autoreg-gmlp", "autoreg-gmlp>=0.1.0,<1")


def test_weights_are_small():
    """The weights stay under four million bytes, so that the repository stays small."""
    assert (CHECKPOINT / "model.safetensors").stat().st_size <= 4_000_000


def test_curve_rises():
    """The recorded held-out curve ends far above where it began, and at its highest within a hundredth."""
    rows = [json.loads(line) for line in (PLUGIN / "training" / "curve.jsonl").read_text().splitlines()]
    held = [row["held_out"] for row in rows]
    assert held[-1] > held[0] + 0.05
    assert held[-1] >= max(held) - 0.01

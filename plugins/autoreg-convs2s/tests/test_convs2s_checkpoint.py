"""The checkpoint that ships with the plugin is as good as its model card says."""

import importlib.util
import json
import re
from pathlib import Path

import autoreg
import pytest
import torch

from autoreg_convs2s import ConvS2SForConditionalGeneration, ConvS2STokenizer

PLUGIN = Path(__file__).resolve().parents[1]
CHECKPOINT = PLUGIN / "checkpoint"
FIGURES = json.loads((PLUGIN / "training" / "figures.json").read_text())


@pytest.fixture(scope="module")
def model() -> ConvS2SForConditionalGeneration:
    return autoreg.AutoModelForSeq2SeqLM.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def tokenizer() -> ConvS2STokenizer:
    return autoreg.AutoTokenizer.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def training():
    spec = importlib.util.spec_from_file_location("convs2s_training", PLUGIN / "training" / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def held_out(training):
    return training.read_words(PLUGIN / "training" / "heldout.tsv")


@pytest.mark.parametrize(("num_beams", "name"), [(1, "greedy"), (4, "beam_search_4")])
def test_errors_are_as_stated(model, tokenizer, training, held_out, num_beams, name):
    """On the held-out words the model makes the stated errors, not many more than half of a look-up's."""
    assert len(held_out) == FIGURES["held_out_words"]
    stated = FIGURES["held_out_errors_percent"]
    measured = training.error_rates(training.pronounce(model, tokenizer, list(held_out), num_beams=num_beams), held_out)
    # Rounding may turn a near tie; one word is 0.1.
    assert measured["phonemes"] == pytest.approx(stated[name]["phonemes"], abs=0.1)
    assert measured["words"] == pytest.approx(stated[name]["words"], abs=0.3)
    assert measured["phonemes"] < min(stated["longest_prefix"]["phonemes"], stated["most_trigrams"]["phonemes"]) * 0.6


def test_beams_need_no_cache(model, tokenizer, held_out):
    """Beam search over held-out words of all lengths in one batch writes the same with the cache and without."""
    inputs = tokenizer(list(held_out)[:60], padding=True, return_tensors="pt")
    with_cache, without = (
        model.generate(**inputs, num_beams=4, max_new_tokens=28, use_cache=use) for use in (True, False)
    )
    assert with_cache.equal(without)


def test_attention_walks_along_the_word(model, tokenizer, held_out):
    """The mean attention of the layers moves from left to right: phonemes and the places they look at rise together."""
    correlations = []
    for word, (pronunciation, *_) in list(held_out.items())[:100]:
        inputs = tokenizer(word, text_target=pronunciation, return_tensors="pt")
        with torch.no_grad():
            weights = torch.stack(model(**inputs, output_attentions=True).cross_attentions).mean(0)[0, 0]
        places = (weights * torch.arange(weights.shape[1])).sum(-1)
        correlations.append(torch.corrcoef(torch.stack((places, torch.arange(len(places)).float())))[0, 1])
    assert torch.stack(correlations).mean() > 0.9


def test_cards_state_the_figures(model):
    """The model card and the README name the measured figures, and the weights have the stated number."""
    assert model.num_parameters() == FIGURES["parameters"]
    assert (CHECKPOINT / "model.safetensors").stat().st_size == FIGURES["weight_bytes"]
    for card in (CHECKPOINT / "README.md", PLUGIN / "README.md"):
        text = card.read_text()
        for number in (FIGURES["parameters"], FIGURES["weight_bytes"], FIGURES["training_words"], FIGURES["steps"]):
            assert f"{number:,}" in text
        for rates in FIGURES["held_out_errors_percent"].values():
            assert re.search(rf"{rates['phonemes']:.1f} %.*{rates['words']:.1f} %", text)


def test_saved_by_autoreg():
    """The checkpoint says which package it needs, and holds the bytes that its manifest names."""
    config = json.loads((CHECKPOINT / "config.json").read_text())
    assert config["autoreg"]["distribution"] == "autoreg-convs2s"
    autoreg.AutoModelForSeq2SeqLM.from_pretrained(CHECKPOINT, verify="full")


def test_weights_are_small():
    """The weights stay under four million bytes, so that the repository stays small."""
    assert (CHECKPOINT / "model.safetensors").stat().st_size <= 4_000_000


def test_curve_falls():
    """The recorded validation curve ends far under where it began, and near its lowest."""
    rows = [json.loads(line) for line in (PLUGIN / "training" / "curve.jsonl").read_text().splitlines()]
    errors = [row["phoneme_errors"] for row in rows]
    assert errors[-1] < errors[0] / 2
    assert errors[-1] <= min(errors) + 0.5

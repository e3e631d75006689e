"""Measure the baseline of autoreg-gmlp's checkpoint: naive Bayes over the letters of the same words.

    python baseline.py words/usr/share/dict

with the word lists of `train.py`; writes `baseline.json`: for runs of up to 2, 3, 4, 5 letters the held-out accuracy,
and the number of counts that it takes.
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from train import LANGUAGES, Example, accuracy, read_words, split_words

HERE = Path(__file__).resolve().parent
ORDERS = (2, 3, 4, 5)
SMOOTHING = 0.1


class NaiveBayes:
    """Multinomial naive Bayes over all runs of up to `max(ORDERS)` letters, the ends of the word among them.

    The runs of each length are a multinomial of their own, with `SMOOTHING` added to every count.
    """

    def __init__(self, examples: Iterable[Example]):
        self._counts = {length: [Counter() for _ in LANGUAGES] for length in range(1, max(ORDERS) + 1)}
        for word, label in examples:
            for length, counts in self._counts.items():
                counts[label].update(_runs(word, length))
        self._totals = {
            length: [sum(count.values()) + SMOOTHING * len(set().union(*counts)) for count in counts]
            for length, counts in self._counts.items()
        }

    def size(self, *, order: int) -> int:
        """Return how many counts the model keeps for runs of 1 to `order` letters."""
        return sum(len(count) for length in range(1, order + 1) for count in self._counts[length])

    def predict(self, words: Sequence[str], *, order: int) -> list[int]:
        """Return the most probable label of each word from runs of 1 to `order` letters, all labels as frequent."""
        return [max(range(len(LANGUAGES)), key=lambda label: self._score(word, label, order)) for word in words]

    def _score(self, word: str, label: int, order: int) -> float:
        return sum(
            math.log((self._counts[length][label][run] + SMOOTHING) / self._totals[length][label])
            for length in range(1, order + 1)
            for run in _runs(word, length)
        )


def _runs(word: str, length: int) -> list[str]:
    text = f"^{word}$"
    return [text[start : start + length] for start in range(len(text) - length + 1)]


def main() -> None:
    """Measure every order, and write the accuracies beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lists", type=Path, help="folder with the word lists, usr/share/dict of the packages")
    training, held_out = split_words(read_words(parser.parse_args().lists))
    model, words = NaiveBayes(training), [word for word, _ in held_out]
    found: dict[str, dict[str, float]] = {"naive_bayes_accuracy_by_order": {}, "counts_by_order": {}}
    for order in ORDERS:
        predicted = model.predict(words, order=order)
        found["naive_bayes_accuracy_by_order"][str(order)] = round(accuracy(predicted, held_out), 4)
        found["counts_by_order"][str(order)] = model.size(order=order)
    (HERE / "baseline.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

"""Draw loss.png from the curve and the figures that train.py wrote, and alignments.png from the checkpoint."""

import json
from pathlib import Path

import matplotlib
import torch

matplotlib.use("Agg")

from matplotlib import pyplot

from autoreg_convs2s import ConvS2SForConditionalGeneration, ConvS2STokenizer

HERE = Path(__file__).resolve().parent
CHECKPOINT = HERE.parent / "checkpoint"
WORDS = 4
BASELINES = {"longest_prefix": ("word of longest prefix", "--"), "most_trigrams": ("word of most trigrams", ":")}


def draw_curve() -> None:
    """Draw the errors on the validation words, beside the look-ups' on the held-out words."""
    rows = [json.loads(line) for line in (HERE / "curve.jsonl").read_text().splitlines()]
    rates = json.loads((HERE / "figures.json").read_text())["held_out_errors_percent"]
    steps = [row["step"] for row in rows]
    figure, axes = pyplot.subplots(figsize=(8, 4.5), constrained_layout=True)
    axes.plot(steps, [row["phoneme_errors"] for row in rows], color="C0", label="phoneme errors, validation words")
    for name, (label, style) in BASELINES.items():
        axes.axhline(rates[name]["phonemes"], color="grey", ls=style, lw=1, label=f"{label}, held-out words")
    axes.set(xlabel="step", ylabel="phoneme errors in percent", title="ConvS2S on the CMU dictionary", ylim=(0, None))
    axes.grid(alpha=0.3)
    right = axes.twinx()
    right.plot(steps, [row["loss"] for row in rows], color="C1", label="training loss (mean of 100 steps)")
    right.set(ylabel="nats a token", ylim=(0, None))
    lines = axes.get_lines() + right.get_lines()
    axes.legend(lines, [line.get_label() for line in lines])
    figure.savefig(HERE / "loss.png", dpi=110)


@torch.no_grad()
def attentions(
    model: ConvS2SForConditionalGeneration, tokenizer: ConvS2STokenizer, word: str
) -> tuple[list[str], list[str], torch.Tensor]:
    """Return letters, the phonemes that greedy search writes, and the weights, `(layers, phonemes, letters)`."""
    inputs = tokenizer(word, return_tensors="pt")
    ids = model.generate(**inputs, do_sample=False, max_new_tokens=28)
    weights = model(**inputs, decoder_input_ids=ids[:, :-1], output_attentions=True).cross_attentions
    letters = tokenizer.convert_ids_to_tokens(inputs.input_ids[0].tolist())
    phonemes = [token.lstrip("▁") for token in tokenizer.convert_ids_to_tokens(ids[0, 1:].tolist())]
    return letters, phonemes, torch.cat(weights)[:, 0]


def chosen_words() -> list[str]:
    """Return the first held-out words of ten letters or more."""
    words = [line.split("\t")[0] for line in (HERE / "heldout.tsv").read_text().splitlines()]
    return [word for word in words if len(word) >= 10 and "'" not in word][:: len(words) // 40][:WORDS]  # noqa: PLR2004


def draw_alignments() -> None:
    """Draw one row a word: each decoder layer's attention, and their mean."""
    model = ConvS2SForConditionalGeneration.from_pretrained(CHECKPOINT).eval()
    model.set_attn_implementation("eager")
    tokenizer = ConvS2STokenizer.from_pretrained(CHECKPOINT)
    words = chosen_words()
    columns = model.config.decoder_layers + 1
    figure, grid = pyplot.subplots(
        len(words), columns, figsize=(3.1 * columns, 2.9 * len(words)), constrained_layout=True
    )
    for row, word in zip(grid, words, strict=True):
        letters, phonemes, weights = attentions(model, tokenizer, word)
        pictures = [*weights, weights.mean(0)]
        for number, (axes, picture) in enumerate(zip(row, pictures, strict=True), start=1):
            axes.imshow(picture, cmap="Blues", vmin=0, vmax=1, aspect="auto")
            axes.set_xticks(range(len(letters)), letters)
            axes.set_yticks(range(len(phonemes)), phonemes, fontsize=8)
            axes.set_title("mean of the layers" if number == columns else f"decoder layer {number}", fontsize=9)
        row[0].set_ylabel(word)
    figure.savefig(HERE / "alignments.png", dpi=80)


if __name__ == "__main__":
    draw_curve()
    draw_alignments()

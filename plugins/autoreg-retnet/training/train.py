"""Train the checkpoint that ships with autoreg-retnet: a byte-level RetNet on the King James Bible.

The text is `bible.data` of Debian's package `bible-kjv-text` (public domain). To get it without installing:

    apt-get download bible-kjv-text && dpkg-deb -x bible-kjv-text_*.deb kjv
    python train.py kjv/usr/lib/bible.data

Four whole books are never trained on; `heldout.txt` holds their text. Everything is seeded and runs on two
threads, so a second run on the same machine and torch gives the same weights.
"""

import argparse
import gzip
import json
import lzma
import math
import random
import re
import statistics
import struct
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import autoreg
import torch

from autoreg_retnet import RetNetConfig, RetNetForCausalLM, RetNetTokenizer

HERE = Path(__file__).resolve().parent
HELD_OUT_BOOKS = ("Ruth", "Jonah", "Phi", "Jas")
SEED = 0
BATCH_SIZE = 8
LENGTH = 512
PEAK_LEARNING_RATE = 8e-3
WARMUP_STEPS = 100
PROMPT = "And it came to pass"


def read_bible(path: Path) -> dict[str, list[str]]:
    """Return the verses of each book, without chapter and verse numbers.

    `bible.data` is a header, a table of big-endian offsets and the windows they point to. A window is an
    LZW stream (`.Z`) without the three bytes of its own header, which only the first one has.
    """
    data = path.read_bytes()
    magic = b"\x1f\x9d\x90"
    table_end = data.index(magic)
    table = data.index(struct.pack(">I", table_end + len(magic)))
    offsets = struct.unpack(f">{(table_end - table) // 4}I", data[table:table_end])
    books: dict[str, list[str]] = {}
    for start, end in pairwise(offsets):
        window = subprocess.run(["gzip", "-dc"], input=magic + data[start:end], capture_output=True, check=True)
        for line in window.stdout.decode("ascii").splitlines():
            if match := re.match(r"([1-3]?[A-Za-z]+)\d+:\d+ (.*)", line):
                books.setdefault(match[1], []).append(match[2])
    return books


def split_text(books: dict[str, list[str]]) -> tuple[str, str]:
    """Return the training text and the held-out text, one verse a line."""
    training = [verse for book, verses in books.items() if book not in HELD_OUT_BOOKS for verse in verses]
    held_out = [verse for book in HELD_OUT_BOOKS for verse in books[book]]
    return "\n".join(training) + "\n", "\n".join(held_out) + "\n"


def batches(text: str, *, bos_token_id: int, steps: int) -> Iterator[torch.Tensor]:
    """Yield `steps` batches of ids, `(BATCH_SIZE, 1 + LENGTH)` int64, each row a bos and text from a verse's start."""
    data = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).long()
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    starts = [start for start in starts if start + LENGTH <= len(data)]
    generator = random.Random(SEED)
    bos = torch.full((BATCH_SIZE, 1), bos_token_id)
    for _ in range(steps):
        rows = [data[start : start + LENGTH] for start in generator.choices(starts, k=BATCH_SIZE)]
        yield torch.cat((bos, torch.stack(rows)), dim=1)


@torch.no_grad()
def bits_per_byte(model: RetNetForCausalLM, tokenizer: RetNetTokenizer, text: str, *, piece: int = 4096) -> float:
    """Return the mean number of bits the model needs for a byte of `text`, read from start to end as one sequence.

    Every byte is predicted once, from all before it: the state is carried from piece to piece.
    """
    was_training = model.training
    model.eval()
    ids = tokenizer(text, return_tensors="pt").input_ids
    nats, cache = 0.0, None
    for start in range(0, ids.shape[1] - 1, piece):
        inputs, targets = ids[:, start : start + piece], ids[0, start + 1 : start + piece + 1]
        outputs = model(inputs, past_key_values=cache, use_cache=True)
        cache = outputs.past_key_values
        nats += torch.nn.functional.cross_entropy(outputs.logits[0, : len(targets)], targets, reduction="sum").item()
    model.train(was_training)
    return nats / math.log(2) / (ids.shape[1] - 1)


def learning_rate(step: int, steps: int) -> float:
    """Return the rate of a step: linear warm-up, then a cosine down to a hundredth of the peak."""
    if step < WARMUP_STEPS:
        return PEAK_LEARNING_RATE * step / WARMUP_STEPS
    progress = (step - WARMUP_STEPS) / max(steps - WARMUP_STEPS, 1)
    return PEAK_LEARNING_RATE * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


def make_optimizer(model: RetNetForCausalLM) -> torch.optim.Optimizer:
    """Return AdamW with weight decay on the matrices only."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_LEARNING_RATE, betas=(0.9, 0.98))


def train(
    model: RetNetForCausalLM, tokenizer: RetNetTokenizer, text: str, held_out: str, *, steps: int
) -> list[dict[str, float]]:
    """Train in place; return a row for every 100 steps: step, training and held-out bits per byte.

    The training figure is the mean over the 100 steps, the held-out one that of the first 8 KiB.
    """
    optimizer = make_optimizer(model)
    rows, losses, started = [], [], time.monotonic()
    model.train()
    for step, ids in enumerate(batches(text, bos_token_id=tokenizer.bos_token_id, steps=steps), start=1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = model(ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item() / math.log(2))
        if step % 100 == 0:
            held_out_bits = bits_per_byte(model, tokenizer, held_out[:8192])
            rows.append({"step": step, "training": statistics.fmean(losses), "held_out": held_out_bits})
            losses.clear()
            print(rows[-1], f"{time.monotonic() - started:.0f} s", flush=True)
    return rows


def baselines(held_out: str) -> dict[str, float]:
    """Return the bits per byte that gzip and xz need for the held-out text alone."""
    data = held_out.encode()
    packed = {"gzip": gzip.compress(data, 9), "xz": lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)}
    return {name: 8 * len(result) / len(data) for name, result in packed.items()}


def main() -> None:
    """Train, measure and save; write the held-out text, the curve and the figures beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bible", type=Path, help="bible.data of bible-kjv-text")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--output", type=Path, default=HERE.parent / "checkpoint")
    arguments = parser.parse_args()

    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    text, held_out = split_text(read_bible(arguments.bible))
    (HERE / "heldout.txt").write_text(held_out, encoding="ascii")
    tokenizer = RetNetTokenizer()
    config = RetNetConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=384,
        chunk_size=128,
        initializer_range=0.05,
    )
    model = RetNetForCausalLM(config)

    started = time.monotonic()
    curve = train(model, tokenizer, text, held_out, steps=arguments.steps)
    seconds = time.monotonic() - started
    model.eval()
    autoreg.save_pretrained(model, arguments.output)
    autoreg.save_pretrained(tokenizer, arguments.output)
    figures = {
        "parameters": model.num_parameters(),
        "training_bytes": len(text),
        "held_out_bytes": len(held_out),
        "held_out_bits_per_byte": round(bits_per_byte(model, tokenizer, held_out), 4),
        "baseline_bits_per_byte": {name: round(bits, 4) for name, bits in baselines(held_out).items()},
        "steps": arguments.steps,
        "bytes_seen": arguments.steps * BATCH_SIZE * LENGTH,
        "wall_seconds_on_two_cores": round(seconds),
        "torch": torch.__version__,
    }
    (HERE / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    (HERE / "curve.jsonl").write_text("\n".join(json.dumps(row) for row in curve) + "\n")
    print(json.dumps(figures, indent=2))
    prompt = tokenizer(PROMPT, return_tensors="pt")
    for options in ({"do_sample": False}, {"do_sample": True, "temperature": 0.7}):
        print(tokenizer.decode(model.generate(**prompt, max_new_tokens=300, **options)[0], skip_special_tokens=True))


if __name__ == "__main__":
    main()

"""Train the checkpoint that ships with autoreg-captioner: it counts and reads the digits in an image.

An image is a canvas with one to four handwritten digits from left to right, and its caption reads
"three digits: four, one, seven". The digits are the 1,797 of PyPI's scikit-learn (UCI's optical digits,
licence CC BY 4.0):

    pip install scikit-learn
    python train.py

Images to train on are composed of the first 1,437 digits, held-out images of the last 360; `heldout.npz` holds the
latter. The vision tower first learns by itself which digit covers each patch, then all parts learn the captions.
Everything is seeded and runs on one thread, so a second run on the same machine and torch gives the same
weights.
"""

import argparse
import json
import math
import time
from pathlib import Path

import autoreg
import numpy as np
import torch
from autoreg_convmixer import ConvMixerConfig, ConvMixerImageProcessorPil
from autoreg_retnet import RetNetConfig, RetNetTokenizer
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from autoreg_captioner import CaptionerConfig, CaptionerForConditionalGeneration, CaptionerProcessor

HERE = Path(__file__).resolve().parent
HEIGHT, WIDTH, PATCH = 12, 40, 4
HELD_OUT_DIGITS = 360
HELD_OUT_IMAGES = 500
SEED = 0
BATCH_SIZE = 32
PEAK_LEARNING_RATE = 5e-3
TOWER_LEARNING_RATE = 1e-2
TOWER_BATCH_SIZE = 64
WARMUP_STEPS = 30
VARIANTS = 8
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MOST = 4


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the images, `(1797, 8, 8)` uint8 of 0 to 255, and their labels, `(1797,)` int64."""
    digits = load_digits()
    return np.round(digits.images * (255 / 16)).astype(np.uint8), digits.target.astype(np.int64)


def varied(images: np.ndarray) -> np.ndarray:
    """Return the images `VARIANTS` times, `(VARIANTS * count, 8, 8)` uint8: as they are, then turned and resized.

    By up to 10 degrees and 12 %, each by its own.
    """
    pixels = torch.from_numpy(images).float()[:, None].repeat(VARIANTS - 1, 1, 1, 1)
    angle, height, width = 2 * torch.rand(3, len(pixels), generator=torch.Generator().manual_seed(SEED)) - 1
    angle, height, width, still = angle * math.radians(10), 1 + 0.12 * height, 1 + 0.12 * width, 0 * angle
    rows = (
        torch.stack((angle.cos() * width, -angle.sin() * height, still), dim=-1),
        torch.stack((angle.sin() * width, angle.cos() * height, still), dim=-1),
    )
    grid = torch.nn.functional.affine_grid(torch.stack(rows, dim=1), list(pixels.shape), align_corners=False)
    turned = torch.nn.functional.grid_sample(pixels, grid, align_corners=False)[:, 0]
    return np.concatenate((images, turned.round().to(torch.uint8).numpy()))


def compose(images: np.ndarray, chosen: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a canvas, `(HEIGHT, WIDTH)` uint8, with the chosen digits, and where each lies: `(count, 2)` row, column.

    The free columns are spread between, before and behind the digits at random, the rows are random.
    """
    count, free = len(chosen), WIDTH - 8 * len(chosen)
    gaps = np.sort(generator.integers(0, free + 1, count))
    corners = np.stack((generator.integers(0, HEIGHT - 7, count), gaps + 8 * np.arange(count)), axis=1)
    canvas = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for index, (row, column) in zip(chosen, corners, strict=True):
        canvas[row : row + 8, column : column + 8] = images[index]
    return canvas, corners


def caption(digits: list[int]) -> str:
    """Return the caption of an image with these digits."""
    noun = "digit" if len(digits) == 1 else "digits"
    return f"{WORDS[len(digits)]} {noun}: {', '.join(WORDS[digit] for digit in digits)}"


def sample(images: np.ndarray, labels: np.ndarray, count: int, generator: np.random.Generator) -> list[dict]:
    """Return `count` composed images: canvas, caption, and the digits' corners and labels."""
    rows = []
    for _ in range(count):
        chosen = generator.choice(len(images), generator.integers(1, MOST + 1))
        canvas, corners = compose(images, chosen, generator)
        digits = labels[chosen].tolist()
        rows.append({"canvas": canvas, "caption": caption(digits), "corners": corners, "digits": digits})
    return rows


def coloured(canvas: np.ndarray) -> np.ndarray:
    """Return a grey canvas as `(HEIGHT, WIDTH, 3)`."""
    return np.repeat(canvas[:, :, None], 3, axis=2)


def make_processor() -> CaptionerProcessor:
    """Return the processor: canvases as they are, byte tokens, padding on the left as generation needs it."""
    images = ConvMixerImageProcessorPil(
        size={"height": HEIGHT, "width": WIDTH}, do_center_crop=False, image_mean=[0.15] * 3, image_std=[0.3] * 3
    )
    return CaptionerProcessor(images, RetNetTokenizer(padding_side="left"), patch_size=PATCH)


def make_model(processor: CaptionerProcessor) -> CaptionerForConditionalGeneration:
    """Return the untrained captioner: ConvMixer-64/4 that looks, and a RetNet of two layers that writes."""
    config = CaptionerConfig(
        vision_config=ConvMixerConfig(
            image_size=WIDTH, patch_size=PATCH, hidden_size=64, num_hidden_layers=4, kernel_size=3
        ),
        text_config=RetNetConfig(
            vocab_size=len(processor.tokenizer),
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=160,
            chunk_size=128,
            initializer_range=0.05,
        ),
        image_token_id=processor.image_token_id,
        initializer_range=0.1,
    )
    return CaptionerForConditionalGeneration(config)


def batch_of(processor: CaptionerProcessor, rows: list[dict]) -> dict[str, torch.Tensor]:
    """Return a batch with `labels`: what comes after the image, its end token included."""
    end = processor.tokenizer.eos_token
    texts = [f"<image>{row['caption']}{end}" for row in rows]
    images = [coloured(row["canvas"]) for row in rows]
    batch = processor(images=images, text=texts, padding=True, return_tensors="pt")
    hidden = batch.input_ids.eq(processor.image_token_id) | batch.attention_mask.eq(0)
    hidden |= batch.input_ids.eq(processor.tokenizer.bos_token_id)
    return {**batch, "labels": batch.input_ids.masked_fill(hidden, -100)}


@torch.no_grad()
def captions(
    model: CaptionerForConditionalGeneration, processor: CaptionerProcessor, canvases: list[np.ndarray]
) -> list[str]:
    """Return the greedy caption of each canvas."""
    was_training, found = model.training, []
    model.eval()
    for start in range(0, len(canvases), 100):
        images = [coloured(canvas) for canvas in canvases[start : start + 100]]
        inputs = processor(images=images, text=["<image>"] * len(images), return_tensors="pt")
        ids = model.generate(**inputs, max_new_tokens=50, do_sample=False)
        found += processor.batch_decode(ids[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    model.train(was_training)
    return found


def warmed(step: int, steps: int) -> float:
    """Return the share of the peak rate for a step: linear warm-up, then a cosine down to a hundredth."""
    if step < WARMUP_STEPS:
        return step / WARMUP_STEPS
    progress = (step - WARMUP_STEPS) / max(steps - WARMUP_STEPS, 1)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2


def make_optimizer(modules: list[torch.nn.Module], rate: float) -> torch.optim.Optimizer:
    """Return AdamW with weight decay on the matrices only."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    groups = [
        {"params": [parameter for parameter in parameters if parameter.dim() > 1], "weight_decay": 0.05},
        {"params": [parameter for parameter in parameters if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def covering(rows: list[dict]) -> torch.Tensor:
    """Return the digit on the middle of each patch, 10 where there is none: `(count, HEIGHT / 4, WIDTH / 4)` int64."""
    found = torch.full((len(rows), HEIGHT, WIDTH), len(WORDS))
    for index, row in enumerate(rows):
        for (top, left), digit in zip(row["corners"], row["digits"], strict=True):
            found[index, top : top + 8, left : left + 8] = digit
    return found[:, PATCH // 2 :: PATCH, PATCH // 2 :: PATCH]


def train_tower(
    tower: torch.nn.Module, processor: CaptionerProcessor, digits: tuple[np.ndarray, np.ndarray], *, steps: int
) -> None:
    """Train the vision tower in place to tell which digit covers each patch; its classifier is thrown away."""
    head = torch.nn.Conv2d(tower.config.hidden_size, len(WORDS) + 1, 1)
    optimizer = make_optimizer([tower, head], TOWER_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmed(step + 1, steps))
    generator, started = np.random.default_rng(SEED), time.monotonic()
    tower.train()
    for step in range(1, steps + 1):
        rows = sample(*digits, TOWER_BATCH_SIZE, generator)
        images = [coloured(row["canvas"]) for row in rows]
        pixels = processor.image_processor(images, return_tensors="pt").pixel_values
        loss = torch.nn.functional.cross_entropy(head(tower(pixels).last_hidden_state), covering(rows))
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            print(f"tower {step}: {loss.item():.4f}, {time.monotonic() - started:.0f} s", flush=True)


def train(
    model: CaptionerForConditionalGeneration,
    processor: CaptionerProcessor,
    digits: tuple[np.ndarray, np.ndarray],
    held_out: list[dict],
    *,
    steps: int,
) -> list[dict[str, float]]:
    """Train in place; return a row for every 50 steps: training and held-out loss, nats a token.

    The training figure is the mean over the 50 steps, the held-out one that of the first 100 images. Nothing is
    chosen by it: the last step is what is saved.
    """
    optimizer = make_optimizer([model], PEAK_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmed(step + 1, steps))
    generator, probe = np.random.default_rng(SEED + 1), batch_of(processor, held_out[:100])
    rows, losses, started = [], [], time.monotonic()
    model.train()
    for step in range(1, steps + 1):
        batch = batch_of(processor, sample(*digits, BATCH_SIZE, generator))
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 50 == 0:
            with torch.no_grad():
                held_out_loss = model.eval()(**probe, use_cache=False).loss.item()
            model.train()
            rows.append({"step": step, "training": sum(losses) / len(losses), "held_out": held_out_loss})
            losses.clear()
            print(rows[-1], f"{time.monotonic() - started:.0f} s", flush=True)
    return rows


def matches(found: list[str], rows: list[dict]) -> float:
    """Return the share of captions that are right in every letter."""
    return sum(text == row["caption"] for text, row in zip(found, rows, strict=True)) / len(rows)


def by_digits(found: list[str], rows: list[dict]) -> dict[str, float]:
    """Return `matches` for the images of one digit, of two, and so on."""
    shares = {}
    for count in range(1, MOST + 1):
        chosen = [index for index, row in enumerate(rows) if len(row["digits"]) == count]
        shares[str(count)] = round(matches([found[i] for i in chosen], [rows[i] for i in chosen]), 4)
    return shares


def baselines(images: np.ndarray, labels: np.ndarray, held_out: list[dict]) -> dict[str, float]:
    """Return the exact matches of two ways without a captioner.

    One takes the caption of the most similar of 20,000 composed images. The other is told how many digits there are
    and where each lies, which the captioner is not, and classifies each by logistic regression on its pixels.
    """
    drawn = sample(images[:-HELD_OUT_DIGITS], labels[:-HELD_OUT_DIGITS], 20_000, np.random.default_rng(SEED + 3))
    nearest = KNeighborsClassifier(1).fit([row["canvas"].ravel() for row in drawn], range(len(drawn)))
    similar = nearest.predict([row["canvas"].ravel() for row in held_out])
    flat = images[:-HELD_OUT_DIGITS].reshape(-1, 64) / 255
    classifier = LogisticRegression(max_iter=2000).fit(flat, labels[:-HELD_OUT_DIGITS])
    told = []
    for row in held_out:
        pieces = [row["canvas"][r : r + 8, c : c + 8].ravel() / 255 for r, c in row["corners"]]
        told.append(caption(classifier.predict(pieces).tolist()))
    return {
        "nearest image": round(matches([drawn[index]["caption"] for index in similar], held_out), 4),
        "told where the digits are": round(matches(told, held_out), 4),
    }


def main() -> None:
    """Train, measure and save; write the held-out images, the curve and the figures beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tower-steps", type=int, default=600)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--output", type=Path, default=HERE.parent / "checkpoint")
    arguments = parser.parse_args()

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    images, labels = read_digits()
    digits = varied(images[:-HELD_OUT_DIGITS]), np.tile(labels[:-HELD_OUT_DIGITS], VARIANTS)
    held_out = sample(
        images[-HELD_OUT_DIGITS:], labels[-HELD_OUT_DIGITS:], HELD_OUT_IMAGES, np.random.default_rng(SEED + 2)
    )
    np.savez_compressed(
        HERE / "heldout.npz",
        images=np.stack([row["canvas"] for row in held_out]),
        captions=np.array([row["caption"] for row in held_out]),
    )
    processor = make_processor()
    model = make_model(processor)

    started = time.monotonic()
    train_tower(model.model.vision_tower, processor, digits, steps=arguments.tower_steps)
    curve = train(model, processor, digits, held_out, steps=arguments.steps)
    seconds = time.monotonic() - started
    autoreg.save_pretrained(model.eval(), arguments.output)
    autoreg.save_pretrained(processor, arguments.output)
    found = captions(model, processor, [row["canvas"] for row in held_out])
    figures = {
        "parameters": model.num_parameters(),
        "held_out_images": len(held_out),
        "held_out_exact_match": round(matches(found, held_out), 4),
        "held_out_exact_match_by_digits": by_digits(found, held_out),
        "baseline_exact_match": baselines(images, labels, held_out),
        "tower_steps": arguments.tower_steps,
        "steps": arguments.steps,
        "images_seen": arguments.steps * BATCH_SIZE + arguments.tower_steps * TOWER_BATCH_SIZE,
        "wall_seconds_on_one_core": round(seconds),
        "torch": torch.__version__,
    }
    (HERE / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    (HERE / "curve.jsonl").write_text("\n".join(json.dumps(row) for row in curve) + "\n")
    print(json.dumps(figures, indent=2))
    for text, row in list(zip(found, held_out, strict=True))[:8]:
        print(f"{row['caption']!r} → {text!r}")


if __name__ == "__main__":
    main()

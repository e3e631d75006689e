"""`python -m benchmarks.checkpoints`: what complete loading, atomic saving and verifying cost beside the plain thing.

One model of about a gigabyte is loaded, saved and verified in turn, round after round, so that what else the machine
does meets both sides alike. Saving writes over an existing checkpoint of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from autoreg.checkpoint import digests
from autoreg.discovery import installed_version

__all__ = ["main"]

RESULTS = Path(__file__).parent / "results" / "checkpoints.json"
RATIOS: Sequence[tuple[str, str, str, str]] = (
    ("load", "autoreg.AutoModel.from_pretrained", "transformers.AutoModel.from_pretrained", "<= 1.02"),
    ("load, all weights read", "autoreg, weights read", "transformers, weights read", "<= 1.02"),
    ("load from the disk, all weights read", "autoreg, from the disk", "transformers, from the disk", "<= 1.02"),
    ("save", "autoreg.save_pretrained", "save_pretrained", "<= 1.6"),
    ("save, on the disk", "autoreg.save_pretrained", "save_pretrained, then sync", "<= 1.1"),
    ("verify", "digests.describe", "sha256sum", "<= 2"),
    ("verify, same SHA-256", "digests.describe", "hashlib.sha256", ""),
)
"""What is compared: its name, ours, the plain thing, and the target for ours over plain."""
_LOADS = {name for what, *both, _ in RATIOS if what in ("load", "load, all weights read") for name in both}
_WARM = 8
"""How often more a round the warm loads are timed: they take a tenth of a second, and differ by a tenth of that."""


def _model(gigabytes: float) -> Any:
    """Return a Llama with random weights of about that size in float32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    layers = max(1, round(gigabytes * 14.6))
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=2000,
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=layers,
            num_attention_heads=8,
            num_key_value_heads=8,
        )
    )


def _timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def _synced(folder: Path) -> None:
    for file in [*folder.iterdir(), folder]:
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _evicted(file: Path) -> None:
    """Take a file out of the page cache: the next reader reads from the disk, as after a start of the machine."""
    descriptor = os.open(file, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def _hash(file: Path) -> None:
    with file.open("rb") as stream:
        digest, buffer = hashlib.sha256(), memoryview(bytearray(1 << 20))
        while size := stream.readinto(buffer):
            digest.update(buffer[:size])


def _touched(model: Any) -> None:
    """Read a number of every page of the weights, which a load only maps into memory."""
    for parameter in model.parameters():
        parameter.detach().flatten()[::1024].sum()


def _acts(model: Any, scratch: Path) -> Mapping[str, Callable[[], object]]:
    """Return what is measured, by name."""
    import transformers

    import autoreg

    plain, ours = scratch / "plain", scratch / "ours"
    model.save_pretrained(plain, max_shard_size="50GB")
    autoreg.save_pretrained(model, ours, max_shard_size="50GB")
    file = ours / "model.safetensors"

    def and_sync() -> None:
        model.save_pretrained(plain, max_shard_size="50GB")
        _synced(plain)

    loads = {
        "autoreg": lambda: autoreg.AutoModelForCausalLM.from_pretrained(ours),
        "transformers": lambda: transformers.AutoModelForCausalLM.from_pretrained(ours),
    }
    return {
        "autoreg.AutoModel.from_pretrained": loads["autoreg"],
        "transformers.AutoModel.from_pretrained": loads["transformers"],
        **{f"{side}, weights read": lambda load=load: _touched(load()) for side, load in loads.items()},
        **{f"{side}, from the disk": lambda load=load: _touched(load()) for side, load in loads.items()},
        "save_pretrained": lambda: model.save_pretrained(plain, max_shard_size="50GB"),
        "autoreg.save_pretrained": lambda: autoreg.save_pretrained(model, ours, max_shard_size="50GB"),
        "save_pretrained, then sync": and_sync,
        "digests.describe": lambda: digests.describe(str(file)),
        "sha256sum": lambda: subprocess.run(["sha256sum", file], check=True, capture_output=True),
        "hashlib.sha256": lambda: _hash(file),
    }


def _measure(gigabytes: float, rounds: int) -> dict[str, list[float]]:
    import transformers

    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:  # a memory file system would make syncing free
        acts = _acts(_model(gigabytes), Path(scratch))
        seconds: dict[str, list[float]] = {name: [] for name in acts}
        for turn in range(rounds):
            for name in sorted(acts, reverse=bool(turn % 2)):
                os.sync()  # what the last one left to write is not the next one's to pay for
                if name.endswith("from the disk"):
                    _evicted(Path(scratch, "ours", "model.safetensors"))
                seconds[name].append(_timed(acts[name]))
            for again in range(_WARM):
                for name in sorted(_LOADS, reverse=bool(again % 2)):
                    seconds[name].append(_timed(acts[name]))
    return seconds


def _table(seconds: Mapping[str, Sequence[float]]) -> Table:
    table = Table("", "ours, s", "plain, s", "ratio", "target", box=None)
    for what, ours, plain, target in RATIOS:
        pairs = zip(seconds[ours], seconds[plain], strict=True)
        ratio = median(one / other for one, other in pairs)
        table.add_row(
            what, f"{median(seconds[ours]):.3f}", f"{median(seconds[plain]):.3f} {plain}", f"{ratio:.2f}", target
        )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the ratios and write the seconds as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkpoints", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0, help="of weights (default: 1)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE")
    options = parser.parse_args(arguments)
    if shutil.which("sha256sum") is None:
        parser.error("there is no sha256sum on this machine")
    seconds = _measure(options.gigabytes, options.rounds)
    Console().print(_table(seconds))
    versions = {name: installed_version(name) for name in ("transformers", "torch", "safetensors")}
    found = {"gigabytes": options.gigabytes, "versions": versions, "seconds": seconds}
    options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

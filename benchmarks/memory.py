"""`python -m benchmarks.memory`: what loading across two ranks costs in memory and reading, beside plain transformers.

A fork of Llama with random weights is installed as a plugin and saved. Two gloo ranks load it in each of the ways in
which transformers avoids a whole model on every rank, and once without any: through autoreg, and with the same classes
registered by hand in plain transformers. All ranks read the same folder, and the page cache is emptied of its weights
before each run. Linux only: the figures come from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from autoreg.discovery import installed_version
from benchmarks.installed import install_forks

__all__ = ["main"]

RESULTS = Path(__file__).parent / "results" / "memory.json"
MODEL_TYPE, PACKAGE, PREFIX = "forked_llama", "autoreg_forked_llama", "ForkedLlama"
RANKS = 2
SIDES = ("autoreg", "plain")
WAYS: Mapping[str, str] = {
    "whole": "no plan",
    "tensor parallel": 'DistributedConfig(tp_size=2, tp_plan="auto")',
    "fsdp": "DistributedConfig(fsdp_size=2)",
    "offload": 'device_map="auto", a quarter of the model in memory, the rest on disk',
}
"""How a rank loads its share, and by which arguments of `from_pretrained`."""
FIGURES: Mapping[str, str] = {
    "peak": "peak of the resident set, less what was resident before; mapped file pages count, shared or not",
    "anonymous": "peak of its anonymous part, sampled: memory that no other process can share",
    "pss": "proportional set size at the end, less before: shared pages are divided among the ranks",
    "read": "bytes that the kernel fetched from storage for this rank",
    "held": "bytes of the parameters that the rank holds",
}
"""What is measured of each rank, in bytes, from before loading until every weight that it holds was used once."""
_MB = 1e6


# --- the model ------------------------------------------------------------------------------------------------


def _install(folder: Path) -> Path:
    """Install the fork with a causal language model as a plugin; return the folder for PYTHONPATH."""
    site = install_forks(folder / "site", 8)
    module = site / PACKAGE / "plugin.py"
    text = module.read_text(encoding="utf-8")
    base = f'"AutoModel": "{PACKAGE}.modeling_{MODEL_TYPE}:{PREFIX}Model"'
    head = f'"AutoModelForCausalLM": "{PACKAGE}.modeling_{MODEL_TYPE}:{PREFIX}ForCausalLM"'
    if base not in text:
        raise RuntimeError(f"benchmarks.installed declares the fork of Llama in another way: {text}")
    module.write_text(text.replace(base, f"{base}, {head}"), encoding="utf-8")
    return site


def _save(path: Path, megabytes: float) -> None:
    """Save a model of about that size in float32, in shards of a tenth of it. Run where the plugin is installed."""
    import autoreg

    layers = max(1, round(megabytes / 67))
    config = autoreg.AutoConfig.for_model(
        MODEL_TYPE, vocab_size=4000, hidden_size=1024, intermediate_size=4096, num_hidden_layers=layers,
        num_attention_heads=8, num_key_value_heads=8,
    )  # fmt: skip
    model = autoreg.AutoModelForCausalLM.from_config(config)
    autoreg.save_pretrained(model, path, max_shard_size=f"{max(1, round(megabytes / 10))}MB")


# --- one rank -------------------------------------------------------------------------------------------------


def _fields(file: str) -> dict[str, int]:
    """Return the numbers of a file of /proc/self by name; kB become bytes."""
    found = {}
    for line in Path(f"/proc/self/{file}").read_text().splitlines():
        name, _, rest = line.partition(":")
        value = rest.split()
        if value and value[0].isdigit():
            found[name] = int(value[0]) * (1024 if value[1:] == ["kB"] else 1)
    return found


@contextmanager
def _peak_anonymous() -> Iterator[list[int]]:
    """Sample the anonymous resident memory until the block ends; the list's one item is the peak so far."""
    peak, done = [_fields("status")["RssAnon"]], threading.Event()

    def sample() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], _fields("status")["RssAnon"])

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _loader(side: str) -> Any:
    """Return the Auto class: autoreg's, or plain transformers' with the classes registered by hand."""
    if side == "autoreg":
        import autoreg

        return autoreg.AutoModelForCausalLM
    import importlib

    from transformers import AutoConfig, AutoModelForCausalLM

    config = getattr(importlib.import_module(f"{PACKAGE}.configuration_{MODEL_TYPE}"), f"{PREFIX}Config")
    model = getattr(importlib.import_module(f"{PACKAGE}.modeling_{MODEL_TYPE}"), f"{PREFIX}ForCausalLM")
    AutoConfig.register(MODEL_TYPE, config)
    AutoModelForCausalLM.register(config, model)
    return AutoModelForCausalLM


def _options(way: str, folder: Path, size: int) -> dict[str, Any]:
    from transformers.distributed.configuration_utils import DistributedConfig

    if way == "tensor parallel":
        return {"distributed_config": DistributedConfig(tp_size=RANKS, tp_plan="auto")}
    if way == "fsdp":
        return {"distributed_config": DistributedConfig(fsdp_size=RANKS)}
    if way == "offload":
        offload = folder / f"offload{os.environ['RANK']}"
        return {"device_map": "auto", "max_memory": {"cpu": size // 4}, "offload_folder": str(offload)}
    return {}


def _rank(side: str, way: str, folder: Path) -> None:
    """Load on this rank and write what it cost."""
    import importlib

    import torch.distributed as dist

    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    importlib.import_module(f"{PACKAGE}.modeling_{MODEL_TYPE}")  # so that imports are on neither side of the scale
    auto, path = _loader(side), folder / "model"
    options = _options(way, folder, sum(file.stat().st_size for file in path.glob("*.safetensors")))
    dist.barrier()
    before, shared, read = _fields("status"), _fields("smaps_rollup")["Pss"], _fields("io")["read_bytes"]
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts from here
    with _peak_anonymous() as anonymous:
        model = auto.from_pretrained(path, **options)
        held = [each.to_local() if hasattr(each, "to_local") else each for each in model.parameters()]
        held = [each.detach() for each in held if not each.is_meta]
        for each in held:
            each.sum()  # weights are mapped into memory: until they are used, nothing of them may have been read
        peak = _fields("status")["VmHWM"]
    dist.barrier()
    found = {
        "peak": peak - before["VmRSS"],
        "anonymous": anonymous[0] - before["RssAnon"],
        "pss": _fields("smaps_rollup")["Pss"] - shared,
        "read": _fields("io")["read_bytes"] - read,
        "held": sum(each.numel() * each.element_size() for each in held),
    }
    (folder / f"rank{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.barrier()
    dist.destroy_process_group()


# --- all of them ----------------------------------------------------------------------------------------------


def _forget(path: Path) -> None:
    """Drop the weights from the page cache, so that what is read is read from storage."""
    os.sync()
    for file in path.glob("*.safetensors"):
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _start(arguments: Sequence[str], site: Path, **environment: str) -> subprocess.Popen[str]:
    """Start this module as another process, where the plugin is installed."""
    repository = str(Path(__file__).parents[1])
    found = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")]), repository])
    settings = {"PYTHONPATH": found, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.memory", *arguments],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait(process: subprocess.Popen[str]) -> None:
    _, problem = process.communicate()
    if process.returncode:
        raise RuntimeError(problem)


def _run(side: str, way: str, folder: Path, site: Path) -> list[dict[str, int]]:
    """Return what each rank measured."""
    _forget(folder / "model")
    (folder / "rendezvous").unlink(missing_ok=True)
    ranks = [
        _start(
            ["--rank", side, way, str(folder)], site, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(RANKS),
            LOCAL_WORLD_SIZE=str(RANKS),
        )
        for rank in range(RANKS)
    ]  # fmt: skip
    for each in ranks:
        _wait(each)
    return [json.loads((folder / f"rank{rank}.json").read_text(encoding="utf-8")) for rank in range(RANKS)]


def _measure(ways: Sequence[str], megabytes: float, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield, after each way of each round, the size of the weights and every run so far, by way and side."""
    runs: dict[str, dict[str, list[list[dict[str, int]]]]] = {}
    # A memory file system would have no storage to read from.
    with tempfile.TemporaryDirectory(prefix="memory-", dir=Path.cwd()) as name:
        folder = Path(name)
        site = _install(folder)
        _wait(_start(["--save", str(folder / "model"), str(megabytes)], site))
        size = sum(file.stat().st_size for file in (folder / "model").glob("*.safetensors"))
        for number in range(rounds):
            for way in ways:
                for side in SIDES if number % 2 == 0 else reversed(SIDES):
                    print(f"round {number + 1}: {way}, {side}", file=sys.stderr)
                    runs.setdefault(way, {each: [] for each in SIDES})[side].append(_run(side, way, folder, site))
                yield {"bytes": size, "runs": runs}


def _worst(runs: Sequence[Sequence[Mapping[str, int]]], figure: str) -> float:
    """Return the median over the runs of what the heaviest rank needed; of what was read, of all ranks together."""
    gather: Callable[[Iterator[int]], int] = sum if figure == "read" else max
    return median(gather(rank[figure] for rank in ranks) for ranks in runs)


def _summary(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each way and figure: what autoreg and plain transformers need, in MB, and the ratio."""
    rows = []
    for way, sides in found["runs"].items():
        for figure in FIGURES:
            ours, plain = (_worst(sides[side], figure) for side in SIDES)
            ratio = round(ours / plain, 3) if plain else None
            rows.append(
                {
                    "way": way,
                    "figure": figure,
                    "autoreg": round(ours / _MB, 1),
                    "plain": round(plain / _MB, 1),
                    "ratio": ratio,
                }
            )
    return rows


def _table(found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Table:
    title = f"{found['bytes'] / _MB:.0f} MB of weights, {RANKS} ranks; MB on the heaviest rank (read: on both)"
    table = Table("way", "figure", "autoreg", "plain", "ratio", box=None, title=title)
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.3f}"
        table.add_row(row["way"], row["figure"], f"{row['autoreg']:.1f}", f"{row['plain']:.1f}", ratio)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write every run as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--megabytes", type=float, default=400, help="of weights (default: 400)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="of loading (default: all)")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--rank", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--save", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.rank:
        side, way, folder = options.rank
        _rank(side, way, Path(folder))
        return 0
    if options.save:
        _save(Path(options.save[0]), float(options.save[1]))
        return 0
    names = ("autoreg", "transformers", "torch", "safetensors", "accelerate")
    machine = {"python": platform.python_version(), "versions": {name: installed_version(name) for name in names}}
    for found in _measure(options.ways, options.megabytes, options.rounds):
        rows = _summary(found)
        record = {**machine, "ways": WAYS, "figures": FIGURES, "summary": rows, **found}
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    Console(width=None if sys.stdout.isatty() else 120).print(_table(found, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The five cases: which programs are compared, with what installed, and why that is the fair baseline."""

from __future__ import annotations

import json
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.installed import RETNET, install_forks, install_light, install_retnet
from benchmarks.measure import Program, Timings, capture, interleave, program
from benchmarks.rows import Added, Ratio

__all__ = ["CASES", "Bench", "Effort"]

PLUGINS = (0, 10, 100, 1000)
FORKS = 19  # and autoreg-retnet itself makes twenty


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """How often to measure.

    Attributes:
        light: rounds of processes that take a fraction of a second.
        heavy: rounds of processes that import torch.
        pairs: pairs of warm calls on each model.
    """

    light: int = 41
    heavy: int = 15
    pairs: int = 150


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """One run of the benchmark: its temporary folder, its effort, its progress.

    Attributes:
        folder: an empty temporary folder.
        effort: how often to measure.
        tick: called with a label before each run of a program.
    """

    folder: Path
    effort: Effort
    tick: Callable[[str], None]

    def place(self, name: str) -> Path:
        """Return a path in the temporary folder."""
        return self.folder / name

    def take_turns(self, programs: Sequence[Program], rounds: int) -> Timings:
        """Time the programs in an empty working directory."""
        return interleave(programs, rounds=rounds, folder=self.empty(), tick=self.tick)

    def empty(self) -> Path:
        """Return the empty folder in which programs work."""
        folder = self.place("empty")
        folder.mkdir(exist_ok=True)
        return folder

    def light(self, count: int) -> Path:
        """Return the folder with so many light plugins, written once."""
        folder = self.place(f"light-{count}")
        return folder if folder.is_dir() else install_light(folder, count)

    def retnet(self) -> tuple[Path, ...]:
        """Return the folders that make autoreg-retnet an installed plugin."""
        folder = self.place("retnet")
        return (folder, RETNET) if folder.is_dir() else install_retnet(folder)

    def checkpoint(self) -> Path:
        """Return autoreg-retnet's own checkpoint, or a random one of its size where it is not there."""
        own = RETNET / "checkpoint"
        if (own / "config.json").is_file() and (own / "model.safetensors").is_file():
            return own
        return self.save("retnet-small", "save_retnet", "hidden_size=128", "num_hidden_layers=4")

    def save(self, name: str, script: str, *fields: str) -> Path:
        """Return a folder in which a program saved a checkpoint, written once."""
        folder = self.place(name)
        if not folder.is_dir():
            self.tick(f"writing {name}")
            capture(program(name, script, folder, *fields, path=self.retnet(), says="saved"), self.folder)
        return folder


def importing(bench: Bench) -> list[Ratio]:
    """Measure (a): `import autoreg`.

    The baseline imports importlib.metadata: whoever asks what is installed must, and autoreg has to be no
    dearer than that question. The bare interpreter is shown beside it.
    """
    autoreg, metadata, bare = (
        Program(label=label, command=(sys.executable, "-c", code))
        for label, code in (
            ("import autoreg", "import autoreg"),
            ("import importlib.metadata", "import importlib.metadata"),
            ("bare interpreter", "pass"),
        )
    )
    timings = bench.take_turns((autoreg, metadata, bare), bench.effort.light)
    what = "import autoreg ÷ import importlib.metadata"
    row = Ratio(case="a", what=what, measured=autoreg.label, baseline=metadata.label, timings=timings, target=1.5)
    return [row, replace(row, what="import autoreg ÷ bare interpreter", baseline=bare.label, target=None)]


def listing(bench: Bench) -> list[Ratio]:
    """Measure (b): `autoreg list` with 0 to 1,000 plugins installed beside what the environment holds anyway.

    The baseline reads every distribution's name, version and entry points with importlib.metadata, which
    is what one writes without autoreg. The pass over the raw texts does less than any useful listing.
    """
    return [row for count in PLUGINS for row in _listing(bench, count)]


def _listing(bench: Bench, count: int) -> list[Ratio]:
    path = (bench.light(count),)
    says = f"light{count - 1:04}" if count else ""
    ours = Program(label="autoreg list", command=(_script(), "list"), path=path, says=says)
    coloured = replace(ours, label="autoreg list (terminal)", variables={"FORCE_COLOR": "1", "COLUMNS": "120"})
    bare = program("bare pass", "pass_over", path=path, says=says)
    texts = program("texts only", "pass_over_text", path=path, says="model types")
    timings = bench.take_turns((ours, bare, texts, coloured), bench.effort.light)
    target = 2.0 if count == max(PLUGINS) else None
    what = f"autoreg list ÷ bare pass, {count:,} plugins"
    row = Ratio(case="b", what=what, measured=ours.label, baseline=bare.label, timings=timings, target=target)
    beside = f"autoreg list ÷ entry_points.txt texts only, {count:,} plugins"
    terminal = f"autoreg list on a terminal (rich) ÷ bare pass, {count:,} plugins"
    return [
        row,
        replace(row, what=beside, baseline=texts.label, target=None),
        replace(row, what=terminal, measured=coloured.label, target=None),
    ]


def _script() -> str:
    """Return the `autoreg` that belongs to this interpreter: what people run."""
    script = Path(sysconfig.get_path("scripts"), "autoreg")
    if not script.is_file():
        raise FileNotFoundError(f"{script}: install autoreg into this environment first (pip install -e .)")
    return str(script)


def loading(bench: Bench) -> list[Ratio]:
    """Measure (c): process start → loaded RetNet, with 0 and 1,000 other plugins installed.

    The baseline is what one writes without autoreg: import the package's two classes, `register` them,
    load. Both sides have the same distributions installed, which transformers itself reads at import.
    """
    return [_loading(bench, count, target) for count, target in ((0, 1.02), (1000, 1.05))]


def _loading(bench: Bench, count: int, target: float) -> Ratio:
    path = (bench.light(count), *bench.retnet())
    ours, plain = (
        program(label, script, bench.checkpoint(), path=path, says="RetNetForCausalLM")
        for label, script in (("autoreg", "load_autoreg"), ("import and register by hand", "load_plain"))
    )
    timings = bench.take_turns((ours, plain), bench.effort.heavy)
    what = f"load RetNet: autoreg ÷ by hand, {count:,} other plugins"
    return Ratio(case="c", what=what, measured=ours.label, baseline=plain.label, timings=timings, target=target)


def importing_everything(bench: Bench) -> list[Ratio]:
    """Measure (d): the same with 20 real plugins installed, against a system that imports every plugin at start.

    As a whole process both sides import torch and transformers to load a model, and that is most of the
    time. So the load is timed once more from the moment when both are imported, and compared there with
    a load by hand, which needs no finding at all. A system that imports everything has its price in
    processes that need no plugin too: a start, a listing, the config of a native architecture.
    """
    path = (install_forks(bench.place("forks"), FORKS), *bench.retnet())
    return [*_load_of_twenty(bench, path), *_list_of_twenty(bench, path), *_config_of_twenty(bench, path)]


def _load_of_twenty(bench: Bench, path: tuple[Path, ...]) -> list[Ratio]:
    ours, everything = (
        program(label, script, bench.checkpoint(), path=path, says="RetNetForCausalLM")
        for label, script in (("autoreg", "load_autoreg"), ("import everything", "load_everything"))
    )
    timings = bench.take_turns((ours, everything), bench.effort.heavy)
    whole = _faster("load RetNet, whole process", timings, ours.label, everything.label)
    return [whole, *_resolve_of_twenty(bench, path)]


def _resolve_of_twenty(bench: Bench, path: tuple[Path, ...]) -> list[Ratio]:
    """Return the rows of processes that start the clock once torch and PreTrainedModel are imported."""
    scripts = {"autoreg": "resolve_autoreg", "import everything": "resolve_everything", "by hand": "resolve_plain"}
    programs = [
        replace(program(label, script, bench.checkpoint(), path=path, says="RetNetForCausalLM"), own_clock=True)
        for label, script in scripts.items()
    ]
    timings = bench.take_turns(programs, bench.effort.heavy)
    beyond = _faster("load RetNet, once torch and PreTrainedModel are imported", timings, *list(scripts)[:2])
    return [beyond, replace(beyond, what="what finding the plugin adds to loading it by hand", floor="by hand")]


def _list_of_twenty(bench: Bench, path: tuple[Path, ...]) -> list[Ratio]:
    ready = Program(
        label="autoreg.activate()", command=(sys.executable, "-c", "import autoreg; autoreg.activate()"), path=path
    )
    ours = Program(label="autoreg list", command=(_script(), "list"), path=path, says="retnet")
    everything = program("import everything and list", "list_everything", path=path, says="retnet")
    timings = bench.take_turns((ready, ours, everything), bench.effort.heavy)
    return [
        _faster("make all plugins available at start, whole process", timings, ready.label, everything.label),
        _faster("list the plugins, whole process", timings, ours.label, everything.label),
    ]


def _config_of_twenty(bench: Bench, path: tuple[Path, ...]) -> list[Ratio]:
    folder = bench.place("bert-config")
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    ours, everything = (
        program(label, script, folder, path=path, says="BertConfig")
        for label, script in (("autoreg config", "config_autoreg"), ("import everything", "config_everything"))
    )
    timings = bench.take_turns((ours, everything), bench.effort.heavy)
    return [_faster("load a native (BERT) config, whole process", timings, ours.label, everything.label)]


def _faster(what: str, timings: Timings, measured: str, baseline: str) -> Ratio:
    return Ratio(case="d", what=what, measured=measured, baseline=baseline, timings=timings, target=5.0, faster=True)


def warm(bench: Bench) -> list[Added]:
    """Measure (e): what autoreg adds to a warm `from_pretrained`, in one process.

    The baseline is transformers with the class registered by hand and without autoreg's bridge in it.
    """
    sizes = ("hidden_size=512", "num_hidden_layers=8")
    return [
        _warm(bench, "RetNet, small", bench.checkpoint()),
        _warm(bench, "RetNet, 100 MB", bench.save("retnet-large", "save_retnet", *sizes)),
        _warm(bench, "GPT-2 (native), small", bench.save("gpt2-small", "save_gpt2")),
    ]


def _warm(bench: Bench, what: str, checkpoint: Path) -> Added:
    bench.tick(f"warm loads: {what}")
    timed = program(what, "warm", checkpoint, str(bench.effort.pairs), path=bench.retnet(), says="autoreg")
    taken = json.loads(capture(timed, bench.empty()).splitlines()[-1])
    return Added(what=what, autoreg=tuple(taken["autoreg"]), plain=tuple(taken["plain"]))


CASES: dict[str, Callable[[Bench], Sequence[Ratio | Added]]] = {
    "a": importing,
    "b": listing,
    "c": loading,
    "d": importing_everything,
    "e": warm,
}

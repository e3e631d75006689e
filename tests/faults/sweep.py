"""Every file event of a save, spoilt in every way, one at a time: is the old checkpoint there, or the new one?

`python -m tests.faults` runs it and prints the table; see `tests/faults/__main__.py`.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel

from autoreg.checkpoint import journal, manifest
from autoreg.saving import save_pretrained
from tests.faults.tracer import KILL, TORN, Event, Trace, trace

__all__ = [
    "FAULTS",
    "NEW",
    "OLD",
    "SCENARIOS",
    "Ending",
    "Point",
    "Save",
    "Scenario",
    "atomic",
    "judged",
    "loaded",
    "model",
    "outcome",
    "plain",
    "points",
    "prepare",
    "quiet",
    "run",
    "scaled",
]

Save = Callable[[Any, Path, int], object]


# --- a model small enough to be saved thousands of times -------------------------------------------


class TinyFaultConfig(PreTrainedConfig):
    model_type = "autoreg-tiny-fault"
    width: int = 16
    layers: int = 4
    release: int = 0


class TinyFaultModel(PreTrainedModel):
    config_class = TinyFaultConfig

    def __init__(self, config: TinyFaultConfig) -> None:
        super().__init__(config)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(config.width, config.width) for _ in range(config.layers))
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        pass

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def model(release: int, *, width: int = 16) -> TinyFaultModel:
    """Return the model of this release: its weights and its config say which it is."""
    torch.manual_seed(release)
    made = TinyFaultModel(TinyFaultConfig(width=width, release=release))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


# --- what is saved over what -----------------------------------------------------------------------

OLD, NEW = 1, 2
_ONE, _TWO, _FOUR = 10**9, 2500, 1200
BYSTANDERS = {
    "README.md": b"# mine\n",
    "tokenizer.json": b"{}",
    "optimizer.pt": b"state of a training run",
    "model.other-00001-of-00001.safetensors": b"of another variant",
    "notes/model.safetensors": b"whose, nobody knows",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One save over what was there.

    Attributes:
        name: what it is called in the table.
        old: `max_shard_size` of the old checkpoint; None where there is none.
        new: that of the new one.
        interrupted: the new one was decided and then the process was killed: what is spoilt is the recovery.
    """

    name: str
    old: int | None
    new: int
    interrupted: bool = False


SCENARIOS = (
    Scenario(name="nothing → one file", old=None, new=_ONE),
    Scenario(name="one file → one file", old=_ONE, new=_ONE),
    Scenario(name="one file → shards", old=_ONE, new=_FOUR),
    Scenario(name="shards → other shards", old=_FOUR, new=_TWO),
    Scenario(name="shards → one file", old=_FOUR, new=_ONE),
    Scenario(name="recovery of shards → one file", old=_FOUR, new=_ONE, interrupted=True),
)


def prepare(root: Path, scenario: Scenario, *, save: Save, width: int = 16) -> Path:
    """Lay out what is there before, made once and copied with its times, and return the folder."""
    kind = f"{save.__name__}-{SCENARIOS.index(scenario)}-{width}"
    folder, before = root / "checkpoint", root.parent / f"{root.name}-{kind}"
    shutil.rmtree(folder, ignore_errors=True)
    if scenario.old is None:
        return folder
    if not before.exists():
        _write_bystanders(folder)
        save(model(OLD, width=width), folder, scaled(scenario.old, width))
        if scenario.interrupted:
            trace(lambda: save(model(NEW, width=width), folder, scenario.new), root, _after_the_commit)
            assert (folder / journal.COMMIT).exists()
        folder.rename(before)
    shutil.copytree(before, folder)
    return folder


def scaled(size: int, width: int) -> int:
    """Return the `max_shard_size` that makes as many shards of a wider model."""
    return size * (width // 16) ** 2


def _write_bystanders(folder: Path) -> None:
    for name, content in BYSTANDERS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _after_the_commit(event: Event) -> str | None:
    return KILL if event.call == "rename" and event.path.endswith("→ checkpoint/config.json") else None


# --- what goes wrong -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong: at which events it can, what happens then, and whether it lasts."""

    name: str
    at: Callable[[Event], bool]
    verdict: str | int
    lasts: bool = False


FAULTS = (
    Fault("killed before", lambda event: event.changes, KILL),
    Fault("killed half-way", lambda event: event.tearable, TORN),
    Fault("no space from then on", lambda event: event.takes_space, errno.ENOSPC, lasts=True),
    Fault("no space once", lambda event: event.takes_space, errno.ENOSPC),
    Fault("EIO once", lambda _: True, errno.EIO),
    Fault("EIO from then on", lambda event: event.changes, errno.EIO, lasts=True),
)


@dataclass(frozen=True, slots=True)
class Point:
    """One fault at one event of one scenario."""

    scenario: Scenario
    fault: Fault
    event: Event

    def judge(self) -> Callable[[Event], str | int | None]:
        begun = False

        def judge(event: Event) -> str | int | None:
            nonlocal begun
            if event == self.event:
                begun = True
                return self.fault.verdict
            ill = begun and self.fault.lasts and (self.fault.verdict == errno.EIO or self.fault.at(event))
            return self.fault.verdict if ill else None

        return judge


def points(root: Path, *, save: Save, every: int = 1) -> Iterator[Point]:
    """Yield every point, or each n-th of each scenario and fault, as a save without faults shows them."""
    for number, scenario in enumerate(SCENARIOS):
        if scenario.interrupted and save is not atomic:
            continue
        seen = trace(_act(root, scenario, save), root, lambda _: None)
        assert not seen.error, seen.text
        for fault in FAULTS:
            able = [event for event in seen.events if fault.at(event)]
            yield from (Point(scenario, fault, event) for event in able[number % every :: every])


def _act(root: Path, scenario: Scenario, save: Save) -> Callable[[], object]:
    folder = prepare(root, scenario, save=save)
    new = model(NEW)
    if scenario.interrupted:
        return lambda: journal.recover(folder)
    return lambda: save(new, folder, scenario.new)


def atomic(obj: Any, folder: Path, size: int) -> object:
    """Save as autoreg does."""
    return save_pretrained(obj, folder, max_shard_size=size)


def plain(obj: Any, folder: Path, size: int) -> object:
    """Save as transformers does: the ablation."""
    return obj.save_pretrained(folder, max_shard_size=size)


# --- how it ends -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """What is left after a point.

    Attributes:
        state: `old`, `new`, `nothing` (where there was nothing), `mixed` (it loads, as neither), `unreadable`.
        complaint: what is not as it was promised; empty if all is well.
    """

    state: str
    complaint: str = ""


def run(root: Path, point: Point, *, save: Save) -> tuple[Trace, Ending]:
    """Bring one point about and look at what is left."""
    done = trace(_act(root, point.scenario, save), root, point.judge())
    ending = outcome(root / "checkpoint", point.scenario)
    if not done.spoilt:
        return done, replace(ending, complaint="the event did not come")
    return done, judged(ending, point.scenario, error=done.error, text=done.text, killed=done.killed)


def judged(ending: Ending, scenario: Scenario, *, error: str, text: str, killed: bool = False) -> Ending:
    """Complain where the folder is neither old nor new, or the process said something else than what is."""
    problem = ""
    if ending.state in ("mixed", "unreadable"):
        problem = f"the folder is {ending.state}"
    elif scenario.interrupted:
        problem = "" if ending.state == "new" else "a save that was decided is gone"
    elif not killed:
        problem = _contradiction(ending.state, error, text)
    return replace(ending, complaint=ending.complaint or problem)


def _contradiction(state: str, error: str, text: str) -> str:
    if not error:
        return "" if state == "new" else "it returned, and the new checkpoint is not there"
    if error != "SaveError":
        return f"a {error} is no SaveError: {text}"
    said = ("new",) if "could not be put in place now" in text else ("old", "nothing")
    return "" if state in said else f"the folder is {state}, and the error says {text}"


def outcome(folder: Path, scenario: Scenario, *, width: int = 16) -> Ending:
    """Recover as a load does, and say what the folder then holds."""
    if not folder.exists() or not any(folder.iterdir()):
        return Ending(state="nothing", complaint="" if scenario.old is None else "the old checkpoint is gone")
    with journal.reading(folder):
        state = loaded(folder, width=width)
    if state == "unreadable" and scenario.old is None and not _names(folder):
        state = "nothing"
    return Ending(state=state, complaint=_remains(folder, scenario, state))


def loaded(folder: Path | str, *, width: int = 16) -> str:
    """Load the folder, and say whose weights and config it holds."""
    try:
        found, info = TinyFaultModel.from_pretrained(folder, output_loading_info=True)
    except Exception:  # whatever it is, nobody can use the folder
        return "unreadable"
    for state, release in (("old", OLD), ("new", NEW)):
        wanted = model(release, width=width).state_dict()
        same = all(torch.equal(tensor, found.state_dict()[name]) for name, tensor in wanted.items())
        if same and found.config.release == release and not info["missing_keys"]:
            return state
    return "mixed"


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _remains(folder: Path, scenario: Scenario, state: str) -> str:
    """Return what lies there that should not, or does not and should, or was written to."""
    there = BYSTANDERS if scenario.old is not None else {}
    for name, content in there.items():
        if not (folder / name).is_file() or (folder / name).read_bytes() != content:
            return f"{name} is not as it was"
    left = {name for name in _names(folder) if name.partition("/")[0].startswith(".")}
    if left or [path for path in folder.iterdir() if path.name.startswith(".")]:
        return f"left over: {sorted(left)}"
    if state in ("old", "new"):
        own = {"config.json", *_weights(scenario.old if state == "old" and scenario.old else scenario.new)}
        if _names(folder) != {*own, *there, manifest.NAME}:
            return f"there is {sorted(_names(folder))}"
        differences = manifest.check(str(folder), own, full=True)
        return f"the manifest says {differences}" if differences else ""
    return ""


def _weights(size: int) -> set[str]:
    count = {_ONE: 1, _TWO: 2, _FOUR: 4}[size]
    if count == 1:
        return {"model.safetensors"}
    shards = {f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)}
    return {"model.safetensors.index.json", *shards}


def quiet() -> None:
    """Keep bars and reports of loading out of the way."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

"""Runs the cases: one process that has everything imported, one below it for each face, one below that for each act."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.trial.case import Case, Seen, Verdict
from tests.trial.child import forked
from tests.trial.face import Autoreg, Face, Plain, register
from tests.trial.material import BERT, ZIGZAG, Place, write

__all__ = ["Row", "Run", "by_face", "workshop"]


@dataclass(frozen=True, slots=True)
class Run:
    """One case to run: on which face, and with which guarantee switched off."""

    case: str
    face: str
    without: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """How a run ended."""

    run: Run
    outcome: str
    remark: str = ""
    trace: str = field(default="", compare=False)


@contextlib.contextmanager
def workshop() -> Iterator[Path]:
    """Set the environment up and import what every case needs; yield the folder of it all. Once a process."""
    with tempfile.TemporaryDirectory(prefix="autoreg-trial-", dir=_memory()) as made:
        root = Path(made)
        root.chmod(0o755)  # a case may go on as another user
        _environment(root)
        from tests.trial.architecture import install

        plugin = install(root / "site")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(root / "site"), str(Path(__file__).parents[2])])
        os.environ["TRIAL_PACKAGE"] = plugin.package
        sys.path.insert(0, str(root / "site"))
        import transformers.models.auto.modeling_auto
        import transformers.models.bert.modeling_bert  # so that no child has to

        transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        yield root


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _environment(root: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("AUTOREG_", "HF_", "TRANSFORMERS_"))]:
        del os.environ[name]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(root / "hub-home"),
        "HF_MODULES_CACHE": str(root / "modules"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "DISABLE_SAFETENSORS_CONVERSION": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def by_face(root: Path, cases: Sequence[Case], runs: Iterable[Run], *, tell: Callable[[Row], None]) -> list[Row]:
    """Run, one face after the other, and return the rows in the order of the runs."""
    asked = list(runs)
    rows: dict[Run, Row] = {}
    known = {case.id: case for case in cases}
    for face in (Plain(), Autoreg()):
        mine = [run for run in asked if run.face == face.name]
        for row in _in_child(root, face, known, mine) if mine else ():
            rows[row.run] = row
            tell(row)
    return [rows[run] for run in asked if run in rows]


def _in_child(root: Path, face: Face, cases: dict[str, Case], runs: Sequence[Run]) -> Iterator[Row]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            _serve(root, face, cases, runs, os.fdopen(writing, "w"))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as lines:
        for line in lines:
            fields = json.loads(line)
            yield Row(**{**fields, "run": Run(**fields["run"])})
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"the process for {face.name} ended with {status}")


def _serve(root: Path, face: Face, cases: dict[str, Case], runs: Sequence[Run], out: Any) -> None:
    _warm_up(root / f"warm-{face.name}", face)
    for number, run in enumerate(runs):
        place = Place(root / f"{face.name}-{number}")
        place.root.mkdir()
        row = _run(run, cases[run.case], face, place)
        out.write(json.dumps(asdict(row)) + "\n")
        out.flush()
        shutil.rmtree(place.root, ignore_errors=True)


def _warm_up(folder: Path, face: Face) -> None:
    """Do once what is only done once: registering, the bridge, the first model of each kind."""
    if face.name == "plain":
        register(os.environ["TRIAL_PACKAGE"])
    for name, checkpoint in (("zigzag", ZIGZAG), ("bert", BERT)):
        write(Place(folder), checkpoint, folder=folder / name)
        model = face.load(folder / name, checkpoint.auto_class)
        face.save(model, folder / f"{name}-saved")
    gc.collect()
    gc.freeze()


def _run(run: Run, case: Case, face: Face, place: Place) -> Row:
    made = forked(lambda: case.make(place), place=place, case=case)
    if made.ended != "returned":
        raise RuntimeError(f"{case.id} cannot be laid out: {made.error} {made.text}\n{made.trace}")
    report = forked(lambda: _act(case.act, run, face, place), place=place, case=case)
    later = None
    if case.then is not None:
        again = case.then
        later = forked(lambda: _act(again, run, face, place), place=place, case=case)
    seen = Seen(case=case, place=place, report=report, later=later)
    verdict = _judged(seen)
    return Row(run, verdict.outcome, verdict.remark[:1500], report.trace or (later.trace if later else ""))


def _act(act: Callable[[Any, Place], Any], run: Run, face: Face, place: Place) -> Any:
    from tests.trial.ablations import switch_off

    if run.without:
        switch_off(run.without)
    return act(face, place)


def _judged(seen: Seen) -> Verdict:
    from tests.trial.oracle import judge

    return judge(seen)

"""A save that is killed, out of space or refused by the disk leaves the old checkpoint or the new one."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.plugin_maker import REPOSITORY, in_new_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are traced and limited as Linux does it")

Steps = list[tuple[str, str]]

EVERYDAY = """
    import json
    from tests.faults import sweep
    from tests.faults.__main__ import order, swept, workplace
    from tests.faults.tracer import available

    sweep.quiet()
    found = {}
    with workplace() as root:
        for save in (sweep.atomic, sweep.plain) if available() else ():
            steps, table = order(root, save), swept(root, save, every=110)
            found[save.__name__] = {"steps": steps, "states": table.total(), "complaints": table.complaints}
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Return what a thinned sweep finds, for autoreg's save and for transformers' own."""
    seen: dict[str, Any] = in_new_process(EVERYDAY)
    if not seen:
        pytest.skip("processes cannot be traced here")
    return seen


def test_a_thinned_sweep(found: dict[str, Any]) -> None:
    """Whichever event of a save goes wrong, the folder holds the old checkpoint or the new one."""
    assert found["atomic"]["complaints"] == []
    states = found["atomic"]["states"]
    assert set(states) <= {"nothing", "old", "new"}
    assert sum(states.values()) > 40


def test_the_sweep_finds_what_a_plain_save_leaves(found: dict[str, Any]) -> None:
    """The same faults leave a plain save unreadable, or loading as neither checkpoint."""
    states = found["plain"]["states"]
    assert states["mixed"] + states["unreadable"] >= 5


@pytest.mark.slow
def test_every_point() -> None:
    """No event of any save, spoilt in any way, leaves anything but the old checkpoint or the new one."""
    command = [sys.executable, "-m", "tests.faults"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.search(r"(\d+) points: \d+ old, \d+ new, 0 anything else; 0 complaints", done.stdout)
    assert counted, done.stdout
    assert int(counted[1]) > 2000


DECIDED = "→ checkpoint/.autoreg-commit.json"
DROPPED = ("unlink", "checkpoint/.autoreg-commit.json")
WRITES = {"write", "pwrite", "writev", "sendfile", "copy", "ftruncate", "fallocate"}


def undurable(steps: Steps) -> Iterator[str]:
    """Yield what a loss of power could undo: what a later step relies on, and was not synced before it."""
    decided = next((number for number, (_, path) in enumerate(steps) if path.endswith(DECIDED)), None)
    if decided is None:
        yield "nothing is decided at one moment"
        return
    yield from unsynced(steps[:decided])
    dropped = steps.index(DROPPED)
    placed = [n for n in range(decided + 1, dropped) if steps[n][0] == "rename"]
    removed = [n for n in range(decided, dropped) if steps[n][0] == "unlink"]
    synced = ("fsync", "checkpoint")
    if synced not in steps[decided : placed[0]]:
        yield "the commit is not synced before the first file is renamed"
    if synced not in steps[placed[-1] : removed[0]]:
        yield "the renames are not synced before the old files are removed"
    if synced not in steps[removed[-1] : dropped]:
        yield "the removals are not synced before the commit is dropped"


def unsynced(steps: Steps) -> Iterator[str]:
    """Yield the files and folders that are not synced before the commit."""
    for number, (call, path) in enumerate(steps):
        rest = steps[number:]
        final = next(
            (to.partition(" → ")[2] for how, to in rest if how == "rename" and to.startswith(f"{path} → ")), path
        )
        if call in WRITES and ("unlink", final) not in rest and ("fsync", final) not in rest:
            yield f"{path} is not synced before the commit"
    for folder in ("checkpoint/.autoreg-stage-*", "checkpoint/.autoreg-stage-*/files"):
        if ("fsync", folder) not in steps:
            yield f"the names in {folder} are not synced before the commit"


def test_what_is_relied_on_is_on_the_disk(found: dict[str, Any]) -> None:
    """Every file is synced before the commit, the commit before the renames, these before the removals and the end."""
    steps = [(call, path) for call, path in found["atomic"]["steps"]]
    assert list(undurable(steps)) == []
    for number, step in enumerate(steps[: steps.index(DROPPED)]):
        if step[0] == "fsync":
            assert list(undurable(steps[:number] + steps[number + 1 :])), f"{step} is one sync too many"


def test_a_plain_save_is_not_durable(found: dict[str, Any]) -> None:
    """The same look at transformers' own save finds that nothing is decided at one moment."""
    steps = [(call, path) for call, path in found["plain"]["steps"]]
    assert list(undurable(steps)) == ["nothing is decided at one moment"]


SAVER = """
    import json, sys, time
    from tests.faults import sweep
    sweep.quiet()
    models = [sweep.model(sweep.OLD), sweep.model(sweep.NEW)]
    end, count = time.monotonic() + float(sys.argv[2]), 0
    while time.monotonic() < end:
        sweep.atomic(models[count % 2], sys.argv[1], [10**9, 2500, 1200][count % 3])
        count += 1
    print(json.dumps(count))
"""
READER = """
    import json, sys, time
    from autoreg.checkpoint import journal
    from tests.faults import sweep
    sweep.quiet()
    end, seen = time.monotonic() + float(sys.argv[2]), {}
    while time.monotonic() < end:
        with journal.reading(sys.argv[1]):
            state = sweep.loaded(sys.argv[1])
        seen[state] = seen.get(state, 0) + 1
    print(json.dumps(seen))
"""


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_two_save_while_two_read(tmp_path: Path, seconds: int) -> None:
    """Two processes save into one folder for a while, and two that read see what one of them saved, each time."""
    in_new_process(SAVER, arguments=[str(tmp_path), "0.1"])
    with ThreadPoolExecutor(4) as pool:
        arguments = [str(tmp_path), str(seconds)]
        run = [pool.submit(in_new_process, script, arguments=arguments) for script in [SAVER, READER] * 2]
        saved, read = [run[0].result(), run[2].result()], [run[1].result(), run[3].result()]
    assert min(saved) > 0
    assert all(set(seen) <= {"old", "new"} and seen for seen in read)
    if seconds > 10:  # long enough to see both, however busy the machine is
        assert all(set(seen) == {"old", "new"} for seen in read)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]

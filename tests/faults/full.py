"""A disk that is really full, and files that may not grow: a small tmpfs, and RLIMIT_FSIZE.

Linux only; the tmpfs is mounted in a namespace of its own, where the kernel lets an ordinary user make one.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import resource
import shutil
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.faults.sweep import NEW, SCENARIOS, Ending, Save, Scenario, judged, model, outcome, prepare, scaled

__all__ = ["LIMITED", "SPACES", "file_size_limit", "full_tmpfs", "mountable"]

WIDTH = 64
SPACES = range(80 * 1024, 240 * 1024, 4096)
"""Sizes of the tmpfs, from hardly more than the old checkpoint to more than enough for both."""
LIMITED = range(0, 72 * 1024, 3 * 1024)
"""Limits on the size of a file, from nothing to more than the largest."""

_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000
_TESTED = [scenario for scenario in SCENARIOS if scenario.old is not None and not scenario.interrupted]

Result = tuple[Scenario, int, bool, Ending]
"""What was saved over what, the size, whether the save raised, and how it ended."""


def file_size_limit(root: Path, *, save: Save, sizes: range = LIMITED) -> Iterator[Result]:
    """Save with each limit on the size of a file."""
    for scenario, size in itertools.product(_TESTED, sizes):
        folder = prepare(root, scenario, save=save, width=WIDTH)
        error, text = forked(partial(_limited, folder, scenario, size, save))
        ending = outcome(folder, scenario, width=WIDTH)
        yield scenario, size, bool(error), judged(ending, scenario, error=error, text=text)


def _limited(folder: Path, scenario: Scenario, size: int, save: Save) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    save(model(NEW, width=WIDTH), folder, scaled(scenario.new, WIDTH))


def full_tmpfs(root: Path, *, save: Save, sizes: range = SPACES) -> Iterator[Result]:
    """Save on a tmpfs of each size that has room for the old checkpoint."""
    for scenario, size in itertools.product(_TESTED, sizes):
        prepare(root, scenario, save=save, width=WIDTH)  # the one that is copied into the tmpfs
        error, text = forked(partial(_on_tmpfs, root, scenario, size, save))
        if "No space left on device" in text and "copytree" in text:
            continue  # no room for the old one
        assert not error, text
        raised, state, complaint = json.loads(text)
        yield scenario, size, raised, Ending(state=state, complaint=complaint)


def _on_tmpfs(root: Path, scenario: Scenario, size: int, save: Save) -> str:
    _mount(root, size)
    folder = prepare(root, scenario, save=save, width=WIDTH)
    new = model(NEW, width=WIDTH)
    error, text = forked(lambda: save(new, folder, scaled(scenario.new, WIDTH)))
    ending = judged(outcome(folder, scenario, width=WIDTH), scenario, error=error, text=text)
    return json.dumps([bool(error), ending.state, ending.complaint])


def mountable(root: Path) -> bool:
    """Say whether an ordinary user may mount a tmpfs here."""
    return not forked(lambda: _mount(root, 1 << 20))[0]


def forked(act: Callable[[], object]) -> tuple[str, str]:
    """Run `act` in a process of its own; return the name and text of its exception, or what it returned."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        told = ["", ""]
        try:
            returned = act()
            told = ["", returned if isinstance(returned, str) else ""]
        except BaseException as error:
            told = [type(error).__name__, f"{error}\n\n{traceback.format_exc()}"]
        finally:
            os.write(writing, json.dumps(told).encode()[:60_000])
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        content = said.read()
    os.waitpid(pid, 0)
    error, text = json.loads(content)
    return error, text


def _mount(root: Path, size: int) -> None:
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_NEW_USER | _NEW_MOUNTS))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(exist_ok=True)
    _check(libc.mount(b"tmpfs", os.fsencode(root), b"tmpfs", 0, f"size={size}".encode()))


def _check(done: int) -> None:
    if done:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

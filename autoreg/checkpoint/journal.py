"""The commit file of a save: what it says, and the way forward from wherever a save was left.

New files are written into a hidden folder inside the folder they are for, and synced (`staging`). One commit file
then says what is to be renamed and what removed; the moment that it appears under its name, the new state is decided.
A process that dies before leaves the old files, one that dies after leaves the rest to the next load or save.

Depth: metadata.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.checkpoint import holding
from autoreg.checkpoint.disk import replace, sync_folder
from autoreg.checkpoint.holding import PATIENCE, QUICK, at_once, locked, orphaned
from autoreg.checkpoint.refusal import COMMIT, STAGE, unfinished
from autoreg.errors import CheckpointError, UnsafeCheckpointError

__all__ = [
    "COMMIT",
    "REMOVABLE",
    "STAGE",
    "WAITING",
    "Journal",
    "Mark",
    "Move",
    "forward",
    "mark",
    "reading",
    "recover",
    "settle",
]

REMOVABLE = re.compile(r"[^/\\]+\.safetensors(\.index(\.[^/\\]+)?\.json)?")
"""The names of the files that a save may remove."""
WAITING = "waiting"
"""What lies in a stage whose save waits for its readers to end."""
_LONGEST = 16 << 20
_POLITE = 10.0


@dataclass(frozen=True, slots=True)
class Mark:
    """By what a file is recognised after a rename: its size and its time of change."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Move:
    """One file to put in place: what it is, and what lay there when that was decided (None: nothing)."""

    new: Mark
    old: Mark | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Journal:
    """What the commit file says."""

    stage: str
    files: Mapping[str, Move]
    remove: tuple[str, ...]


def recover(folder: str | os.PathLike[str]) -> bool:
    """Finish the save that was interrupted after it was decided; remove what is left of any other.

    One look at the folder where there is nothing to do. Called by every load and save of a local folder.

    Returns:
        Whether there was a save to finish.

    Raises:
        CheckpointError: there is one and it cannot be finished: nothing may be written here, or its files are gone.
    """
    real = os.path.realpath(folder)
    try:
        left = [name for name in os.listdir(real) if name == COMMIT or name.startswith(STAGE)]
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        left = [COMMIT] if there(os.path.join(real, COMMIT)) else []
    if COMMIT in left:
        with unfinished(real), locked(real, exclusive=True):
            return settle(real)
    if left:
        # Most likely somebody is saving right now: nobody waits for that.
        with contextlib.suppress(OSError), at_once(real) as alone:
            return settle(real) if alone else False
    return False


@contextlib.contextmanager
def reading(folder: str | os.PathLike[str], *, timeout: float = PATIENCE) -> Iterator[None]:
    """Hold the folder for reading in the block, with nothing unfinished in it: no save commits meanwhile.

    Raises:
        CheckpointError: as `recover`, and `locked`.
    """
    real = os.path.realpath(folder)
    while True:
        recover(real)
        _give_way(real)
        with locked(real, exclusive=False, timeout=timeout):
            if not there(os.path.join(real, COMMIT)):  # a save that died between the two
                yield
                return


def _give_way(real: str) -> None:
    """Let a save that waits for its readers to end have its turn."""
    until = time.monotonic() + _POLITE
    while holding.are_there() and os.access(real, os.R_OK) and time.monotonic() < until:
        stages = [os.path.join(real, name) for name in os.listdir(real) if name.startswith(STAGE)]
        if not any(os.path.lexists(os.path.join(root, WAITING)) and not orphaned(root) for root in stages):
            return
        time.sleep(QUICK)


def settle(real: str) -> bool:
    """Finish or clear away what is left; the folder is held. Say whether there was a decided save."""
    journal = _read(real)
    if journal is not None:
        forward(real, journal)
    for name in os.listdir(real):
        if name.startswith(STAGE):
            root = os.path.join(real, name)
            if orphaned(root):
                shutil.rmtree(root, ignore_errors=True)
    return journal is not None


def forward(real: str, journal: Journal) -> None:
    """Do what the commit file says, from wherever it was left; then drop it."""
    root = os.path.join(real, journal.stage)
    staged = {name: os.path.join(root, "files", name) for name in journal.files}
    waiting = _waiting(real, journal, staged)
    touched = {real}
    for name in waiting or ():
        target = os.path.join(real, name)
        touched |= _folders_for(real, target)
        replace(staged[name], target)
    for folder in sorted(touched):
        sync_folder(folder)
    if waiting is not None:
        for name in journal.remove:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(real, name))
        sync_folder(real)
    os.unlink(os.path.join(real, COMMIT))
    sync_folder(real)
    shutil.rmtree(root, ignore_errors=True)


def _waiting(real: str, journal: Journal, staged: Mapping[str, str]) -> list[str] | None:
    """Return the files that have still to be renamed; None for a commit that was taken back.

    Raises:
        CheckpointError: somebody has written to the folder since, or the stage has gone.
    """
    for name in (*journal.files, *journal.remove):
        _check_way(real, name)
    now = {name: mark(os.path.join(real, name)) for name in journal.files}
    waiting = [name for name, path in staged.items() if there(path)]
    placed = {name for name, move in journal.files.items() if now[name] == move.new}
    if not waiting and not placed:
        return None
    for name, move in journal.files.items():
        if name not in placed and (name not in waiting or now[name] not in (move.old, None)):
            raise CheckpointError(
                file=os.path.join(real, name),
                problem="a save was interrupted here, and this file was written or removed by something else since.",
                advice=f"To keep what is in the folder now, delete {COMMIT} and {journal.stage}; look whether the"
                " weights and config.json belong together. To be sure, save again into a new folder.",
            )
    return waiting


def _check_way(real: str, name: str) -> None:
    """Raise where a symlink in the middle of the name leads elsewhere: the commit file may be a stranger's."""
    parent = os.path.dirname(os.path.join(real, name))
    while len(parent) > len(real):
        if os.path.islink(parent):
            raise UnsafeCheckpointError(
                file=os.path.join(real, COMMIT),
                problem=f"it would write through the link {parent}.",
                advice="Delete the commit file if you do not know where the folder comes from.",
            )
        parent = os.path.dirname(parent)


def _folders_for(real: str, target: str) -> set[str]:
    """Make the folders that a file lies in; return those whose entries that changes."""
    parent, touched = os.path.dirname(target), set()
    if parent != real:
        os.makedirs(parent, exist_ok=True)
    while len(parent) >= len(real):
        touched.add(parent)
        parent = os.path.dirname(parent)
    return touched


def _read(real: str) -> Journal | None:
    file = os.path.join(real, COMMIT)
    try:
        with open(file, "rb") as stream:
            content = stream.read(_LONGEST)
    except FileNotFoundError:
        return None
    try:
        return _parsed(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            file=file,
            problem=f"a save was interrupted here, and its commit file cannot be read ({error}).",
            advice="It was damaged or is not autoreg's. Delete it to load what is in the folder; look whether the"
            " weights and config.json belong together.",
        ) from error


def _parsed(fields: Any) -> Journal:
    if fields["format"] != 1:
        raise ValueError(f"format {fields['format']!r} is of another release of autoreg")
    if not re.fullmatch(re.escape(STAGE) + r"\w+", fields["stage"]):
        raise ValueError(f"{fields['stage']!r} is no staging folder")
    files = {_inside(name): Move(_marked(move["new"]), _marked(move["old"])) for name, move in fields["files"].items()}  # type: ignore[arg-type]  # a new file without a mark is found out below
    if any(move.new is None for move in files.values()):
        raise ValueError("a file without a size")
    remove = tuple(fields["remove"])
    if not all(isinstance(name, str) and REMOVABLE.fullmatch(name) for name in remove):
        raise ValueError("it would remove what is no weight file")
    return Journal(stage=fields["stage"], files=files, remove=remove)


def _marked(fields: Any) -> Mark | None:
    return None if fields is None else Mark(int(fields["size"]), int(fields["mtime_ns"]))


def _inside(name: str) -> str:
    """Return the name, which leads to a file below the folder and is none of autoreg's own."""
    parts = name.split("/")
    strange = any(part in ("", ".", "..") or "\\" in part or "\0" in part or ":" in part for part in parts)
    if strange or parts[0] == COMMIT or parts[0].startswith(STAGE):
        raise ValueError(f"{name!r} is no name of a file in the folder")
    return name


def mark(path: str) -> Mark | None:
    """Return the mark of what lies there, a link itself and not what it leads to; None for nothing."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Mark(found.st_size, found.st_mtime_ns)


def there(path: str) -> bool:
    """Say whether anything lies there. `os.path.exists` calls every error a no, and an unreadable disk is none."""
    return mark(path) is not None

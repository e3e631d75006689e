"""Files put in place together or not at all: a stage in the folder, one commit file, and the way forward.

New files are written into a hidden folder inside the folder they are for, and synced. One commit file then says
what is to be renamed and what removed; the moment that it appears under its name, the new state is decided. A
process that dies before leaves the old files, one that dies after leaves the rest to the next load or save.
A swap of whole folders would be shorter, and would lose the tokenizer, README and training state that live there.

Depth: metadata.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from autoreg.errors import CheckpointError, SaveError, UnsafeCheckpointError

try:
    import fcntl as posix_locks
except ImportError:  # Windows
    posix_locks = None  # type: ignore[assignment]

__all__ = ["COMMIT", "STAGE", "Stage", "advice_for", "explained", "locked", "reading", "recover", "stage"]

COMMIT = ".autoreg-commit.json"
"""The commit file: while it is there, a save is decided and not yet finished."""
STAGE = ".autoreg-stage-"
"""What the names of staging folders begin with."""

fcntl: Any = posix_locks

PATIENCE = 600.0
"""Seconds to wait for another process: it holds the folder while it renames, or while it loads."""
_LONGEST = 16 << 20
_ABANDONED = 24 * 3600.0
_QUICK, _SLOW, _SOON, _POLITE = 0.002, 0.05, 2.0, 10.0
_WAITING = "waiting"
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF})
_IN_THE_WAY = frozenset({errno.EEXIST, errno.EPERM, errno.EACCES})
_REMOVABLE = re.compile(r"[^/\\]+\.safetensors(\.index(\.[^/\\]+)?\.json)?")


@dataclass(frozen=True, slots=True)
class _Mark:
    """By what a file is recognised after a rename: its size and its time of change."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class _Move:
    """One file to put in place: what it is, and what lay there when that was decided (None: nothing)."""

    new: _Mark
    old: _Mark | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Journal:
    """What the commit file says."""

    stage: str
    files: Mapping[str, _Move]
    remove: tuple[str, ...]


# --- staging ---------------------------------------------------------------------------------------


class Stage:
    """A place for new files beside those that they will replace.

    Attributes:
        folder: the folder that the files are for, symlinks followed.
        path: where to write them.
    """

    def __init__(self, folder: str, root: str) -> None:
        self.folder = folder
        self.root = root
        self.path = os.path.join(root, "files")
        self.pending = False
        self._synced: set[str] = set()
        self._held = False
        self._count = 0
        os.mkdir(self.path)
        self._mode = self._probe()

    def _probe(self) -> int:
        """Return the mode of new files here; see that one file can be renamed over another."""
        # Reading the umask means setting it, for all threads; and a folder may have default rights of its own.
        one, other = os.path.join(self.root, "one"), os.path.join(self.root, "other")
        for file in (one, other):
            with open(file, "xb") as stream:
                mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        _replace(one, other)
        os.unlink(other)
        return mode

    def files(self) -> dict[str, str]:
        """Return the path of each staged file by its name relative to the folder, with forward slashes."""
        return dict(sorted(_files(self.path)))

    def dress(self) -> None:
        """Give the staged files the owners and modes that they will have."""
        for name, file in self.files().items():
            if file not in self._synced:
                _dress(file, os.path.join(self.folder, name), self._mode)

    def sync(self) -> None:
        """See that the staged files are on the disk. What is written to one of them afterwards may not be."""
        for file in self.files().values():
            if file not in self._synced:
                _sync(file)
                self._synced.add(file)

    @contextlib.contextmanager
    def exclusive(self, *, timeout: float = PATIENCE) -> Iterator[None]:
        """Hold the folder for the block: no other save commits and no load begins; an interrupted save is finished."""
        with explained(self.folder), contextlib.ExitStack() as stack:
            with self._announced():
                stack.enter_context(locked(self.folder, exclusive=True, timeout=timeout))
            _settle(self.folder)
            self._held = True
            try:
                yield
            finally:
                self._held = False

    @contextlib.contextmanager
    def _announced(self) -> Iterator[None]:
        """Have new readers wait in the block: with two that take turns, the folder would never be free."""
        mark = os.path.join(self.root, _WAITING)
        with open(mark, "wb"):
            pass
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.unlink(mark)

    def commit(self, *, remove: Collection[str] = ()) -> None:
        """Put the staged files in place and remove the named ones, all or nothing.

        Raises:
            SaveError: the folder is as it was; or, where the text says so, the new files are complete and the
                next load or save puts them in place.
        """
        if not self._held:
            with self.exclusive():
                return self.commit(remove=remove)
        with explained(self.folder):
            self.dress()
            self.sync()
            journal = self._journal(remove)
            self._decide(journal)
            self._finish(journal)
        return None

    def _journal(self, remove: Collection[str]) -> _Journal:
        staged = self.files()
        for name in remove:
            if not _REMOVABLE.fullmatch(name):
                raise ValueError(f"{name!r} is no weight file of this folder")
        moves = {}
        for name, file in staged.items():
            _check_target(self.folder, name)
            new = _mark(file)
            assert new is not None  # it has just been listed
            moves[name] = _Move(new, _mark(os.path.join(self.folder, name)))
        self._count = len(moves)
        gone = tuple(sorted(name for name in remove if name not in staged))
        return _Journal(stage=os.path.basename(self.root), files=moves, remove=gone)

    def _decide(self, journal: _Journal) -> None:
        """Write the commit file: the one moment at which the old state gives way to the new."""
        for folder, _, _ in os.walk(self.root):
            _sync_folder(folder)
        written = os.path.join(self.root, "commit")
        with open(written, "x", encoding="utf-8") as stream:
            json.dump({"format": 1, **asdict(journal)}, stream)
        _sync(written)
        try:
            _replace(written, os.path.join(self.folder, COMMIT))
            self.pending = True
            _sync_folder(self.folder)
        except OSError as error:
            self._give_up(error)

    def _finish(self, journal: _Journal) -> None:
        try:
            _forward(self.folder, journal)
        except (OSError, CheckpointError) as error:
            self._give_up(error)
        self.pending = False

    def _give_up(self, error: OSError | CheckpointError) -> NoReturn:
        """Take the commit back if nothing has been renamed yet, and say what holds now."""
        # So it is where the first rename is refused: on Windows, for a file that a live model maps.
        if self._untouched():
            self._withdraw()
        if not self.pending:
            _refuse(self.folder, error)
        raise SaveError(
            file=self.folder,
            problem=f"the new files are complete, and could not be put in place now: {_reason(error)}.",
            advice=f"The next load or save through autoreg does it. Do not delete {COMMIT} and"
            f" {os.path.basename(self.root)}: they hold the new files.",
        ) from error

    def _untouched(self) -> bool:
        try:
            return len(self.files()) == self._count
        except OSError:  # a disk that cannot be read: what is decided stays decided
            return False

    def _withdraw(self) -> None:
        """Take the commit back, if nothing has been done of it; where that fails too, it stays decided."""
        with contextlib.suppress(OSError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.folder, COMMIT))
            self.pending = False
            _sync_folder(self.folder)


@contextlib.contextmanager
def stage(folder: str | os.PathLike[str]) -> Iterator[Stage]:
    """Make a place for new files inside the folder, which is made where it is not there.

    What an interrupted save has left is finished or removed first. Leaving the block without `commit` changes
    nothing in the folder, and removes it if it was made for this.

    Raises:
        SaveError: nothing can be written there.
    """
    real = os.path.realpath(folder)
    made: list[str] = []
    with contextlib.ExitStack() as stack:
        stack.callback(_unmake, made)
        with explained(real):
            _make(real, made)
            recover(real)
            with locked(real, exclusive=False):  # who clears stages away has it alone
                root = tempfile.mkdtemp(prefix=STAGE, dir=real)
                stack.enter_context(_owned(root))
            staged = _begun(real, root)
        try:
            yield staged
        finally:
            if not staged.pending:
                shutil.rmtree(root, ignore_errors=True)


def _begun(real: str, root: str) -> Stage:
    try:
        return Stage(real, root)
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise


def _make(real: str, made: list[str]) -> None:
    """Make the folder and those above it; note which, and see that they are on the disk."""
    missing = []
    while not os.path.lexists(real):
        missing.append(real)
        real = os.path.dirname(real)
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process saves there too
            os.mkdir(folder)
            made.append(folder)
            _sync_folder(os.path.dirname(folder))


def _unmake(made: list[str]) -> None:
    for folder in reversed(made):
        with contextlib.suppress(OSError):  # not empty: that is as it should be
            os.rmdir(folder)


def _files(root: str) -> Iterator[tuple[str, str]]:
    for folder, folders, files in os.walk(root, onerror=_raise):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode):
                yield os.path.relpath(path, root).replace(os.sep, "/"), path
            elif not stat.S_ISDIR(mode):
                problem = "is a link or a device, and only files and folders can be put in place."
                raise OSError(errno.EINVAL, problem, path)


def _raise(error: OSError) -> NoReturn:
    raise error


def _dress(file: str, target: str, mode: int) -> None:
    """Give a new file the owner and mode of the one that it replaces; those of any new file where there is none."""
    try:
        old = os.stat(target)
    except FileNotFoundError:
        # safetensors writes through a temporary file of its own, which nobody else may read.
        os.chmod(file, mode | stat.S_IMODE(os.lstat(file).st_mode) & 0o111)
        return
    with contextlib.suppress(PermissionError):
        if hasattr(os, "chown"):
            os.chown(file, old.st_uid, old.st_gid)
    os.chmod(file, stat.S_IMODE(old.st_mode))


def _check_target(folder: str, name: str) -> None:
    """Raise where the file cannot be renamed to its place: a folder is there, or the way leads elsewhere."""
    target = os.path.join(folder, name)
    if os.path.isdir(target) and not os.path.islink(target):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    device, parent = os.stat(folder).st_dev, os.path.dirname(target)
    while len(parent) > len(folder):
        with contextlib.suppress(FileNotFoundError):
            found = os.lstat(parent)
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), parent)
            if found.st_dev != device:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), parent)
        parent = os.path.dirname(parent)


# --- the way forward -------------------------------------------------------------------------------


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
        left = [COMMIT] if _there(os.path.join(real, COMMIT)) else []
    if COMMIT in left:
        with _unfinished(real), locked(real, exclusive=True):
            return _settle(real)
    if left:
        # Most likely somebody is saving right now: nobody waits for that.
        with contextlib.suppress(OSError, _BusyError), locked(real, exclusive=True, timeout=0):
            return _settle(real)
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
            if not _there(os.path.join(real, COMMIT)):  # a save that died between the two
                yield
                return


def _give_way(real: str) -> None:
    """Let a save that waits for its readers to end have its turn."""
    until = time.monotonic() + _POLITE
    while fcntl is not None and os.access(real, os.R_OK) and time.monotonic() < until:
        stages = [os.path.join(real, name) for name in os.listdir(real) if name.startswith(STAGE)]
        if not any(os.path.lexists(os.path.join(root, _WAITING)) and not _orphaned(root) for root in stages):
            return
        time.sleep(_QUICK)


def _settle(real: str) -> bool:
    """Finish or clear away what is left; the folder is held. Say whether there was a decided save."""
    journal = _read(real)
    if journal is not None:
        _forward(real, journal)
    for name in os.listdir(real):
        if name.startswith(STAGE):
            root = os.path.join(real, name)
            if _orphaned(root):
                shutil.rmtree(root, ignore_errors=True)
    return journal is not None


def _forward(real: str, journal: _Journal) -> None:
    """Do what the commit file says, from wherever it was left; then drop it."""
    root = os.path.join(real, journal.stage)
    staged = {name: os.path.join(root, "files", name) for name in journal.files}
    waiting = _waiting(real, journal, staged)
    touched = {real}
    for name in waiting or ():
        target = os.path.join(real, name)
        touched |= _folders_for(real, target)
        _replace(staged[name], target)
    for folder in sorted(touched):
        _sync_folder(folder)
    if waiting is not None:
        for name in journal.remove:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(real, name))
        _sync_folder(real)
    os.unlink(os.path.join(real, COMMIT))
    _sync_folder(real)
    shutil.rmtree(root, ignore_errors=True)


def _waiting(real: str, journal: _Journal, staged: Mapping[str, str]) -> list[str] | None:
    """Return the files that have still to be renamed; None for a commit that was taken back.

    Raises:
        CheckpointError: somebody has written to the folder since, or the stage has gone.
    """
    for name in (*journal.files, *journal.remove):
        _check_way(real, name)
    now = {name: _mark(os.path.join(real, name)) for name in journal.files}
    waiting = [name for name, path in staged.items() if _there(path)]
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


def _read(real: str) -> _Journal | None:
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


def _parsed(fields: Any) -> _Journal:
    if fields["format"] != 1:
        raise ValueError(f"format {fields['format']!r} is of another release of autoreg")
    if not re.fullmatch(re.escape(STAGE) + r"\w+", fields["stage"]):
        raise ValueError(f"{fields['stage']!r} is no staging folder")
    files = {_inside(name): _Move(_marked(move["new"]), _marked(move["old"])) for name, move in fields["files"].items()}  # type: ignore[arg-type]  # a new file without a mark is found out below
    if any(move.new is None for move in files.values()):
        raise ValueError("a file without a size")
    remove = tuple(fields["remove"])
    if not all(isinstance(name, str) and _REMOVABLE.fullmatch(name) for name in remove):
        raise ValueError("it would remove what is no weight file")
    return _Journal(stage=fields["stage"], files=files, remove=remove)


def _marked(fields: Any) -> _Mark | None:
    return None if fields is None else _Mark(int(fields["size"]), int(fields["mtime_ns"]))


def _inside(name: str) -> str:
    """Return the name, which leads to a file below the folder and is none of autoreg's own."""
    parts = name.split("/")
    strange = any(part in ("", ".", "..") or "\\" in part or "\0" in part or ":" in part for part in parts)
    if strange or parts[0] == COMMIT or parts[0].startswith(STAGE):
        raise ValueError(f"{name!r} is no name of a file in the folder")
    return name


def _mark(path: str) -> _Mark | None:
    """Return the mark of what lies there, a link itself and not what it leads to; None for nothing."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _Mark(found.st_size, found.st_mtime_ns)


def _there(path: str) -> bool:
    """Say whether anything lies there. `os.path.exists` calls every error a no, and an unreadable disk is none."""
    return _mark(path) is not None


# --- locks -----------------------------------------------------------------------------------------


class _BusyError(CheckpointError):
    """Somebody else holds the folder, and the time to wait is over."""


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str], *, exclusive: bool, timeout: float = PATIENCE) -> Iterator[bool]:
    """Hold the folder in the block, alone or with other readers; leaves no file behind.

    The lock is on the folder itself and goes with the process that holds it. Yields whether there is one: Windows
    and some network file systems have none, and there one process at a time has to be seen to otherwise.

    Raises:
        CheckpointError: others have held it for longer than `timeout` seconds.
    """
    with _opened(os.fspath(folder)) as descriptor:
        held = descriptor is not None and _acquire(os.fspath(folder), descriptor, exclusive=exclusive, timeout=timeout)
        try:
            yield held
        finally:
            if held and descriptor is not None:
                _release(descriptor)


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[int | None]:
    try:
        descriptor = None if fcntl is None else os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # it may be entered and not listed: what is in it can be loaded all the same
        descriptor = None
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):  # what was done under the lock is done
                os.close(descriptor)


def _acquire(folder: str, descriptor: int, *, exclusive: bool, timeout: float) -> bool:
    begun = time.monotonic()
    while True:
        taken = _attempt(descriptor, exclusive=exclusive)
        if taken is not None:
            return taken
        waited = time.monotonic() - begun
        if waited >= timeout:
            raise _BusyError(
                file=folder,
                problem=f"other processes have been saving into the folder or loading from it for {waited:.0f} s.",
                advice="Try again when they are done; `lsof +D` on the folder shows who they are.",
            )
        time.sleep(_QUICK if waited < _SOON else _SLOW)


def _attempt(descriptor: int, *, exclusive: bool) -> bool | None:
    """Return True for a lock taken, False where there are none, None where somebody else has it."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def _release(descriptor: int) -> None:
    # Not left to `close`: a process forked meanwhile has the same open file, and would keep the lock.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def _owned(root: str) -> Iterator[None]:
    """Show others that the owner of the staging folder lives, for as long as it does."""
    with locked(root, exclusive=True):
        yield


def _orphaned(root: str) -> bool:
    """Say whether the owner of a staging folder has gone; without locks, whether it is a day old."""
    try:
        with locked(root, exclusive=True, timeout=0) as held:
            return held or time.time() - os.lstat(root).st_mtime > _ABANDONED
    except (OSError, _BusyError):
        return False


# --- the disk --------------------------------------------------------------------------------------


def _replace(source: str, target: str) -> None:
    """Rename over whatever is there. Where that is refused, what is there goes first: the journal covers the gap."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno not in _IN_THE_WAY or not os.path.lexists(target):
            raise
        os.unlink(target)
        os.rename(source, target)


def _sync(file: str) -> None:
    descriptor = os.open(file, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        full = getattr(fcntl, "F_FULLFSYNC", None)  # on macOS, fsync leaves the data in the drive's own memory
        if full is not None:
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, full)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: str) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


# --- what is said ----------------------------------------------------------------------------------


@contextlib.contextmanager
def explained(folder: str) -> Iterator[None]:
    """Make a SaveError of what the system, or a checkpoint file that cannot be right, says against a save."""
    try:
        yield
    except SaveError:
        raise
    except (OSError, CheckpointError) as error:
        _refuse(folder, error)


def _refuse(folder: str, error: OSError | CheckpointError) -> NoReturn:
    if isinstance(error, CheckpointError):
        where, problem, advice = error.file, error.problem, error.advice
    else:
        where, problem, advice = error.filename, f"{_reason(error)}.", advice_for(error)
    raise SaveError(
        file=where if isinstance(where, str) and STAGE not in where else folder,
        problem=f"nothing was saved: {problem}",
        advice=advice,
    ) from error


@contextlib.contextmanager
def _unfinished(folder: str) -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(
            file=os.path.join(folder, COMMIT),
            problem=f"a save was interrupted here, and could not be finished now: {_reason(error)}.",
            advice=advice_for(error),
        ) from error


def _reason(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or getattr(error, "problem", None) or str(error)).rstrip(".").lower()


_ADVICE = {
    errno.ENOSPC: "Free some space: until a save is done, the old files and the new ones are both there.",
    errno.EDQUOT: "Free some of your quota: until a save is done, the old files and the new ones are both there.",
    errno.EFBIG: "The file is larger than this process or file system allows (`ulimit -f`); max_shard_size makes"
    " smaller files.",
    errno.EACCES: "Choose a folder that you may write to, or have its owner give you the right.",
    errno.EPERM: "Choose a folder that you may write to, or have its owner give you the right.",
    errno.EROFS: "The folder is on a file system that is mounted read-only: choose another.",
    errno.EIO: "The disk reports errors: look at the system's log, and save to another disk.",
    errno.EXDEV: "A folder below the checkpoint's is mounted from elsewhere: save into a folder of one file system.",
    errno.EISDIR: "A folder has the name of a file that is to be saved: move it away.",
    errno.ENOTDIR: "A file or link has the name of a folder that is needed: move it away.",
}


def advice_for(error: OSError) -> str:
    """Return what to do about an error of the system."""
    return _ADVICE.get(error.errno or 0, "Look at the folder and its file system, then save again.")

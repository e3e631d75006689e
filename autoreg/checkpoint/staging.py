"""A place for new files inside the folder that they are for, from which they are put in place together.

A swap of whole folders would be shorter, and would lose the tokenizer, README and training state that live there.

Depth: metadata.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import asdict
from typing import NoReturn

from autoreg.checkpoint.digests import identity
from autoreg.checkpoint.disk import replace, sync, sync_folder
from autoreg.checkpoint.holding import PATIENCE, locked, owned
from autoreg.checkpoint.journal import REMOVABLE, WAITING, Journal, Move, forward, mark, recover, settle
from autoreg.checkpoint.refusal import COMMIT, STAGE, explained, reason, refuse
from autoreg.errors import CheckpointError, SaveError

__all__ = ["Stage", "stage"]


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
        self._kept: dict[str, tuple[int, ...]] = {}
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
        replace(one, other)
        os.unlink(other)
        return mode

    def files(self) -> dict[str, str]:
        """Return the path of each staged file by its name relative to the folder, with forward slashes."""
        return dict(sorted(_files(self.path)))

    def keep(self, file: str) -> None:
        """Give one staged file, by its path, its owner and mode, and see that it is on the disk: it is complete."""
        self._dress(file)
        self._sync(file)

    def hurry(self) -> None:
        """Send to the disk what has been written by now, whatever it is called while it is not complete."""
        with contextlib.suppress(FileNotFoundError):  # it is complete now, and has another name
            for file in self.files().values():
                sync(file)

    def dress(self) -> None:
        """Give the staged files the owners and modes that they will have."""
        for file in self._loose():
            self._dress(file)

    def sync(self) -> None:
        """See that the staged files are on the disk."""
        for file in self._loose():
            self._sync(file)

    def _loose(self) -> list[str]:
        """Return the files that were not synced, or were written to afterwards."""
        return [file for file in self.files().values() if self._kept.get(file) != identity(file)]

    def _dress(self, file: str) -> None:
        name = os.path.relpath(file, self.path)
        _dress(file, os.path.join(self.folder, name), self._mode)

    def _sync(self, file: str) -> None:
        before = identity(file)
        sync(file)
        if before is not None:
            self._kept[file] = before

    @contextlib.contextmanager
    def exclusive(self, *, timeout: float = PATIENCE) -> Iterator[None]:
        """Hold the folder for the block: no other save commits and no load begins; an interrupted save is finished."""
        with explained(self.folder), contextlib.ExitStack() as stack:
            with self._announced():
                stack.enter_context(locked(self.folder, exclusive=True, timeout=timeout))
            settle(self.folder)
            self._held = True
            try:
                yield
            finally:
                self._held = False

    @contextlib.contextmanager
    def _announced(self) -> Iterator[None]:
        """Have new readers wait in the block: with two that take turns, the folder would never be free."""
        mark = os.path.join(self.root, WAITING)
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

    def _journal(self, remove: Collection[str]) -> Journal:
        staged = self.files()
        for name in remove:
            if not REMOVABLE.fullmatch(name):
                raise ValueError(f"{name!r} is no weight file of this folder")
        moves = {}
        for name, file in staged.items():
            _check_target(self.folder, name)
            new = mark(file)
            assert new is not None  # it has just been listed
            moves[name] = Move(new, mark(os.path.join(self.folder, name)))
        self._count = len(moves)
        gone = tuple(sorted(name for name in remove if name not in staged))
        return Journal(stage=os.path.basename(self.root), files=moves, remove=gone)

    def _decide(self, journal: Journal) -> None:
        """Write the commit file: the one moment at which the old state gives way to the new."""
        for folder, _, _ in os.walk(self.root):
            sync_folder(folder)
        written = os.path.join(self.root, "commit")
        with open(written, "x", encoding="utf-8") as stream:
            json.dump({"format": 1, **asdict(journal)}, stream)
        sync(written)
        try:
            replace(written, os.path.join(self.folder, COMMIT))
            self.pending = True
            sync_folder(self.folder)
        except OSError as error:
            self._give_up(error)

    def _finish(self, journal: Journal) -> None:
        try:
            forward(self.folder, journal)
        except (OSError, CheckpointError) as error:
            self._give_up(error)
        self.pending = False

    def _give_up(self, error: OSError | CheckpointError) -> NoReturn:
        """Take the commit back if nothing has been renamed yet, and say what holds now."""
        # So it is where the first rename is refused: on Windows, for a file that a live model maps.
        if self._untouched():
            self._withdraw()
        if not self.pending:
            refuse(self.folder, error)
        raise SaveError(
            file=self.folder,
            problem=f"the new files are complete, and could not be put in place now: {reason(error)}.",
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
            sync_folder(self.folder)


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
                stack.enter_context(owned(root))
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
            sync_folder(os.path.dirname(folder))


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

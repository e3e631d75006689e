"""A process's file events, seen and spoilt one at a time: what strace does, in Python and for one folder.

The process is forked and traced by the kernel (`ptrace`), so that what compiled code does is seen too: safetensors
writes its files in Rust. Linux on x86-64 only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import re
import signal
import struct
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["KILL", "TORN", "Event", "Trace", "available", "trace"]

KILL = "kill"
"""The process is killed before the event."""
TORN = "torn"
"""Half of what is to be written is, and the process is killed."""

_TRACEME, _GETREGS, _SETREGS, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 12, 13, 24, 0x4200, 0x420E
_SYSGOOD, _FORK, _VFORK, _CLONE, _EXITKILL = 1, 2, 4, 8, 0x100000
_ENTRY, _EXIT = 1, 2
_WALL = 0x40000000
_AT_FDCWD = 2**64 - 100
_RDX, _RAX, _ORIG_RAX = 12, 10, 15
_RANDOM = re.compile(r"(\.autoreg-stage-)\w+|(\.tmp)\w{6}\b")

# Number of the call: its name, and where its paths are: "p0" a path in argument 0, "d0p1" one relative to the
# folder in argument 0, "f0" an open file.
_CALLS = {
    0: ("read", "f0"), 1: ("write", "f0"), 2: ("open", "p0"), 3: ("close", "f0"), 4: ("stat", "p0"),
    5: ("fstat", "f0"), 6: ("lstat", "p0"), 17: ("pread", "f0"), 18: ("pwrite", "f0"), 19: ("readv", "f0"),
    20: ("writev", "f0"), 40: ("sendfile", "f0"), 73: ("flock", "f0"), 74: ("fsync", "f0"), 75: ("fdatasync", "f0"),
    76: ("truncate", "p0"), 77: ("ftruncate", "f0"), 82: ("rename", "p0 p1"), 83: ("mkdir", "p0"),
    84: ("rmdir", "p0"), 85: ("creat", "p0"), 86: ("link", "p0 p1"), 87: ("unlink", "p0"), 88: ("symlink", "p1"),
    90: ("chmod", "p0"), 91: ("fchmod", "f0"), 92: ("chown", "p0"), 93: ("fchown", "f0"), 217: ("getdents", "f0"),
    257: ("open", "d0p1"), 258: ("mkdir", "d0p1"), 260: ("chown", "d0p1"), 262: ("stat", "d0p1"),
    263: ("unlink", "d0p1"), 264: ("rename", "d0p1 d2p3"), 265: ("link", "d0p1 d2p3"), 268: ("chmod", "d0p1"),
    280: ("utimens", "d0p1"), 285: ("fallocate", "f0"), 316: ("rename", "d0p1 d2p3"), 326: ("copy", "f2"),
    332: ("stat", "d0p1"), 452: ("chmod", "d0p1"),
}  # fmt: skip
_TAKING_SPACE = {
    "write", "pwrite", "writev", "sendfile", "copy", "fsync", "fdatasync", "truncate", "ftruncate", "fallocate",
    "rename", "mkdir", "creat", "link", "symlink",
}  # fmt: skip
_CHANGING = {*_TAKING_SPACE, "rmdir", "unlink", "chmod", "fchmod", "chown", "fchown", "utimens"}
_TEARABLE = frozenset({"write", "pwrite"})


@dataclass(frozen=True, slots=True)
class Event:
    """One call of the system on the folder.

    Attributes:
        call: `open`, `write`, `rename` and so on.
        path: relative to the folder, chance taken out of the names; both, of a call that takes two.
        number: which call of this kind on this path it is, from 1.
        creating: an `open` that makes or empties a file.
    """

    call: str
    path: str
    number: int
    creating: bool = field(default=False, compare=False)

    @property
    def changes(self) -> bool:
        """Whether the call changes what is on the disk."""
        return self.call in _CHANGING or self.creating

    @property
    def takes_space(self) -> bool:
        """Whether a full disk refuses it."""
        return self.call in _TAKING_SPACE or self.creating

    @property
    def tearable(self) -> bool:
        """Whether it can be done by half."""
        return self.call in _TEARABLE

    def __str__(self) -> str:
        return f"{self.call} {self.path} #{self.number}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """What a traced process did.

    Attributes:
        events: its file events, in their order.
        spoilt: how many of them were spoilt.
        killed: whether it ended by a signal.
        error: the name of the exception that it ended with; empty if it returned.
        text: what the exception said.
    """

    events: tuple[Event, ...]
    spoilt: int
    killed: bool
    error: str
    text: str


Judge = Callable[[Event], "str | int | None"]
"""Says what is to happen at an event: nothing (None), KILL, TORN, or the number of the error that it ends with."""


def available() -> bool:
    """Say whether processes can be traced here."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    try:
        return trace(lambda: os.stat("/").st_mode, Path("/"), lambda _: None).error == ""
    except OSError:  # forbidden, as it is in some containers
        return False


def trace(act: Callable[[], object], root: Path, judge: Judge) -> Trace:
    """Fork, run `act` in the child, and spoil its file events below `root` as `judge` says."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(act, writing)
    os.close(writing)
    seen = _Tracer(pid, os.path.realpath(root), judge)
    with os.fdopen(reading, "rb") as said:
        killed = seen.follow()
        told = said.read()
    error, text = json.loads(told) if told else ("", "")
    return Trace(events=tuple(seen.events), spoilt=seen.spoilt, killed=killed, error=error, text=text)


def _child(act: Callable[[], object], writing: int) -> None:
    told = ["", ""]
    try:
        _ptrace(_TRACEME, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        act()
    except BaseException as error:
        told = [type(error).__name__, f"{error}\n\n{traceback.format_exc()}"]
    finally:
        os.write(writing, json.dumps(told).encode()[:60_000])
        os._exit(0)


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, address: int, data: object) -> int:
    ctypes.set_errno(0)
    done: int = _libc.ptrace(request, pid, address, data)
    if done == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), f"ptrace({request:#x}): {os.strerror(ctypes.get_errno())}")
    return done


class _Tracer:
    """The parent's side: follows the child and all of its threads from stop to stop."""

    def __init__(self, pid: int, root: str, judge: Judge) -> None:
        self.events: list[Event] = []
        self.spoilt = 0
        self._pid = pid
        self._root = root
        self._judge = judge
        self._counts: Counter[tuple[str, str]] = Counter()
        self._at_exit: dict[int, str | int] = {}
        self._info = ctypes.create_string_buffer(88)
        self._registers = (ctypes.c_ulonglong * 27)()

    def follow(self) -> bool:
        """Run the child to its end; say whether a signal ended it."""
        _, status = os.waitpid(self._pid, _WALL)
        if os.WIFSTOPPED(status):
            _ptrace(_SETOPTIONS, self._pid, 0, _SYSGOOD | _FORK | _VFORK | _CLONE | _EXITKILL)
            self._go_on(self._pid, 0)
        while True:
            pid, status = os.waitpid(-1, _WALL)
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                if pid == self._pid:
                    return os.WIFSIGNALED(status)
                continue
            self._go_on(pid, self._stopped(pid, status))

    def _go_on(self, pid: int, sig: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # killed, and not yet told so
            _ptrace(_SYSCALL, pid, 0, sig)

    def _stopped(self, pid: int, status: int) -> int:
        """Look at one stop; return the signal to go on with."""
        sig = os.WSTOPSIG(status)
        if sig == signal.SIGTRAP | 0x80:
            with contextlib.suppress(ProcessLookupError):
                self._at_call(pid)
            return 0
        if status >> 16 or sig in (signal.SIGSTOP, signal.SIGTRAP):  # a new thread, and its first stop
            return 0
        return sig

    def _at_call(self, pid: int) -> None:
        _ptrace(_GET_SYSCALL_INFO, pid, len(self._info), ctypes.addressof(self._info))
        if self._info.raw[0] == _EXIT:
            self._after(pid)
        elif self._info.raw[0] == _ENTRY:
            number, *arguments = struct.unpack_from("<7Q", self._info.raw, 24)
            event = self._event(pid, number, arguments)
            if event is not None:
                self._before(pid, event)

    def _event(self, pid: int, number: int, arguments: list[int]) -> Event | None:
        if number not in _CALLS:
            return None
        call, where = _CALLS[number]
        paths = [self._path(pid, form, arguments) for form in where.split()]
        if not any(path == self._root or path.startswith(self._root.rstrip("/") + "/") for path in paths):
            return None
        shown = " → ".join(_RANDOM.sub(r"\1\2*", os.path.relpath(path, self._root)) for path in paths)
        flags = arguments[2] if number == 257 else arguments[1] if number == 2 else 0
        self._counts[call, shown] += 1
        creating = call == "open" and bool(flags & (os.O_CREAT | os.O_TRUNC))
        return Event(call, shown, self._counts[call, shown], creating)

    def _path(self, pid: int, form: str, arguments: list[int]) -> str:
        if form[0] == "f":
            return self._link(pid, f"fd/{arguments[int(form[1])]}")
        text = self._text(pid, arguments[int(form[-1])])
        if os.path.isabs(text):
            return os.path.normpath(text)
        folder = arguments[int(form[1])] if form[0] == "d" else _AT_FDCWD
        # A file descriptor is an int: what stands above its 32 bits says nothing.
        at_cwd = folder & 0xFFFFFFFF == _AT_FDCWD & 0xFFFFFFFF
        base = self._link(pid, "cwd" if at_cwd else f"fd/{folder & 0xFFFFFFFF}")
        return os.path.normpath(os.path.join(base, text)) if text else base

    def _link(self, pid: int, name: str) -> str:
        try:
            return os.readlink(f"/proc/{pid}/{name}").removesuffix(" (deleted)")
        except OSError:
            return ""

    def _text(self, pid: int, address: int) -> str:
        if not address:
            return ""
        try:
            with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
                memory.seek(address)
                return memory.read(min(4096, 4096 - address % 4096 + 4096)).split(b"\0", 1)[0].decode(errors="replace")
        except OSError:
            return ""

    def _before(self, pid: int, event: Event) -> None:
        self.events.append(event)
        verdict = self._judge(event)
        if verdict is None:
            return
        self.spoilt += 1
        if verdict == KILL:
            os.kill(self._pid, signal.SIGKILL)
            return
        registers = self._registers
        _ptrace(_GETREGS, pid, 0, ctypes.addressof(registers))
        if verdict == TORN:
            registers[_RDX] //= 2
        else:
            registers[_ORIG_RAX] = 2**64 - 1  # no call at all
        _ptrace(_SETREGS, pid, 0, ctypes.addressof(registers))
        self._at_exit[pid] = verdict

    def _after(self, pid: int) -> None:
        verdict = self._at_exit.pop(pid, None)
        if verdict == TORN:
            os.kill(self._pid, signal.SIGKILL)
        elif isinstance(verdict, int):
            _ptrace(_GETREGS, pid, 0, ctypes.addressof(self._registers))
            self._registers[_RAX] = 2**64 - verdict
            _ptrace(_SETREGS, pid, 0, ctypes.addressof(self._registers))

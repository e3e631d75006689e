"""Running work in forked children side by side, joined by gloo where asked, none of which outlives the check."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

__all__ = ["joined", "side_by_side"]


def side_by_side(work: Callable[[int], Any], *, count: int, limit: float = 120.0) -> list[Any]:
    """Run `work(rank)` in each of `count` forked children and return what each returns.

    Forked with everything imported, so that no child imports the plugin again; what is returned must pickle.

    Raises:
        Exception: the first error of a child, whose traceback is its cause; the others are killed.
        TimeoutError: they took longer than `limit` seconds.
    """
    # A child that reads the end of this pipe knows that its parent is gone, however that died.
    alive, ours = os.pipe()
    children: dict[int, tuple[int, Connection]] = {}
    try:
        for rank in range(count):
            children[rank] = _start(work, rank, alive, ours)
        return _collect(children, limit)
    finally:
        for pid, connection in children.values():
            _kill(pid)
            connection.close()
        os.close(alive)
        os.close(ours)


def _start(work: Callable[[int], Any], rank: int, alive: int, ours: int) -> tuple[int, Connection]:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python ≥ 3.12 warns where other threads run; here none does while a check begins.
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reader)
            os.close(ours)
            threading.Thread(target=_leave_with_parent, args=(alive,), daemon=True).start()
            Connection(writer, readable=False).send_bytes(_answer(work, rank))
            code = 0
        finally:
            # No clean-up of what is the parent's: its temporary folders, its exit handlers.
            os._exit(code)
    os.close(writer)
    return pid, Connection(reader, writable=False)


def _leave_with_parent(alive: int) -> None:
    os.read(alive, 1)
    os._exit(1)


def _answer(work: Callable[[int], Any], rank: int) -> bytes:
    try:
        return pickle.dumps((True, work(rank), ""))
    except BaseException as error:
        text = "".join(traceback.format_exception(error))
        try:
            told = pickle.dumps((False, error, text))
            pickle.loads(told)
        except Exception:
            return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}"), text))
        return told


def _collect(children: dict[int, tuple[int, Connection]], limit: float) -> list[Any]:
    found: dict[int, Any] = {}
    waiting = {connection: rank for rank, (_, connection) in children.items()}
    deadline = time.monotonic() + limit
    while waiting:
        ready = wait(list(waiting), timeout=max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError(f"process {min(waiting.values())} of {len(children)} took longer than {limit:.0f} s")
        for connection in ready:
            assert isinstance(connection, Connection)  # nothing else is waited for
            rank = waiting.pop(connection)
            found[rank] = _received(connection, rank)
    return [found[rank] for rank in sorted(found)]


def _received(connection: Connection, rank: int) -> Any:
    try:
        fine, value, text = pickle.loads(connection.recv_bytes())
    except EOFError:
        raise RuntimeError(f"process {rank} ended without a word") from None
    if not fine:
        raise value from RuntimeError(text)
    return value


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def joined(work: Callable[[int], Any], *, count: int, folder: Path, limit: float = 120.0) -> list[Any]:
    """Run `work(rank)` in children that form a gloo process group on this machine's loopback; see `side_by_side`."""

    def member(rank: int) -> Any:
        # What `torchrun` sets, and transformers reads.
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count))
        loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
        # Without it gloo looks up the host's own name, which a laptop or a container may not resolve.
        os.environ["GLOO_SOCKET_IFNAME"] = (loopback or ["lo"])[0]
        # The child is thrown away; on a machine with an accelerator transformers would choose that.
        torch._C._get_accelerator = lambda check=None: torch.device("cpu")
        torch.distributed.init_process_group(
            "gloo",
            init_method=f"file://{folder / 'rendezvous'}",
            rank=rank,
            world_size=count,
            timeout=timedelta(seconds=limit),
        )
        found = work(rank)
        # Whoever is ready first must not leave while the other still talks to it.
        torch.distributed.barrier()
        return found

    return side_by_side(member, count=count, limit=limit)

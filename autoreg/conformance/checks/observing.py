"""Watching the modules of a model while it runs: who is called how, and who runs in between."""

from __future__ import annotations

import inspect
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["Turns", "called_directly"]


@contextmanager
def called_directly(model: torch.nn.Module) -> Iterator[dict[str, str]]:
    """Collect, while the model runs, which modules' `forward` is called other than by calling the module.

    Yields:
        The name of each such module → `file:line` of the call, filled as it happens.
    """
    found: dict[str, str] = {}
    announced: Counter[int] = Counter()
    undo: list[Callable[[], None]] = []
    try:
        for name, module in model.named_modules():
            undo += _watch(module, name, announced, found)
        yield found
    finally:
        for each in undo:
            each()


def _watch(
    module: torch.nn.Module, name: str, announced: Counter[int], found: dict[str, str]
) -> list[Callable[[], None]]:
    own = vars(module).get("forward")
    forward = module.forward

    def announce(called: torch.nn.Module, args: Any) -> None:
        announced[id(called)] += 1

    def watched(*args: Any, **kwargs: Any) -> Any:
        if announced[id(module)]:
            announced[id(module)] -= 1
        else:
            frame = sys._getframe(1)
            found.setdefault(name, f"{frame.f_code.co_filename}:{frame.f_lineno}")
        return forward(*args, **kwargs)

    # Some models ask their parts for the arguments of `forward`.
    watched.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]  # what functools.wraps sets too
    handle = module.register_forward_pre_hook(announce)
    module.forward = watched
    return [handle.remove, lambda: _restore(module, own)]


def _restore(module: torch.nn.Module, own: Any) -> None:
    if own is None:
        del module.forward
    else:
        module.forward = own


class Turns:
    """Two threads that take turns at every submodule, so that they surely run in between each other.

    Left to themselves two passes of a tiny model rarely meet: the interpreter switches threads every 5 ms.
    """

    def __init__(self, patience: float = 5.0) -> None:
        self._patience = patience
        self._condition = threading.Condition()
        self._running: list[int] = []
        self._turn = 0
        self.switches = 0

    def run(self, model: torch.nn.Module, *works: Callable[[], Any]) -> list[Any]:
        """Run the works, each in a thread of its own, and return what each returns; the first error is raised."""
        results: list[Any] = [None] * len(works)
        errors: list[BaseException] = []

        def body(index: int) -> None:
            try:
                self._wait(index)
                results[index] = works[index]()
            except BaseException as error:
                errors.append(error)
            finally:
                self._leave(index)

        self._running = list(range(len(works)))
        threads = [threading.Thread(target=body, args=(index,), name=f"turn-{index}") for index in range(len(works))]
        handles = [module.register_forward_pre_hook(self._pass_on) for module in model.modules()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for handle in handles:
            handle.remove()
        if errors:
            raise errors[0]
        return results

    def _pass_on(self, module: torch.nn.Module, args: Any) -> None:
        """Give the turn to the next thread, and wait for one's own."""
        index = int(threading.current_thread().name.removeprefix("turn-"))
        with self._condition:
            self._turn = self._after(index)
            self.switches += self._turn != index
            self._condition.notify_all()
        self._wait(index)

    def _wait(self, index: int) -> None:
        # One that holds a lock of the model's meanwhile makes the other's turn pass unused: no reason to hang.
        with self._condition:
            self._condition.wait_for(lambda: self._turn == index, timeout=self._patience)

    def _leave(self, index: int) -> None:
        with self._condition:
            self._turn = self._after(index)
            self._running.remove(index)
            self._condition.notify_all()

    def _after(self, index: int) -> int:
        later = [each for each in self._running if each > index]
        return (later or self._running)[0]

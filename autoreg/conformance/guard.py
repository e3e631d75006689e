"""The process around a check: set up so that defects show, and watched for what a check leaves behind."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import io
import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import IO, Any

import torch
import transformers

__all__ = ["captured", "changed", "prepare", "reseed", "seed_torch", "state", "strict"]


def prepare(output: IO[bytes]) -> None:
    """Make this process, a child of its own, deterministic and unforgiving; what it writes goes to the file."""
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    faulthandler.enable(output)
    strict()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # Tiny objects by the thousand: collecting takes longer than the checks, and the process is short-lived.
    gc.disable()


def strict() -> None:
    """Let torch compute the same every time, on one thread, and show what reads memory that nobody wrote."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Memory that nobody wrote reads as NaN: garbage that happens to be zero would pass now and then.
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]  # untyped module


def seed_torch(seed: int) -> None:
    """Set the seed of torch's generator for the CPU: `torch.manual_seed` takes a millisecond, most of it for CUDA."""
    torch.default_generator.manual_seed(seed)


def reseed(seed: int) -> None:
    """Set the seeds of every generator that models draw from."""
    random.seed(seed)
    seed_torch(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed)


def state() -> Mapping[str, Any]:
    """Return the settings of the process that no model may change, by the name that a message uses."""
    return {
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "whether gradients are recorded": torch.is_grad_enabled(),
        "torch's number of threads": torch.get_num_threads(),
        "whether torch is deterministic": torch.are_deterministic_algorithms_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "the current directory": os.getcwd(),
        "the environment": dict(os.environ),
        "sys.path": tuple(sys.path),
        "the recursion limit": sys.getrecursionlimit(),
    }


def changed(before: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that are no longer what `state` returned before."""
    return [name for name, value in state().items() if before[name] != value]


@contextlib.contextmanager
def captured() -> Iterator[io.StringIO]:
    """Collect what is printed, logged by transformers and warned inside the block."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logger = logging.getLogger("transformers")
    levels = logger.level, logger.propagate
    # In the place of transformers' own, which writes to whatever standard error was when it was imported.
    handlers, logger.handlers = logger.handlers, [handler]
    # `warning_once` keeps what it has said for the process; a later check must see it again.
    transformers.utils.logging.warning_once.cache_clear()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), warnings.catch_warnings():
        warnings.simplefilter("always")
        try:
            yield text
        finally:
            logger.handlers = handlers
            if logger.level != levels[0]:  # setting it empties the caches of every logger there is
                logger.setLevel(levels[0])
            logger.propagate = levels[1]

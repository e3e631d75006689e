"""One trial: build a model from a config and run it, on the CPU and offline."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_module_registration_hook

from autoreg.conformance.guard import seed_torch

_SILENT = 50  # `logging.CRITICAL`

__all__ = ["Outcome", "build", "offline", "quiet", "run"]


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Let nothing be downloaded: some models fetch their parts when they are built.

    `HF_HUB_OFFLINE` is read once, when huggingface_hub is imported; its constant is what is asked later.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what models have to say about configs that nobody will use."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity(_SILENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of building or of running a model: the model or its outputs, or an error, and how far it got.

    Attributes:
        outputs: what came out.
        error: what stopped it.
        modules: how many modules were put in place, or finished: the further, the better what was tried.
    """

    outputs: Any = None
    error: Exception | None = None
    modules: int = 0


def build(model_class: Any, config: Any, *, device: str = "cpu") -> Outcome:
    """Make the model in eval mode with random weights, the caller's random state untouched."""
    placed = 0

    def count(*_: object) -> None:
        nonlocal placed
        placed += 1

    hook = register_module_module_registration_hook(count)
    try:
        with torch.random.fork_rng(devices=[]), torch.device(device):
            seed_torch(0)
            # What `AutoModel.from_config` ends in; the constructor alone would not resolve the attention.
            make = model_class._from_config if device == "cpu" else model_class
            return Outcome(outputs=make(copy.deepcopy(config)).eval(), modules=placed)
    except Exception as error:  # whatever a stranger's class raises
        return Outcome(error=error, modules=placed)
    finally:
        hook.remove()


def run(model: Any, inputs: Mapping[str, Any]) -> Outcome:
    """Run the model on a copy of the inputs, without gradients; errors are part of the outcome."""
    finished = 0

    def count(*_: object) -> None:
        nonlocal finished
        finished += 1

    hook = register_module_forward_hook(count)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            seed_torch(0)
            return Outcome(outputs=model(**copy.deepcopy(dict(inputs))), modules=finished)
    except Exception as error:  # whatever a stranger's model raises is what the search reads
        return Outcome(error=error, modules=finished)
    finally:
        hook.remove()

"""One trial: build a model from a config and run it, on the CPU and offline."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch

__all__ = ["build", "offline", "run"]


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
    logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)


def build(model_class: Any, config: Any, *, device: str = "cpu") -> Any:
    """Return the model in eval mode with random weights, the caller's random state untouched."""
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(0)
        # What `AutoModel.from_config` ends in; the constructor alone would not resolve the attention.
        return model_class._from_config(copy.deepcopy(config)).eval()


def run(model: Any, inputs: Mapping[str, Any]) -> Any:
    """Return the outputs for a copy of the inputs, without gradients."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return model(**copy.deepcopy(dict(inputs)))

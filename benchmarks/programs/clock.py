"""A clock that starts when torch and transformers' PreTrainedModel are imported, and stops at the loaded model.

Importing this module imports them. Every process that loads a model pays for that, whoever finds the
model's class; what comes after is what ways of finding it differ in.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import torch  # noqa: F401  it is what the clock does not count
from transformers import PreTrainedModel  # noqa: F401  likewise


def until_loaded(load: Callable[[str], Any]) -> None:
    """Call `load` with the checkpoint of the command line; print the model's class, then wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    model = load(sys.argv[1])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(type(model).__name__, wall, cpu)

"""Time warm `from_pretrained` calls in turns in one process: through autoreg, and by transformers alone.

Plain means plain: RetNet is registered by hand before autoreg is used, and autoreg's bridge is taken out
of transformers for each plain call, so that what the bridge costs is counted on autoreg's side only.
An untimed call precedes each timed one, because taking the bridge out and in empties its memory.
Prints the seconds of each pair as JSON.
"""

import gc
import json
import sys
import time

import transformers
from autoreg_retnet import RetNetConfig, RetNetForCausalLM
from transformers.utils import logging

import autoreg
from autoreg import runtime


def seconds(auto_class: type, folder: str) -> float:
    """Load once untimed and once timed; collect garbage outside the clock, and let the model go after it."""
    auto_class.from_pretrained(folder)
    gc.collect()
    start = time.perf_counter()
    model = auto_class.from_pretrained(folder)
    taken = time.perf_counter() - start
    del model
    return taken


def through_autoreg(folder: str) -> float:
    """Return the seconds of a call of `autoreg.AutoModelForCausalLM`."""
    return seconds(autoreg.AutoModelForCausalLM, folder)


def by_transformers(folder: str) -> float:
    """Return the seconds of a call of `transformers.AutoModelForCausalLM` without the bridge."""
    known = runtime.current()
    known.suspend()
    try:
        return seconds(transformers.AutoModelForCausalLM, folder)
    finally:
        known.resume()


def main(folder: str, pairs: int) -> None:
    """Print the seconds of so many pairs of calls."""
    logging.disable_progress_bar()
    transformers.AutoConfig.register("retnet", RetNetConfig)
    transformers.AutoModelForCausalLM.register(RetNetConfig, RetNetForCausalLM)
    through_autoreg(folder)
    taken: dict[str, list[float]] = {"autoreg": [], "plain": []}
    sides = [("autoreg", through_autoreg), ("plain", by_transformers)]
    for _ in range(pairs):
        for name, load in sides:
            taken[name].append(load(folder))
        sides.reverse()
    print(json.dumps(taken))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

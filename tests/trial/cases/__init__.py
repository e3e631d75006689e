"""The cases, by group."""

from __future__ import annotations

from tests.trial.case import Case
from tests.trial.cases import auto_map, config, hub, pickles, plugins, saves, shards, threads, weights

__all__ = ["CASES"]

CASES: tuple[Case, ...] = (
    *config.CASES,
    *auto_map.CASES,
    *weights.CASES,
    *shards.CASES,
    *pickles.CASES,
    *saves.CASES,
    *threads.CASES,
    *plugins.CASES,
    *hub.CASES,
)

"""Further modalities: images, videos and sound beside a text that runs without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autoreg.conformance.derive import repair
from autoreg.conformance.derive.attempts import Attempt, Bench
from autoreg.conformance.derive.inputs.idle import idle
from autoreg.conformance.derive.inputs.plan import optional_modalities
from autoreg.conformance.derive.shrink import Change

__all__ = ["enrich"]


def enrich(bench: Bench, best: Attempt, changes: Mapping[str, Change]) -> Attempt:
    """Return an attempt with every modality with which the model runs, its config changed where that is needed."""
    assert best.plan is not None
    for name in optional_modalities(bench.model_class, best.plan):
        # A bench of its own: the attempts that are left for this must not depend on how hard the text was.
        side = replace(bench, plan=best.plan, adding=name, count=0, most=14, seconds=8)
        side.restart()
        found = repair.repair(side, best.values, changes)
        bench.count += side.count
        if found.runs and not _displaced(best, found):
            best = found
    return best


def _displaced(before: Attempt, after: Attempt) -> bool:
    """Say whether something counted before and counts for nothing now: sound in the place of the text, say."""
    assert before.plan is not None
    assert after.plan is not None
    lost = idle(after.model, after.config, after.plan) & before.plan.forms.keys()
    return bool(lost - idle(before.model, before.config, before.plan))

"""Without what a model takes ready made: it would then look at nothing that it is made of."""

from __future__ import annotations

from typing import Any

from autoreg.conformance.derive.inputs.idle import idle
from autoreg.conformance.derive.inputs.plan import ASKED, Plan
from autoreg.conformance.derive.inputs.search import Found, search
from autoreg.conformance.derive.trial import run

__all__ = ["lean"]


def lean(model: Any, config: Any, plan: Plan) -> Plan:
    """Return the plan without an argument that the model asked for, where another counts for something without it.

    The codes of a sound, say, which a model makes itself of the sound, or takes as they are and makes none.
    """
    unread = idle(model, config, plan)
    for name in [name for name in plan.forms if plan.reasons.get(name) == ASKED] if unread else ():
        found = search(model, config, plan.without(name), runs=25, seconds=2, never=frozenset({name}))
        if found.outcome.error is None and _better(model, config, found, than=plan, unread=unread - {name}):
            return lean(model, config, found.plan)
    return plan


def _better(model: Any, config: Any, found: Found, *, than: Plan, unread: frozenset[str]) -> bool:
    """Say whether what was unread is read now, or at least more of the model runs: an empty codebook reads nothing."""
    before = run(model, than.make(config))
    return found.outcome.modules > before.modules or not unread <= idle(model, config, found.plan)

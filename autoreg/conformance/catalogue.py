"""Every check there is: autoreg's own, and those that plugins bring; as values, and as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from autoreg.conformance.check import LEVELS, Check, as_check
from autoreg.conformance.checks import standard
from autoreg.conformance.outcome import Outcome
from autoreg.discovery import Broken, contributed_checks
from autoreg.errors import AutoregError

__all__ = ["BROKEN", "Catalogue", "catalogue", "page"]

BROKEN = "suite.checks"
"""The id under which a plugin's checks are reported that cannot be used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """What the suite can run.

    Attributes:
        checks: autoreg's own in the order in which they are reported, then those of plugins.
        broken: an `error` for each check, or plugin with checks, that cannot be used.
    """

    checks: tuple[Check, ...]
    broken: tuple[Outcome, ...] = ()


def catalogue(path: Sequence[str] | None = None) -> Catalogue:
    """Return autoreg's checks and those of the plugins in the entry-point group `autoreg.checks`.

    A plugin that cannot be used, or whose check has the id of another, leaves an outcome in `broken`: a suite that
    somebody relies on does not become smaller in silence.
    """
    own = standard()
    taken = {check.id: "autoreg" for check in own}
    found: list[Check] = []
    broken: list[Outcome] = []
    for each in contributed_checks(path):
        if isinstance(each, Broken):
            broken.append(_error(str(each.error), each.offer.distribution))
            continue
        for answer in _made(each.values, each.offer.owner, taken):
            if isinstance(answer, Check):
                found.append(answer)
            else:
                broken.append(_error(f"{each.offer.owner} ({each.offer.location}): {answer}", each.offer.distribution))
    return Catalogue(checks=(*own, *found), broken=tuple(broken))


def _made(values: Iterable[object], owner: str, taken: dict[str, str]) -> Iterator[Check | str]:
    """Yield each value as a check, or why it cannot be one."""
    for value in values:
        try:
            made = as_check(value, owner)
        except AutoregError as error:
            yield str(error)
            continue
        if made.id in taken:
            yield f"its check {made.id!r} has the id of one of {taken[made.id]}'s; give it another"
        else:
            taken[made.id] = owner
            yield made


def _error(reason: str, distribution: str) -> Outcome:
    return Outcome(check=BROKEN, level="loads", subject=distribution, verdict="error", reason=reason)


# --- the page ----------------------------------------------------------------------------------

_HEAD = """\
# The checks

<!-- Written by `autoreg check --list --markdown docs/author/checks.md`: change the docstrings and run it again. -->

{count} checks, {fast} of them fast. A check runs once for each model class, or once for the architecture, and only
where the class has the capabilities in its column *needs*; otherwise it is *not applicable*, with the reason. The ones
marked *slow* run with `--slow`. How to run them is [another page](conformance.md).
"""


def page(checks: Sequence[Check]) -> str:
    """Return the documentation's page of these checks, in Markdown."""
    fast = sum(check.cost == "fast" for check in checks)
    parts = [_HEAD.format(count=len(checks), fast=fast)]
    for level in LEVELS:
        listed = [check for check in checks if check.level == level]
        if listed:
            parts += [f"## {level.capitalize()}\n", _table(listed), *map(_section, listed)]
    return "\n".join(parts)


def _table(checks: Iterable[Check]) -> str:
    rows = ["| check | property | once for | needs | cost |", "| --- | --- | --- | --- | --- |"]
    for check in checks:
        # The anchors are those that the documentation's tool makes of a heading.
        link = f"[`{check.id}`](#{check.id.replace('.', '')})"
        needs = ", ".join(check.needs) or "none"
        rows.append(f"| {link} | {_cell(check.summary)} | {check.scope} | {needs} | {check.cost} |")
    return "\n".join([*rows, ""])


def _section(check: Check) -> str:
    return f"### `{check.id}`\n\n{check.summary}\n\n- **Hurts**: {check.hurts}\n- **Change**: {check.change}\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

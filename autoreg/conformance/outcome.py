"""What came of a run, as values: verdicts, outcomes, the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from autoreg.conformance.check import Cost, Level

__all__ = ["GREEN", "VERDICTS", "Capability", "ClassFacts", "Outcome", "Report", "Verdict"]

Verdict: TypeAlias = Literal["passed", "failed", "error", "not applicable", "expected failure", "vacuous", "upstream"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
GREEN: frozenset[Verdict] = frozenset({"passed", "not applicable", "expected failure", "upstream"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Capability:
    """Something that an architecture can or cannot do, and how that is known.

    Attributes:
        name: `cache`, `sdpa`, `generation`, …
        value: whether it can.
        source: `inferred` from the classes, `declared` by hints, or `contradicted`: declared, and the
            classes say otherwise.
        why: what it was inferred from.
    """

    name: str
    value: bool
    source: Literal["inferred", "declared", "contradicted"]
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassFacts:
    """What was derived for one model class, for `--explain-subject` and the reports.

    Attributes:
        name, file, line: the class and where it is defined.
        auto_classes: the Auto classes under which it is registered: its role.
        parameters: how many numbers the tiny model has.
        fields: `(path, default, tiny value, why)` of each config field that was changed or had to be kept.
        inputs: `(name, shape and dtype, why)` of each argument of `forward`.
        capabilities: what it can do.
        problem: why nothing could be derived; empty where it could.
    """

    name: str
    file: str = ""
    line: int = 0
    auto_classes: tuple[str, ...] = ()
    parameters: int = 0
    fields: tuple[tuple[str, str, str, str], ...] = ()
    inputs: tuple[tuple[str, str, str], ...] = ()
    capabilities: tuple[Capability, ...] = ()
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one check said of one class.

    Attributes:
        check: the check's id.
        level, cost: the check's.
        subject: the class's name; empty for a check of the whole architecture.
        verdict: see `VERDICTS`.
        reason: why, where the verdict is not `passed`: the failure as a sentence, why the check does not
            apply, why the failure was expected.
        compared, difference: what was compared, and the first difference.
        where: the class with file and line.
        hurts, change: why it matters and what to change; of a failure only.
        output: what was printed, logged and warned meanwhile, and the traceback of an error.
        notes: what the check has to say although it passed.
        comparisons: how many things were compared; a check that compared nothing is `vacuous`.
        seconds: how long it took.
    """

    check: str
    level: Level
    cost: Cost = "fast"
    subject: str = ""
    verdict: Verdict
    reason: str = ""
    compared: str = ""
    difference: str = ""
    where: str = ""
    hurts: str = ""
    change: str = ""
    output: str = ""
    notes: tuple[str, ...] = ()
    comparisons: int = 0
    seconds: float = 0.0

    @property
    def id(self) -> str:
        """The check and the class, as `--only`, `-k` and expected failures address it."""
        return f"{self.check}[{self.subject}]" if self.subject else self.check

    @property
    def green(self) -> bool:
        """Say whether the run may still be called conformant."""
        return self.verdict in GREEN


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """One run of the suite on one architecture.

    Attributes:
        model_type: the architecture.
        owner: the distribution and version that it comes from.
        versions: of autoreg, transformers, torch, Python, by name.
        seed: what every random number was drawn from.
        selection: what was asked for: levels, costs, ids.
        classes: what was derived for each model class.
        outcomes: every check of every class, in the order of the registry.
        seconds: from the start of the command to the end of the last check.
    """

    model_type: str
    owner: str
    versions: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    selection: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[ClassFacts, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    seconds: float = 0.0

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many outcomes there are of each verdict, all verdicts named."""
        found = Counter(outcome.verdict for outcome in self.outcomes)
        return {verdict: found[verdict] for verdict in VERDICTS}

    @property
    def red(self) -> tuple[Outcome, ...]:
        """What stands against calling the architecture conformant."""
        return tuple(outcome for outcome in self.outcomes if not outcome.green)

    @property
    def conformant(self) -> bool:
        """Say whether every class could be derived, something passed, and nothing is red."""
        return not self.red and self.counts["passed"] > 0 and not any(facts.problem for facts in self.classes)

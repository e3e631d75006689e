"""One line of the results: two programs compared, or the time that autoreg adds to a call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.measure import Timings, interval

__all__ = ["Added", "Ratio", "spread"]


def spread(values: Sequence[float]) -> float:
    """Return the interquartile range as a fraction of the median: how noisy the machine was."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    return (ordered[-1 - quarter] - ordered[quarter]) / median(ordered)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """What autoreg takes in relation to something else.

    The value is measured ÷ baseline, and the target a maximum; with `faster` it is baseline ÷ measured
    ("so many times faster"), and the target a minimum. With a `floor`, the floor's time is taken off both.

    Attributes:
        case: the letter of the case.
        what: what is compared, for people.
        measured, baseline, floor: labels in `timings`.
        timings: all runs of the programs that took turns.
        target: what the ratio should be; None where the row is there for comparison only.
    """

    case: str
    what: str
    measured: str
    baseline: str
    timings: Timings
    floor: str = ""
    target: float | None = None
    faster: bool = False

    @property
    def rounds(self) -> int:
        """How often each program was timed."""
        return len(self.timings[self.measured])

    def walls(self, label: str) -> list[float]:
        """Return the wall-clock seconds of each run of a program."""
        return [sample.wall for sample in self.timings[label]]

    def _series(self, clock: str) -> list[list[float]]:
        labels = [self.measured, self.baseline, *([self.floor] if self.floor else [])]
        return [[getattr(sample, clock) for sample in self.timings[label]] for label in labels]

    def _value(self, seconds: list[float]) -> float:
        floor = seconds[2] if self.floor else 0.0
        measured, baseline = seconds[0] - floor, seconds[1] - floor
        over, under = (baseline, measured) if self.faster else (measured, baseline)
        if under > 0:
            return over / under
        # With a floor taken off, noise may leave nothing to divide by.
        return math.inf if over > 0 else 0.0

    def value(self, clock: str = "wall", summary: Callable[[list[float]], float] = median) -> float:
        """Return the ratio: of medians or of minima, of wall-clock (`"wall"`) or CPU (`"cpu"`) seconds."""
        return self._value([summary(column) for column in self._series(clock)])

    def bounds(self, clock: str = "wall") -> tuple[float, float]:
        """Return the 95 % interval of the ratio of medians."""
        return interval(self._series(clock), self._value)

    def verdict(self) -> str:
        """Return "met" or "missed", with "?" where the interval holds the target, so that noise may decide."""
        if self.target is None:
            return ""
        low, high = self.bounds()
        value = low if math.isinf(self.value()) else self.value()
        met = value >= self.target if self.faster else value <= self.target
        return ("met" if met else "missed") + ("?" if low < self.target < high else "")

    def as_json(self) -> dict[str, Any]:
        """Return the row with every run, for the record."""
        return {
            "case": self.case,
            "what": self.what,
            "measured": self.measured,
            "baseline": self.baseline,
            "floor": self.floor or None,
            "ratio_is": "baseline / measured" if self.faster else "measured / baseline",
            "ratio_of_medians": _finite(self.value()),
            "interval_95": [_finite(bound) for bound in self.bounds()],
            "ratio_of_minima": _finite(self.value(summary=min)),
            "ratio_of_cpu_medians": _finite(self.value("cpu")),
            "interval_95_cpu": [_finite(bound) for bound in self.bounds("cpu")],
            "target": self.target,
            "verdict": self.verdict(),
            "rounds": self.rounds,
            "spread": {label: spread(self.walls(label)) for label in self.timings},
            "seconds": {label: self.walls(label) for label in self.timings},
            "cpu_seconds": {label: [sample.cpu for sample in samples] for label, samples in self.timings.items()},
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """What autoreg adds to one call that plain transformers could do as well.

    Attributes:
        what: the model and its size.
        autoreg, plain: seconds of each call, in pairs taken in turns.
    """

    what: str
    autoreg: tuple[float, ...]
    plain: tuple[float, ...]

    @property
    def _differences(self) -> list[float]:
        return [ours - theirs for ours, theirs in zip(self.autoreg, self.plain, strict=True)]

    @property
    def added(self) -> float:
        """The median of the differences of the pairs, in seconds."""
        return median(self._differences)

    def bounds(self) -> tuple[float, float]:
        """Return the 95 % interval of `added`."""
        return interval([self._differences], lambda medians: medians[0])

    @property
    def allowed(self) -> float:
        """One millisecond, or one per cent of the plain call where that is more."""
        return max(0.001, 0.01 * median(self.plain))

    def verdict(self) -> str:
        """Return "met" or "missed", with "?" where the interval holds the target."""
        low, high = self.bounds()
        return ("met" if self.added <= self.allowed else "missed") + ("?" if low < self.allowed < high else "")

    def as_json(self) -> dict[str, Any]:
        """Return the row with every call, for the record."""
        return {
            "case": "e",
            "what": self.what,
            "added_seconds": self.added,
            "interval_95": list(self.bounds()),
            "allowed_seconds": self.allowed,
            "verdict": self.verdict(),
            "pairs": len(self.plain),
            "seconds": {"autoreg": list(self.autoreg), "plain": list(self.plain)},
        }


def _finite(value: float) -> float | None:
    """Return the number, or None where a difference of two times came out as nothing."""
    return value if math.isfinite(value) else None

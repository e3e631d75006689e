"""`pytest --autoreg NAME`, and the suite in a test file: one item for each check and class.

Every pytest run in an environment with autoreg imports this module; what is heavy waits until a suite is collected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from autoreg.conformance.catalogue import Catalogue
    from autoreg.conformance.check import Check, Level
    from autoreg.conformance.outcome import Outcome
    from autoreg.conformance.worker import Job, Worker

__all__ = ["CheckItem", "Conformance", "Suite", "conformance"]

_MARKERS = (
    "autoreg_loads: checks of the level `loads`",
    "autoreg_runs: checks of the level `runs`",
    "autoreg_scales: checks of the level `scales`",
    "autoreg_fast: checks that take well under a second",
    "autoreg_slow: checks that take longer; deselected without --autoreg-slow",
)
_PLUGIN = "autoreg-suites"


@dataclass(frozen=True, kw_only=True)
class Conformance:
    """A suite that is asked for: what `conformance` returns and pytest collects."""

    name: str
    native: bool = False
    level: Level = "scales"
    slow: bool = False
    seed: int = 0
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    without: Mapping[str, str] = field(default_factory=dict)


def conformance(
    name: str,
    *,
    level: Level = "scales",
    slow: bool = False,
    seed: int = 0,
    expected_failures: Mapping[str, str] | None = None,
    without: Mapping[str, str] | None = None,
) -> Conformance:
    """Return the suite of an architecture, to be given a test's name in a test file.

    Args:
        name: the model type; `native:bert` for one of transformers' own.
        level: the highest level: `loads`, `runs` or `scales`.
        slow: run slow checks without `--autoreg-slow` too.
        seed: what every random number is drawn from.
        expected_failures: by `"id"` or `"id[ClassName]"`, why it fails. Strict: one that passes is a failure.
        without: by id, why a standard check is left out; it is reported as skipped.
    """
    prefix, colon, rest = name.rpartition(":")
    return Conformance(
        name=rest if colon else name,
        native=prefix == "native",
        level=level,
        slow=slow,
        seed=seed,
        expected_failures=dict(expected_failures or {}),
        without=dict(without or {}),
    )


# --- what is collected -----------------------------------------------------------------------------


class Suite(pytest.Collector):
    """All checks of one architecture."""

    def __init__(self, *, asked: Conformance, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.asked = asked

    @cached_property
    def runs(self) -> _Runs:
        """What runs the checks."""
        suites: Any = self.config.pluginmanager.get_plugin(_PLUGIN)
        found: _Runs = suites.runs(self.asked)
        return found

    @cached_property
    def standard(self) -> frozenset[str]:
        """The ids of autoreg's own checks up to the level."""
        from autoreg.conformance.run import Selection

        upto = Selection(level=self.asked.level, slow=True)
        return frozenset(each.id for each in self.runs.catalogue.checks if not each.owner and upto.takes(each, ""))

    def collect(self) -> Iterator[pytest.Item]:
        """Yield an item for each check and class, in the order of the registry."""
        from autoreg.errors import AutoregError

        try:
            jobs, ready = self.runs.jobs(self.asked), self.runs.ready(self.asked)
        except (AutoregError, LookupError, ModuleNotFoundError, RuntimeError) as error:
            raise self.CollectError(str(error)) from error
        for problem in _not_left_out(self.asked, self.runs.catalogue.checks):
            raise self.CollectError(problem)
        for number, outcome in enumerate(ready, start=1):
            name = outcome.id if outcome.subject else f"{outcome.check}[{number}]"
            yield CheckItem.from_parent(self, name=name, ready=outcome)
        for job in jobs:
            assert job.check is not None  # only what is derived has none
            name = f"{job.check.id}[{job.subject}]" if job.subject else job.check.id
            yield CheckItem.from_parent(self, name=name, job=job)


def _not_left_out(asked: Conformance, checks: tuple[Check, ...]) -> Iterator[str]:
    """Yield what is wrong with what the suite leaves out."""
    known = {check.id for check in checks}
    for key, reason in asked.without.items():
        if key not in known:
            yield f"conformance({asked.name!r}, without=…) names {key!r}, which is no check; see `autoreg check --list`"
        elif not reason.strip():
            yield f"conformance({asked.name!r}, without=…) leaves out {key!r} and does not say why"


class CheckItem(pytest.Item):
    """One check of one class, or an outcome that stands already."""

    parent: Suite

    def __init__(self, *, job: Job | None = None, ready: Outcome | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.ready = ready
        check = job.check if job else None
        if check is not None:
            self.add_marker(f"autoreg_{check.level}")
            self.add_marker(f"autoreg_{check.cost}")

    @property
    def check(self) -> str:
        """The id of the check."""
        return self.name.partition("[")[0]

    @property
    def slow(self) -> bool:
        """Say whether it waits for --autoreg-slow."""
        costly = self.job is not None and self.job.check is not None and self.job.check.cost == "slow"
        return costly and not self.parent.asked.slow

    def runtest(self) -> None:
        """Run it in the suite's own process and take over the verdict."""
        why = self.parent.asked.without.get(self.check)
        if why is not None:
            self._tell("left out")
            pytest.skip(f"left out: {why}")
        outcome = self.ready or self.parent.runs.outcome(self.job, self.parent.asked)
        self._tell(outcome.verdict)
        if outcome.verdict == "not applicable":
            pytest.skip(outcome.reason)
        if outcome.verdict in ("expected failure", "upstream"):
            pytest.xfail(outcome.reason)
        if not outcome.green:
            raise _RedError(outcome)

    def _tell(self, verdict: str) -> None:
        # Reports of xdist's processes carry these home, where the summary is written.
        standard = self.parent.standard
        facts = {"suite": self.parent.name, "verdict": verdict, "standard": len(standard)}
        if self.check in standard:
            facts["check"] = self.check
        self.user_properties.extend((f"autoreg_{name}", value) for name, value in facts.items())

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any) -> Any:
        """Return the failure as the terminal report shows it: nobody is helped by the way that it came here."""
        error = excinfo.value
        return _Told(error.outcome) if isinstance(error, _RedError) else super().repr_failure(excinfo, *args)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return where it is and its title: there is no file."""
        return self.path, None, f"{self.parent.asked.name}: {self.name}"


class _RedError(Exception):
    """An outcome that is red."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class _Told:
    """What pytest shows of a failure: `toterminal`, and `reprcrash.message` in its short summary."""

    def __init__(self, outcome: Outcome) -> None:
        from autoreg.conformance.report.terminal import failure, plain

        self.text = plain(failure(outcome))
        self.reprcrash = SimpleNamespace(path="", lineno=0, message=outcome.reason)

    def __str__(self) -> str:
        return self.text

    def toterminal(self, tw: Any) -> None:
        tw.write(self.text)


# --- what runs it ----------------------------------------------------------------------------------


class _Runs:
    """The checks of one architecture with one seed, and the process in which they run."""

    def __init__(self, asked: Conformance) -> None:
        from autoreg import runtime
        from autoreg.conformance.catalogue import catalogue
        from autoreg.conformance.run import versions
        from autoreg.conformance.target import from_name, look_up, preload

        look_up(runtime.current(), asked.name, native=asked.native)
        preload()
        self.catalogue: Catalogue = catalogue()
        self._transformers = versions()["transformers"]
        self._seed = asked.seed
        self._target = partial(from_name, asked.name, native=asked.native)

    @cached_property
    def worker(self) -> Worker:
        """The process, started when somebody needs it."""
        from autoreg.conformance.worker import Worker

        return Worker(self._target, checks=self.catalogue.checks, seed=self._seed)

    def jobs(self, asked: Conformance) -> list[Job]:
        """Return what there is to run; slow checks among it."""
        from autoreg.conformance.run import Selection, jobs

        return jobs(self.catalogue.checks, self.worker.classes, Selection(level=asked.level, slow=True))

    def ready(self, asked: Conformance) -> list[Outcome]:
        """Return what is wrong before anything runs."""
        from autoreg.conformance.run import unmatched

        expected = self._expected(asked)
        return [*unmatched(expected, self.catalogue.checks, self.worker.classes), *self.catalogue.broken]

    def outcome(self, job: Job | None, asked: Conformance) -> Any:
        """Run one check and return its outcome in the light of what is expected."""
        from autoreg.conformance.run import judged

        assert job is not None  # an item without one has an outcome already
        found: Any = self.worker.run(job)
        return judged(found, self._expected(asked), self._transformers)

    def _expected(self, asked: Conformance) -> dict[str, str]:
        return {**self.worker.expected_failures, **asked.expected_failures}

    def close(self) -> None:
        """End the process."""
        worker = self.__dict__.pop("worker", None)
        if worker is not None:
            worker.close()


class _Suites:
    """The suites of one pytest process."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, bool, int], _Runs] = {}

    def runs(self, asked: Conformance) -> _Runs:
        """Return what runs this architecture's checks."""
        key = (asked.name, asked.native, asked.seed)
        if key not in self._runs:
            self._runs[key] = _Runs(asked)
        return self._runs[key]

    def close(self) -> None:
        """End every process."""
        for each in self._runs.values():
            each.close()


# --- pytest's hooks --------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("autoreg", "conformance of model architectures")
    group.addoption(
        "--autoreg",
        metavar="NAME",
        action="append",
        default=[],
        help="check this architecture (native:NAME for one of transformers' own), alone unless paths are given too",
    )
    group.addoption("--autoreg-slow", action="store_true", help="also the checks that take long")
    group.addoption(
        "--autoreg-level",
        choices=("loads", "runs", "scales"),
        default="scales",
        help="the highest level of --autoreg (default: scales)",
    )
    group.addoption("--autoreg-seed", type=int, default=0, help="what --autoreg draws random numbers from")


def pytest_configure(config: pytest.Config) -> None:
    """Say which markers there are."""
    for line in _MARKERS:
        config.addinivalue_line("markers", line)
    suites = _Suites()
    config.pluginmanager.register(suites, _PLUGIN)
    config.add_cleanup(suites.close)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Leave out the tests of the current directory where only architectures were asked for."""
    config = session.config
    if config.option.autoreg and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args[:] = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the items of `--autoreg`, before `-k` and `-m` look at them; take out what is slow."""
    for name in config.option.autoreg:
        level, seed = config.option.autoreg_level, config.option.autoreg_seed
        asked = conformance(name, level=level, seed=seed)
        suite = Suite.from_parent(session, name=name, nodeid=name, asked=asked)
        items.extend(item for item in session.genitems(suite) if isinstance(item, pytest.Item))
    slow = [item for item in items if isinstance(item, CheckItem) and item.slow]
    if slow and not config.option.autoreg_slow:
        config.hook.pytest_deselected(items=slow)
        left_out = set(slow)
        items[:] = [item for item in items if item not in left_out]


def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> Suite | None:
    """Collect a suite that stands in a test file under a test's name."""
    if isinstance(obj, Conformance) and collector.funcnamefilter(name):
        return Suite.from_parent(collector, name=name, asked=obj)
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Let a skipped check name its suite and not a line of this file."""
    report: pytest.TestReport = yield
    if isinstance(item, CheckItem) and report.skipped and isinstance(report.longrepr, tuple):
        # Without a line, which the terminal can do without.
        report.longrepr = (item.parent.nodeid, None, report.longrepr[2])  # type: ignore[assignment]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say for each suite how it went, how much of it ran, and how long that took."""
    suites: dict[str, list[tuple[dict[str, Any], float]]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            facts = dict(getattr(report, "user_properties", ()))
            if "autoreg_suite" in facts and report.when == "call":
                suites.setdefault(str(facts["autoreg_suite"]), []).append((facts, report.duration))
    if not suites:
        return
    terminalreporter.section("autoreg")
    for name, told in suites.items():
        verdicts = Counter(facts["autoreg_verdict"] for facts, _ in told)
        ran = {facts.get("autoreg_check") for facts, _ in told if facts["autoreg_verdict"] != "left out"} - {None}
        counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        total = told[0][0]["autoreg_standard"]
        seconds = sum(duration for _, duration in told)
        terminalreporter.line(f"{name}: {counts}; {len(ran)} of {total} standard checks; {seconds:.1f} s")

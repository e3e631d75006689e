"""The suite under pytest: what is collected, reported and refused, and what it costs those who do not use it."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import autoreg
from autoreg.conformance.catalogue import catalogue
from autoreg.conformance.target import preload
from tests.conformance.test_discovery_checks import install as install_checks
from tests.conformance.twins import all_twins, install

pytest_plugins = ("pytester",)

DROPOUT = "forward-dropout-in-eval"
Pytest = Callable[..., pytest.RunResult]

# A pytest inside of this one forgets the modules that it was the first to import, and torch must not be forgotten.
preload()
catalogue()


def loading() -> list[str]:
    """Return the options that load the plugin where the installed metadata does not name it yet."""
    known = {each.name for each in importlib.metadata.entry_points(group="pytest11")}
    return [] if "autoreg" in known else ["-p", "autoreg.pytest_plugin"]


@pytest.fixture
def run(pytester: pytest.Pytester, site: Path) -> Iterator[Pytest]:
    """Return pytest, in an empty folder and with the correct original installed."""
    install(site / "plugin")
    with pytest.MonkeyPatch.context() as patch, autoreg.isolated():
        patch.syspath_prepend(site / "plugin")

        def typed(*words: str) -> pytest.RunResult:
            options = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--strict-markers", *loading()]
            return pytester.runpytest_inprocess(*options, *words)

        yield typed


# --- what it refuses ------------------------------------------------------------------------------


def test_an_architecture_that_nobody_has_stops_the_collection(run: Pytest) -> None:
    """An unknown name is an error with suggestions, without a traceback."""
    result = run("--autoreg", "tidi", "--autoreg", "bert")
    result.stdout.fnmatch_lines(
        ["*ERROR collecting tidi*", "the model type 'tidi' is neither*", "'bert' is one of transformers' own: say *"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.assert_outcomes(errors=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("without={'generation.nothing': 'why'}", "*without=…) names 'generation.nothing', which is no check*"),
        ("without={'weights.roundtrip': ' '}", "*leaves out 'weights.roundtrip' and does not say why*"),
    ],
)
def test_a_check_is_left_out_for_a_reason_only(
    run: Pytest, pytester: pytest.Pytester, arguments: str, message: str
) -> None:
    """A suite that drops what does not exist, or drops without a reason, is not collected."""
    pytester.makepyfile(f"from autoreg.pytest_plugin import conformance\ntest_it = conformance('tidy', {arguments})")
    result = run()
    result.stdout.fnmatch_lines([message])
    result.assert_outcomes(errors=1)


def test_a_plugins_broken_checks_are_a_failing_item(run: Pytest, site: Path) -> None:
    """Checks that cannot be loaded fail the suite under the name of their distribution."""
    install_checks(site, "raise RuntimeError('boom')")
    result = run("--autoreg", "tidy", "-k", "suite")
    result.assert_outcomes(failed=1, deselected=len(collected(run, "--autoreg-slow")) - 1)
    result.stdout.fnmatch_lines(["*tidy: suite.checks?acme-checks?*", "*plugin acme-checks 1.0*"])


# --- what is collected ----------------------------------------------------------------------------


def collected(run: Pytest, *words: str) -> list[str]:
    lines = run("--autoreg", "tidy", "--collect-only", "-q", *words).outlines
    return [line for line in lines if line.startswith("tidy::")]


def test_an_empty_folder_is_enough(run: Pytest) -> None:
    """There is one item for each check and class, in the same order each time, with ids to address them by."""
    ids = collected(run)
    assert "tidy::config.roundtrip" in ids
    assert "tidy::weights.roundtrip[TidyForCausalLM]" in ids
    assert len(set(ids)) == len(ids)
    assert collected(run) == ids
    only = collected(run, "-k", "weights.roundtrip and CausalLM")
    assert only == ["tidy::weights.roundtrip[TidyForCausalLM]"]


def test_slow_checks_wait_to_be_asked_for(run: Pytest) -> None:
    """Without --autoreg-slow no slow check is selected; markers choose by level and cost."""
    slow = collected(run, "--autoreg-slow", "-m", "autoreg_slow")
    fast = collected(run, "--autoreg-slow", "-m", "autoreg_fast")
    assert sorted([*slow, *fast]) == sorted(collected(run, "--autoreg-slow"))
    assert sorted(fast) == sorted(collected(run))
    loads = collected(run, "--autoreg-slow", "-m", "autoreg_loads")
    assert loads == collected(run, "--autoreg-slow", "--autoreg-level", "loads")


def test_other_tests_run_when_their_path_is_given(run: Pytest, pytester: pytest.Pytester) -> None:
    """`--autoreg NAME` alone leaves the folder's tests out; with a path both are collected."""
    pytester.makepyfile("def test_other(): pass")
    words = ("--autoreg", "tidy", "-k", "config.roundtrip or other")
    assert run(*words).parseoutcomes()["passed"] == 1
    assert run(*words, ".").parseoutcomes()["passed"] == 2


# --- what is reported -----------------------------------------------------------------------------


def test_a_file_says_what_is_expected_and_left_out(run: Pytest, pytester: pytest.Pytester) -> None:
    """An expected failure that passes fails; what is left out is skipped with its reason; the last lines count."""
    pytester.makepyfile(
        """
        from autoreg.pytest_plugin import conformance

        test_conformance = conformance(
            "tidy",
            level="loads",
            expected_failures={"config.roundtrip": "not yet", "config.triproundt": "?"},
            without={"weights.roundtrip": "we trust it"},
        )
        """
    )
    result = run("-ra", "-k", "config.roundtrip or weights.roundtrip or suite")
    result.stdout.fnmatch_lines(
        [
            "*It was expected to fail (not yet) and passes: take 'config.roundtrip' out of the expected failures.",
            "test_conformance: *; 1 of * standard checks; * s",
            "SKIPPED *test_conformance: left out: we trust it",
        ]
    )
    assert "The expected failure 'config.triproundt' names no check" in result.stdout.str()
    assert result.parseoutcomes()["failed"] == 2
    assert result.parseoutcomes()["skipped"] == 3


def test_one_item_of_a_file_runs_alone(run: Pytest, pytester: pytest.Pytester) -> None:
    """The id that pytest prints is one that it takes."""
    pytester.makepyfile("from autoreg.pytest_plugin import conformance\ntest_it = conformance('tidy')")
    name = "test_one_item_of_a_file_runs_alone.py::test_it::config.roundtrip"
    result = run(name, "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"{name} PASSED*"])


def test_a_failure_is_the_reports_own(run: Pytest, site: Path) -> None:
    """A red check is shown as on the terminal, without a traceback of the suite's insides."""
    twin = next(each for each in all_twins() if each.name == DROPOUT)
    broken = install(site / "broken", twin)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(broken)
        result = run("--autoreg", "tidy", "-k", f"{twin.check} and {twin.on}", "-rf")
    result.assert_outcomes(failed=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(
        [
            f"* tidy: {twin.check}?{twin.on}? *",
            f"✗ {twin.check}  {twin.on}",
            "  change *",
            f"FAILED tidy::{twin.check}*",
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_what_does_not_apply_is_skipped_with_its_reason(run: Pytest) -> None:
    """A check whose capability the class lacks is a skip that says which."""
    result = run("--autoreg", "tidy", "-k", "SequenceClassification and generation", "-rs", "--autoreg-level", "runs")
    assert set(result.parseoutcomes()) <= {"passed", "skipped", "deselected"}
    assert re.search(r"^SKIPPED \[\d+\] tidy: generation: .+", result.stdout.str(), re.MULTILINE)


# --- in processes of their own --------------------------------------------------------------------


def test_xdist_collects_and_runs_the_same(run: Pytest, pytester: pytest.Pytester, site: Path) -> None:
    """With two processes every item runs once, and the summary counts all of them."""
    environment = pytest.MonkeyPatch()
    environment.setenv("PYTHONPATH", f"{site / 'plugin'}:{Path(autoreg.__file__).parents[1]}")
    words = ["-n", "2", "--autoreg", "tidy", "--autoreg-level", "loads", "-k", "config or roundtrip"]
    expected = len(collected(run, *words[4:]))
    try:
        result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *loading(), *words)
    finally:
        environment.undo()
    counts = result.parseoutcomes()
    assert counts["passed"] + counts.get("skipped", 0) == expected
    result.stdout.fnmatch_lines([f"tidy: {counts['passed']} passed*"])


def test_a_run_that_does_not_use_it_pays_nothing(pytester: pytest.Pytester) -> None:
    """Loaded and not asked for, the plugin imports neither torch nor transformers nor the suite."""
    pytester.makepyfile(
        """
        import sys

        def test_what_is_imported():
            assert "autoreg.pytest_plugin" in sys.modules
            heavy = {"torch", "transformers", "rich", "autoreg.conformance", "autoreg.runtime", "pluggy"}
            assert heavy & set(sys.modules) == {"pluggy"}
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider", *loading()).assert_outcomes(passed=1)

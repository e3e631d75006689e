"""Selections, expected failures and excuses: what the outcomes of checks mean together."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoreg.conformance.check import Check, as_check, check
from autoreg.conformance.outcome import ClassFacts, Outcome, Report
from autoreg.conformance.run import Selection, jobs, judged, run, unmatched
from autoreg.conformance.subject import Subject
from autoreg.conformance.upstream import Upstream, excused
from autoreg.errors import DeclarationError
from tests.conformance.twins import install, target_of


@check("topic.good", level="loads", scope="architecture")
def good(subject: Subject) -> None:
    """It is good.

    Hurts: nobody.

    Change: nothing.
    """
    subject.require(True, "")


@check("topic.bad", level="runs")
def bad(subject: Subject) -> None:
    """It is bad.

    Hurts: everybody.

    Change: everything.
    """
    subject.require(False, "It is bad", found="here")


@check("topic.dear", level="scales", cost="slow")
def dear(subject: Subject) -> None:
    """It is dear.

    Hurts: the purse.

    Change: the price.
    """
    subject.require(True, "")


CHECKS = (good, bad, dear)
FAILED = Outcome(check="topic.bad", level="runs", subject="AModel", verdict="failed", reason="It is bad")
PASSED = Outcome(check="topic.bad", level="runs", subject="AModel", verdict="passed")


def chosen(**details: object) -> list[str]:
    """Return the ids of what a selection runs on two classes."""
    found = jobs(CHECKS, ("AModel", "BModel"), Selection(**details))  # type: ignore[arg-type]
    return [f"{job.check.id if job.check else ''}[{job.subject}]" for job in found]


def test_a_check_of_the_architecture_runs_once_and_others_once_a_class() -> None:
    """The order is that of the registry, class by class; slow ones are left out."""
    assert chosen() == ["topic.good[]", "topic.bad[AModel]", "topic.bad[BModel]"]


def test_levels_costs_and_patterns_select() -> None:
    """A level includes those before it; a slow check runs when asked for, also by its name."""
    assert chosen(level="loads") == ["topic.good[]"]
    assert chosen(slow=True)[-2:] == ["topic.bad[BModel]", "topic.dear[BModel]"]
    assert chosen(only=("topic.dear",)) == ["topic.dear[AModel]", "topic.dear[BModel]"]
    assert chosen(only=("*[BModel]",)) == ["topic.bad[BModel]"]


def test_an_expected_failure_is_green_and_keeps_both_reasons() -> None:
    """It may be expected for one class or for all."""
    for key in ("topic.bad", "topic.bad[AModel]"):
        found = judged(FAILED, {key: "the paper says so"}, "5.23.0")
        assert (found.verdict, found.reason) == ("expected failure", "the paper says so (It is bad)")
    assert judged(FAILED, {"topic.bad[BModel]": "another class"}, "5.23.0") == FAILED


def test_an_expected_failure_that_passes_is_a_failure() -> None:
    """What is mended is taken off the list."""
    found = judged(PASSED, {"topic.bad": "old"}, "5.23.0")
    assert found.verdict == "failed"
    assert found.reason == ("It was expected to fail (old) and passes: take 'topic.bad' out of the expected failures.")


def test_an_expected_failure_names_a_check_and_has_a_reason() -> None:
    """A name that matches nothing and a reason of blanks are errors."""
    expected = {"topic.bda": "typo", "topic.bad": " ", "topic.good[AModel]": "of the architecture", "topic.dear": "x"}
    found = [outcome.reason for outcome in unmatched(expected, CHECKS, ("AModel",))]
    assert found == [
        "The expected failure 'topic.bda' names no check of this architecture (see `autoreg check --list`).",
        "The expected failure 'topic.bad' has no reason.",
        "The expected failure 'topic.good[AModel]' names no check of this architecture (see `autoreg check --list`).",
    ]


def test_an_excuse_counts_for_its_version_and_its_words_only() -> None:
    """Any other failure of the check stays red, and so does this one elsewhere."""
    entry = Upstream(
        check="topic.bad",
        versions=">=5.20,<5.24",
        pattern="is bad$",
        reference="BertModel",
        link="https://example.org/1",
        why="transformers does it.",
    )
    found = excused(FAILED, "5.23.0", [entry])
    assert found.verdict == "upstream"
    assert found.reason == "transformers does it. BertModel fails in the same way: https://example.org/1"
    assert excused(FAILED, "5.24.0", [entry]) is FAILED
    other = Outcome(check="topic.bad", level="runs", verdict="failed", reason="It is worse")
    assert excused(other, "5.23.0", [entry]) is other


def test_a_report_is_conformant_only_if_something_passed() -> None:
    """Nothing red is not enough."""
    empty = Report(model_type="tidy", owner="autoreg-tidy 1.0")
    assert not empty.conformant
    assert Report(model_type="tidy", owner="x", outcomes=(PASSED,)).conformant
    assert not Report(model_type="tidy", owner="x", outcomes=(PASSED, FAILED)).conformant
    underived = ClassFacts(name="AModel", problem="nothing fits")
    assert not Report(model_type="tidy", owner="x", outcomes=(PASSED,), classes=(underived,)).conformant


def test_a_run_reports_every_check_of_every_class(tmp_path: Path) -> None:
    """Two children share the work; the report is in the registry's order whoever was first."""
    seen: list[tuple[int, int]] = []
    report = run(
        target_of(install(tmp_path)),
        checks=CHECKS,
        selection=Selection(expected_failures={"topic.bad[TidyModel]": "known", "topic.none": "typo"}),
        progress=lambda answer, done, total: seen.append((done, total)),
    )
    assert (report.model_type, report.owner) == ("tidy", "autoreg-tidy 1.0")
    assert [facts.name for facts in report.classes] == [
        "TidyModel",
        "TidyForCausalLM",
        "TidyForSequenceClassification",
    ]
    assert [(outcome.id, outcome.verdict) for outcome in report.outcomes] == [
        ("topic.good", "passed"),
        ("topic.bad[TidyModel]", "expected failure"),
        ("topic.bad[TidyForCausalLM]", "failed"),
        ("topic.bad[TidyForSequenceClassification]", "failed"),
        ("suite.expected-failures", "error"),
    ]
    assert [done for done, _ in seen] == list(range(1, 8))
    assert {"python", "autoreg", "transformers", "torch"} <= set(report.versions)


# --- what a check is -------------------------------------------------------------------------------


def test_a_check_reads_its_docstring() -> None:
    """Property, harm and cure are one line each."""
    assert (bad.summary, bad.hurts, bad.change) == ("It is bad.", "everybody.", "everything.")
    assert (bad.topic, repr(bad)) == ("topic", "<Check topic.bad>")


@pytest.mark.parametrize("missing", ["Hurts", "Change"])
def test_a_check_tells_the_author_what_to_change(missing: str) -> None:
    """A docstring without its last parts is refused."""

    def lacking(subject: Subject) -> None: ...

    lacking.__doc__ = f"It is.\n\n{'Change' if missing == 'Hurts' else 'Hurts'}: x."
    with pytest.raises(DeclarationError, match=f"has a paragraph `{missing}:` for the author"):
        check("topic.lacking", level="runs")(lacking)


@pytest.mark.parametrize(("id", "level"), [("nodot", "runs"), ("Topic.upper", "runs"), ("topic.x", "flies")])
def test_nonsense_is_refused(id: str, level: str) -> None:  # noqa: A002 - what it is called everywhere
    """An id is `topic.property`, a level is one of three."""
    with pytest.raises(DeclarationError):
        Check(id=id, function=print, level=level, summary="", hurts="", change="")  # type: ignore[arg-type]


def test_a_function_of_another_distribution_becomes_a_check() -> None:
    """An organisation's own check is a plain function; its distribution is its topic."""

    def check_naming(subject: Subject) -> None:
        """Names follow the house rules."""

    made = as_check(check_naming, "acme-checks 2.0")
    assert (made.id, made.owner, made.summary) == (
        "acme-checks.naming",
        "acme-checks 2.0",
        "Names follow the house rules.",
    )
    assert as_check(bad, "acme-checks 2.0").owner == "acme-checks 2.0"
    with pytest.raises(DeclarationError, match="a function of the subject is needed"):
        as_check(3, "acme-checks 2.0")

"""A report as JUnit XML, which every CI system reads."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from autoreg.conformance.outcome import Outcome, Report
from autoreg.conformance.report import words

__all__ = ["to_junit"]

_SKIPPED = ("not applicable", "expected failure", "upstream")


def to_junit(report: Report) -> str:
    """Return the XML: one suite for each class and one for the architecture, one case for each check.

    What is not applicable, expected or transformers' own fault is a skipped case with its reason.
    """
    top = ET.Element("testsuites", {"name": f"autoreg check {report.model_type}", **_counts(report.outcomes)})
    top.set("time", f"{report.seconds:.3f}")
    for subject in dict.fromkeys(outcome.subject for outcome in report.outcomes):
        chosen = [outcome for outcome in report.outcomes if outcome.subject == subject]
        name = f"{report.model_type}.{subject}" if subject else report.model_type
        suite = ET.SubElement(top, "testsuite", {"name": name, **_counts(chosen)})
        suite.set("time", f"{sum(outcome.seconds for outcome in chosen):.3f}")
        properties = ET.SubElement(suite, "properties")
        for key, value in {**report.versions, "owner": report.owner, "seed": report.seed}.items():
            ET.SubElement(properties, "property", name=key, value=str(value))
        for outcome in chosen:
            _case(suite, name, outcome)
    ET.indent(top)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(top, encoding="unicode") + "\n"


def _counts(outcomes: Sequence[Outcome]) -> dict[str, str]:
    verdicts = [outcome.verdict for outcome in outcomes]
    return {
        "tests": str(len(verdicts)),
        "failures": str(sum(verdict in ("failed", "vacuous") for verdict in verdicts)),
        "errors": str(verdicts.count("error")),
        "skipped": str(sum(verdict in _SKIPPED for verdict in verdicts)),
    }


def _case(suite: ET.Element, name: str, outcome: Outcome) -> None:
    case = ET.SubElement(suite, "testcase", classname=name, name=outcome.check, time=f"{outcome.seconds:.3f}")
    reason = words.clean(outcome.reason)
    if outcome.verdict in _SKIPPED:
        ET.SubElement(case, "skipped", message=f"{outcome.verdict}: {reason}")
    elif not outcome.green:
        kind = "error" if outcome.verdict == "error" else "failure"
        told = ET.SubElement(case, kind, message=reason, type=outcome.verdict)
        told.text = "\n".join([reason, *(f"{key}: {text}" for key, text in words.facts(outcome))])
    said = "\n".join([*outcome.notes, outcome.output]).strip()
    if said:
        ET.SubElement(case, "system-out").text = words.clean(said)

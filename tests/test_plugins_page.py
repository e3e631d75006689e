"""The page on the plugins: whose fault a cell is, and how cells are counted."""

import pytest

from benchmarks.plugins.page import page
from benchmarks.plugins.triage import Known, cause, evidence

CELL = {"check": "config.kept", "level": "loads", "subject": "ZigzagModel", "difference": ""}
FAILED = {**CELL, "verdict": "failed", "reason": "Building ZigzagModel changes the config"}


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("zigzag-models: it writes into the config", "package"),
        ("transformers: configs are compared by the fields in the class body", "transformers"),
        ("capability: needs two GPUs", "capability"),
        ("nobody knows why", "open"),
        ("it is said: nobody knows why", "open"),
    ],
)
def test_the_reason_of_an_expected_failure_says_whose_fault_it_is(reason: str, kind: str) -> None:
    """An expected failure is blamed on what its reason begins with; without a name nobody is blamed."""
    assert cause("zigzag", {**CELL, "verdict": "expected failure", "reason": reason}).kind == kind


def test_a_red_cell_is_open_until_the_table_explains_it() -> None:
    """A failure that no entry explains is open; an entry for another check or class changes nothing."""
    known = Known(check="config.kept", pattern=r"^zigzag ZigzagModel: Building", kind="suite", why="a false alarm")
    assert cause("zigzag", FAILED).kind == "open"
    assert cause("zagzig", FAILED, [known]).kind == "open"
    assert cause("zigzag", {**FAILED, "check": "config.copies"}, [known]).kind == "open"
    assert (cause("zigzag", FAILED, [known]).kind, cause("zigzag", FAILED, [known]).why) == ("suite", "a false alarm")


def test_the_page_counts_by_level_and_names_what_is_not_green() -> None:
    """Each architecture has a row with its counts; what is red or expected is listed with its cause."""
    passed = {**CELL, "level": "runs", "verdict": "passed", "reason": ""}
    expected = {
        **CELL,
        "check": "config.copies",
        "verdict": "expected failure",
        "reason": "transformers: known (Two configs differ)",
    }
    facts = {"owner": "autoreg-zigzag 1.0", "versions": {"autoreg": "0.1", "torch": "2.13.0"}, "seconds": 3.2}
    report = {**facts, "name": "zigzag", "classes": ["ZigzagModel"], "cells": [FAILED, passed, expected]}
    text = page([report])
    assert "| `zigzag` | autoreg-zigzag 1.0 | 1 | 1 **red**, 1 expected | 1 passed | none | 3 |" in text
    assert "2 cells: 1 a defect of transformers, 1 not yet looked into." in text
    row = "| transformers: known | Two configs differ | 1 | `config.copies`; `ZigzagModel` |"
    head = "**autoreg-zigzag 1.0**\n\n| why | for example | cells | where |\n| --- | --- | ---: | --- |"
    assert f"### A defect of transformers\n\n{head}\n{row}" in text
    assert "Run with torch 2.13.0." in text


def test_of_many_checks_the_first_are_named_and_the_others_counted() -> None:
    """A cause of many cells names three checks and says how many more there are, and so for the classes."""
    cells = [
        {**FAILED, "check": f"config.{letter}", "subject": f"Zigzag{letter}", "reason": "same"} for letter in "edcba"
    ]
    facts = {"owner": "autoreg-zigzag 1.0", "versions": {"torch": "2.13.0"}, "seconds": 1.0}
    text = page([{**facts, "name": "zigzag", "classes": ["Zigzaga"], "cells": cells}])
    assert "| 5 | `config.a`, `config.b`, `config.c`, 2 more; `Zigzaga`, `Zigzagb`, `Zigzagc`, 2 more |" in text


def test_evidence_is_not_cut_within_a_name() -> None:
    """Long evidence ends before a name in backquotes that it would cut: the rest of the row would be code."""
    assert evidence({**FAILED, "reason": "`a_name` and `another`"}, longest=17) == "`a_name` and…"
    assert evidence({**FAILED, "reason": "`a_name` and `another`"}, longest=11) == "`a_name` an…"
    assert evidence({**FAILED, "reason": "`a_name`"}, longest=8) == "`a_name`"

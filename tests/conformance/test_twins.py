"""Every check notices the defect that it was made for, and nothing in the correct original."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoreg.conformance.checks import standard
from autoreg.conformance.outcome import Outcome
from autoreg.conformance.worker import Job, Worker
from tests.conformance.twins import Twin, all_twins, install, target_of

CHECKS = {check.id: check for check in standard()}
TWINS = all_twins()


def outcome(worker: Worker, check: str, on: str) -> Outcome:
    """Run one check of one class."""
    found = worker.run(Job(check=CHECKS[check], subject=on))
    assert isinstance(found, Outcome)
    return found


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """Return a worker on the correct original."""
    with Worker(target_of(install(tmp_path_factory.mktemp("original"))), checks=standard()) as worker:
        yield worker


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
def test_the_twin_is_caught_and_the_original_is_not(twin: Twin, original: Worker, tmp_path: Path) -> None:
    """The check fails on the twin with its message, and passes on the original."""
    with Worker(target_of(install(tmp_path, twin)), checks=standard()) as worker:
        found = outcome(worker, twin.check, twin.on)
    assert found.verdict == "failed", f"{found.verdict}: {found.reason}\n{found.output}"

    assert re.search(twin.message, f"{found.reason}\n{found.difference}\n{found.output}"), found.reason
    good = outcome(original, twin.check, twin.on)
    assert good.verdict == "passed", f"{good.verdict}: {good.reason}\n{good.output}"


def test_every_check_has_a_twin() -> None:
    """No check is there that was never seen to fail."""
    assert {check.id for check in standard()} - {twin.check for twin in TWINS} == set()


def test_names_are_told_apart() -> None:
    """Each check and each twin has a name of its own."""
    names = [check.id for check in standard()]
    assert len(set(names)) == len(names)
    assert len({twin.name for twin in TWINS}) == len(TWINS)

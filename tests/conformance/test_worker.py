"""The child that runs checks survives whatever a check or an architecture does, and says what it was."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from autoreg.conformance import worker as worker_module
from autoreg.conformance.check import Check
from autoreg.conformance.outcome import ClassFacts, Outcome
from autoreg.conformance.subject import Subject
from autoreg.conformance.worker import Job, Worker
from autoreg.errors import NotApplicableError
from tests.conformance.twins import Twin, install, target_of


def named(function: Callable[[Subject], None], **details: object) -> Check:
    """Return the function as a check."""
    words = {"summary": "A test's own.", "hurts": "It hurts.", "change": "Change it."}
    return Check(id=f"own.{function.__name__}", function=function, level="runs", **words, **details)  # type: ignore[arg-type]


def passes(subject: Subject) -> None:
    subject.same(1, 1, what="", compared="")
    subject.note("one and one")


def asserts(subject: Subject) -> None:
    assert 1 + 1 == 3, "arithmetic"


def finds(subject: Subject) -> None:
    subject.same(
        {"a": torch.tensor([[1.0, 2.0]])}, {"a": torch.tensor([[1.0, 3.0]])}, what="They differ", compared="two"
    )


def vacuous(subject: Subject) -> None:
    pass


def inapplicable(subject: Subject) -> None:
    raise NotApplicableError(reason="it is Tuesday")


def needs_text(subject: Subject) -> None:
    subject.require(True, "")


def raises(subject: Subject) -> None:
    subject.outputs(subject.model(), {"input_ids": "no tensor"})


def exits(subject: Subject) -> None:
    sys.exit(3)


def dies(subject: Subject) -> None:
    os.write(2, b"native words\n")
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(subject: Subject) -> None:
    time.sleep(60)


def leaks(subject: Subject) -> None:
    torch.set_default_dtype(torch.float64)
    subject.require(True, "")


def sees_the_leak(subject: Subject) -> None:
    subject.require(torch.get_default_dtype() == torch.float32, "the default dtype is not what it was")


def prints(subject: Subject) -> None:
    print("something said")  # noqa: T201 - what it is a test of
    subject.require(False, "It prints")


def garbage(subject: Subject) -> None:
    subject.require(torch.empty(4).isnan().all(), "memory that nobody wrote reads as numbers")


CHECKS = [
    named(each)
    for each in (
        passes, asserts, finds, vacuous, inapplicable, raises, exits, dies, hangs, leaks, sees_the_leak, prints, garbage
    )
]  # fmt: skip
CHECKS.append(named(needs_text, needs=("encoder_decoder",)))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """Return a worker on the correct original."""
    with Worker(target_of(install(tmp_path_factory.mktemp("original"))), checks=CHECKS) as made:
        yield made


def outcome(worker: Worker, name: str, on: str = "TidyModel") -> Outcome:
    """Run one of the checks above."""
    check = next(each for each in CHECKS if each.id == f"own.{name}")
    found = worker.run(Job(check=check, subject=on))
    assert isinstance(found, Outcome)
    return found


def test_a_pass_is_counted(worker: Worker) -> None:
    """A check that compared something and found nothing passes, with its notes."""
    found = outcome(worker, "passes")
    assert (found.verdict, found.comparisons, found.notes) == ("passed", 1, ("one and one",))


def test_a_check_that_compared_nothing_is_not_green(worker: Worker) -> None:
    """Silence is no success."""
    found = outcome(worker, "vacuous")
    assert (found.verdict, found.green) == ("vacuous", False)


def test_a_difference_is_told_with_its_place(worker: Worker) -> None:
    """A failure names tensor, index and both values, the class with file and line, and what to do."""
    found = outcome(worker, "finds")
    assert (found.verdict, found.reason, found.compared) == ("failed", "They differ", "two")
    assert found.difference == "a[0, 1]: 2 and 3 (1 of 2 numbers differ)"
    assert "tidy_plugin.modeling.TidyModel" in found.where
    assert "modeling.py:" in found.where
    assert (found.hurts, found.change) == ("It hurts.", "Change it.")


def test_a_bare_assert_is_a_failure(worker: Worker) -> None:
    """An organisation's own check may simply assert."""
    found = outcome(worker, "asserts")
    assert found.verdict == "failed"
    assert found.reason.startswith("arithmetic")


def test_what_does_not_apply_says_why(worker: Worker) -> None:
    """A check, or a capability that it needs, gives the reason."""
    assert (outcome(worker, "inapplicable").verdict, outcome(worker, "inapplicable").reason) == (
        "not applicable",
        "it is Tuesday",
    )
    assert outcome(worker, "needs_text").reason == "encoder_decoder: `is_encoder_decoder` is False"


def test_an_error_names_the_line_of_the_author(worker: Worker) -> None:
    """An error inside the model is red, and points into the author's file."""
    found = outcome(worker, "raises")
    assert found.verdict == "error"
    assert "modeling.py" in found.where
    assert "Traceback" in found.output


def test_leaving_is_an_error(worker: Worker) -> None:
    """SystemExit ends no suite."""
    assert outcome(worker, "exits").reason == "SystemExit: 3"


def test_a_death_is_an_error_and_the_next_check_runs(worker: Worker) -> None:
    """A child that is killed is replaced; its last words are kept."""
    found = outcome(worker, "dies")
    assert found.reason == "The check did not finish: the process ended (signal 9)."
    assert "native words" in found.output
    assert outcome(worker, "passes").verdict == "passed"


def test_a_check_that_hangs_is_ended(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is each check's own."""
    monkeypatch.setattr(worker_module, "LIMITS", {"fast": 1.0, "slow": 1.0})
    assert outcome(worker, "hangs").reason == "The check did not finish: it took longer than 1 seconds."
    assert outcome(worker, "passes").verdict == "passed"


def test_global_state_that_is_left_changed_is_a_failure_and_goes_no_further(worker: Worker) -> None:
    """The leak is named, and the next check runs in a process without it."""
    found = outcome(worker, "leaks")
    assert (found.verdict, found.reason) == (
        "failed",
        "Running it changed torch's default dtype for the whole process.",
    )
    assert outcome(worker, "sees_the_leak").verdict == "passed"


def test_what_is_printed_is_kept(worker: Worker) -> None:
    """Output belongs to the outcome, not to the terminal."""
    assert outcome(worker, "prints").output == "something said\n"


def test_memory_that_nobody_wrote_is_poisoned(worker: Worker) -> None:
    """Garbage that happens to be zero cannot pass."""
    assert outcome(worker, "garbage").verdict == "passed"


def test_what_was_derived_is_told(worker: Worker) -> None:
    """Fields, inputs and capabilities are there for the report."""
    facts = worker.run(Job(check=None, subject="TidyForCausalLM"))
    assert isinstance(facts, ClassFacts)
    assert facts.auto_classes == ("AutoModelForCausalLM",)
    can = {each.name: each.value for each in facts.capabilities}
    assert can["cache"]
    assert can["generation"]
    assert can["tied_weights"]
    assert not can["encoder_decoder"]
    assert {"input_ids", "attention_mask"} <= {name for name, _, _ in facts.inputs}


def test_an_architecture_that_ends_the_process_on_import(tmp_path: Path) -> None:
    """The error says so instead of hanging."""
    site = install(tmp_path)
    (site / "tidy_plugin" / "modeling.py").write_text("import os\nos._exit(7)\n")
    with pytest.raises(RuntimeError, match=r"importing the architecture ended the process \(exit code 7\)"):
        Worker(target_of(site), checks=CHECKS)


_SAYS = '"""Run the stack over ids or embeddings."""'
SLOW = Twin(
    name="worker-slow",
    defect="nothing can be derived in the time that there is",
    check="forward.deterministic",
    message="",
    patches=(("modeling.py", _SAYS, f"{_SAYS}\n        __import__('time').sleep(5)"),),
)


def test_a_class_that_is_too_slow_to_derive_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every later check of it, in another worker too, has the same outcome at once; one that needs no model runs."""
    monkeypatch.setattr(worker_module, "LIMITS", {"fast": 2.0, "slow": 2.0})
    reason = "Nothing could be derived: it took longer than 2 seconds"
    lost: dict[str, str] = {}
    target = target_of(install(tmp_path, SLOW))
    with Worker(target, checks=CHECKS, lost=lost) as first, Worker(target, checks=CHECKS, lost=lost) as second:
        assert outcome(first, "raises").reason.rstrip(".") == reason
        assert list(lost) == ["TidyModel"]
        start = time.perf_counter()
        again = [outcome(each, "raises") for each in (first, second)]
        assert time.perf_counter() - start < 2  # one derivation alone takes that long
        assert [(each.verdict, each.reason.rstrip(".")) for each in again] == [("error", reason)] * 2
        assert outcome(first, "passes").verdict == "passed"
        facts = second.run(Job(check=None, subject="TidyModel"))
        assert isinstance(facts, ClassFacts)
        assert "took longer than 2 seconds" in facts.problem

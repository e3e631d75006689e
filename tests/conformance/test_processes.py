"""The forked children of the slow checks answer, fail and end as they should."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from autoreg.conformance.checks.processes import joined, side_by_side


def test_answers_come_in_the_order_of_the_ranks() -> None:
    """Each child's answer stands at its rank, whoever was first."""

    def work(rank: int) -> int:
        time.sleep(0.05 * (1 - rank))
        return 10 * rank

    assert side_by_side(work, count=2) == [0, 10]


def test_an_error_of_a_child_is_raised_with_its_traceback() -> None:
    """The error of a child arrives as itself; what it said there is the cause; nobody waits for the others."""

    def work(rank: int) -> None:
        if rank:
            raise ValueError("no such head")
        time.sleep(60)

    start = time.monotonic()
    with pytest.raises(ValueError, match="no such head") as caught:
        side_by_side(work, count=2)
    assert "in work" in str(caught.value.__cause__)
    assert time.monotonic() - start < 30


def test_a_child_that_hangs_is_killed(tmp_path: Path) -> None:
    """After the limit the error says how long it was, and no child is left."""

    def work(rank: int) -> None:
        (tmp_path / "pid").write_text(str(os.getpid()))
        time.sleep(60)

    with pytest.raises(TimeoutError, match="longer than 1 s"):
        side_by_side(work, count=1, limit=1.0)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_child_that_dies_is_named() -> None:
    """A child that ends without an answer is an error, and not a hang."""
    with pytest.raises(RuntimeError, match="process 0 ended without a word"):
        side_by_side(lambda rank: os._exit(3), count=1)


def test_joined_children_form_a_group(tmp_path: Path) -> None:
    """They can add up their tensors; the parent joins no group and keeps its environment."""
    before = dict(os.environ)

    def work(rank: int) -> torch.Tensor:
        found = torch.full((2,), float(rank + 1))
        torch.distributed.all_reduce(found)
        return found

    assert [each.tolist() for each in joined(work, count=2, folder=tmp_path)] == [[3.0, 3.0], [3.0, 3.0]]
    assert not torch.distributed.is_initialized()
    assert dict(os.environ) == before

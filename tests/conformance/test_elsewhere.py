"""The device that is none computes what any other does, whichever way a model reads a value."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from autoreg.conformance.checks.elsewhere import Elsewhere, there

COUNTS = torch.tensor([2, 0, 3])


def expert(counts: torch.Tensor) -> torch.Tensor:
    """A module that is found by a name which a tensor is written into, as mixtures of experts do."""
    return {"expert_3": counts + 1}[f"expert_{counts[2]}"]


@pytest.mark.parametrize(
    "compute",
    [
        pytest.param(lambda counts: counts * counts[0].item(), id="item"),
        pytest.param(lambda counts: counts + counts.tolist()[2], id="tolist"),
        pytest.param(expert, id="in a text"),
        pytest.param(lambda counts: torch.tensor([counts[0], 7], device=counts.device), id="written out"),
        pytest.param(lambda counts: torch.arange(counts.sum(), device=counts.device), id="how many"),
        pytest.param(lambda counts: torch.full((2,), counts[2], device=counts.device), id="filled with one"),
        pytest.param(lambda counts: torch.linspace(0, counts[2], 4, device=counts.device), id="up to one"),
        pytest.param(lambda counts: counts[[2, 0]], id="a list as index"),
        pytest.param(lambda counts: torch.stack((counts, counts))[:, [0, 2, 1]], id="a list among indices"),
        pytest.param(lambda counts: torch.repeat_interleave(counts, counts), id="as often as they say"),
        pytest.param(lambda counts: counts + (1 if counts.max() > 2 else 0), id="a branch"),
    ],
)
def test_values_are_there(compute: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """What is computed from values that are read is the same as on the CPU, and is elsewhere itself."""
    with Elsewhere() as place:
        found = compute(there(COUNTS))
    assert not place.mixed
    assert found.device.type == "meta"
    assert found.tolist() == compute(COUNTS).tolist()


def test_a_list_is_set_where_it_says() -> None:
    counts = COUNTS.clone()
    with Elsewhere():
        away = there(counts)
        away[[0, 1]] = 9
    assert away.tolist() == [9, 9, 3]


@pytest.mark.parametrize(
    "compute",
    [
        pytest.param(lambda counts: counts + torch.arange(3), id="made on the CPU"),
        pytest.param(lambda counts: counts + torch.tensor([counts[0], 1, 2]), id="written out on the CPU"),
        pytest.param(lambda counts: COUNTS[counts.clamp(max=2)], id="a table on the CPU"),
    ],
)
def test_what_is_mixed_is_seen(compute: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """An operation on tensors of both devices is noted with this file's line."""
    with Elsewhere() as place:
        compute(there(COUNTS))
    assert place.mixed
    assert place.mixed[0][1] == __file__

"""What a constructor names and the model at hand has none of."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from autoreg.conformance.checks.parts import reads, roots, unbuilt


class Config:
    rate = 0.5


class Attention(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dropout = config.rate


class Narrow(Attention):
    pass


class Convolution(nn.Module):
    pass


class Stack(nn.Module):
    config_class = Config

    def __init__(self, config: Any, kinds: Sequence[str]) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Narrow(config) if each == "attention" else Convolution() for each in kinds])


class Head(nn.Module):
    config_class = Config

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.attention = Attention(config)


@pytest.mark.parametrize(("kinds", "expected"), [(["attention", "convolution"], set()), (["convolution"], {Narrow})])
def test_what_another_config_would_build_is_found(kinds: list[str], expected: set[type]) -> None:
    assert unbuilt(Stack(SimpleNamespace(rate=0.5), kinds), [Stack]) == expected


def test_other_classes_of_the_config_count_where_they_are_asked_for() -> None:
    model = Stack(SimpleNamespace(rate=0.5), ["convolution"])
    assert roots(model, [Config()]) == {Stack, Head}
    assert unbuilt(model, roots(model, [Config()])) == {Head, Attention, Narrow}


def test_a_base_class_reads_for_those_below_it() -> None:
    assert reads(Narrow, "rate")
    assert not reads(Convolution, "rate")

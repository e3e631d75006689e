"""Settings before saving and after loading: what JSON changes without a loss is no difference."""

from enum import Enum, IntEnum
from typing import Any

import pytest

from autoreg.conformance.fields import plain


class Filter(IntEnum):
    BICUBIC = 3


class Word(str, Enum):
    ONE = "one"


class Opaque(Enum):
    ONE = 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"size": (1, (2,))}, {"size": [1, [2]]}),
        ({"resample": Filter.BICUBIC}, {"resample": 3}),
        ([Word.ONE], ["one"]),
        (Opaque.ONE, Opaque.ONE),
        (True, True),
    ],
)
def test_what_json_keeps_is_the_same(value: Any, expected: Any) -> None:
    """Tuples become lists and members of int and str enumerations their values, of that type; nothing else changes."""
    assert plain(value) == expected
    inner = plain(value)["resample"] if isinstance(value, dict) and "resample" in value else 3
    assert type(inner) is int

"""What the tests of hosts share: activation, and a note of which host was seen doing what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version

import pytest

import autoreg

Seen = Callable[[str, str], None]


@pytest.fixture
def activated() -> Iterator[None]:
    """Activate during the test, for hosts that run in the process of the test."""
    with autoreg.isolated():
        autoreg.activate()
        yield


@pytest.fixture
def seen(record_property: Callable[[str, object], None]) -> Seen:
    """Return a function that notes, for `record.py`, a host's distribution and what was seen."""

    def note(distribution: str, what: str) -> None:
        record_property("host", f"{distribution} {version(distribution).partition('+')[0]}")
        record_property("seen", what)

    return note

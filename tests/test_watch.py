"""The watch that tells the bridge of imports."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from autoreg.bridge.watch import Watch

SLOW = f"""
from {__name__} import BEGUN, GO_ON
BEGUN.set()
finished = GO_ON.wait(60)
"""
BEGUN, GO_ON = threading.Event(), threading.Event()


@pytest.fixture
def watch(site: Path) -> Iterator[Watch]:
    watch = Watch()
    sys.meta_path.insert(0, watch)
    yield watch
    sys.meta_path.remove(watch)
    for name in ("watched_module", "watched_slow_module"):
        sys.modules.pop(name, None)


def test_it_tells_of_an_import_once_and_at_once(watch: Watch, site: Path) -> None:
    """The call comes when the module has been executed, once, and right away where it was imported before."""
    (site / "watched_module.py").write_text("value = 3")
    told: list[ModuleType] = []
    watch.when_imported("watched_module", told.append)
    assert told == []
    module = importlib.import_module("watched_module")
    assert told == [module]
    assert module.value == 3
    importlib.reload(module)
    assert told == [module]
    watch.when_imported("watched_module", told.append)
    assert told == [module, module]
    assert module.__loader__ is module.__spec__.loader


def test_an_import_that_fails_is_told_of_when_it_succeeds(watch: Watch, site: Path) -> None:
    """A module that raises is not told of; the next attempt that succeeds is."""
    told: list[ModuleType] = []
    watch.when_imported("watched_module", told.append)
    (site / "watched_module.py").write_text("1/0")
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("watched_module")
    assert told == []
    (site / "watched_module.py").write_text("value = 'longer than before'")
    importlib.invalidate_caches()
    assert importlib.import_module("watched_module") is told[0]


def test_it_catches_up_with_an_import_that_another_thread_had_begun(watch: Watch, site: Path) -> None:
    """An import under way when the watch began is told of by `catch_up`, and not before it has ended."""
    (site / "watched_slow_module.py").write_text(SLOW)
    thread = threading.Thread(target=importlib.import_module, args=["watched_slow_module"])
    thread.start()
    assert BEGUN.wait(60)
    told: list[ModuleType] = []
    watch.when_imported("watched_slow_module", told.append)
    watch.catch_up()
    assert told == []
    GO_ON.set()
    thread.join(60)
    watch.catch_up()
    assert [module.finished for module in told] == [True]

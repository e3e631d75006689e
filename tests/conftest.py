"""What every test may ask for: an environment of its own, and plugins to install into it."""

import os
import tempfile

# Before torch is imported: tiny products run an order of magnitude faster on one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before transformers is imported: what a checkpoint's code is copied to before it runs.
_MODULES = tempfile.TemporaryDirectory(prefix="autoreg-tests-modules-")
os.environ["HF_MODULES_CACHE"] = _MODULES.name

from collections.abc import Callable, Iterator  # noqa: E402 # the environment comes first
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

import autoreg  # noqa: E402
from autoreg.runtime import Runtime  # noqa: E402
from tests.plugin_maker import Plugin, write_plugin  # noqa: E402

pytest_plugins = ("tests.hub.fixtures",)


def pytest_unconfigure() -> None:
    """Remove the copies of the checkpoints' code."""
    _MODULES.cleanup()


MakePlugin = Callable[..., Plugin]


@pytest.fixture(autouse=True)
def _no_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own AUTOREG_* variables out of the tests."""
    for name in [name for name in os.environ if name.startswith("AUTOREG_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is on `sys.path`, as site-packages is."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def isolated(site: Path) -> Iterator[Runtime]:
    """Look at the environment afresh during the test, and put everything back after it."""
    with autoreg.isolated() as runtime:
        yield runtime


@pytest.fixture
def make_plugin(site: Path, isolated: Runtime) -> MakePlugin:
    """Return the function that installs a plugin for this test; `write_plugin` says how."""

    def make(model_type: str = "zigzag", **details: object) -> Plugin:
        return write_plugin(site, model_type, **details)

    return make

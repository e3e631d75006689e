"""Fixtures: the hub's repositories, a running hub, and the environment of a process that uses it."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.hub.server import Hub, serve

REPOSITORY = Path(__file__).parents[2]
_FOREIGN = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "AUTOREG_")


@pytest.fixture(scope="session")
def hub_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of repositories to serve: BERT, GPT-2 and BART, small, with random weights."""
    from tests.hub.checkpoints import make_hub  # imports torch and transformers: only where it is used

    return make_hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def hub(hub_root: Path) -> Iterator[Hub]:
    """Run a hub with an empty log, which answers to the old names of its repositories too."""
    from tests.hub.checkpoints import MOVED

    with serve(hub_root, moved=MOVED) as running:
        yield running


def environment(url: str, home: Path, *, offline: bool = False) -> Mapping[str, str]:
    """Return the environment of a process whose hub is at `url` and whose cache is under `home`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    return inherited | {
        "PYTHONPATH": path,
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": str(int(offline)),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "OMP_NUM_THREADS": "1",
    }

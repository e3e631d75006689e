"""An image processor with backends is checked where the library of one of them is not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoreg.conformance.outcome import Outcome
from autoreg.conformance.target import plugin_target
from autoreg.conformance.worker import Job, Worker
from autoreg.errors import PluginError
from autoreg.runtime import Runtime
from tests.conformance.test_twins import CHECKS
from tests.conformance.twins import Twin, install, target_of

pytest.importorskip("PIL")

PIL = """from transformers.image_processing_backends import PilBackend
from transformers.image_utils import PILImageResampling


class TidyImageProcessorPil(PilBackend):
    size = {"height": 4, "width": 4}
    do_resize = True
    resample = PILImageResampling.BICUBIC
"""
FORGETFUL = """
    def to_dict(self):
        return {**super().to_dict(), "size": {"height": 5, "width": 5}}
"""
DECLARED = """        image_processor={
            "pil": f"{__package__}.pil:TidyImageProcessorPil",
            "torchvision": f"{__package__}.fast:TidyImageProcessor",
        },
        tokenizer="""


def plugin(pil: str, fast: str) -> Twin:
    """Return the original with an image processor of two backends."""
    return Twin(
        name="backends",
        defect="",
        check="processing.roundtrip",
        message="",
        patches=(("plugin.py", "        tokenizer=", DECLARED), ("pil.py", "", pil), ("fast.py", "", fast)),
    )


def outcome(site: Path, twin: Twin) -> Outcome:
    """Return what the check of saving and loading says of the plugin."""
    with Worker(target_of(install(site, twin)), checks=list(CHECKS.values())) as worker:
        found = worker.run(Job(check=CHECKS[twin.check], subject=""))
    assert isinstance(found, Outcome)
    return found


def test_a_backend_without_its_library_is_passed_over(tmp_path: Path) -> None:
    """The other backend is checked, and comes through with the enum that transformers takes for resampling."""
    found = outcome(tmp_path, plugin(PIL, "import a_library_that_is_not_there\n"))
    assert (found.verdict, found.reason) == ("passed", "")


def test_the_backend_that_is_there_is_really_checked(tmp_path: Path) -> None:
    """A backend that writes another size than it has is caught."""
    found = outcome(tmp_path, plugin(PIL + FORGETFUL, "import a_library_that_is_not_there\n"))
    assert found.verdict == "failed"
    assert "image processor differs after saving and loading" in found.reason


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    # Every other test's copy of the original has this name too, and children are forked from this process.
    for name in [name for name in sys.modules if name.partition(".")[0] == "tidy_plugin"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("pil", "fast", "problem"),
    [
        (PIL, "from . import misspelt\n", "cannot import name 'misspelt'"),
        (PIL, "import tidy_plugin.misspelt\n", "No module named 'tidy_plugin.misspelt'"),
        ("import not_there\n", "import nor_there\n", "No module named 'nor_there'"),
    ],
)
def test_what_is_no_missing_library_is_the_plugins_fault(
    pil: str, fast: str, problem: str, site: Path, isolated: Runtime
) -> None:
    """A mistake in the module of a backend, or no backend at all, is the plugin's error."""
    install(site, plugin(pil, fast))
    with pytest.raises(PluginError, match=problem):
        plugin_target(isolated, "tidy")

"""The script that reproduces one check: the same failure on a twin, silence on the original."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from autoreg.cli import main
from tests.conformance.twins import Twin, all_twins, install
from tests.plugin_maker import REPOSITORY

DROPOUT = "forward-dropout-in-eval"


def twin(name: str) -> Twin:
    return next(each for each in all_twins() if each.name == name)


def run(script: Path, site: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, [site, REPOSITORY]))
    command = partial(subprocess.run, capture_output=True, text=True, check=False, timeout=120)
    return command([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": path})


@pytest.fixture
def tidy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Install the original, or the twin that the test names, and return its folder."""
    site = install(tmp_path / "site", twin(request.param) if request.param else None)
    monkeypatch.syspath_prepend(site)
    return site


@pytest.mark.parametrize("tidy", [DROPOUT], indirect=True)
def test_the_script_fails_as_the_check_does(tidy: Path, tmp_path: Path) -> None:
    """The script of a failing check ends with the same message, of the class on which the check fails."""
    import autoreg

    broken, script = twin(DROPOUT), tmp_path / "again.py"
    with autoreg.isolated():
        assert main(["check", "tidy", "--reproduce", broken.check, "--output", str(script)]) == 0
        report = tmp_path / "report.json"
        assert main(["check", "tidy", "--only", broken.check, "--json", str(report)]) == 1
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 30
    assert "from tidy_plugin.configuration import TidyConfig" in lines
    done = run(script, tidy)
    assert done.returncode == 1
    import json

    from autoreg.conformance.report.document import from_document

    outcome = from_document(json.loads(report.read_text())).red[0]
    assert f"MismatchError: {outcome.reason}" in done.stderr
    assert outcome.difference in done.stderr


@pytest.mark.parametrize("tidy", [""], indirect=True)
def test_the_script_is_silent_where_nothing_is_wrong(tidy: Path, tmp_path: Path) -> None:
    """On the original the same script says nothing and exits with 0."""
    import autoreg

    script = tmp_path / "again.py"
    with autoreg.isolated():
        assert main(["check", "tidy", "--reproduce", twin(DROPOUT).check, "--output", str(script)]) == 0
    done = run(script, tidy)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

"""The programs of this folder are what they claim to be, and the page that tells of them is up to date."""

import json
import re

import pytest

from tests.hosts_real.launching import PROGRAMS, RANKS, checkpoint, run
from tests.plugin_maker import REPOSITORY

HERE = PROGRAMS.parent
PAGE = REPOSITORY / "docs" / "user" / "hosts.md"
RECORD = REPOSITORY / "benchmarks" / "results" / "hosts.json"


@pytest.mark.parametrize("program", sorted(PROGRAMS.glob("*.py")), ids=lambda file: file.stem)
def test_the_programs_never_mention_autoreg(program):
    """A program of a host imports neither autoreg nor a plugin, nor names one."""
    assert not re.search("autoreg|retnet|gmlp", program.read_text(), re.IGNORECASE)


@pytest.mark.slow
def test_without_plugins_they_fail(tmp_path):
    """The same command without `autoreg run` ends in transformers' refusal, so that the other tests prove something."""
    done = run(*RANKS, PROGRAMS / "data_parallel.py", checkpoint("retnet"), tmp_path, cwd=tmp_path, plugins=False)
    assert done.returncode != 0
    assert "`retnet`" in done.stderr


def test_the_page_names_every_host():
    """Every file of tests is in the page's table, and no other."""
    files = {file.name for file in HERE.glob("test_*.py")} - {"test_programs.py"}
    assert set(re.findall(r"`(test_\w+\.py)`", PAGE.read_text())) == files


def test_the_page_states_the_recorded_versions():
    """The versions in the page are those of the last record, in which every test passed."""
    tests = json.loads(RECORD.read_text())["tests"]
    assert {each["outcome"] for each in tests} == {"passed"}
    page = PAGE.read_text()
    hosts = {each["host"] for each in tests if "host" in each}
    assert hosts
    assert [host for host in sorted(hosts) if "| {} | {} |".format(*host.split()) not in page] == []

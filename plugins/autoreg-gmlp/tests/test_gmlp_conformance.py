"""gMLP passes the whole conformance suite; with tiny attention it passes it as well."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from autoreg.pytest_plugin import conformance

test_conformance = conformance("gmlp")

_DECLARATION = """
from dataclasses import replace

from autoreg import hookimpl
from autoreg.conformance import Hints
from autoreg_gmlp import plugin

hints = Hints(config={"attention_head_dim": 8})


@hookimpl
def autoreg_architectures():
    for declared in plugin.autoreg_architectures():
        yield replace(declared, conformance="gmlp_with_attention:hints")
"""


@pytest.mark.slow
def test_tiny_attention_conforms(tmp_path: Path):
    """The suite is green on an aMLP too, which a second declaration of the same classes hints at."""
    (tmp_path / "gmlp_with_attention.py").write_text(_DECLARATION)
    metadata = tmp_path / "gmlp_with_attention-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: gmlp-with-attention\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[autoreg]\ngmlp = gmlp_with_attention\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "AUTOREG_DISABLE": "autoreg-gmlp"}
    same_names = "registration.class-names=the classes are those of autoreg-gmlp, which is installed"
    run = subprocess.run(
        [sys.executable, "-m", "autoreg", "check", "gmlp", "--expect", same_names],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "gmlp is conformant  gmlp-with-attention 1.0" in run.stdout
    assert "attentions" in run.stdout.partition("none ")[0]

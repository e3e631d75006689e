"""Programs that know nothing of autoreg, started as their users start them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

__all__ = ["PLUGINS", "PROGRAMS", "RANKS", "TRANSFORMERS", "checkpoint", "run", "start", "torchrun"]

PLUGINS = Path(__file__).parents[2] / "plugins"
PROGRAMS = Path(__file__).parent / "programs"
RANKS = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
"""What `torchrun --nproc-per-node=2` runs; the program follows."""
TRANSFORMERS = ("-m", "transformers.cli.transformers")
"""What the command `transformers` runs."""


def checkpoint(name: str) -> Path:
    """Return the trained checkpoint of the plugin `autoreg-NAME`; the test is skipped where that is not installed."""
    pytest.importorskip(f"autoreg_{name}", reason=f"install it: pip install -e plugins/autoreg-{name}")
    return PLUGINS / f"autoreg-{name}" / "checkpoint"


def _how(
    command: tuple[str | Path, ...],
    cwd: Path,
    *,
    plugins: bool = True,
    site: Path | None = None,
    offline: bool = True,
) -> dict[str, Any]:
    """Return the arguments of `Popen` for a Python command, started through `autoreg run` or plainly."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTOREG_")}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HOME": str(cwd / "hub"), "PYTHONUNBUFFERED": "1"}
    environment["HF_HUB_OFFLINE"] = str(int(offline))
    if not plugins:
        environment["AUTOREG_AUTOLOAD"] = "0"
    if site is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    through = [sys.executable, "-m", "autoreg", "run", "--"] if plugins else []
    return {
        "args": [*through, sys.executable, *map(str, command)],
        "env": environment,
        "cwd": cwd,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


def run(
    *command: str | Path,
    cwd: Path,
    plugins: bool = True,
    site: Path | None = None,
    offline: bool = True,
    typed: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a Python command, such as `-m lm_eval …`, through `autoreg run`, or without any plugin.

    Args:
        command: the arguments of the interpreter.
        cwd: where it runs, and where it may write.
        plugins: false for the control: the same command in plain Python.
        site: a folder of further installed packages.
        offline: false where the hub's client asks a server of this machine, which it refuses offline.
        typed: what it reads from its standard input.
    """
    how = _how(command, cwd, plugins=plugins, site=site, offline=offline)
    return subprocess.run(**how, input=typed, timeout=600, check=False)


def start(*command: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start a Python command through `autoreg run` and leave it running."""
    return subprocess.Popen(**_how(command, cwd), stdin=subprocess.DEVNULL)


def torchrun(program: str, *arguments: str | Path, cwd: Path, site: Path | None = None) -> None:
    """Run one of the programs on two ranks of this machine; its output is the failure if it fails."""
    done = run(*RANKS, PROGRAMS / f"{program}.py", *arguments, cwd=cwd, site=site)
    assert done.returncode == 0, done.stderr

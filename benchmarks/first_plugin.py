"""`python -m benchmarks.first_plugin`: a stranger's way from `pip install` to a plugin that is green, with a clock.

For each kind a new virtual environment and an empty folder. What is typed is what the tutorial tells and what
`autoreg new` prints, word for word; autoreg is a wheel of this checkout, everything else is what `constraints.txt`
says, and pip's cache is not used.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from autoreg import __version__
from autoreg.scaffold import KINDS
from benchmarks import report

__all__ = ["Step", "main"]

REPOSITORY = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "first_plugin.json"
_TUTORIAL = REPOSITORY / "docs" / "author" / "tutorial.md"
_LONGEST = 88  # characters of a line that are kept: pip names all that it installed


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One command: what was typed, how long it took, and the last line that it printed."""

    command: str
    seconds: float
    last: str

    def __str__(self) -> str:
        return f"$ {self.command}  # {self.seconds:.1f} s\n{self.last}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shell:
    """A new environment and the folder to work in, as one terminal."""

    folder: Path
    variables: Mapping[str, str]

    def type(self, command: str) -> tuple[Step, str]:
        """Run a command, which has to succeed; return what is kept of it and all that it printed.

        Raises:
            RuntimeError: it failed.
        """
        start = time.perf_counter()
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=self.variables, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - start
        if done.returncode != 0:
            said = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            raise RuntimeError(f"{command!r} ended with {done.returncode}:\n{said}")
        last = done.stdout.strip().rpartition("\n")[2].strip()
        kept = last if len(last) <= _LONGEST else f"{last[:_LONGEST]}…"
        return Step(command=command, seconds=round(seconds, 1), last=kept), done.stdout


def _wheel(folder: Path) -> None:
    """Put a wheel of this checkout, and what constrains pip to it, into a folder."""
    options = ("--disable-pip-version-check", "--quiet", "--no-deps", "--wheel-dir", str(folder))
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(REPOSITORY)], check=True)
    pins = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    (folder / "constraints.txt").write_text(f"{pins}autoreg=={__version__}\n", encoding="utf-8")


def _shell(folder: Path, wheels: Path) -> Shell:
    environment = folder / ".venv"
    venv.create(environment, with_pip=True)
    ours = ("AUTOREG_", "PYTHON", "HF_", "TRANSFORMERS_", "OMP_", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = os.pathsep.join([str(environment / "bin"), os.environ["PATH"]])
    pip = {
        "PIP_CONSTRAINT": str(wheels / "constraints.txt"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_FIND_LINKS": f"{os.environ.get('PIP_FIND_LINKS', '')} {wheels}",
        "PIP_NO_CACHE_DIR": "1",
    }
    return Shell(folder=folder, variables={**kept, **pip, "PATH": path, "VIRTUAL_ENV": str(environment)})


def _told() -> tuple[str, str]:
    """Return how the tutorial installs autoreg and makes a project: its first two commands."""
    block = re.search(r"```bash\n(pip install .*)\n(autoreg new .*)\n", _TUTORIAL.read_text(encoding="utf-8"))
    if block is None:
        raise RuntimeError(f"{_TUTORIAL} does not begin with `pip install` and `autoreg new`")
    return block[1], block[2]


def _way(shell: Shell, kind: str) -> Iterator[Step]:
    """Yield the steps of one kind, `pytest` last: it asks the same as `autoreg check`, one item a check."""
    install, new = _told()
    yield shell.type(install)[0]
    step, said = shell.type(f"{new} --kind {kind}")
    yield step
    for command in re.findall(r"^ +\d\. ((?:pip|autoreg) .*)$", said, re.MULTILINE):
        yield shell.type(command)[0]
    project = re.search(r"--editable \"(.+)\[test\]\"", said)
    yield shell.type(f"cd {project[1] if project else '.'} && pytest")[0]


def _play(kinds: Sequence[str], console: Console) -> dict[str, list[Step]]:
    found = {}
    with tempfile.TemporaryDirectory(prefix="autoreg-first-") as name, console.status("building a wheel") as status:
        scratch = Path(name)
        _wheel(scratch)
        for kind in kinds:
            folder = scratch / kind
            folder.mkdir()
            status.update(f"{kind}: a new environment")
            shell, found[kind] = _shell(folder, scratch), []
            for step in _way(shell, kind):
                status.update(f"{kind}: after {step.command}")
                console.print(str(step), highlight=False, markup=False, soft_wrap=True)
                found[kind].append(step)
    return found


def _table(found: Mapping[str, Sequence[Step]]) -> Table:
    """Return the seconds of each step, and those from `pip install` to green: all but those of `pytest`."""
    columns = ("pip install", "autoreg new", "pip install -e", "autoreg check", "together", "pytest")
    table = Table("seconds", *columns, box=None)
    table.columns[0].min_width = max(map(len, found))
    for kind, steps in found.items():
        *way, again = (step.seconds for step in steps)
        table.add_row(kind, *(f"{seconds:.1f}" for seconds in (*way, sum(way), again)))
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Go the way of each kind, print the seconds and write the transcripts as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_plugin", description=__doc__)
    parser.add_argument("--kinds", nargs="*", choices=tuple(KINDS), default=("decoder", "vision", "time-series"))
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE")
    options = parser.parse_args(arguments)
    console = Console()
    facts = report.machine()
    found = _play(options.kinds, console)
    console.print(_table(found))
    steps = {kind: [asdict(step) for step in way] for kind, way in found.items()}
    result = {"machine": facts, "kinds": steps}
    options.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

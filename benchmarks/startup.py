"""What an armed Python costs at its start: bare, under `autoreg run`, and with autoreg-autoload, in turns.

    python -m benchmarks.startup [--rounds N]

The three run `python -c pass` in virtual environments that differ by nothing else; so do the three that then import
transformers, which shows what activating adds to that.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from statistics import median

from autoreg.autoload import folder as armed_folder
from benchmarks.measure import Program, Timings, interleave, interval

AUTOLOAD = Path(__file__).parents[1] / "plugins" / "autoreg-autoload"
WORK = {"start": "pass", "start and import transformers": "import transformers"}


def environments(folder: Path) -> tuple[Path, Path]:
    """Return the interpreters of two environments that see what this one has; the second has autoreg-autoload too."""
    pythons = []
    for name in ("bare", "autoload"):
        venv.create(folder / name, with_pip=False, symlinks=True)
        site = next((folder / name).glob("lib*/python*/site-packages"))
        here = sysconfig.get_path("purelib")
        (site / "_everything_else.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        pythons.append(folder / name / "bin" / "python")
    for file in ("autoreg_autoload.py", "autoreg-autoload.pth", "autoreg-autoload.start"):
        shutil.copy(AUTOLOAD / file, site)
    return pythons[0], pythons[1]


def programs(folder: Path) -> list[list[Program]]:
    """Return what is compared: for each work, bare, run and autoload."""
    bare, autoload = environments(folder)
    rows = []
    for work, source in WORK.items():
        ways = {"bare": (bare, ()), "autoreg run": (bare, (Path(armed_folder()),)), "autoload": (autoload, ())}
        rows.append(
            [
                Program(label=f"{work}: {way}", command=(str(python), "-c", source), path=path)
                for way, (python, path) in ways.items()
            ]
        )
    return rows


def table(timings: Timings) -> None:
    """Print the median, what is added to bare and the ratio with its 95 % interval, in wall-clock and in CPU time."""
    bare, *_ = timings
    for clock in ("wall", "cpu"):
        series = {label: [getattr(sample, clock) for sample in samples] for label, samples in timings.items()}
        base = median(series[bare])
        for label, taken in series.items():
            low, high = interval([taken, series[bare]], lambda medians: medians[0] / medians[1])
            added = 1000 * (median(taken) - base)
            print(
                f"{label:45} {clock:4} {1000 * median(taken):8.1f} ms {added:+7.1f} ms"
                f"  x {median(taken) / base:.3f} ({low:.3f} to {high:.3f})"
            )


def main() -> None:
    """Time both works and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    print(f"Python {sys.version.partition(' ')[0]}, {rounds} rounds")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for row, share in zip(programs(folder), (1, 4), strict=True):
            table(interleave(row, rounds=max(rounds // share, 2), folder=folder, tick=lambda _: None))


if __name__ == "__main__":
    main()

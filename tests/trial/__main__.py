"""`python -m tests.trial [--group G] [--case ID] [--face F] [--everyday] [--ablations] [--write]`: the trial.

Every case on plain transformers and on autoreg, side by side; with `--ablations` autoreg again, each guarantee switched
off for its cases. Exits with 1 where a case ends otherwise than rightly with autoreg and is not listed as open, or an
ablation changes nothing. `--write` writes the page in docs/contributor, `--json FILE` the rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.faults.tracer import available
from tests.trial.case import Case
from tests.trial.runner import Row, Run, by_face, workshop

PAGE = Path(__file__).parents[2] / "docs" / "contributor" / "trial.md"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--group", action="append", default=[])
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--face", choices=("plain", "autoreg"), action="append", default=[])
    parser.add_argument("--everyday", action="store_true")
    parser.add_argument("--ablations", action="store_true")
    parser.add_argument("--only-ablations", action="store_true")
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def chosen(cases: Sequence[Case], arguments: argparse.Namespace) -> list[Case]:
    """Return the cases that were asked for."""
    return [
        case
        for case in cases
        if (not arguments.group or case.group in arguments.group)
        and (not arguments.case or case.id in arguments.case)
        and (not arguments.everyday or case.everyday)
    ]


def runs_of(cases: Sequence[Case], arguments: argparse.Namespace) -> list[Run]:
    """Return what is to be run: every case on every face, and the ablations."""
    faces = arguments.face or ["plain", "autoreg"]
    runs = [] if arguments.only_ablations else [Run(case.id, face) for face in faces for case in cases]
    if arguments.ablations or arguments.only_ablations:
        runs += [Run(case.id, "autoreg", case.guarantee) for case in cases if case.guarantee]
    return runs


def main() -> int:
    """Run, print, and say by the exit code whether everything ended as it should."""
    arguments = _arguments()
    with workshop() as root:
        from tests.trial import page
        from tests.trial.cases import CASES
        from tests.trial.cases.saves import TRACED

        cases = chosen(CASES, arguments)
        if not available():
            cases = [case for case in cases if case.id not in TRACED]
            sys.stdout.write(f"processes cannot be traced here, so these are left out: {', '.join(sorted(TRACED))}\n")

        def tell(row: Row) -> None:
            without = f" without {row.run.without}" if row.run.without else ""
            remark = " ".join(row.remark.split())[:300]
            sys.stdout.write(f"{row.run.face:8}{row.outcome:8}{row.run.case}{without}: {remark}\n")
            if arguments.trace and row.trace:
                sys.stdout.write(row.trace + "\n")
            sys.stdout.flush()

        rows = by_face(root, CASES, runs_of(cases, arguments), tell=tell)
        problems = page.problems(cases, rows)
        sys.stdout.write("\n".join(["", *page.totals(rows), "", *problems, ""]))
        if arguments.write:
            head = PAGE.read_text(encoding="utf-8").partition("<!-- table -->")[0]
            PAGE.write_text("\n".join([f"{head}<!-- table -->", "", *page.tables(cases, rows), ""]), encoding="utf-8")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

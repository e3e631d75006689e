"""`autoreg new`: a plugin project to begin with, and what to do next."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from autoreg.cli import show as screen

if TYPE_CHECKING:
    from autoreg.runtime import Runtime
    from autoreg.scaffold import Made

__all__ = ["add_arguments", "new"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    from autoreg.scaffold.kinds import KINDS

    parser.add_argument("name", metavar="NAME", help="the model type: what config.json will say")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--kind", choices=tuple(KINDS), default="decoder", help="of what kind (default: decoder)")
    which.add_argument(
        "--from", dest="existing", metavar="MODULE:CLASS", default="", help="declare a model that a package has already"
    )
    parser.add_argument("--output", metavar="FOLDER", default="", help="the project's folder (default: ./autoreg-NAME)")


def new(_: Runtime, options: argparse.Namespace) -> int:
    """Depth: metadata; with --from: classes. Nothing is overwritten."""
    from autoreg import __version__
    from autoreg.scaffold import declaring
    from autoreg.scaffold import new as make

    where = {"folder": options.output, "version": __version__}
    if options.existing:
        made = declaring(options.name, options.existing, **where)
    else:
        made = make(options.name, options.kind, **where)
    if options.json:
        screen.json(asdict(made))
        return 0
    folder = os.path.relpath(made.folder)
    kind = made.kind or f"declares {options.existing.partition(':')[0]}"
    screen.card(f"{made.distribution}  {kind}, in {folder}", list(made.files.items()))
    screen.say(_next(made, folder))
    return 0


def _next(made: Made, folder: str) -> str:
    package = os.path.join(folder, made.package)
    first = "change" if made.kind else "look at"
    what = os.path.join(package, f"modeling_{made.package[8:]}.py" if made.kind else "plugin.py")
    return "\n".join(
        [
            "It works as it is. Next:",
            f'  1. pip install --editable "{folder}[test]"',
            f"  2. autoreg check {made.model_type}",
            f"  3. {first} {what}, and check again",
            "  4. choose a licence",
        ]
    )

"""`autoreg run`: any program, with plugins active in it and in every Python process that it starts."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoreg.runtime import Runtime

__all__ = ["add_arguments", "run"]

_NOT_FOUND, _NOT_RUNNABLE = 127, 126  # as with `env COMMAND`, and in a shell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    # One argument that takes all the rest: what follows COMMAND is its own, whatever it looks like.
    parser.add_argument("program", metavar="COMMAND", nargs=argparse.REMAINDER, help="a program and its arguments")
    parser.usage = "autoreg run [-h] -- COMMAND ..."


def run(_: Runtime, options: argparse.Namespace) -> int:
    """Depth: metadata. The exit code is COMMAND's; 127 if it is not found, 126 if it cannot be run, 2 without one."""
    from autoreg.autoload import launch

    command = options.program[1:] if options.program[:1] == ["--"] else options.program
    if not command:
        print("autoreg: run needs a COMMAND, such as: autoreg run -- python program.py", file=sys.stderr)
        return 2
    try:
        return launch(command)
    except OSError as error:
        print(f"autoreg: cannot run {command[0]}: {error.strerror or error}", file=sys.stderr)
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUNNABLE

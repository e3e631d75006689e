"""Commands: text, JSON, exit codes. Knows nothing else.

argparse and not typer: `autoreg list` is run by people who wait for it, and typer alone costs more than
the whole command. rich draws tables on a terminal only; in a pipe there are tab-separated lines.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from autoreg.cli import adopt, check, commands, handover, inspect, lock, new, run, verify
from autoreg.errors import AutoregError, AutoregWarning

if TYPE_CHECKING:
    from autoreg.runtime import Runtime

__all__ = ["main", "parser"]

_EPILOG = """\
exit codes:
  0  all is well
  1  something is broken: a plugin, an environment, a checkpoint that would not
     load; a check that is red
  2  the command line was not understood
  n  of `autoreg run`: whatever the program ended with

environment variables: AUTOREG_PREFER, AUTOREG_DISABLE, AUTOREG_ONLY, AUTOREG_STRICT,
AUTOREG_HANDOVER, AUTOREG_AUTOLOAD
"""


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar; the documentation is generated from it."""
    top = argparse.ArgumentParser(
        prog="autoreg",
        description="Model architectures as ordinary Python packages: what is installed, and who owns what.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="store_true", help="print autoreg's version and exit")
    subcommands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    listing = _command(subcommands, "list", commands.list_installed, "list the architectures that plugins declare")
    listing.add_argument(
        "--declared", action="store_true", help="load every declaration: show classes, find broken plugins"
    )
    showing = _command(subcommands, "show", commands.show, "show one declaration, its classes and where it comes from")
    showing.add_argument("model_type", metavar="MODEL_TYPE")
    reasons = _command(subcommands, "why", commands.why, "explain how a look-up would end, before anything runs")
    reasons.add_argument("subject", metavar="CHECKPOINT|MODEL_TYPE", help="a folder, a hub id, or a model type")
    doctor = _command(subcommands, "doctor", commands.doctor, "report what is wrong in this environment, and the cure")
    doctor.add_argument("--classes", action="store_true", help="import every declared class too (loads torch)")
    text = "run the conformance suite: does an architecture behave as its users may expect"
    check.add_arguments(_command(subcommands, "check", check.check, text, json=False))
    text = "compare a checkpoint's files with its manifest, or write the manifest"
    verify.add_arguments(_command(subcommands, "verify", verify.verify, text))
    text = "show what a checkpoint holds and which package it needs, loading nothing"
    inspect.add_arguments(_command(subcommands, "inspect", inspect.inspect, text))
    text = "make a plugin project of a checkpoint that needs its own code, without running it"
    adopt.add_arguments(_command(subcommands, "adopt", adopt.adopt, text))
    text = "write down which package owns each model type here, or compare"
    lock.add_arguments(_command(subcommands, "lock", lock.lock, text, json=False))
    text = "compare a plugin's architecture with transformers' own of the same model type"
    handover.add_arguments(_command(subcommands, "handover", handover.handover, text))
    text = "write a new plugin project: a small model that works, to be changed"
    new.add_arguments(_command(subcommands, "new", new.new, text))
    text = "start any program with plugins active in it and in every Python process that it starts"
    run.add_arguments(_command(subcommands, "run", run.run, text, json=False))
    return top


def _command(
    group: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[Runtime, argparse.Namespace], int],
    text: str,
    *,
    json: bool = True,
) -> argparse.ArgumentParser:
    made = group.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=run.__doc__)
    if json:
        made.add_argument("--json", action="store_true", help="print JSON instead of text")
    made.set_defaults(run=run)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    grammar = parser()
    options = grammar.parse_args(arguments)
    if options.version:
        from autoreg import __version__

        print(f"autoreg {__version__}")
        return 0
    if options.command is None:
        grammar.print_help()
        return 2
    try:
        return _run(options)
    except AutoregError as error:
        print(f"autoreg: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `autoreg list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(options: argparse.Namespace) -> int:
    from autoreg import runtime

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", AutoregWarning)
        code: int = options.run(runtime.current(), options)
    # doctor has found, and cured, what other commands can only warn of
    for warning in caught if options.command != "doctor" else ():
        print(f"warning: {warning.message}", file=sys.stderr)
    return code

"""`autoreg handover`: a plugin's architecture beside transformers' own of the same model type, and a verdict."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from autoreg.cli import show as screen
from autoreg.errors import SaveError

if TYPE_CHECKING:
    from autoreg.runtime import Runtime
    from autoreg.verdicts import Verdict

__all__ = ["add_arguments", "handover"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("model_type", metavar="MODEL_TYPE")
    add("--distribution", metavar="NAME", default="", help="which plugin, where several declare it")
    add("--tokenizer", metavar="FOLDER", default="", help="a checkpoint from which both tokenizers are loaded")
    add("--output", metavar="FILE", default="", help="where the verdict is written to (default: nowhere)")


def handover(runtime: Runtime, options: argparse.Namespace) -> int:
    """Depth: classes. Nothing is overwritten. Exit code 1 where the two differ."""
    from autoreg.handover import compare, offer_of
    from autoreg.verdicts import DIFFERENT

    if options.output and os.path.lexists(options.output):
        advice = "Name another file with --output, or remove it."
        raise SaveError(file=options.output, problem="it exists already; nothing was written.", advice=advice)
    try:
        offer = offer_of(runtime, options.model_type, options.distribution)
    except LookupError as error:
        screen.say(f"{error.args[0]}.")
        return 1
    verdict, findings = compare(runtime, offer, tokenizer=options.tokenizer)
    if options.output:
        _write(options.output, verdict)
    if options.json:
        screen.json(asdict(verdict))
    else:
        screen.card(
            f"{verdict.model_type}: {verdict.verdict}",
            [
                ("plugin", f"{offer.owner} (verdict for {verdict.versions})"),
                ("transformers", f"{runtime.transformers_version} (verdict for {verdict.transformers})"),
                *((f"{each.part} {_MARK[each.agrees]}", f"{each.about}: {each.detail}") for each in findings),
                *((f"rename {ours}", f"to {theirs}") for ours, theirs in verdict.key_map.items()),
            ],
        )
        screen.say(_next(verdict, options.output))
    return 1 if verdict.verdict == DIFFERENT else 0


_MARK = {True: "=", False: "≠", None: "·"}


def _write(file: str, verdict: Verdict) -> None:
    from autoreg.verdicts import written

    try:
        with open(file, "x", encoding="utf-8") as stream:
            stream.write(written(verdict))
    except OSError as error:
        problem = f"it cannot be written ({error.strerror or error})."
        raise SaveError(file=file, problem=problem, advice="Name another file with --output.") from error


def _next(verdict: Verdict, file: str) -> str:
    from autoreg.verdicts import EQUIVALENT

    winner, field = "the plugin", "overrides_native"
    if verdict.verdict == EQUIVALENT:
        winner, field = "transformers' own", "hands_over"
    how = f'AUTOREG_HANDOVER="{file}"' if file else "a file (--output FILE) that AUTOREG_HANDOVER names"
    return (
        f"With {how}, {winner} has {verdict.model_type!r} in these releases;\n"
        f'with {field}="{verdict.transformers}" in the declaration, for everybody who installs the plugin.'
    )

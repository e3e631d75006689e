"""`autoreg adopt`: a checkpoint that brings its own code into a plugin project, and what to do next."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from autoreg.cli import show as screen

if TYPE_CHECKING:
    from autoreg.adopt import Adopted
    from autoreg.runtime import Runtime

__all__ = ["add_arguments", "adopt"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="a folder, or the id of a repository in the hub's cache")
    add("--output", metavar="FOLDER", default="", help="the project's folder (default: ./autoreg-<model type>)")
    add("--revision", metavar="REVISION", default="", help="of a repository, which one; of a folder, which one it is")
    add("--repository", metavar="ID", default="", help="of a folder: the repository that it is a copy of")


def adopt(runtime: Runtime, options: argparse.Namespace) -> int:
    """Depth: metadata. Nothing of the checkpoint is run, nothing is downloaded, nothing is overwritten."""
    from autoreg import __version__
    from autoreg.adopt import adopt as make

    made = make(
        options.checkpoint,
        folder=options.output,
        repository=options.repository,
        revision=options.revision,
        version=__version__,
    )
    if options.json:
        screen.json(asdict(made))
        return 0
    folder = os.path.relpath(made.folder)
    screen.card(
        f"{made.distribution}  in {folder}",
        [
            ("model type", made.model_type),
            ("code from", made.origin),
            *(("copied", f"{path}  sha256:{digest[:16]}…") for path, digest in made.files.items()),
            *(("to look at", f"{kind}: {count}") for kind, count in sorted(made.findings.items())),
        ],
    )
    for text in made.mend:
        screen.finding("error", "to mend", text, "")
    for text in [*made.notes, *_declared_already(runtime, made)]:
        screen.finding("warning", "note", text, "")
    screen.say(_next(made, folder, options.checkpoint))
    return 0


def _declared_already(runtime: Runtime, made: Adopted) -> list[str]:
    offers = (offer for offer, _ in runtime.types.choose(made.model_type).candidates)
    return [f"{offer.owner} is installed and declares {made.model_type!r} too." for offer in offers]


def _next(made: Adopted, folder: str, checkpoint: str) -> str:
    review = os.path.join(folder, "REVIEW.md")
    return "\n".join(
        [
            "Nothing of it was run. Next:",
            f"  1. read {review}, and the code: once it is installed, it runs as any package's does",
            f"  2. pip install --editable {folder}",
            f"  3. autoreg check {made.model_type}",
            f"  4. load {checkpoint} without trust_remote_code",
        ]
    )

"""`autoreg lock`: write down who owns each model type here, or compare with what was written down."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from autoreg.checkpoint import disk
from autoreg.checkpoint import lock as locks
from autoreg.cli import show as screen
from autoreg.discovery import CLAIMS, Offer, metadata_file
from autoreg.errors import CheckpointError

if TYPE_CHECKING:
    from autoreg.architecture import Architecture
    from autoreg.runtime import Runtime

__all__ = ["add_arguments", "lock"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--check", action="store_true", help="compare with the lock and write nothing")
    parser.add_argument("path", metavar="PATH", nargs="?", default=locks.NAME, help=f"the lock (default: {locks.NAME})")
    parser.set_defaults(complain=parser.error)


def lock(runtime: Runtime, options: argparse.Namespace) -> int:
    """Depth: declaration. Exit code 1 at a difference, or a file that is not as it was installed; 2 without a lock."""
    if os.path.isdir(options.path):
        options.complain(f"{options.path} is a folder: name the file, {os.path.join(options.path, locks.NAME)}")
    before = _locked(options) if options.check else ()
    owners = list(_owners(runtime))
    now = tuple(_entry(offer, architecture) for offer, architecture in owners)
    wrong = list(dict.fromkeys(text for offer, _ in owners for text in _altered(offer)))
    if options.check:
        wrong = [*locks.compare(before, now), *wrong]
    elif not wrong:  # a lock of files that are not what their RECORD says would lie
        _write(options, locks.dump(now))
    for text in wrong:
        screen.finding("error", options.path, text, "")
    for text in dict.fromkeys(text for offer, _ in owners for text in _remarks(offer)):
        screen.finding("warning", options.path, text, "")
    if not wrong:
        screen.say(f"{options.path}: {len(now)} {'as locked' if options.check else 'locked'}.")
    return 1 if wrong else 0


def _locked(options: argparse.Namespace) -> tuple[locks.Locked, ...]:
    try:
        return locks.load(options.path)
    except CheckpointError as error:  # not a difference: nothing to compare with
        options.complain(str(error))
        raise


def _write(options: argparse.Namespace, text: str) -> None:
    try:
        disk.write(options.path, text.encode())
    except OSError as error:
        options.complain(f"{options.path} cannot be written: {error.strerror}")
        raise


def _owners(runtime: Runtime) -> Iterator[tuple[Offer, Architecture]]:
    """Yield each plugin that owns a name; raise what stands against one: a lock of half the truth would lie."""
    for registry in (runtime.types, runtime.claims):
        for name in dict.fromkeys(offer.name for offer in registry.offers):
            choice = registry.choose(name)
            if choice.offer is not None or choice.conflict is not None:
                architecture = runtime.declaration(choice)
                assert choice.offer is not None  # a conflict was raised
                yield choice.offer, architecture


def _entry(offer: Offer, architecture: Architecture) -> locks.Locked:
    classes: dict[str, str] = {}
    for field, reference in architecture.references():
        name = field[len('models["') : -2] if field.startswith("models[") else field
        classes[name] = ", ".join(filter(None, [classes.get(name, ""), str(reference)]))
    return locks.Locked(
        table="architectures" if offer.group == CLAIMS else "model_types",
        name=offer.name,
        distribution=offer.distribution,
        version=offer.version,
        record=locks.digest(metadata_file(offer, "RECORD")),
        classes=classes,
    )


def _remarks(offer: Offer) -> Iterator[str]:
    """Yield what the lock cannot hold of the distribution."""
    if not locks.digest(metadata_file(offer, "RECORD")):
        yield f"{offer.owner} has no RECORD of its files: only its version and its classes are locked."
    elif '"editable": true' in metadata_file(offer, "direct_url.json"):
        yield f"{offer.owner} is installed in editable mode: its RECORD does not cover its source files."


def _altered(offer: Offer) -> Iterator[str]:
    for file in locks.altered(metadata_file(offer, "RECORD"), offer.location):
        again = f"pip install --force-reinstall --no-deps {offer.distribution}=={offer.version}"
        yield f"{os.path.join(offer.location, file)} is not as {offer.owner} installed it. To mend it: {again}"

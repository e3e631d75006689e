"""`autoreg inspect`: what a checkpoint is, what it needs and what is in its weight files, read from headers alone."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from autoreg import diagnosis
from autoreg.checkpoint import manifest, provenance
from autoreg.checkpoint.config import ConfigFile, read_config
from autoreg.checkpoint.hub_cache import hub_sha256
from autoreg.cli import show as screen
from autoreg.cli.verify import Place, add_place, count, locate, size, weights_at
from autoreg.errors import CheckpointError

if TYPE_CHECKING:
    from autoreg.checkpoint.digests import Entry
    from autoreg.checkpoint.header import Tensor
    from autoreg.checkpoint.weights import Weights
    from autoreg.runtime import Runtime

__all__ = ["add_arguments", "inspect"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What was read of one checkpoint."""

    place: Place
    config: ConfigFile | None
    weights: Weights | None
    explanation: diagnosis.Explanation | None
    provenance: provenance.Provenance | None
    recorded: Mapping[str, Entry]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_place(parser)
    parser.add_argument("--tensors", action="store_true", help="list every tensor")


def inspect(runtime: Runtime, options: argparse.Namespace) -> int:
    """Depth: declaration (no tensor is read, nothing of the checkpoint runs). Exit code 1 if a file is damaged."""
    place = locate(options)
    with place.held():
        seen = _read(runtime, place)
    if options.json:
        screen.json(_as_json(seen, tensors=options.tensors))
        return 0
    screen.card(place.subject, [(name, text) for name, text in _facts(seen) if text])
    if seen.weights is not None:
        for columns, rows in _tables(seen, tensors=options.tensors):
            screen.say("")
            screen.table(columns, rows)
    return 0


def _read(runtime: Runtime, place: Place) -> _Seen:
    config = None if place.file else _config(place.folder)
    try:
        recorded = manifest.read_manifest(place.folder)
    except CheckpointError:
        recorded = None  # `verify` says what is wrong with it
    return _Seen(
        place=place,
        config=config,
        weights=weights_at(place, config),
        explanation=None if place.file else diagnosis.explain(runtime, place.folder),
        provenance=provenance.read(config.fields) if config else None,
        recorded=recorded.files if recorded else {},
    )


def _config(folder: str) -> ConfigFile | None:
    try:
        return read_config(folder, {})
    except CheckpointError:
        return None  # the explanation has the error


# --- the facts -------------------------------------------------------------------------------------


def _facts(seen: _Seen) -> list[tuple[str, str]]:
    found, noted = seen.explanation, seen.provenance
    facts = []
    if found is not None:
        facts = [
            ("architecture", ", ".join(found.architectures)),
            ("model type", found.model_type),
            ("package", _package(found)),
            ("asks for", f"{noted.requires} ({_presence(noted.requires)[1]})" if noted else ""),
            ("saved with", _saved_with(noted) if noted else ""),
            ("code in checkpoint", found.remote_code if found.remote_code != "there is none" else ""),
        ]
    pickles = ", ".join(os.path.basename(file) for file in seen.weights.pickles) if seen.weights else ""
    return [
        *facts,
        ("weights", _total(seen.weights)),
        ("pickles", f"{pickles} (not opened)" if pickles else ""),
        ("manifest", count(len(seen.recorded), "file") if seen.recorded else "there is none"),
    ]


def _package(found: diagnosis.Explanation) -> str:
    if found.winner:
        return f"{found.winner}, installed"
    return f"not here: {' '.join(found.problem.splitlines()[:1])}"


def _presence(requires: str) -> tuple[bool, str]:
    """Return whether a requirement is met here, and in words what is installed."""
    from packaging.requirements import Requirement

    wanted = Requirement(requires)
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return False, f"not installed: pip install {requires!r}"
    fits = wanted.specifier.contains(version, prereleases=True)
    return fits, f"installed: {version}" if fits else f"installed is {version}, another version"


def _saved_with(noted: provenance.Provenance) -> str:
    package = f"{noted.distribution} {noted.version}" if noted.version else ""
    return ", ".join(part for part in (package, noted.transformers and f"transformers {noted.transformers}") if part)


def _total(weights: Weights | None) -> str:
    if weights is None:
        return "there are none"
    tensors = [tensor for _, tensor in weights.tensors.values()]
    if not tensors and weights.pickles:
        return ""
    numbers = sum(tensor.elements for tensor in tensors)
    return f"{count(len(tensors), 'tensor')}, {numbers:,} numbers, {size(sum(map(_length, tensors)))}"


def _length(tensor: Tensor) -> int:
    return tensor.end - tensor.start


# --- the tables ------------------------------------------------------------------------------------


def _tables(seen: _Seen, *, tensors: bool) -> list[tuple[list[str], list[list[str]]]]:
    assert seen.weights is not None
    types = [
        [row["dtype"], str(row["tensors"]), f"{row['numbers']:,}", size(row["bytes"])] for row in _types(seen.weights)
    ]
    files = [[row["file"], str(row["tensors"]), size(row["bytes"]), _short(row["sha256"])]
             for row in _files(seen)]  # fmt: skip
    tables = [(["dtype", "tensors", "numbers", "size"], types), (["file", "tensors", "size", "SHA-256"], files)]
    if tensors:
        rows = [[row["name"], row["dtype"], str(row["shape"]), row["file"]] for row in _tensors(seen.weights)]
        tables.append((["tensor", "dtype", "shape", "file"], rows))
    return [table for table in tables if table[1]]


def _short(digest: str) -> str:
    """Return as much of a digest as a table has room for; the JSON has it whole."""
    return f"{digest[:16]}…" if digest else "not recorded"


def _types(weights: Weights) -> list[dict[str, Any]]:
    found: dict[str, list[Tensor]] = {}
    for _, tensor in weights.tensors.values():
        found.setdefault(tensor.dtype, []).append(tensor)
    rows = [
        {
            "dtype": dtype,
            "tensors": len(tensors),
            "numbers": sum(tensor.elements for tensor in tensors),
            "bytes": sum(map(_length, tensors)),
        }
        for dtype, tensors in found.items()
    ]
    return sorted(rows, key=lambda row: -row["bytes"])


def _files(seen: _Seen) -> list[dict[str, Any]]:
    """Return the weight files, with the digest that the manifest or else the hub's cache has for each."""
    assert seen.weights is not None
    rows = []
    for header in seen.weights.headers:
        name = os.path.basename(header.file)
        entry = seen.recorded.get(name)
        digest = entry.sha256 if entry else hub_sha256(header.file)
        rows.append(
            {"file": name, "tensors": len(header.tensors), "bytes": os.path.getsize(header.file), "sha256": digest}
        )
    return rows


def _tensors(weights: Weights) -> list[dict[str, Any]]:
    return [
        {"name": name, "dtype": tensor.dtype, "shape": list(tensor.shape), "file": os.path.basename(file)}
        for name, (file, tensor) in sorted(weights.tensors.items())
    ]


def _as_json(seen: _Seen, *, tensors: bool) -> dict[str, Any]:
    found, weights = seen.explanation, seen.weights
    requires = seen.provenance.requires if seen.provenance else ""
    return {
        "subject": seen.place.subject,
        "folder": seen.place.folder,
        "model_type": found.model_type if found else "",
        "architectures": list(found.architectures) if found else [],
        "package": found.winner if found else "",
        "requires": requires,
        "requires_met": _presence(requires)[0] if requires else None,
        "problem": found.problem if found else "",
        "dtypes": _types(weights) if weights else [],
        "files": _files(seen) if weights else [],
        "pickles": [os.path.basename(file) for file in weights.pickles] if weights else [],
        "manifest": bool(seen.recorded),
        **({"tensors": _tensors(weights) if weights else []} if tensors else {}),
    }

"""The hub's cache: its files against the digests that the hub gave, by which its client names them.

Depth: metadata. Files are read, and nothing in them is run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection
from contextlib import suppress
from typing import Literal

from autoreg.checkpoint.digests import BLOCK, Progress, verified
from autoreg.checkpoint.header import opened
from autoreg.checkpoint.manifest import Difference, is_weights, name_in, path_in
from autoreg.errors import CheckpointError

__all__ = ["compare_with_hub", "discard", "downloaded", "hub_digest", "hub_sha256"]

_SHA256 = 64  # hexadecimal digits


def compare_with_hub(
    folder: str, files: Collection[str] | None = None, *, progress: Progress | None = None
) -> tuple[int, tuple[Difference, ...]]:
    """Compare a snapshot in the hub's cache with the digests that the hub gave: the cache names its files by them.

    Args:
        folder: the snapshot, or a folder in it.
        files: which to compare, by their names; by default all.
        progress: told how many bytes have been read.

    Returns:
        How many files have such a digest, and those that differ from it.
    """
    paths = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in sorted(names)]
    paths = paths if files is None else [path_in(folder, name) for name in files]
    named = {name_in(folder, path): digest for path in paths if (digest := hub_digest(path))}
    found = []
    for name, digest in named.items():
        kind: Literal["severe", "mild"] = "severe" if is_weights(name) else "mild"
        try:
            now = _digests_like(digest, path_in(folder, name), progress)
        except CheckpointError as error:
            found.append(Difference(file=name, kind=kind, problem=error.problem))
            continue
        if digest not in now:
            problem = "its content is not what the hub sent."
            found.append(Difference(file=name, kind=kind, problem=problem, expected=digest, found=now[0]))
    return len(named), tuple(found)


def hub_digest(path: str) -> str:
    """Return the digest by which the hub's cache names the file: of 64 digits (a SHA-256) or 40; empty for another."""
    blob = os.path.realpath(path)
    name = os.path.basename(blob)
    is_blob = os.path.basename(os.path.dirname(blob)) == "blobs" and os.path.islink(path)
    return name if is_blob and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) else ""


def hub_sha256(path: str) -> str:
    """Return the SHA-256 by which the hub's cache names the file; empty for a small one, or one of no cache."""
    digest = hub_digest(path)
    return digest if len(digest) == _SHA256 else ""


def downloaded(folder: str, files: Collection[str], *, since: int) -> list[str]:
    """Return those of the files that the hub gave a SHA-256 for, and that were written since.

    Args:
        folder: the snapshot, or a folder in it.
        files: their names in it.
        since: nanoseconds, as `time.time_ns` counts them.
    """
    large = [name for name in files if hub_sha256(path_in(folder, name))]
    return [name for name in large if os.stat(path_in(folder, name)).st_mtime_ns >= since]


def discard(path: str) -> None:
    """Take a file out of the cache that is not what the cache calls it, so that it is downloaded again."""
    with suppress(OSError):
        blob = os.path.realpath(path)
        os.unlink(path)
        os.unlink(blob)


def _digests_like(digest: str, path: str, progress: Progress | None) -> tuple[str, ...]:
    """Return what the digest may be: a SHA-256 (large files), git's SHA-1 (others), or a mirror's plain SHA-1."""
    if len(digest) == _SHA256:
        return (verified(path, progress=progress).sha256,)
    plain, git = hashlib.sha1(usedforsecurity=False), hashlib.sha1(usedforsecurity=False)
    with opened(path) as stream:
        git.update(b"blob %d\0" % os.fstat(stream.fileno()).st_size)
        while block := stream.read(BLOCK):
            plain.update(block)
            git.update(block)
            if progress is not None:
                progress(len(block))
    return git.hexdigest(), plain.hexdigest()

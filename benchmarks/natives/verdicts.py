"""What `check` found, as rows in a file: read, resumed, compressed."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import autoreg.conformance

__all__ = ["compress", "done", "read", "resumed", "suite"]

_SUITE = Path(autoreg.conformance.__file__).parent


def suite(folder: Path = _SUITE) -> str:
    """Return a digest of the suite's sources: rows that bear the same one were made by the same suite."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows, compressed or not; of two for one class the later counts."""
    packed = _packed(path)
    if path.exists():
        text = path.read_text(encoding="utf-8")
    elif packed.exists():
        text = gzip.decompress(packed.read_bytes()).decode("utf-8")
    else:
        return []
    rows = [json.loads(line) for line in text.splitlines()]
    return list({(row["model_type"], row["class"]): row for row in rows}.values())


def done(path: Path, *, retry: bool = False, stale: bool = False) -> set[str]:
    """Return the model types that have their rows.

    Args:
        path: the file of rows.
        retry: leave out those where something is red.
        stale: leave out those that another state of the suite looked at.
    """
    rows, now = resumed(path), suite()
    red = {row["model_type"] for row in rows if row["problem"] or row["red"]} if retry else set()
    old = {row["model_type"] for row in rows if row.get("suite") != now} if stale else set()
    return {row["model_type"] for row in rows} - red - old


def resumed(path: Path) -> list[dict[str, Any]]:
    """Return the rows, and write the file where it is there compressed only: what is appended then joins them."""
    rows = read(path)
    if not path.exists() and rows:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return rows


def compress(path: Path) -> None:
    """Write the rows beside the file, compressed, the same bytes for the same rows."""
    rows = sorted(read(path), key=lambda row: (row["model_type"], row["class"]))
    text = "".join(f"{json.dumps(row, sort_keys=True)}\n" for row in rows)
    _packed(path).write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))


def _packed(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")

"""What `check` found, as rows in a file: read, resumed, compressed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

__all__ = ["compress", "done", "read"]


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


def done(path: Path, *, retry: bool) -> set[str]:
    """Return the model types that have their rows; with `retry` only those where nothing is red."""
    rows = read(path)
    open_again = {row["model_type"] for row in rows if row["problem"] or row["red"]} if retry else set()
    if not path.exists() and rows:  # go on from what was compressed
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return {row["model_type"] for row in rows} - open_again


def compress(path: Path) -> None:
    """Write the rows beside the file, compressed, the same bytes for the same rows."""
    rows = sorted(read(path), key=lambda row: (row["model_type"], row["class"]))
    text = "".join(f"{json.dumps(row, sort_keys=True)}\n" for row in rows)
    _packed(path).write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))


def _packed(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")

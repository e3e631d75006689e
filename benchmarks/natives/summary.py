"""What a sweep found: counts for each Auto class, and the failures grouped by their error."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["show"]


def show(rows: list[dict[str, Any]], console: Console, *, names: int) -> None:
    """Print the counts and the failures, `names` classes for each kind of failure."""
    console.print(_counts(rows))
    groups: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if not row["ok"]:
            groups[f"[{row['category']}] {re.sub(r'[0-9]+', '#', row['error'])[:160]}"].append(row["class"])
    groups = dict(sorted(groups.items(), key=lambda item: -len(item[1])))
    groups["run, but not with other rows, length and seed"] = [row["class"] for row in rows if row.get("varied")]
    groups["give NaN"] = [row["class"] for row in rows if row.get("nan")]
    for error, classes in groups.items():
        more = " …" if len(classes) > names else ""
        text = f"{len(classes):4d}  {error}\n      {', '.join(classes[:names])}{more}"
        console.print(text, markup=False, highlight=False)
    for key in ("seconds", "parameters", "attempts"):
        values = sorted(row[key] for row in rows if row["ok"])
        if values:
            spots = [values[int(len(values) * share)] for share in (0.5, 0.9, 0.99)]
            console.print(f"{key}: median {spots[0]}, 90 % {spots[1]}, 99 % {spots[2]}, most {values[-1]}")


def _counts(rows: list[dict[str, Any]]) -> Table:
    table = Table("Auto class", "classes", "derive", "%", "with loss", "failures")
    by_auto: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        for auto in row["auto_classes"]:
            by_auto[auto].append(row)
    for auto, members in [*by_auto.items(), ("all", rows)]:
        good = [row for row in members if row["ok"]]
        why = Counter(row["category"] for row in members if not row["ok"])
        share = f"{100 * len(good) / max(len(members), 1):.1f}"
        loss = str(sum(row.get("loss", False) for row in good))
        failures = ", ".join(f"{count} {kind}" for kind, count in why.most_common())
        table.add_row(auto, str(len(members)), str(len(good)), share, loss, failures)
    return table

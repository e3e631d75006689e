"""The results as one picture: a panel a case, the target drawn as a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from benchmarks.rows import Added, Ratio

__all__ = ["draw"]

_OURS, _OTHER, _FAINT, _TARGET = "#1f6feb", "#8b949e", "#c9d1d9", "#d1242f"


def draw(rows: Sequence[Ratio | Added], facts: dict[str, Any], file: Path) -> None:
    """Write the picture; a case that was not run leaves its panel out."""
    panels = {"a": _import, "b": _list, "c": _load, "d": _everything, "e": _warm}
    by_case: dict[str, list[Any]] = {}
    for row in rows:
        by_case.setdefault(row.case if isinstance(row, Ratio) else "e", []).append(row)
    figure, axes = plt.subplots(len(by_case), 1, figsize=(12, 3.0 * len(by_case)), squeeze=False)
    for ax, (case, found) in zip(axes.flat, by_case.items(), strict=True):
        panels[case](ax, found)
        ax.spines[["top", "right"]].set_visible(False)
    packages = facts["packages"]
    title = (
        f"autoreg {packages['autoreg']} · transformers {packages['transformers']} · torch {packages['torch']}"
        f" · Python {facts['python']} · {facts['cores']} cores · {facts['date'][:10]}"
    )
    figure.suptitle(title, fontsize=10)
    figure.tight_layout(rect=(0, 0, 1, 0.99), h_pad=2)
    figure.savefig(file, dpi=130)
    plt.close(figure)


def _middle(row: Ratio, label: str) -> float:
    return median(row.walls(label))


def _target_line(ax: Axes, at: float, label: str) -> None:
    ax.axvline(at, color=_TARGET, linestyle="--", linewidth=1.4, label=label)


def _legend(ax: Axes) -> None:
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8)


def _import(ax: Axes, rows: Sequence[Ratio]) -> None:
    row = rows[0]
    labels = list(row.timings)
    values = [_middle(row, label) * 1000 for label in labels]
    bars = ax.barh(labels, values, color=[_OURS if label == row.measured else _OTHER for label in labels], height=0.6)
    ax.bar_label(bars, fmt="%.0f ms", padding=4)
    limit = (row.target or 0) * _middle(row, row.baseline) * 1000
    _target_line(ax, limit, f"target: {row.target} x importlib.metadata")
    ax.set_title(f"(a) import autoreg, whole process: {row.value():.2f} x importlib.metadata", loc="left")
    ax.set_xlabel("milliseconds")
    ax.margins(x=0.12)
    ax.invert_yaxis()
    _legend(ax)


def _list(ax: Axes, rows: Sequence[Ratio]) -> None:
    from benchmarks.cases import PLUGINS

    firsts = [row for row in rows if row.what.startswith("autoreg list ÷ bare pass")]
    places = range(len(PLUGINS))
    styles = {
        "autoreg list": (_OURS, "o", "-"),
        "autoreg list (terminal)": (_OURS, "o", ":"),
        "bare pass": (_OTHER, "s", "-"),
        "texts only": (_FAINT, "^", "-"),
    }
    names = {
        "autoreg list (terminal)": "autoreg list on a terminal (rich)",
        "bare pass": "bare pass: name, version, entry points",
        "texts only": "entry_points.txt texts only",
    }
    for label, (colour, marker, line) in styles.items():
        values = [_middle(row, label) * 1000 for row in firsts]
        ax.plot(places, values, color=colour, marker=marker, linestyle=line, label=names.get(label, label))
    last = firsts[-1]
    limit = (last.target or 0) * _middle(last, last.baseline) * 1000
    label = f"target: {last.target} x bare pass"
    ax.hlines(limit, places[-1] - 0.35, places[-1] + 0.15, colors=_TARGET, linestyles="--", label=label)
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xticks(list(places), [f"{count:,}" for count in PLUGINS])
    ax.set_xlabel("installed plugins")
    ax.set_ylabel("milliseconds (log)")
    ax.set_title(f"(b) autoreg list, whole process: {last.value():.2f} x a bare pass at 1,000 plugins", loc="left")
    _legend(ax)


def _load(ax: Axes, rows: Sequence[Ratio]) -> None:
    for place, row in enumerate(rows):
        low, high = row.bounds()
        seconds = f"{row.value():.3f}   ({_middle(row, row.measured):.2f} s ÷ {_middle(row, row.baseline):.2f} s)"
        reach = [[row.value() - low], [high - row.value()]]
        ax.errorbar(row.value(), place, xerr=reach, color=_OURS, marker="o", capsize=4)
        ax.annotate(seconds, (0.02, place - 0.2), xycoords=("axes fraction", "data"), fontsize=9)
        label = "target" if place == 0 else None
        ax.vlines(row.target, place - 0.3, place + 0.3, colors=_TARGET, linestyles="--", label=label)
        ax.annotate(f" {row.target}", (row.target, place + 0.3), color=_TARGET, ha="left", va="bottom", fontsize=8)
    ax.axvline(1, color=_FAINT, linewidth=1)
    ax.set_yticks(range(len(rows)), [row.what.rpartition(", ")[2] for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.margins(x=0.25)
    ax.set_xlabel("autoreg ÷ explicit import and register(), with 95 % interval")
    ax.set_title("(c) process start → loaded RetNet", loc="left")
    _legend(ax)


def _everything(ax: Axes, rows: Sequence[Ratio]) -> None:
    values = [row.value() for row in rows]
    shown = [value if value < float("inf") else 0 for value in values]
    bars = ax.barh([row.what for row in rows], shown, color=_OURS, height=0.6)
    ax.bar_label(bars, [f"{value:.1f} x" for value in values], padding=4)
    _target_line(ax, rows[0].target or 0, f"target: {rows[0].target:.0f} x")
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.set_xlim(0.8, max(10.0, *shown) * 2)
    ax.invert_yaxis()
    ax.tick_params(axis="y", labelsize=8)
    ax.set_xlabel("so many times faster than importing all 20 plugins at start (log)")
    ax.set_title("(d) 20 installed plugins", loc="left")
    _legend(ax)


def _warm(ax: Axes, rows: Sequence[Added]) -> None:
    for place, row in enumerate(rows):
        low, high = row.bounds()
        ax.barh(place, row.added * 1000, color=_OURS, height=0.5)
        ax.plot([low * 1000, high * 1000], [place, place], color="black", linewidth=1.2)
        label = "target: 1 ms, or 1 % of the plain call" if place == 0 else None
        ax.vlines(row.allowed * 1000, place - 0.35, place + 0.35, colors=_TARGET, linestyles="--", label=label)
        note = f"{row.added * 1000:.2f} ms"
        end = max(high, row.allowed) * 1000
        ax.annotate(note, (end, place), xytext=(7, 0), textcoords="offset points", va="center", fontsize=9)
    names = [f"{row.what}\n(plain: {median(row.plain) * 1000:.1f} ms)" for row in rows]
    ax.set_yticks(range(len(rows)), names)
    ax.axvline(0, color=_FAINT, linewidth=1)
    ax.margins(x=0.2)
    ax.invert_yaxis()
    ax.set_xlabel("milliseconds that autoreg adds, with 95 % interval")
    ax.set_title("(e) warm from_pretrained, in one process", loc="left")
    _legend(ax)

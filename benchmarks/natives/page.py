"""The page of the documentation on transformers' own architectures, from the results of a sweep."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.natives.triage import Known, explained

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "contributor" / "natives.md"

Row = Mapping[str, Any]
_FEW = 20
_FIRST = ("AutoModel", "AutoModelForCausalLM", "AutoModelForMaskedLM")

_HEAD = """\
# transformers' own architectures

The suite runs on architectures that nobody here wrote: `autoreg check --native bert`. Below stands what it says of
those of transformers {version}, with no hints. Written by `python -m benchmarks.natives check` and
`python -m benchmarks.natives page`; the results are in `benchmarks/results/natives.jsonl.gz`.

- *derive*: a tiny config and inputs were found with which the class runs
- *green*: every fast check that applies passed
- a *cell* is one check of one class

"""


def page(rows: Sequence[Row], version: str, *, total: int, suite: str, moved: Sequence[Row] = ()) -> str:
    """Return the page as Markdown.

    Args:
        rows: what `check` found.
        version: transformers'.
        total: how many architectures there are.
        suite: the digest of the suite as it is.
        moved: what `device` found.
    """
    classes = [row for row in rows if row["class"]]
    done = {row["model_type"] for row in rows}
    stale = {row["model_type"] for row in rows if row.get("suite") != suite}
    lines = []
    if len(done) < total:
        lines += [f"The sweep is at {len(done)} of {total} architectures; it goes on where it stopped.", ""]
    if stale:
        lines += [
            f"{len(stale)} of {len(done)} architectures were last looked at by an earlier state of the suite;"
            " `check --stale` looks at them again.",
            "",
        ]
    lines += [*_counts(classes), "", *_underived(classes), "", *_on_a_gpu(moved), *_cells(rows)]
    return _HEAD.format(version=version) + "\n".join(lines) + "\n"


def _counts(classes: Sequence[Row]) -> list[str]:
    by_auto: dict[str, list[Row]] = defaultdict(list)
    for row in classes:
        for auto in row["auto_classes"]:
            by_auto[auto].append(row)
    order = [*_FIRST, *sorted(set(by_auto) - set(_FIRST))]
    lines = [
        "| Auto class | classes | derive | | green | cells that apply | red cells |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    members = [(f"`{auto}`", by_auto[auto]) for auto in order if by_auto[auto]]
    for name, found in [*members, ("every class, once", list(classes))]:
        derived = [row for row in found if not row["problem"]]
        green = sum(not row["red"] for row in derived)
        applies = sum(verdict != "not applicable" for row in derived for verdict in row["verdicts"].values())
        red = sum(len(row["red"]) for row in derived)
        share = f"{100 * len(derived) / len(found):.1f} %"
        lines.append(f"| {name} | {len(found)} | {len(derived)} | {share} | {green} | {applies:,} | {red} |")
    return lines


def _underived(classes: Sequence[Row]) -> list[str]:
    failed = [row for row in classes if row["problem"]]
    lines = ["## Without a subject", "", "| why | classes |", "| --- | --- |"]
    groups: dict[str, list[str]] = defaultdict(list)
    for row in failed:
        groups[_cause(row["problem"])].append(f"`{row['class']}`")
    for cause, names in sorted(groups.items(), key=lambda item: -len(item[1])):
        lines.append(f"| {cause} | {len(names)}: {', '.join(names)} |")
    return lines


def _cause(problem: str) -> str:
    packages = ("timm", "natten", "detectron2", "scipy", "torchaudio", "torchvision", "tokenizers", "levenshtein")
    for package in packages:
        if package in problem.lower() and ("requires the" in problem or "No module named" in problem):
            return f"needs {package}, which is not installed"
    if "did not finish" in problem or "longer than" in problem:
        return "takes longer than a minute"
    return "no config and inputs were found"


def _on_a_gpu(rows: Sequence[Row]) -> list[str]:
    found = [row for row in rows if row["ok"] and "gpu" in row]
    if not found:
        return []
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in found:
        groups[row["check"], row["gpu"]].append(row["class"])
    where = ", ".join(sorted({row["on"] for row in found}))
    lines = [
        "## On a GPU",
        "",
        f"`forward.device` needs no GPU. `python -m benchmarks.natives device` ran {len(found)} of the classes on the"
        f" CPU, moved them and their inputs to a GPU ({where}) and ran them there:",
        "",
        "| the check | on the GPU | classes |",
        "| --- | --- | --- |",
    ]
    for (check, gpu), names in sorted(groups.items()):
        lines.append(f"| {check} | {gpu} | {_named(names) if len(names) <= _FEW else len(names)} |")
    return [*lines, ""]


def _cells(rows: Sequence[Row]) -> list[str]:
    groups: dict[tuple[str, Known | None], list[str]] = defaultdict(list)
    for row in rows:
        for red in row["red"] if not row["problem"] else ():
            name = row["class"] or row["model_type"]
            groups[red["check"], explained(name, red)].append(name)
    kinds = Counter(known.kind if known else "open" for (_, known), names in groups.items() for _ in names)
    lines = [
        "## Red cells",
        "",
        f"{sum(kinds.values())} cells are red: {kinds['defect']} by a defect of transformers, {kinds['design']} so by"
        f" design, {kinds['open']} not yet looked into.",
    ]
    titles = {
        "defect": "Defects of transformers",
        "design": "By design",
        "open": "Not yet looked into",
    }
    for kind, title in titles.items():
        found = [
            (check, known, names)
            for (check, known), names in sorted(groups.items(), key=_order)
            if _kind(known) == kind
        ]
        if found:
            lines += ["", f"### {title}", "", "| check | why | classes |", "| --- | --- | --- |"]
            lines += [
                f"| `{check}` | {known.why if known else ''} | {_named(names)} |" for check, known, names in found
            ]
    return lines


def _kind(known: Known | None) -> str:
    return known.kind if known else "open"


def _order(item: tuple[tuple[str, Known | None], list[str]]) -> tuple[str, int]:
    return item[0][0], -len(item[1])


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in sorted(set(names)))
    return f"{len(names)}: {shown}"

"""One function a command: ask `diagnosis`, show the values."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from autoreg import diagnosis
from autoreg.cli import show as screen

if TYPE_CHECKING:
    from autoreg.runtime import Runtime

__all__ = ["doctor", "list_installed", "show", "why"]

_BAD = ("broken", "conflict", "unusable")


def list_installed(runtime: Runtime, options: argparse.Namespace) -> int:
    """Depth: metadata; declaration with --declared, and for a model type that transformers has too. In a pipe: TSV."""
    rows = diagnosis.installed(runtime, declared=options.declared)
    if options.json:
        screen.json({"architectures": [asdict(row) for row in rows]})
        return 0
    if not rows:
        screen.say("No plugin is installed. A plugin is a distribution with an entry point in the group `autoreg`.")
        return 0
    columns = ["model type", "distribution", "version", "state", *(["classes"] if options.declared else [])]
    screen.table(columns, [_cells(row, options.declared) for row in rows])
    owners: dict[str, list[str]] = {}
    for row in rows:
        if row.reason:
            owners.setdefault(f"{row.name}: {row.reason}", []).append(f"{row.distribution} {row.version}")
    screen.notes([f"{note} ({', '.join(names)})" for note, names in owners.items()])
    return 0


def _cells(row: diagnosis.Row, declared: bool) -> list[str]:
    heads = [field[8:-2] for field, _ in row.classes if field.startswith("models[")]
    others = [field for field, _ in row.classes if not field.startswith(("models[", "config"))]
    classes = ", ".join(dict.fromkeys([*heads, *others]))
    return [row.name, row.distribution, row.version, row.state, *([classes] if declared else [])]


def show(runtime: Runtime, options: argparse.Namespace) -> int:
    """Depth: declaration. Exit code 1 where nobody declares the model type or the declaration is broken."""
    rows = diagnosis.describe(runtime, options.model_type)
    if options.json:
        screen.json({"architectures": [asdict(row) for row in rows]})
    elif not rows:
        screen.say(f"No installed plugin declares {options.model_type!r}. See `autoreg why {options.model_type}`.")
    for row in rows if not options.json else ():
        screen.card(
            f"{row.name}  {row.summary}".rstrip(),
            [
                ("declared by", f"{row.distribution} {row.version}"),
                ("metadata", row.location),
                ("state", f"{row.state}: {row.reason}" if row.reason else row.state),
                *row.classes,
                *(("would import", module) for module in row.imports),
            ],
        )
    return 1 if not rows or any(row.state in _BAD for row in rows) else 0


def why(runtime: Runtime, options: argparse.Namespace) -> int:
    """Depth: declaration (no weights are read, nothing of the checkpoint runs). Exit code 1 if it would not load."""
    found = diagnosis.explain(runtime, options.subject)
    if options.json:
        screen.json(asdict(found))
        return 1 if found.problem else 0
    candidates = [f"{name} {version} ({where}): {fate}" for name, version, where, fate in found.candidates]
    facts = [
        ("config", found.file),
        ("model type", found.model_type),
        ("architectures", ", ".join(found.architectures)),
        ("owner", found.winner),
        ("because", found.reason),
        *(("candidate", line) for line in candidates),
        *(("would import", module) for module in found.imports),
        ("code in checkpoint", found.remote_code),
        ("says it needs", found.requires),
    ]
    screen.card(found.subject, [(name, text) for name, text in facts if text])
    if found.problem:
        screen.complain(found.problem)
    return 1 if found.problem else 0


def doctor(runtime: Runtime, options: argparse.Namespace) -> int:
    """Depth: declaration; with --classes: classes. Exit code 1 where something is broken; warnings leave it 0."""
    findings = diagnosis.doctor(runtime, classes=options.classes)
    errors = [finding for finding in findings if finding.severity == "error"]
    if options.json:
        screen.json({"findings": [asdict(finding) for finding in findings]})
        return 1 if errors else 0
    for finding in findings:
        screen.finding(finding.severity, finding.subject, finding.problem, finding.mend)
    offers = len(runtime.types.offers) + len(runtime.claims.offers)
    screen.say(f"{offers} declared, {len(errors)} broken, {len(findings) - len(errors)} suspicious.")
    return 1 if errors else 0

"""A report as a JSON document, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from autoreg.conformance.outcome import Capability, ClassFacts, Outcome, Report

__all__ = ["SCHEMA", "from_document", "to_document", "to_json"]

SCHEMA = "autoreg.conformance/1"
"""What the document's `schema` says. Keys may be added under the same number; none is renamed or removed."""


def to_document(report: Report) -> dict[str, Any]:
    """Return the report as what JSON can hold; the keys are those of the values, and a few derived."""
    made = asdict(report)
    for each, outcome in zip(made["outcomes"], report.outcomes, strict=True):
        each["id"] = outcome.id
    return {"schema": SCHEMA, "conformant": report.conformant, "counts": report.counts, **made}


def to_json(report: Report) -> str:
    """Return the document as text."""
    return json.dumps(to_document(report), indent=2, ensure_ascii=False) + "\n"


def from_document(document: Mapping[str, Any]) -> Report:
    """Return the report that a document was made of.

    Keys that this release does not know are passed over: a later one may have added them.

    Raises:
        ValueError: the document is of another schema.
    """
    schema = document.get("schema")
    if schema != SCHEMA:
        raise ValueError(f"the document's schema is {schema!r}; {SCHEMA!r} is read here")
    classes = tuple(
        _made(ClassFacts, each, capabilities=tuple(_made(Capability, item) for item in each["capabilities"]))
        for each in document["classes"]
    )
    outcomes = tuple(_made(Outcome, each) for each in document["outcomes"])
    selection = dict(document["selection"])
    report: Report = _made(Report, document, classes=classes, outcomes=outcomes, selection=selection)
    return report


def _made(kind: Any, values: Mapping[str, Any], **instead: Any) -> Any:
    known = {field.name for field in fields(kind)} - set(instead)
    return kind(**{name: _tuples(value) for name, value in values.items() if name in known}, **instead)


def _tuples(value: Any) -> Any:
    """Return the value with tuples for the lists that JSON made of them."""
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value

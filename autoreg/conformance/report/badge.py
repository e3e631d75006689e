"""A report as a badge for a README: an SVG of its own, fetched from nowhere."""

from __future__ import annotations

from html import escape

from autoreg.conformance.outcome import Report

__all__ = ["to_badge"]

_GREEN, _RED = "#2da44e", "#cf222e"
_NARROW = frozenset("fijlrt I|.,:;'!()")

_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{label}: {message}">
  <title>{label}: {message}</title>
  <linearGradient id="shade" x2="0" y2="100%">
    <stop offset="0" stop-color="#fff" stop-opacity=".12"/>
    <stop offset="1" stop-opacity=".12"/>
  </linearGradient>
  <clipPath id="round"><rect width="{width}" height="20" rx="4"/></clipPath>
  <g clip-path="url(#round)">
    <rect width="{left}" height="20" fill="#444c56"/>
    <rect x="{left}" width="{right}" height="20" fill="{colour}"/>
    <rect width="{width}" height="20" fill="url(#shade)"/>
  </g>
  <g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11" text-anchor="middle">
    <text x="{at_label}" y="14" textLength="{label_width}">{label}</text>
    <text x="{at_message}" y="14" textLength="{message_width}">{message}</text>
  </g>
</svg>
"""


def to_badge(report: Report) -> str:
    """Return the badge: `conformance | 132 passed` on green, or what is wrong on red."""
    message = _message(report)
    label_width, message_width = _width("conformance"), _width(message)
    left, right = label_width + 12, message_width + 12
    return _SVG.format(
        label="conformance",
        message=escape(message),
        colour=_GREEN if report.conformant else _RED,
        width=left + right,
        left=left,
        right=right,
        label_width=label_width,
        message_width=message_width,
        at_label=left / 2,
        at_message=left + right / 2,
    )


def _message(report: Report) -> str:
    if report.conformant:
        return f"{report.counts['passed']} passed"
    red = len(report.red) or sum(bool(facts.problem) for facts in report.classes)
    return f"{red} of {len(report.outcomes)} red" if red else "nothing passed"


def _width(text: str) -> int:
    """Return about how wide the text is; `textLength` makes it exactly that on every machine."""
    return round(sum(4.2 if letter in _NARROW else 7.0 for letter in text))

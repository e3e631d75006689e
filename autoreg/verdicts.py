"""What a handover found, kept in a file: whether transformers' own may stand for a plugin's, and in which versions.

Depth: metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from packaging.specifiers import InvalidSpecifier, SpecifierSet

__all__ = ["DIFFERENT", "EQUIVALENT", "KEY_MAP", "Verdict", "read", "written"]

EQUIVALENT, KEY_MAP, DIFFERENT = "equivalent", "key map", "different"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One verdict.

    Attributes:
        model_type: what both have.
        verdict: `EQUIVALENT`: transformers' own reads the plugin's checkpoints and computes the same. `KEY_MAP`: it
            computes the same once the weights are renamed. `DIFFERENT`: it does not.
        distribution: the plugin.
        versions: which releases of the plugin it holds for, as a specifier.
        transformers: which releases of transformers it holds for, as a specifier.
        key_map: the plugin's names of weights with `*` for numbers, and transformers' own.
        findings: what was compared and seen, a line each.
    """

    model_type: str
    verdict: str
    distribution: str
    versions: str
    transformers: str
    key_map: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[str, ...] = ()

    def holds(self, version: str, transformers: str) -> bool:
        """Say whether it was made for these releases of the plugin and of transformers."""
        return _within(self.versions, version) and _within(self.transformers, transformers)


def _within(specifier: str, version: str) -> bool:
    return SpecifierSet(specifier).contains(version, prereleases=True)


def written(verdict: Verdict) -> str:
    """Return the verdict as the text of its file."""
    return json.dumps(asdict(verdict), indent=2, ensure_ascii=False) + "\n"


def read(file: str) -> Verdict:
    """Return the verdict in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds no verdict; the text says what is wrong.
    """
    with open(file, encoding="utf-8") as stream:
        found = json.load(stream)
    names = {each.name for each in fields(Verdict)}
    if not isinstance(found, dict) or not set(found) <= names:
        raise ValueError("it is no verdict of `autoreg handover`")
    try:
        verdict = Verdict(**{**found, "findings": tuple(found.get("findings", ()))})
        verdict.holds("0", "0")
    except (TypeError, InvalidSpecifier) as error:
        raise ValueError(f"it is no verdict of `autoreg handover` ({error})") from error
    if verdict.verdict not in (EQUIVALENT, KEY_MAP, DIFFERENT):
        raise ValueError(f"its verdict is {verdict.verdict!r}")
    return verdict

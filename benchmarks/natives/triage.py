"""What is known of the red cells: the defects of transformers behind them, and what is so by design."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["KNOWN", "Known", "explained"]

Kind: TypeAlias = Literal["defect", "design"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """One cause of red cells.

    Attributes:
        check: the id of the check, or several.
        pattern: what `"Class: reason | difference"` matches.
        kind: a `defect` of transformers, or so by `design` and right to say of an architecture all the same.
        why: what causes it, with the evidence.
    """

    check: str | tuple[str, ...]
    pattern: str
    kind: Kind
    why: str

    def explains(self, name: str, red: Mapping[str, Any]) -> bool:
        """Say whether this is the cause of a red cell."""
        checks = (self.check,) if isinstance(self.check, str) else self.check
        text = f"{name}: {red['reason']} | {red['difference']}"
        return red["check"] in checks and re.search(self.pattern, text, re.DOTALL) is not None


KNOWN: Sequence[Known] = ()


def explained(name: str, red: Mapping[str, Any], known: Sequence[Known] = KNOWN) -> Known | None:
    """Return the first entry that explains the red cell."""
    return next((each for each in known if each.explains(name, red)), None)

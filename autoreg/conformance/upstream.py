"""Checks that transformers' own reference architecture fails in this version, each with the evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from packaging.specifiers import SpecifierSet

from autoreg.conformance.outcome import Outcome

__all__ = ["KNOWN", "Upstream", "excused"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Upstream:
    """One failure that no author can mend, because transformers causes it.

    Attributes:
        check: the check's id.
        versions: of transformers that cause it.
        pattern: what the failure's reason or difference must match: any other failure stays red.
        reference: transformers' own class on which the same check fails in the same way.
        link: the report or the line of source that shows it.
        why: one sentence.
    """

    check: str
    versions: str
    pattern: str
    reference: str
    link: str
    why: str


_MODELS = "https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models"

KNOWN: Sequence[Upstream] = (
    Upstream(
        check="generation.resize-saved",
        versions=">=5.20,<6",
        pattern=r"(?s)`tie_word_embeddings=False`.*cls\.predictions\.decoder\.bias",
        reference="BertForMaskedLM",
        link=f"{_MODELS}/bert/modeling_bert.py#L934",
        why="`set_output_embeddings` makes the two biases one, saving keeps one of the names, and without ties loading"
        " does not put the other back.",
    ),
    Upstream(
        check="properties.weights-roundtrip",
        versions=">=5.20,<6",
        pattern=r"(?s)rescale_prenorm_residual=True.*out_proj\.weight",
        reference="MambaForCausalLM",
        link=f"{_MODELS}/mamba/modeling_mamba.py#L564",
        why="`_init_weights` divides the loaded weight in place once more.",
    ),
)


def excused(outcome: Outcome, version: str, known: Sequence[Upstream] = KNOWN) -> Outcome:
    """Return the outcome as `upstream` where the table explains it in this version of transformers."""
    if outcome.verdict != "failed":
        return outcome
    for entry in known:
        told = f"{outcome.reason}\n{outcome.difference}"
        applies = entry.check == outcome.check and SpecifierSet(entry.versions).contains(version, prereleases=True)
        if applies and re.search(entry.pattern, told):
            reason = f"{entry.why} {entry.reference} fails in the same way: {entry.link}"
            return replace(outcome, verdict="upstream", reason=reason)
    return outcome

"""Which package a checkpoint needs: the `autoreg` note in its config.json, written, read and compared.

The note is data from a stranger: nothing is ever installed or run because of it, and what it says reaches
messages only where it is one printable line and a requirement by name (no address, no option of pip's).

Depth: metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["KEY", "Provenance", "made", "note", "outside", "read", "requirement"]

KEY = "autoreg"
"""The field of config.json under which the note stands."""

_LONGEST = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What a checkpoint needs, and what it was saved with.

    Attributes:
        requires: the requirement, as pip takes it: `"autoreg-retnet>=1.2,<2"`.
        distribution, version: the package whose classes saved it.
        model_type: what that package declares it for.
        transformers: the release of transformers that it was saved with.

    All but `requires` may be empty in a note that somebody wrote by hand.
    """

    requires: str
    distribution: str = ""
    version: str = ""
    model_type: str = ""
    transformers: str = ""


def made(*, model_type: str, distribution: str, version: str, transformers: str) -> Provenance:
    """Return the provenance of what this version of this distribution saves now."""
    return Provenance(
        requires=requirement(distribution, version),
        distribution=distribution,
        version=version,
        model_type=model_type,
        transformers=transformers,
    )


def note(provenance: Provenance) -> dict[str, str]:
    """Return what stands under `KEY` in config.json."""
    return {name: text for name, text in asdict(provenance).items() if text}


def read(fields: Mapping[str, Any]) -> Provenance | None:
    """Return the provenance that a config's fields carry; None where there is none or it is nonsense."""
    noted = fields.get(KEY) if isinstance(fields, Mapping) else None
    if not isinstance(noted, Mapping):
        return None
    words = {name: _line(noted.get(name)) for name in Provenance.__dataclass_fields__}
    wanted = _requirement(words["requires"])
    if wanted is None:
        return None
    words["distribution"] = words["distribution"] or wanted.name
    return Provenance(**words)


def requirement(distribution: str, version: str) -> str:
    """Return what to ask pip for: this version or a later one, up to the next major.

    The local part of a version (`+cu128`, `+g1a2b3c`) says how it was built and is left out. A version that is
    none by PEP 440 asks for the distribution alone.
    """
    from packaging.version import Version

    try:
        parsed = Version(version)
    except ValueError:
        return distribution
    epoch = f"{parsed.epoch}!" if parsed.epoch else ""
    return f"{distribution}>={parsed.public},<{epoch}{parsed.major + 1}"


def outside(provenance: Provenance, installed_version: str, *, distribution: str = "") -> str | None:
    """Return the warning for an installed package that is not the one that the checkpoint asks for; None if it is.

    Args:
        provenance: what the checkpoint says.
        installed_version: the version of the package that owns its model type here.
        distribution: that package's name; empty where it is the one that the checkpoint names.
    """
    from packaging.utils import canonicalize_name

    wanted = _requirement(provenance.requires)
    if wanted is None:
        return None
    owner = distribution or provenance.distribution or wanted.name
    if canonicalize_name(owner) == canonicalize_name(wanted.name) and _holds(wanted, installed_version):
        return None
    saved = f"{provenance.distribution} {provenance.version}".strip() if provenance.version else "another version"
    return (
        f"the checkpoint was saved with {saved} and asks for {provenance.requires}; {owner} {installed_version} is"
        f" installed, to which the weights may mean something else. To load it as it was saved:"
        f" pip install {provenance.requires!r}"
    )


def _holds(wanted: Requirement, version: str) -> bool:
    from packaging.version import Version

    try:
        return wanted.specifier.contains(Version(version), prereleases=True)
    except ValueError:  # of an installed distribution: nothing can be said of it
        return True


def _requirement(text: str) -> Requirement | None:
    """Return the requirement by name that the text is; None where it is none, or asks for an address."""
    from packaging.requirements import Requirement

    try:
        parsed = Requirement(text)
    except ValueError:  # InvalidRequirement, and what int() says of a number with 5000 digits
        return None
    return None if parsed.url else parsed


def _line(value: object) -> str:
    """Return the text if it is one printable line of a sane length, else nothing."""
    fit = isinstance(value, str) and len(value) <= _LONGEST and value.isprintable()
    return value.strip() if fit and isinstance(value, str) else ""

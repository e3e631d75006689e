"""Which model type belongs to whom; conflicts, overrides, suggestions; a pure container.

It is given the offers, what transformers has, and the user's switches; it imports, reads and warns
nothing. The one question that metadata cannot answer (does the plugin declare that it overrides
transformers' own, or hands over to it?) is put to `declare`, which the caller supplies.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from autoreg.errors import ConflictError
from autoreg.verdicts import EQUIVALENT, Verdict

if TYPE_CHECKING:
    from autoreg.discovery import Broken, Declared, Offer

__all__ = ["NATIVE", "Choice", "Registry", "Switches", "unknown_switches"]

NATIVE = "transformers"
"""The name under which transformers itself takes part: in `AUTOREG_PREFER` and in `Choice.winner`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Switches:
    """What the user said about who may own what.

    Attributes:
        prefer: model type (or claimed class name) → distribution, or `"transformers"`.
        disable: distributions and model types that take no part.
        only: if not empty, the distributions and model types that alone take part.
        handovers: who may stand for whom where transformers has a plugin's model type too.
    """

    prefer: Mapping[str, str] = field(default_factory=dict)
    disable: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    handovers: tuple[Verdict, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Who owns one name, and why.

    Attributes:
        name: the model type, or the class name from `architectures`.
        winner: the offer that owns it, `"transformers"`, or None (nobody, or a conflict).
        reason: one sentence.
        candidates: every offer for the name, with what became of it: `"wins"`, `"disabled"`,
            `"unusable"`, `"shadowed"`, `"conflict"`, `"handed over"`, `"loses"`.
        native: transformers has the name too.
        conflict: the error that a look-up raises, where several claim it and nothing decides.
    """

    name: str
    winner: Offer | str | None
    reason: str
    candidates: tuple[tuple[Offer, str], ...] = ()
    native: bool = False
    conflict: ConflictError | None = None

    def fate(self, offer: Offer) -> str:
        """Return what became of one of the candidates."""
        return next(fate for each, fate in self.candidates if each is offer)

    @property
    def offer(self) -> Offer | None:
        """The winning plugin's offer; None where transformers wins or nobody does."""
        return None if self.winner is None or isinstance(self.winner, str) else self.winner


_Verdict: TypeAlias = "tuple[Offer | str | None, str, ConflictError | None]"


class Registry:
    """Offers of one entry-point group by name, and the rules that choose between them.

    There are two: of model types, and of class names in `architectures`.
    """

    def __init__(
        self,
        offers: Iterable[Offer],
        *,
        native: Collection[str],
        switches: Switches,
        version: str,
        declare: Callable[[Offer], Declared | Broken],
    ) -> None:
        """Take what is installed, transformers' own model types and version, and the user's switches."""
        self.switches = switches
        self.native = native
        self._version = version
        self._declare = declare
        self._by_name: dict[str, list[Offer]] = {}
        for offer in offers:
            self._by_name.setdefault(offer.name, []).append(offer)
        self._choices: dict[str, Choice] = {}
        self._beside: dict[Offer, tuple[str, str]] = {}

    @property
    def offers(self) -> tuple[Offer, ...]:
        """Every offer, by name."""
        return tuple(offer for offers in self._by_name.values() for offer in offers)

    def __contains__(self, name: object) -> bool:
        """Say whether some plugin offers the name, usable or not."""
        return name in self._by_name

    def choose(self, name: str) -> Choice:
        """Return who owns the name. Depth: metadata; declaration where transformers has the name too."""
        if name not in self._choices:
            self._choices[name] = self._decide(name)
        return self._choices[name]

    def _decide(self, name: str) -> Choice:
        offers = self._by_name.get(name, [])
        states = {id(offer): self._standing(offer) for offer in offers}
        able = [offer for offer in offers if states[id(offer)] == "able"]
        native = name in self.native
        winner, reason, conflict = self._winner(name, able, offers)
        for offer in able:
            states[id(offer)] = self._fate(offer, winner, conflict)
        candidates = tuple((offer, states[id(offer)]) for offer in offers)
        return Choice(name=name, winner=winner, reason=reason, candidates=candidates, native=native, conflict=conflict)

    def _fate(self, offer: Offer, winner: Offer | str | None, conflict: ConflictError | None) -> str:
        if offer is winner:
            return "wins"
        if conflict:
            return "conflict"
        by_rule = winner == NATIVE and self.switches.prefer.get(offer.name) != NATIVE
        return self._beside_native(offer)[0] if by_rule else "loses"

    def _standing(self, offer: Offer) -> str:
        disable, only = self.switches.disable, self.switches.only
        if offer.shadowed:
            return "shadowed"
        if any(map(offer.answers_to, disable)) or (only and not any(map(offer.answers_to, only))):
            return "disabled"
        return "unusable" if offer.unmet else "able"

    def _winner(self, name: str, able: list[Offer], offers: list[Offer]) -> _Verdict:
        preferred = self.switches.prefer.get(name)
        if preferred == NATIVE:
            return NATIVE, "AUTOREG_PREFER names transformers", None
        # One that cannot be used is chosen all the same, and says why: another would come as a surprise.
        unusable = [offer for offer in offers if self._standing(offer) == "unusable"]
        chosen = [offer for offer in (*able, *unusable) if preferred and offer.is_by(preferred)]
        if chosen:
            return chosen[0], f"AUTOREG_PREFER names {chosen[0].distribution}", None
        return self._by_rule(name, able, offers)

    def _by_rule(self, name: str, able: list[Offer], offers: list[Offer]) -> _Verdict:
        native = name in self.native
        claiming = [offer for offer in able if not native or self._beside_native(offer)[0] == "wins"]
        if len(claiming) > 1:
            reason = f"{len(claiming)} plugins claim it and AUTOREG_PREFER does not choose"
            return None, reason, _conflict(name, claiming)
        if claiming:
            reason = self._beside_native(claiming[0])[1] if native else "no other plugin claims it"
            return claiming[0], reason, None
        if native:
            handed_over = next((reason for _, reason in map(self._beside_native, able) if reason), "")
            return NATIVE, handed_over or "transformers has it, and no plugin declares that it overrides it", None
        unusable = [offer for offer in offers if self._standing(offer) == "unusable"]
        if unusable:
            return unusable[0], "the only plugin that claims it cannot be used here", None
        return None, "nobody has it", None

    def _beside_native(self, offer: Offer) -> tuple[str, str]:
        """Return what becomes of an offer beside transformers' own, and why."""
        if offer not in self._beside:
            self._beside[offer] = self._weigh(offer)
        return self._beside[offer]

    def _weigh(self, offer: Offer) -> tuple[str, str]:
        """Hear the user's verdicts first, then the plugin itself."""
        for verdict in self.switches.handovers:
            about = verdict.model_type == offer.name and offer.is_by(verdict.distribution)
            if about and verdict.holds(offer.version, self._version):
                reason = f"a handover found transformers' own and the plugin's: {verdict.verdict}"
                return "handed over" if verdict.verdict == EQUIVALENT else "wins", reason
        architecture = getattr(self._declare(offer), "architecture", None)
        if self._among(getattr(architecture, "hands_over", None)):
            return "handed over", "the plugin declares that it hands over to transformers' own"
        if self._among(getattr(architecture, "overrides_native", None)):
            return "wins", "it declares that it overrides transformers' own"
        return "loses", ""

    def _among(self, specifier: str | None) -> bool:
        """Say whether the installed transformers is one of those that a plugin names, if it names any."""
        if specifier is None:
            return False
        from packaging.specifiers import SpecifierSet

        return SpecifierSet(specifier).contains(self._version, prereleases=True)

    def settle(self, class_name: str, offers: Sequence[Offer]) -> Offer:
        """Return whose class of this name is meant, where plugins share it; raise `ConflictError` if nothing says."""
        preferred = self.switches.prefer.get(class_name)
        chosen = [offer for offer in offers if preferred and offer.is_by(preferred)]
        if chosen:
            return chosen[0]
        owners = {offer.distribution: offer for offer in offers}.values()
        raise _conflict(class_name, owners)

    def near(self, name: str) -> tuple[str, ...]:
        """Return up to three names that look like this one, plugins' and transformers' own."""
        known = sorted({*self._by_name, *self.native})
        return tuple(difflib.get_close_matches(name, known, n=3, cutoff=0.75))


def unknown_switches(switches: Switches, registries: Sequence[Registry]) -> tuple[tuple[str, str], ...]:
    """Return `(variable, name)` for each name in the switches that nothing installed answers to."""
    offers = [offer for registry in registries for offer in registry.offers]

    def known(name: str) -> bool:
        return any(offer.answers_to(name) for offer in offers)

    found = [("AUTOREG_DISABLE", name) for name in sorted(switches.disable) if not known(name)]
    found += [("AUTOREG_ONLY", name) for name in sorted(switches.only) if not known(name)]
    for name, distribution in sorted(switches.prefer.items()):
        native = distribution == NATIVE and (known(name) or any(name in registry.native for registry in registries))
        by = [offer for offer in offers if offer.is_by(distribution)]
        # A class name that two plugins share; which classes they have is known to their declarations only.
        shared = bool(by) and name[:1].isupper() and not known(name)
        if not (native or shared or any(offer.name == name for offer in by)):
            found.append(("AUTOREG_PREFER", f"{name}={distribution}"))
    return tuple(found)


def _conflict(name: str, offers: Iterable[Offer]) -> ConflictError:
    claimants = tuple((offer.distribution, offer.version, offer.location) for offer in offers)
    return ConflictError(name=name, claimants=claimants)

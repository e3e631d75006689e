# ruff: noqa: E501 # tables of whole messages, one case a line
"""Who owns a name: the rules alone, on values."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg.discovery import MODEL_TYPES, Offer
from autoreg.errors import ConflictError
from autoreg.registry import NATIVE, Registry, Switches, unknown_switches


def offer(name: str = "zigzag", distribution: str = "acme", **fields: Any) -> Offer:
    values = {"group": MODEL_TYPES, "module": "m", "version": "1", "location": "/x", **fields}
    return Offer(name=name, distribution=distribution, **values)


def registry(
    *offers: Offer,
    native: tuple[str, ...] = (),
    overrides: str | None = None,
    hands_over: str | None = None,
    version: str = "5.23.0",
    **switches: Any,
) -> Registry:
    declare: Callable[[Offer], Any] = lambda _: SimpleNamespace(  # noqa: E731
        architecture=SimpleNamespace(overrides_native=overrides, hands_over=hands_over)
    )
    return Registry(offers, native=native, switches=Switches(**switches), version=version, declare=declare)


def fates(found: Registry, name: str = "zigzag") -> list[str]:
    return [state for _, state in found.choose(name).candidates]


A, B = offer(), offer(distribution="bolt")


@pytest.mark.parametrize(
    ("found", "winner", "reason", "states"),
    [
        (registry(), None, "nobody has it", []),
        (registry(native=("zigzag",)), NATIVE, "transformers has it, and no plugin declares that it overrides it", []),
        (registry(A), A, "no other plugin claims it", ["wins"]),
        (registry(A, B), None, "2 plugins claim it and AUTOREG_PREFER does not choose", ["conflict", "conflict"]),
        (registry(A, B, prefer={"zigzag": "bolt"}), B, "AUTOREG_PREFER names bolt", ["loses", "wins"]),
        (registry(A, B, prefer={"zigzag": "nobody"}), None, "2 plugins claim it and AUTOREG_PREFER does not choose", ["conflict", "conflict"]),
        (registry(A, B, disable=frozenset({"acme"})), B, "no other plugin claims it", ["disabled", "wins"]),
        (registry(A, B, disable=frozenset({"zigzag"})), None, "nobody has it", ["disabled", "disabled"]),
        (registry(A, B, only=frozenset({"BOLT"})), B, "no other plugin claims it", ["disabled", "wins"]),
        (registry(A, B, only=frozenset({"zigzag"})), None, "2 plugins claim it and AUTOREG_PREFER does not choose", ["conflict", "conflict"]),
        (registry(A, native=("zigzag",)), NATIVE, "transformers has it, and no plugin declares that it overrides it", ["loses"]),
        (registry(A, native=("zigzag",), overrides="<6"), A, "it declares that it overrides transformers' own", ["wins"]),
        (registry(A, native=("zigzag",), overrides="<5"), NATIVE, "transformers has it, and no plugin declares that it overrides it", ["loses"]),
        (registry(A, native=("zigzag",), overrides="<6", version="5.24.0.dev0"), A, "it declares that it overrides transformers' own", ["wins"]),
        (registry(A, native=("zigzag",), hands_over=">=5.23"), NATIVE, "the plugin declares that it hands over to transformers' own", ["handed over"]),
        (registry(A, native=("zigzag",), hands_over=">=5.23", overrides="<6"), NATIVE, "the plugin declares that it hands over to transformers' own", ["handed over"]),
        (registry(A, native=("zigzag",), hands_over=">=5.24", overrides="<6"), A, "it declares that it overrides transformers' own", ["wins"]),
        (registry(A, native=("zigzag",), hands_over=">=5.24"), NATIVE, "transformers has it, and no plugin declares that it overrides it", ["loses"]),
        (registry(A, native=("zigzag",), hands_over=">=5.23", prefer={"zigzag": NATIVE}), NATIVE, "AUTOREG_PREFER names transformers", ["loses"]),
        (registry(A, native=("zigzag",), hands_over=">=5.23", prefer={"zigzag": "acme"}), A, "AUTOREG_PREFER names acme", ["wins"]),
        (registry(A, hands_over=">=5.23"), A, "no other plugin claims it", ["wins"]),
        (registry(A, B, native=("zigzag",), overrides="<6"), None, "2 plugins claim it and AUTOREG_PREFER does not choose", ["conflict", "conflict"]),
        (registry(A, native=("zigzag",), overrides="<6", prefer={"zigzag": NATIVE}), NATIVE, "AUTOREG_PREFER names transformers", ["loses"]),
        (registry(A, native=("zigzag",), prefer={"zigzag": "Acme"}), A, "AUTOREG_PREFER names acme", ["wins"]),
        (registry(offer(unmet=("x (not installed)",)), B), B, "no other plugin claims it", ["unusable", "wins"]),
        (registry(offer(unmet=("x",)), native=("zigzag",), overrides="<6"), NATIVE, "transformers has it, and no plugin declares that it overrides it", ["unusable"]),
        (registry(offer(shadowed=True), B), B, "no other plugin claims it", ["shadowed", "wins"]),
        (registry(offer(unmet=("x",)), prefer={"zigzag": "acme"}).choose("zigzag") and registry(offer(unmet=("x",))), offer(unmet=("x",)), "the only plugin that claims it cannot be used here", ["unusable"]),
    ],
)  # fmt: skip
def test_every_case(found: Registry, winner: Any, reason: str, states: list[str]) -> None:
    """Each case of the rules has its winner, its reason and a fate for every candidate."""
    choice = found.choose("zigzag")
    assert (choice.winner, choice.reason, fates(found)) == (winner, reason, states)
    assert (choice.conflict is not None) == ("conflict" in states)
    assert choice.offer is (winner if isinstance(winner, Offer) and winner in (A, B) else choice.offer)
    assert choice.native == ("zigzag" in found.native)


def test_a_conflict_names_all_and_a_choice_is_kept() -> None:
    """A conflict is an error value with every claimant, made once."""
    found = registry(A, B, offer(distribution="coil"))
    choice = found.choose("zigzag")
    assert isinstance(choice.conflict, ConflictError)
    assert [name for name, _, _ in choice.conflict.claimants] == ["acme", "bolt", "coil"]
    assert found.choose("zigzag") is choice
    assert choice.offer is None


def test_what_a_registry_holds() -> None:
    """A registry knows its offers by name, and near names among plugins' and transformers' own."""
    found = registry(A, offer("other"), native=("bert",))
    assert "zigzag" in found
    assert "bert" not in found
    assert found.offers == (A, offer("other"))
    assert found.near("zigzagg") == ("zigzag",)
    assert found.near("brt") == ("bert",)
    assert found.near("qqqqq") == ()


def test_declarations_are_asked_for_only_where_transformers_has_the_name() -> None:
    """Who wins is known from metadata alone, except where transformers has the name too."""
    asked: list[Offer] = []

    def declare(it: Offer) -> Any:
        asked.append(it)
        return SimpleNamespace(architecture=SimpleNamespace(overrides_native=None))

    found = Registry([A, offer("bert")], native=("bert",), switches=Switches(), version="5", declare=declare)
    found.choose("zigzag")
    assert asked == []
    found.choose("bert")
    assert asked == [offer("bert")]


def test_switches_that_nothing_answers_to() -> None:
    """Names in the switches that nothing installed answers to are found, each with its variable."""
    switches = Switches(
        prefer={"zigzag": "acme", "bert": NATIVE, "qqq": NATIVE, "other": "acme", "zig_zag": "x"},
        disable=frozenset({"ACME", "zigzag", "nope"}),
        only=frozenset({"bolt", "acme"}),
    )
    found = registry(A, native=("bert",))
    assert unknown_switches(switches, [found]) == (
        ("AUTOREG_DISABLE", "nope"),
        ("AUTOREG_ONLY", "bolt"),
        ("AUTOREG_PREFER", "other=acme"),
        ("AUTOREG_PREFER", "qqq=transformers"),
        ("AUTOREG_PREFER", "zig_zag=x"),
    )


_name = st.sampled_from(["a", "b", "native"])
_distribution = st.sampled_from(["one", "two", "three"])
_offers = st.lists(
    st.builds(offer, _name, _distribution, unmet=st.sampled_from([(), ("x",)]), shadowed=st.booleans()), max_size=6
)
_switches = st.fixed_dictionaries(
    {
        "prefer": st.dictionaries(_name, _distribution | st.just(NATIVE), max_size=2),
        "disable": st.frozensets(_name | _distribution, max_size=2),
        "only": st.frozensets(_name | _distribution, max_size=2),
    }
)


@given(_offers, _switches, st.sampled_from([None, "<6", "<5"]), st.randoms())
def test_the_rules_hold_for_all(
    offers: list[Offer], switches: dict[str, Any], overrides: str | None, random: Any
) -> None:
    """Whatever is installed and switched: at most one wins, who is able; a conflict is of those able; order is nothing."""
    found = registry(*offers, native=("native",), overrides=overrides, **switches)
    shuffled = random.sample(offers, len(offers))
    other = registry(*shuffled, native=("native",), overrides=overrides, **switches)
    for name in ("a", "b", "native"):
        choice = found.choose(name)
        states = [state for _, state in choice.candidates]
        assert {it.name for it, _ in choice.candidates} <= {name}
        assert states.count("wins") <= 1 or len({id(it) for it in offers}) > len(set(offers))
        assert ("conflict" in states) == (choice.conflict is not None)
        for it, state in choice.candidates:
            assert (state == "shadowed") == it.shadowed
            assert it.name != name or state != "wins" or not it.unmet
        if choice.conflict is not None:
            assert choice.winner is None
        elif choice.winner == NATIVE:
            assert choice.native or switches["prefer"].get(name) == NATIVE
        assert sorted(states) == sorted(state for _, state in other.choose(name).candidates)

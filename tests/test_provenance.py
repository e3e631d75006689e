"""The `autoreg` note in config.json: what it asks for, that nonsense in it is none, and when it does not fit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from autoreg.checkpoint.provenance import KEY, Provenance, made, note, outside, read, requirement

IT = made(model_type="retnet", distribution="autoreg-retnet", version="1.2", transformers="5.23.0")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        [],
        {KEY: None},
        {KEY: "autoreg-retnet"},
        {KEY: []},
        {KEY: {}},
        {KEY: {"requires": ""}},
        {KEY: {"requires": 3}},
        {KEY: {"requires": ["autoreg-retnet"]}},
        {KEY: {"requires": "autoreg-retnet >= two"}},
        {KEY: {"requires": "--index-url https://evil.example autoreg-retnet"}},
        {KEY: {"requires": "autoreg-retnet @ https://evil.example/x.whl"}},
        {KEY: {"requires": "git+https://evil.example/x"}},
        {KEY: {"requires": "./folder"}},
        {KEY: {"requires": "autoreg-retnet\nrm -rf"}},
        {KEY: {"requires": "\x1b[31mautoreg-retnet"}},
        {KEY: {"requires": "autoreg-retnet" + "x" * 1000}},
    ],
    ids=repr,
)
def test_nonsense_is_no_provenance(fields: Any) -> None:
    """A note that is no requirement by name, or asks pip for an address or an option, counts as none."""
    assert read(fields) is None


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.2", "autoreg-retnet>=1.2,<2"),
        ("0.1.0", "autoreg-retnet>=0.1.0,<1"),
        ("2.0.0rc1", "autoreg-retnet>=2.0.0rc1,<3"),
        ("1.2.post1", "autoreg-retnet>=1.2.post1,<2"),
        ("1.3.dev4+g1a2b3c", "autoreg-retnet>=1.3.dev4,<2"),
        ("1.2+cu128", "autoreg-retnet>=1.2,<2"),
        ("2024.5", "autoreg-retnet>=2024.5,<2025"),
        ("1!2.0", "autoreg-retnet>=1!2.0,<1!3"),
        ("unknown", "autoreg-retnet"),
    ],
)
def test_the_requirement_holds_for_the_version_that_it_is_made_from(version: str, expected: str) -> None:
    """What is asked for is the version saved with or a later one, up to the next major; and it is valid."""
    text = requirement("autoreg-retnet", version)
    assert text == expected
    assert Requirement(text).name == "autoreg-retnet"
    saved = made(model_type="retnet", distribution="autoreg-retnet", version=version, transformers="5.23.0")
    assert outside(saved, version) is None
    assert read({KEY: note(saved)}) == saved


def test_a_note_is_json_and_comes_back_as_it_was() -> None:
    """The note survives config.json with all its facts."""
    written = json.loads(json.dumps({KEY: note(IT)}))
    assert written == {
        "autoreg": {
            "requires": "autoreg-retnet>=1.2,<2",
            "distribution": "autoreg-retnet",
            "version": "1.2",
            "model_type": "retnet",
            "transformers": "5.23.0",
        }
    }
    assert read(written) == IT


def test_a_note_that_somebody_wrote_by_hand_is_enough() -> None:
    """A requirement alone is a provenance; other fields that are no text are left empty."""
    found = read({KEY: {"requires": " autoreg-retnet>=1 ", "version": 3, "model_type": None, "more": {}}})
    assert found == Provenance(requires="autoreg-retnet>=1", distribution="autoreg-retnet")
    assert note(found) == {"requires": "autoreg-retnet>=1", "distribution": "autoreg-retnet"}


@pytest.mark.parametrize(("installed", "fits"), [("1.2", True), ("1.9+local", True), ("1.1", False), ("2.0", False)])
def test_a_version_outside_the_range_is_named_with_it(installed: str, fits: bool) -> None:
    """A version that the checkpoint does not ask for is a sentence with both; one that it does is none."""
    expected = (
        f"the checkpoint was saved with autoreg-retnet 1.2 and asks for autoreg-retnet>=1.2,<2; autoreg-retnet"
        f" {installed} is installed, to which the weights may mean something else. To load it as it was saved:"
        " pip install 'autoreg-retnet>=1.2,<2'"
    )
    assert outside(IT, installed) == (None if fits else expected)
    assert outside(IT, installed, distribution="Autoreg_Retnet") == (
        None if fits else expected.replace("autoreg-retnet " + installed, "Autoreg_Retnet " + installed)
    )


def test_another_package_is_named_whatever_its_version() -> None:
    """Where another distribution owns the model type here, its version says nothing, and both are named."""
    said = outside(IT, "1.5", distribution="my-retnet")
    assert said is not None
    assert "asks for autoreg-retnet>=1.2,<2; my-retnet 1.5 is installed" in said


def test_a_version_that_is_none_fits() -> None:
    """Of an installed version that is none by PEP 440 nothing can be said, and nothing is."""
    assert outside(IT, "unknown") is None


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["requires", "distribution", "version", "transformers"]), _json), st.text())
@example({"requires": "a>=\ud800"}, "")
@example({"requires": "x>=1", "version": "9" * 400}, "9" * 5000)
def test_no_note_raises(noted: dict[str, Any], version: str) -> None:
    """Whatever a stranger wrote under the key, it is read or left, and compared, without an error."""
    found = read({KEY: noted})
    if found is not None:
        assert all(text.isprintable() for text in note(found).values())
        assert isinstance(outside(found, version), (str, type(None)))

"""The package from outside: what it offers, what type checkers are told, what it says it supports."""

from __future__ import annotations

import ast
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import transformers
from packaging.specifiers import SpecifierSet

import autoreg

ROOT = Path(autoreg.__file__).parents[1]


def native_auto_classes() -> set[str]:
    names = (name for name in dir(transformers) if name.startswith("Auto"))
    return {name for name in names if getattr(transformers, name).__module__.startswith("transformers.models.auto.")}


def pinned(file: str) -> str:
    """Return the release of transformers that a constraints file pins for this Python."""
    lines = re.findall(r"^transformers==([\d.]+)", (ROOT / file).read_text(), re.MULTILINE)
    return lines[0]


def test_every_auto_class_of_transformers_is_offered_as_a_subclass() -> None:
    """Each Auto class of the installed transformers has a drop-in of the same name that is a subclass of it."""
    names = native_auto_classes()
    assert len(names) > 50
    for name in names:
        drop_in = getattr(autoreg, name)
        parents = [parent.__name__ for parent in drop_in.__mro__[1:] if parent.__module__.startswith("transformers.")]
        assert parents[0] in (name, "Placeholder")  # the latter where a library that it needs is missing
        assert (drop_in.__name__, drop_in.__module__) == (name, "autoreg")
    assert names <= set(dir(autoreg))


def test_type_checkers_are_told_of_every_auto_class() -> None:
    """The names imported for type checkers are the Auto classes of the newest supported transformers."""
    if version("transformers") != pinned("constraints.txt"):
        pytest.skip("the list is that of the newest supported transformers")
    tree = ast.parse((ROOT / "autoreg" / "__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "transformers"]
    assert {alias.asname for node in imports for alias in node.names} == native_auto_classes()


def test_what_all_names_is_there() -> None:
    """Every name in `__all__` can be had, and a name that is not there is an AttributeError that says so."""
    assert all(hasattr(autoreg, name) for name in autoreg.__all__)
    with pytest.raises(AttributeError, match="module 'autoreg' has no attribute 'AutoMobile'"):
        autoreg.AutoMobile  # noqa: B018


def test_the_oldest_and_newest_release_are_within_the_declared_range() -> None:
    """The releases that the tests run on are those at both ends of what pyproject.toml declares."""
    declared = re.search(r'"transformers([^"]+)"', (ROOT / "pyproject.toml").read_text())
    assert declared is not None
    supported = SpecifierSet(declared[1])
    oldest, newest = pinned("constraints-oldest.txt"), pinned("constraints.txt")
    assert {oldest in supported, newest in supported} == {True}
    assert f">={oldest.removesuffix('.0')}" in declared[1]
    assert version("transformers") in supported


def test_the_readme_says_what_the_demo_prints() -> None:
    """The output of `make demo` in the README begins with this version and names the example's figures."""
    readme = (ROOT / "README.md").read_text()
    assert f"1. autoreg {autoreg.__version__} is imported; torch is not loaded." in readme

"""The hooks: each has its specification, and an implementation that misses it is told so."""

import inspect

import pluggy
import pytest

import autoreg
from autoreg import hookspecs
from tests.conftest import MakePlugin

HOOKS = ["autoreg_architectures", "autoreg_checks"]


def manager() -> pluggy.PluginManager:
    found = pluggy.PluginManager(hookspecs.PROJECT)
    found.add_hookspecs(hookspecs)
    return found


def problem(make_plugin: MakePlugin, source: str) -> str:
    """Return what a plugin with this declaration module is blamed for."""
    plugin = make_plugin(modules={"plugin": "from autoreg import Architecture, hookimpl\n" + source})
    with pytest.raises(autoreg.PluginError) as caught:
        autoreg.AutoConfig.for_model("zigzag")
    assert str(caught.value) == plugin.cannot_be_used(caught.value.problem)
    return caught.value.problem


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("autoreg_architecture", "did you mean 'autoreg_architectures'?"),
        ("autoreg_cheks", "did you mean 'autoreg_checks'?"),
        ("qqqq", "the hooks are autoreg_architectures, autoreg_checks"),
    ],
)
def test_a_misspelt_hook_is_found(make_plugin: MakePlugin, name: str, end: str) -> None:
    """An implementation of an unknown hook is refused with a near match, or with the hooks there are."""
    source = f"@hookimpl\ndef {name}():\n    return []"
    assert problem(make_plugin, source) == f"it implements the unknown hook {name!r}; {end}"


@pytest.mark.parametrize("source", ["", "def autoreg_architectures():\n    return []"])
def test_a_missing_marker_is_found(make_plugin: MakePlugin, source: str) -> None:
    """A declaration module without the hook, or with the function and no marker, is told what to have."""
    assert problem(make_plugin, source) == "it has no function named `autoreg_architectures` and marked @hookimpl"


def test_an_argument_that_the_hook_does_not_have(make_plugin: MakePlugin) -> None:
    """An implementation that asks for an argument is refused with its name."""
    found = problem(make_plugin, "@hookimpl\ndef autoreg_architectures(config):\n    return []")
    assert "autoreg_architectures" in found
    assert "config" in found
    assert "\n" not in found


def test_a_generator_that_raises_halfway(make_plugin: MakePlugin) -> None:
    """A hook that raises after its first architecture is broken as a whole, with the cause."""
    source = """
@hookimpl
def autoreg_architectures():
    yield Architecture(model_type="zigzag", config="a:B")
    raise OSError("disk full")
"""
    assert problem(make_plugin, source) == "its hook `autoreg_architectures` raised OSError: disk full"


def test_every_hook_has_a_specification() -> None:
    """The hooks are exactly the ones specified, each without arguments, with a sentence, and annotated."""
    assert sorted(name for name in dir(manager().hook) if not name.startswith("_")) == HOOKS
    for name in HOOKS:
        function = getattr(hookspecs, name)
        assert function.__doc__
        assert not inspect.signature(function).parameters
        assert inspect.signature(function).return_annotation != inspect.Signature.empty


@pytest.mark.parametrize("name", HOOKS)
def test_a_specification_is_never_called(name: str) -> None:
    """Without an implementation a hook answers with nothing, and its specification does not run."""
    assert getattr(manager().hook, name)() == []
    with pytest.raises(NotImplementedError):
        getattr(hookspecs, name)()


def test_a_plugin_may_have_checks_and_a_marker_of_its_name(make_plugin: MakePlugin) -> None:
    """A plugin with both hooks is whole, and its architecture loads."""
    source = """
        from autoreg import Architecture, hookimpl

        @hookimpl(specname="autoreg_architectures")
        def mine():
            yield Architecture(**$declaration)

        @hookimpl
        def autoreg_checks():
            return []
        """
    plugin = make_plugin(modules={"plugin": source})
    assert type(autoreg.AutoConfig.for_model("zigzag")) is plugin.cls("configuration:Config")

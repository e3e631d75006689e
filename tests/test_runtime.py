"""The process: switches as they are read, activation, isolation, what is seen again."""

import threading
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

import autoreg
from autoreg import runtime
from tests.conftest import MakePlugin

_names = st.text(st.characters(exclude_characters=",=\x00", exclude_categories=["Cs"]), max_size=8).map(str.strip)


@given(st.lists(_names, max_size=5), st.sampled_from([",", " , ", ",,", "\t,"]))
def test_lists_of_names_are_read(names: list[str], comma: str) -> None:
    """AUTOREG_DISABLE and AUTOREG_ONLY are names with commas between; space and empty items do not count."""
    with pytest.MonkeyPatch.context() as patch, autoreg.isolated() as found:
        patch.setenv("AUTOREG_DISABLE", comma.join(names))
        patch.setenv("AUTOREG_ONLY", f" {comma.join(names)} ")
        expected = frozenset(name for name in names if name)
        assert (found.switches.disable, found.switches.only) == (expected, expected)


@given(st.lists(st.tuples(_names, _names) | _names, max_size=4))
def test_preferences_are_read(items: list[tuple[str, str] | str]) -> None:
    """AUTOREG_PREFER is `name=distribution` with commas between; what is not of that form warns, word for word."""
    written = ["=".join(item) if isinstance(item, tuple) else item for item in items]
    good = {item[0]: item[1] for item in items if isinstance(item, tuple) and all(item)}
    bad = {text.strip() for item, text in zip(items, written, strict=True)
           if text.strip() and not (isinstance(item, tuple) and all(item))}  # fmt: skip
    with (
        pytest.MonkeyPatch.context() as patch,
        autoreg.isolated() as found,
        warnings.catch_warnings(record=True) as told,
    ):
        warnings.simplefilter("always")
        patch.setenv("AUTOREG_PREFER", ",".join(written))
        assert dict(found.switches.prefer) == good
    assert {str(item.message) for item in told} == {
        f'AUTOREG_PREFER holds {text!r}, which is not of the form "model_type=distribution"' for text in bad
    }


@pytest.mark.parametrize(
    ("value", "strict"),
    [("", False), ("0", False), ("no", False), ("False", False), ("1", True), ("true", True), (" YES ", True)],
)
def test_strict_is_read(monkeypatch: pytest.MonkeyPatch, value: str, strict: bool) -> None:
    """AUTOREG_STRICT is 0 or 1, or a word for it."""
    monkeypatch.setenv("AUTOREG_STRICT", value)
    with autoreg.isolated() as found:
        assert found.strict is strict


def test_what_is_installed_later_is_seen(make_plugin: MakePlugin, tmp_path: object) -> None:
    """A plugin that is installed while the process runs is found when a checkpoint asks for it."""
    from tests.plugin_maker import write_checkpoint

    make_plugin("first")
    assert autoreg.AutoConfig.for_model("first").model_type == "first"
    folder = write_checkpoint(tmp_path / "it", {"model_type": "late"})
    with pytest.raises(autoreg.UnknownArchitectureError):
        autoreg.AutoConfig.from_pretrained(folder)
    late = make_plugin("late")
    assert type(autoreg.AutoConfig.from_pretrained(folder)) is late.cls("configuration:Config")


def test_isolated_looks_afresh_and_puts_back(make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside `isolated()` installed plugins and switches are read again; outside everything is as before."""
    outer = runtime.current()
    make_plugin("one")
    assert "one" in outer.types
    make_plugin("two")
    monkeypatch.setenv("AUTOREG_DISABLE", "one")
    with autoreg.isolated() as inner:
        assert runtime.current() is inner is not outer
        assert "two" in inner.types
        assert inner.types.choose("one").offer is None
    assert runtime.current() is outer
    assert "two" not in outer.types
    assert outer.types.choose("one").offer is not None


def test_isolated_puts_back_after_an_error(isolated: object) -> None:
    """An error inside `isolated()` is the caller's, and everything is put back all the same."""
    outer = runtime.current()
    with pytest.raises(ZeroDivisionError), autoreg.isolated():  # noqa: PT012 # the error must come from inside
        autoreg.activate()
        raise ZeroDivisionError
    assert runtime.current() is outer
    assert outer.active == 0


def test_isolated_begins_with_nothing_active(make_plugin: MakePlugin) -> None:
    """Inside `isolated()` nothing is active until somebody activates; after it what was active outside is again."""
    import transformers

    make_plugin()
    undo = autoreg.activate()
    with autoreg.isolated():
        assert "zigzag" not in transformers.CONFIG_MAPPING
        autoreg.activate()
        assert "zigzag" in transformers.CONFIG_MAPPING
    assert "zigzag" in transformers.CONFIG_MAPPING
    undo()
    assert "zigzag" not in transformers.CONFIG_MAPPING


def test_an_undo_from_outside_is_heeded_after_the_block(make_plugin: MakePlugin) -> None:
    """An undo from outside that is called inside `isolated()` counts when the block ends."""
    import transformers

    make_plugin()
    undo = autoreg.activate()
    with autoreg.isolated():
        undo()
        autoreg.activate()
        assert "zigzag" in transformers.CONFIG_MAPPING
    assert "zigzag" not in transformers.CONFIG_MAPPING


def test_an_undo_from_inside_is_nothing_outside(make_plugin: MakePlugin) -> None:
    """An undo taken inside `isolated()` and called after it does not undo what is active outside."""
    import transformers

    make_plugin()
    undo_outer = autoreg.activate()
    with autoreg.isolated():
        undo_inner = autoreg.activate()
    undo_inner()
    assert "zigzag" in transformers.CONFIG_MAPPING
    undo_outer()
    assert "zigzag" not in transformers.CONFIG_MAPPING


def test_undo_from_many_threads_counts_once(make_plugin: MakePlugin) -> None:
    """An undo that eight threads call at once undoes one activation."""
    first, second = autoreg.activate(), autoreg.activate()
    threads = [threading.Thread(target=first) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runtime.current().active == 1
    second()
    assert runtime.current().active == 0

"""First look-ups from many threads at once."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

import autoreg
from tests.conftest import MakePlugin
from tests.plugin_maker import PROCESSING, in_new_process, write_checkpoint

THREADS = 8


def at_once(act: Callable[[], Any]) -> list[Any]:
    """Run the same thing in eight threads that start together; return what each got or raised."""
    barrier = threading.Barrier(THREADS)
    got: list[Any] = []

    def run() -> None:
        barrier.wait()
        try:
            got.append(act())
        except Exception as error:  # the test looks at it
            got.append(error)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return got


def test_first_look_ups_give_one_import_and_one_class(make_plugin: MakePlugin, tmp_path: Any) -> None:
    """Eight threads that look a plugin up first get identical classes from one import of each module."""
    from tests import plugin_maker

    log = tmp_path / "imports"
    names = ("plugin", "configuration", "modeling", "processing")
    # The pause while a module is half imported is what gives the other threads their chance.
    counting = f"import time\nwith open({str(log)!r}, 'a') as log: log.write(__name__ + chr(10))\ntime.sleep(0.02)\n"
    modules = {name: counting + plugin_maker._dedent(plugin_maker._MODULES[name]) for name in names}
    plugin = make_plugin(modules=modules, **PROCESSING)
    folder = write_checkpoint(
        tmp_path / "it", {"model_type": "zigzag"}, tokenizer_config={"tokenizer_class": "ZigzagTokenizer"}
    )
    assert autoreg.AutoConfig
    assert autoreg.AutoModel
    assert autoreg.AutoTokenizer  # their own first access is another test's
    configs = at_once(lambda: type(autoreg.AutoConfig.from_pretrained(folder)))
    assert configs == [plugin.cls("configuration:Config")] * THREADS
    models = at_once(lambda: type(autoreg.AutoModel.from_config(autoreg.AutoConfig.from_pretrained(folder))))
    assert models == [plugin.cls("modeling:Model")] * THREADS
    tokenizers = at_once(lambda: type(autoreg.AutoTokenizer.from_pretrained(folder)))
    assert tokenizers == [plugin.cls("processing:Tokenizer")] * THREADS
    lines = log.read_text().split()
    assert sorted(lines) == sorted(f"{plugin.package}.{name}" for name in names)


def test_first_look_ups_of_everything_at_once(make_plugin: MakePlugin) -> None:
    """Eight threads that ask for a model as the very first thing get models of one class."""
    plugin = make_plugin()
    models = at_once(lambda: type(autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag"))))
    assert models == [plugin.cls("modeling:Model")] * THREADS


def test_a_broken_plugin_gives_every_thread_its_own_error(make_plugin: MakePlugin) -> None:
    """Eight threads that look a broken plugin up get the same sentence, each its own error."""
    make_plugin(modules={"plugin": "import time; time.sleep(0.02); 1/0"})
    errors = at_once(lambda: autoreg.AutoConfig.for_model("zigzag"))
    assert {type(error) for error in errors} == {autoreg.PluginError}
    assert len({str(error) for error in errors}) == 1
    assert len(set(map(id, errors))) == THREADS


def test_a_conflict_gives_every_thread_its_own_error(make_plugin: MakePlugin) -> None:
    """Eight threads that look a conflict up get the same sentence, each its own error."""
    make_plugin(distribution="one")
    make_plugin(distribution="two")
    errors = at_once(lambda: autoreg.AutoConfig.for_model("zigzag"))
    assert {type(error) for error in errors} == {autoreg.ConflictError}
    assert len(set(map(id, errors))) == THREADS


@pytest.mark.parametrize("repeat", range(3))
def test_activating_and_undoing_from_many_threads(make_plugin: MakePlugin, repeat: int) -> None:
    """Eight threads that activate and undo at once leave nothing active and nothing installed."""
    import transformers

    make_plugin()

    def switch() -> bool:
        undo = autoreg.activate()
        seen = "zigzag" in transformers.CONFIG_MAPPING
        undo()
        return seen

    assert at_once(switch) == [True] * THREADS
    assert type(transformers.CONFIG_MAPPING._extra_content) is dict
    assert "zigzag" not in transformers.CONFIG_MAPPING


def test_the_first_access_to_auto_classes_from_many_threads(tmp_path: Any) -> None:
    """Eight threads that are the first to use autoreg's Auto classes, and so transformers, agree on all classes."""
    from tests.plugin_maker import write_plugin

    write_plugin(tmp_path)
    script = """
    import json, threading
    import autoreg
    barrier, got = threading.Barrier(8), []
    def run():
        barrier.wait()
        try:
            model = autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag"))
            got.append([id(autoreg.AutoModel), id(autoreg.AutoConfig), id(type(model)), id(type(model.config))])
        except Exception as error:
            got.append(repr(error))
    threads = [threading.Thread(target=run) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join(120) for thread in threads]
    errors = [item for item in got if isinstance(item, str)]
    print(json.dumps([len(got), errors, len(set(map(str, got)))]))
    """
    assert in_new_process(script, path=[tmp_path]) == [8, [], 1]

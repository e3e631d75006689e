"""vLLM and SGLang: each calls autoreg in its processes, and finds plugins by class name in transformers."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autoreg
from autoreg import hosts
from autoreg.runtime import Runtime
from tests.plugin_maker import REPOSITORY, Plugin, in_new_process, write_checkpoint, write_plugin

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MakePlugin = Callable[..., Plugin]
GROUPS = {"vllm.general_plugins": hosts.vllm, "sglang.srt.plugins": hosts.sglang}


@pytest.mark.parametrize("group", GROUPS)
def test_the_entry_point_is_declared(group: str) -> None:
    """autoreg's own metadata has the entry point, under the name by which the host's users select plugins."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    ((name, value),) = project["entry-points"][group].items()
    module, _, function = value.partition(":")
    assert name == "autoreg"
    assert getattr(importlib.import_module(module), function) is GROUPS[group]


@pytest.mark.parametrize("call", GROUPS.values(), ids=list(GROUPS))
def test_the_host_finds_config_and_class(
    make_plugin: MakePlugin, isolated: Runtime, tmp_path: Path, call: Callable[[], None]
) -> None:
    """After the call transformers reads the config, and has the class that `architectures` names, and only that."""
    import transformers

    plugin = make_plugin(models={"AutoModel": "modeling:{0}Model", "AutoModelForCausalLM": "modeling:{0}ForCausalLM"})
    folder = write_checkpoint(tmp_path / "it", {"model_type": "zigzag", "architectures": ["ZigzagForCausalLM"]})
    with pytest.raises(ValueError, match="`zigzag`"):
        transformers.AutoConfig.from_pretrained(folder)
    call()
    config = transformers.AutoConfig.from_pretrained(folder)
    found: Any = getattr(transformers, config.architectures[0])
    assert found is plugin.cls("modeling:ForCausalLM")
    assert issubclass(found, transformers.PreTrainedModel)
    assert getattr(transformers, "ZigzagForNothing", None) is None
    call()  # hosts load their plugins again in some processes


def test_a_host_that_imported_transformers_long_before_finds_the_class(tmp_path: Path) -> None:
    """A module that has held `transformers` since before the library ran its `__init__` again finds plugins too."""
    write_plugin(tmp_path)
    script = """
    import importlib, json, sys
    import transformers
    importlib.import_module("transformers.processing_utils")  # `import` would bind the name again
    from autoreg import hosts
    latest = sys.modules["transformers"]
    before = hasattr(transformers, "ZigzagModel")
    hosts.vllm()
    print(json.dumps([latest is transformers, before, transformers.ZigzagModel is latest.ZigzagModel]))
    """
    assert in_new_process(script, path=[tmp_path]) == [False, False, True]


@pytest.mark.parametrize("call", GROUPS.values(), ids=list(GROUPS))
def test_nothing_is_raised(call: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """Where autoreg cannot be used the host starts all the same, and its log says why."""
    monkeypatch.delitem(vars(autoreg), "activate", raising=False)
    monkeypatch.setitem(sys.modules, "autoreg.runtime", None)
    with caplog.at_level(logging.ERROR, "autoreg"):
        call()
    assert "plugins are not active in this process of" in caplog.text
    assert "ModuleNotFoundError" in caplog.text


def test_vllms_own_loader_calls_it(make_plugin: MakePlugin, isolated: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loader of the installed vLLM finds the entry point by its group and calls it."""
    plugins = pytest.importorskip("vllm.plugins", reason="vLLM is not installed")
    monkeypatch.setenv("VLLM_PLUGINS", "autoreg")
    monkeypatch.setattr(plugins, "plugins_loaded", False)
    plugin = make_plugin()
    plugins.load_general_plugins()
    transformers: Any = importlib.import_module("transformers")  # the host may have had it run its `__init__` again
    assert transformers.ZigzagModel is plugin.cls("modeling:Model")


def test_sglangs_own_loader_calls_it(
    make_plugin: MakePlugin, isolated: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loader of the installed SGLang finds the entry point by its group and calls it."""
    plugins = pytest.importorskip("sglang.srt.plugins", reason="SGLang is not installed")
    monkeypatch.setenv("SGLANG_PLUGINS", "autoreg")
    monkeypatch.setattr(plugins, "_plugins_loaded", False)
    plugin = make_plugin()
    plugins.load_plugins()
    transformers: Any = importlib.import_module("transformers")  # the host may have had it run its `__init__` again
    assert transformers.ZigzagModel is plugin.cls("modeling:Model")

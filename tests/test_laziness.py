"""Who imports what: each proof in an interpreter of its own, by `sys.modules`."""

from pathlib import Path

import pytest

from tests.plugin_maker import in_new_process, write_checkpoint, write_plugin

HEAVY = ["torch", "transformers", "pluggy", "importlib.metadata", "packaging", "huggingface_hub", "argparse", "rich"]


def test_importing_autoreg_imports_nothing() -> None:
    """`import autoreg` imports neither torch, transformers, pluggy nor importlib.metadata; nor does `dir`."""
    script = """
    import json, sys
    before = set(sys.modules)
    import autoreg
    new = set(sys.modules) - before
    ours = sorted(name for name in new if name.partition(".")[0] == "autoreg")
    dir(autoreg)
    hasattr(autoreg, "nothing")
    print(json.dumps([ours, *([name for name in sys.argv[1:] if name in it] for it in (new, sys.modules))]))
    """
    ours, at_import, at_dir = in_new_process(script, arguments=HEAVY)
    assert ours == ["autoreg"]
    assert at_import == []
    assert not {"torch", "transformers", "huggingface_hub", "pluggy"} & set(at_dir)


def test_activating_imports_nothing_heavy(tmp_path: Path) -> None:
    """activate() and its undo, and who owns a model type, import neither torch nor transformers nor a plugin."""
    plugin = write_plugin(tmp_path)
    script = """
    import json, sys
    import autoreg
    undo = autoreg.activate()
    undo()
    from autoreg import runtime
    choice = runtime.current().types.choose("zigzag")
    after_choice = [name for name in sys.argv[1:] if name in sys.modules]
    architecture = runtime.current().architecture("zigzag")
    after_declaration = sorted(name for name in sys.modules if name.partition(".")[0] in sys.argv[1:])
    print(json.dumps([choice.winner.distribution, after_choice, repr(architecture), after_declaration]))
    """
    arguments = ["torch", "transformers", "numpy", plugin.package]
    assert in_new_process(script, path=[tmp_path], arguments=arguments) == [
        "autoreg-zigzag",
        [],
        "<Architecture zigzag: AutoModel>",
        [plugin.package, f"{plugin.package}.plugin"],
    ]


def test_loading_one_plugin_imports_no_other(tmp_path: Path) -> None:
    """With twenty plugins installed a checkpoint imports its own plugin, and of that only what is asked for."""
    details = {
        "tokenizer": "words:{0}Tokenizer",
        "models": {"AutoModel": "modeling:{0}Model"},
        "modules": {
            "words": """
                from transformers import PreTrainedTokenizer

                class ${Class}Tokenizer(PreTrainedTokenizer):
                    vocab_size = 1

                    def get_vocab(self):
                        return {"a": 0} | self.added_tokens_encoder
                """
        },
    }
    plugins = [write_plugin(tmp_path / "site", f"type{number}x", **details) for number in range(20)]
    folder = write_checkpoint(
        tmp_path / "it", {"model_type": "type7x"}, tokenizer_config={"tokenizer_class": "Type7xTokenizer"}
    )
    script = """
    import json, sys
    import autoreg
    seen = {}
    def note(step):
        seen[step] = sorted(name for name in sys.modules if name.startswith("autoreg_test_"))
    autoreg.activate()
    note("activate")
    config = autoreg.AutoConfig.from_pretrained(sys.argv[1])
    note("config")
    autoreg.AutoTokenizer.from_pretrained(sys.argv[1])
    note("tokenizer")
    autoreg.AutoModel.from_config(config)
    note("model")
    from transformers import AutoConfig, pipeline
    autoreg.AutoConfig.for_model("bert")
    seen["bert in"] = "bert" in __import__("transformers").CONFIG_MAPPING
    note("native")
    print(json.dumps(seen))
    """
    package = plugins[7].package
    at_config = [package, f"{package}.configuration", f"{package}.plugin"]
    at_tokenizer = sorted([*at_config, f"{package}.words"])
    at_model = sorted([*at_tokenizer, f"{package}.modeling"])
    assert in_new_process(script, path=[tmp_path / "site"], arguments=[str(folder)]) == {
        "activate": [],
        "config": at_config,
        "tokenizer": at_tokenizer,
        "model": at_model,
        "bert in": True,
        "native": at_model,
    }


def test_loading_retnet_imports_no_other_plugin(tmp_path: Path) -> None:
    """The installed retnet plugin's config imports no modelling module, and its model no other plugin."""
    pytest.importorskip("autoreg_retnet", reason="install it: pip install -e plugins/autoreg-retnet")
    other = write_plugin(tmp_path / "site")
    folder = write_checkpoint(tmp_path / "it", {"model_type": "retnet", "hidden_size": 8, "num_hidden_layers": 1})
    script = """
    import json, sys
    import autoreg
    config = autoreg.AutoConfig.from_pretrained(sys.argv[1])
    at_config = sorted(name for name in sys.modules if "retnet" in name and "modeling" in name)
    autoreg.AutoModel.from_config(config)
    print(json.dumps([type(config).__name__, at_config, sorted(name for name in sys.modules if sys.argv[2] in name)]))
    """
    found = in_new_process(script, path=[tmp_path / "site"], arguments=[str(folder), other.package])
    assert found == ["RetNetConfig", [], []]

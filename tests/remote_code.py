"""Checkpoints that bring their own Python files, as the hub has them: a real decoder, with weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["CODE", "write_remote_checkpoint"]

_ORIGINAL = Path(__file__).parent / "conformance" / "original"


def _renamed(name: str) -> str:
    """Return the source of a file of the correct original, as somebody's who calls the model Neat."""
    text = (_ORIGINAL / f"{name}.py").read_text(encoding="utf-8")
    text = text.replace("Tidy", "Neat").replace("tidy", "neat")
    return re.sub(r"^from \.configuration import", "from .configuration_neat import", text, flags=re.MULTILINE)


def _without(text: str, *functions: str) -> str:
    for function in functions:
        text = re.sub(rf"^def {function}\(.*?(?=^(def|class) )", "", text, flags=re.MULTILINE | re.DOTALL)
    return text


def _only(text: str, *functions: str) -> str:
    found = [
        re.search(rf"^def {function}\(.*?(?=^(def|class) )", text, re.MULTILINE | re.DOTALL) for function in functions
    ]
    return "import torch\n\n\n" + "".join(match[0] for match in found if match)


_CONFIGURATION, _MODELING, _TOKENIZATION = map(_renamed, ("configuration", "modeling", "tokenization"))
_IMPORT = "from .configuration_neat import NeatConfig\n"
_MODELS = {
    "AutoModel": "modeling_neat.NeatModel",
    "AutoModelForCausalLM": "modeling_neat.NeatForCausalLM",
    "AutoModelForSequenceClassification": "modeling_neat.NeatForSequenceClassification",
}
_REGISTERING = """
NeatConfig.register_for_auto_class()
NeatForCausalLM.register_for_auto_class("AutoModelForCausalLM")
"""

CODE: Mapping[str, dict[str, Any]] = {
    "two files": {
        "auto_map": {"AutoConfig": "configuration_neat.NeatConfig", **_MODELS},
        "files": {"configuration_neat.py": _CONFIGURATION, "modeling_neat.py": _MODELING},
    },
    "a tokenizer, and files that import one another": {
        "auto_map": {"AutoConfig": "configuration_neat.NeatConfig", **_MODELS},
        "tokenizer": {"AutoTokenizer": ["tokenization_neat.NeatTokenizer", None]},
        "files": {
            "configuration_neat.py": _CONFIGURATION,
            "modeling_neat.py": _without(_MODELING, "rotate", "repeat_heads").replace(
                _IMPORT, f"{_IMPORT}from .heads_neat import repeat_heads\nfrom .heads_neat import rotate\n"
            )
            + _REGISTERING,
            "heads_neat.py": "from .rotation_neat import rotate\n\n" + _only(_MODELING, "repeat_heads"),
            "rotation_neat.py": _only(_MODELING, "rotate"),
            "tokenization_neat.py": _TOKENIZATION,
            "train.py": "raise SystemExit('nobody imports this')\n",
        },
    },
}
"""By layout: `auto_map`, the tokenizer's, and the files: real code, cut into files in two ways."""


def write_remote_checkpoint(folder: Path, layout: str = "two files", **changes: Any) -> Path:
    """Write a checkpoint with weights and the code of this layout; `changes` are fields of config.json."""
    import torch

    from tests.conformance.original.configuration import TidyConfig
    from tests.conformance.original.modeling import TidyForCausalLM
    from tests.conformance.original.tokenization import TidyTokenizer

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    TidyForCausalLM(TidyConfig(**sizes)).save_pretrained(folder)
    code = CODE[layout]
    own = {"model_type": "neat", "architectures": ["NeatForCausalLM"], "auto_map": code["auto_map"]}
    _edit(folder / "config.json", {**own, **changes})
    if "tokenizer" in code:
        TidyTokenizer().save_pretrained(folder)
        _edit(folder / "tokenizer_config.json", {"tokenizer_class": "NeatTokenizer", "auto_map": code["tokenizer"]})
    for name, text in code["files"].items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _edit(file: Path, changes: Mapping[str, Any]) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}, indent=2))

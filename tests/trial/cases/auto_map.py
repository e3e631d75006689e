"""Code beside a checkpoint: what runs, who is asked, and whose code it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.trial.case import Act, Case, Wanted
from tests.trial.cases.common import Make, load, loading, zigzag
from tests.trial.face import Face
from tests.trial.material import ZIGZAG, Place, write
from tests.trial.oracle import error, truth, value

__all__ = ["CASES"]

CODE = """
import torch
from transformers import PreTrainedConfig, PreTrainedModel

class FarConfig(PreTrainedConfig):
    model_type = "{model_type}"
    hidden_size: int = 4

class FarModel(PreTrainedModel):
    config_class = FarConfig
    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.ones(4))
        self.post_init()
    def _init_weights(self, module):
        pass
    def forward(self, x):
        return x * self.scale

class FarTokenizer:
    @classmethod
    def from_pretrained(cls, *_, **__):
        return cls()
    @classmethod
    def register_for_auto_class(cls, *_):
        pass
"""


def case(key: str, what: str, make: Make, wanted: Wanted, *names: str, act: Act, **more: Any) -> Case:
    """Return a case of this group."""
    return Case(
        id=f"auto-map-{key}", group="auto_map", what=what, make=make, act=act, wanted=wanted, names=names, **more
    )


def code(place: Place, folder: Path, *, model_type: str = "far") -> None:
    """Write a module that sings when it is imported."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "far.py").write_text(place.sing() + CODE.replace("{model_type}", model_type))


def remote(reference: Any = "far.FarConfig", *, model: Any = "far.FarModel", beside: str = "checkpoint") -> Make:
    """Return what lays out a checkpoint of a type that nobody has, with its code in `beside`."""

    def make(place: Place) -> None:
        place.folder.mkdir()
        table = {"AutoConfig": _at(reference, place), "AutoModel": _at(model, place)}
        place.config.write_text(json.dumps({"model_type": "far", "hidden_size": 4, "auto_map": table}))
        write(place, ZIGZAG.but(tensors={"scale": ZIGZAG.tensors["model.embed.weight"][0]}), folder=place.root / "w")
        (place.root / "w" / "model.safetensors").rename(place.weights)
        code(place, place.root / beside)

    return make


def _at(reference: Any, place: Place) -> Any:
    return reference.replace("OUTSIDE", str(place.outside)) if isinstance(reference, str) else reference


def owned(place: Place) -> None:
    """Lay out the plugin's checkpoint, with code of its own beside it."""
    zigzag(place)
    code(place, place.folder, model_type="zigzag")
    classes = {"AutoConfig": "far.FarConfig", "AutoModelForCausalLM": "far.FarModel"}
    place.edit(auto_map={**classes, "AutoModelForTokenClassification": "far.FarModel"})


def owned_tokenizer(place: Place) -> None:
    """Lay out the plugin's checkpoint, with a tokenizer's code beside it."""
    owned(place)
    table = {"tokenizer_class": "FarTokenizer", "auto_map": {"AutoTokenizer": ["far.FarTokenizer", None]}}
    (place.folder / "tokenizer_config.json").write_text(json.dumps(table))


def owned_generate(place: Place) -> None:
    """Lay out the plugin's checkpoint, with its own way to generate beside it."""
    zigzag(place)
    (place.folder / "custom_generate").mkdir()
    (place.folder / "custom_generate" / "generate.py").write_text(place.sing() + "def generate(model, **_): pass\n")


def kind(auto_class: str, **options: Any) -> Act:
    """Return what loads, and returns the name of the class."""

    def act(face: Face, place: Place) -> Any:
        return type(face.load(place.folder, auto_class, **options)).__name__

    return act


TRUST: dict[str, Any] = {"trust_remote_code": True}

CASES: tuple[Case, ...] = (
    case(
        "trusted",
        "its own code, trusted: nothing is wrong",
        remote(),
        value("FarModel"),
        act=kind("AutoModel", **TRUST),
        trusts=True,
    ),
    case(
        "nothing-said",
        "its own code, nothing said about trust, nobody there to ask",
        remote(),
        error("unsafe"),
        "trust_remote_code",
        act=loading("AutoModel"),
    ),
    case(
        "typed",
        "the same, with a `y` on the standard input",
        remote(),
        error("unsafe"),
        "trust_remote_code",
        act=loading("AutoModel"),
        stdin=b"y\n" * 4,
        guarantee="no trust",
        everyday=True,
    ),
    case(
        "terminal",
        "the same, with a `y` typed on a terminal",
        remote(),
        error("unsafe"),
        "trust_remote_code",
        act=loading("AutoModel"),
        stdin=b"y\n" * 4,
        tty=True,
        guarantee="no trust",
    ),
    case(
        "refused",
        "its own code, `trust_remote_code=False`",
        remote(),
        error("unsafe"),
        "trust_remote_code",
        act=loading("AutoModel", trust_remote_code=False),
    ),
    case(
        "elsewhere",
        "`folder--module.Class`: trusted, and another folder's code",
        remote("OUTSIDE--far.FarConfig", model="OUTSIDE--far.FarModel", beside="outside"),
        error("unsafe"),
        "far.FarConfig",
        act=loading("AutoModel", **TRUST),
        guarantee="own code only",
        everyday=True,
    ),
    case(
        "path",
        "a module named by a path",
        remote("../outside/far.FarConfig", beside="outside"),
        error("unsafe"),
        "far.FarConfig",
        act=loading("AutoModel", **TRUST),
    ),
    case(
        "repository",
        "`someone/else--module.Class`, out of reach",
        remote("someone/else--far.FarConfig"),
        error("unsafe"),
        "someone/else",
        act=loading("AutoModel", **TRUST),
    ),
    case(
        "number", "an entry that is a number", remote(7), error("unsafe"), "auto_map", act=loading("AutoModel", **TRUST)
    ),
    case(
        "missing",
        "the module is not there",
        remote(beside="outside"),
        error("unsafe"),
        "far.py",
        act=loading("AutoModel", **TRUST),
    ),
    case("owned", "code beside a plugin's checkpoint", owned, truth(fields=False), act=load),
    case("owned-trusted", "the same, trusted", owned, truth(fields=False), act=loading(**TRUST)),
    case(
        "owned-head",
        "the same, for a head that the plugin lacks",
        owned,
        error("unsafe"),
        "AutoModelForTokenClassification",
        act=loading("AutoModelForTokenClassification", **TRUST),
    ),
    case(
        "owned-tokenizer",
        "a tokenizer's code beside a plugin's checkpoint, trusted",
        owned_tokenizer,
        error("unsafe"),
        "AutoTokenizer",
        "tokenizer",
        act=kind("AutoTokenizer", **TRUST),
        guarantee="plugin before code",
        everyday=True,
    ),
    case(
        "owned-generate",
        "`custom_generate` beside a plugin's checkpoint, trusted",
        owned_generate,
        truth(),
        act=loading(**TRUST),
    ),
)

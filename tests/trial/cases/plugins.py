"""Plugins: broken, quarrelling, missing, or of another version than the checkpoint was saved with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.trial.architecture import CONFIGURATION, MODELING, install
from tests.trial.case import Act, Case, Wanted
from tests.trial.cases.common import Make, zigzag
from tests.trial.face import Face
from tests.trial.material import ZIGZAG, Place, write
from tests.trial.oracle import error, truth

__all__ = ["CASES"]

KNOT = ZIGZAG.but({"model_type": "knot", "architectures": ["KnotForCausalLM"]})


def plugged(face: Face, place: Place) -> Any:
    """Load with the case's own plugins installed."""
    face.plug(place.root / "site")
    return face.load(place.folder)


def case(key: str, what: str, make: Make, wanted: Wanted, *names: str, act: Act = plugged, **more: Any) -> Case:
    """Return a case of this group."""
    more.setdefault("file", "config.json")
    return Case(id=f"plugins-{key}", group="plugins", what=what, make=make, act=act, wanted=wanted, names=names, **more)


def installed(*plugins: Mapping[str, Any], **config: Any) -> Make:
    """Return what installs plugins for the model type `knot`, and lays a checkpoint of it out."""

    def make(place: Place) -> None:
        write(place, KNOT)
        for details in plugins:
            install(place.root / "site", **{"model_type": "knot", **details})
        (place.root / "site").mkdir(exist_ok=True)
        if config:
            place.edit(**config)

    return make


def noted(version: str, requires: str) -> dict[str, Any]:
    """Return the note that autoreg leaves in config.json."""
    return {
        "autoreg": {
            "requires": requires,
            "distribution": "autoreg-knot",
            "version": version,
            "model_type": "knot",
            "transformers": "5.23.0",
        }
    }


def module(**sources: str) -> dict[str, Any]:
    return {"modules": sources}


def save_and_forget(face: Face, place: Place) -> Any:
    """Save a model, take the plugin away, and load what was saved."""
    model = face.load(place.folder)
    face.save(model, place.root / "saved")
    config = place.root / "saved" / "config.json"
    fields = {**json.loads(config.read_text()), "model_type": "zigzag-no-more"}
    config.write_text(json.dumps(fields))
    return face.load(place.root / "saved")


BROKEN = "import a_module_that_is_not_there\n"
EXIT = "import sys\nsys.exit(3)\n"

CASES: tuple[Case, ...] = (
    case("fine", "nothing is wrong", installed({}), truth(KNOT, or_error=False)),
    case(
        "modeling",
        "its modelling module cannot be imported",
        installed(module(modeling=BROKEN)),
        error(),
        "autoreg-knot",
        file="a_module_that_is_not_there",
    ),
    case(
        "configuration",
        "its configuration module cannot be imported",
        installed(module(configuration=BROKEN)),
        error(),
        "autoreg-knot",
        file="a_module_that_is_not_there",
    ),
    case(
        "declaration",
        "its declaration cannot be imported",
        installed(module(plugin=BROKEN)),
        truth(KNOT),
        "autoreg-knot",
    ),
    case("exit", "its modelling module ends the process", installed(module(modeling=EXIT)), error(), "autoreg-knot"),
    case(
        "no-class",
        "a class that it declares is not there",
        installed(module(modeling=MODELING.replace("ForCausalLM", "ForCausalIm"))),
        error(),
        "autoreg-knot",
    ),
    case(
        "two",
        "two of them claim one model type",
        installed({"distribution": "knot-one"}, {"distribution": "knot-two"}),
        error(),
        "knot-one",
        guarantee="ownership",
        everyday=True,
    ),
    case(
        "requirement",
        "what it requires is not installed",
        installed({"requires": ["no-such-package>=3"]}),
        truth(KNOT),
        "no-such-package",
    ),
    case(
        "missing",
        "it is not installed, and the checkpoint says which it is",
        installed(**noted("1.2", "autoreg-knot>=1.2,<2")),
        error(),
        "autoreg-knot>=1.2,<2",
        guarantee="provenance",
        file="autoreg-knot",
        everyday=True,
    ),
    case(
        "version",
        "it is older than what the checkpoint was saved with: a warning, and the true result",
        installed({}, **noted("3.1", "autoreg-knot>=3.1,<4")),
        truth(KNOT, or_error=False),
    ),
    case(
        "forgotten",
        "a saved checkpoint, once its plugin is gone",
        zigzag,
        error(),
        "autoreg-zigzag",
        act=save_and_forget,
        guarantee="provenance",
        file="autoreg-zigzag",
    ),
    case("unknown", "it is not installed, and nothing says which it is", installed(), error(), "knot"),
    case(
        "head",
        "it has no class for this head",
        installed({}),
        error(),
        "AutoModelForTokenClassification",
        act=lambda face, place: (
            face.plug(place.root / "site"),
            face.load(place.folder, "AutoModelForTokenClassification"),
        )[1],
    ),
    case(
        "type",
        "its config says another model type",
        installed(module(configuration=CONFIGURATION.replace("$model_type", "knit"))),
        error(),
        "knit",
    ),
)

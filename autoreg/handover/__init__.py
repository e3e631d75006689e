"""A plugin's architecture beside transformers' own of the same model type, and whether one may stand for the other.

Both are built from the same tiny config, transformers' own; config fields, weights, tokenizer and outputs on the same
weights are compared.

Depth: classes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import transformers

from autoreg.conformance.compare import Tolerance, difference
from autoreg.conformance.subject import Subject
from autoreg.conformance.target import Target, native_target
from autoreg.discovery import Broken
from autoreg.errors import MismatchError
from autoreg.handover import keys
from autoreg.verdicts import DIFFERENT, EQUIVALENT, KEY_MAP, Verdict

if TYPE_CHECKING:
    from autoreg.architecture import Architecture
    from autoreg.discovery import Offer
    from autoreg.runtime import Runtime

__all__ = ["Finding", "compare", "offer_of"]

_TEXTS = ("Hello, world", "two  spaces and a tab\t", "Ünïcödé 你好 🙂", "")
# What a layer keeps for its next step has a form of its own; what it does shows in the other outputs.
_NOT_COMPARED = ("past_key_values", "cache_params", "state", "loss")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was compared.

    Attributes:
        part: `config`, `weights`, `outputs` or `tokenizer`.
        about: the class or field.
        agrees: whether both do the same; None where it could not be compared, or does not decide.
        detail: what was seen, as a sentence.
    """

    part: str
    about: str
    agrees: bool | None
    detail: str

    def __str__(self) -> str:
        word = {True: "same", False: "differs", None: "note"}[self.agrees]
        return f"{self.part}, {self.about}: {word}: {self.detail}"


def offer_of(runtime: Runtime, model_type: str, distribution: str = "") -> Offer:
    """Return the plugin's offer that is to be compared, whoever owns the model type now. Depth: metadata.

    Raises:
        UnknownArchitectureError: no plugin declares it, or not that distribution's.
        ConflictError: several do, and no distribution was named.
        LookupError: transformers has no such model type, and nothing is to be handed over.
    """
    offers = [offer for offer in runtime.types.offers if offer.name == model_type and not offer.shadowed]
    offers = [offer for offer in offers if not distribution or offer.is_by(distribution)]
    if not offers:
        raise runtime.unknown(model_type)
    if model_type not in runtime.types.native:
        raise LookupError(
            f"transformers {runtime.transformers_version} has no model type {model_type!r} to hand over to"
        )
    if len(offers) > 1:
        runtime.types.settle(model_type, offers)
    return offers[0]


def compare(runtime: Runtime, offer: Offer, *, tokenizer: str = "") -> tuple[Verdict, tuple[Finding, ...]]:
    """Build both architectures, compare them, and judge. Depth: classes.

    Args:
        runtime: what this process knows.
        offer: the plugin's.
        tokenizer: a folder from which both tokenizers can be loaded; empty to make them without files.

    Raises:
        PluginError: the plugin cannot be used.
        DerivationError: no tiny config was found with which transformers' own runs.
    """
    declared = runtime.declare(offer)
    if isinstance(declared, Broken):
        raise declared.error.again() from declared.error.__cause__
    pair = _Pair(native_target(offer.name), declared.architecture)
    findings = [*_configs(pair), *_models(pair), *_tokenizers(pair, tokenizer)]
    key_map = {ours: theirs for each in pair.key_maps for ours, theirs in keys.patterns(each).items()}
    differs = any(each.agrees is False for each in findings)
    verdict = Verdict(
        model_type=offer.name,
        verdict=DIFFERENT if differs else KEY_MAP if key_map else EQUIVALENT,
        distribution=offer.distribution,
        versions=f"=={_series(offer.version)}.*",
        transformers=f"=={_series(runtime.transformers_version)}.*",
        key_map=key_map,
        findings=tuple(map(str, findings)),
    )
    return verdict, tuple(findings)


def _series(version: str) -> str:
    return ".".join(version.split(".")[:2])


class _Pair:
    """transformers' own and the plugin's classes, and the key maps that the outputs confirmed."""

    def __init__(self, native: Target, architecture: Architecture) -> None:
        self.native = native
        self.architecture = architecture
        self.config_class: Any = architecture.config.load() if architecture.config else native.config_class
        self.key_maps: list[Mapping[str, str]] = []

    def classes(self) -> Iterator[tuple[str, Any, Any]]:
        """Yield `(Auto class, the plugin's class, transformers' own)` of what both have; each pair once."""
        seen = set()
        for own, auto_classes in self.native.models.items():
            for auto_class in auto_classes:
                declared = self.architecture.models.get(auto_class, ())
                for reference in declared if isinstance(declared, tuple) else (declared,):
                    ours = reference.load()
                    if (ours, own) not in seen:
                        seen.add((ours, own))
                        yield auto_class, ours, own


# --- configs -------------------------------------------------------------------------------------


def _configs(pair: _Pair) -> Iterator[Finding]:
    common = set(transformers.PreTrainedConfig().to_dict())
    ours = {name: value for name, value in pair.config_class().to_dict().items() if name not in common}
    native: Any = pair.native.config_class
    theirs = {name: value for name, value in native().to_dict().items() if name not in common}
    for name in sorted(ours.keys() - theirs.keys()):
        detail = "transformers' own has no such field and ignores what a checkpoint says there"
        yield Finding(part="config", about=name, agrees=False, detail=detail)
    for name in sorted(theirs.keys() - ours.keys()):
        detail = f"the plugin has no such field; its checkpoints get the default {theirs[name]!r}"
        yield Finding(part="config", about=name, agrees=None, detail=detail)
    for name in sorted(ours.keys() & theirs.keys()):
        if ours[name] != theirs[name]:
            detail = (
                f"the default is {ours[name]!r} and {theirs[name]!r}; checkpoints that state the field are not touched"
            )
            yield Finding(part="config", about=name, agrees=None, detail=detail)
    same = len([name for name in ours if name in theirs])
    yield Finding(part="config", about=native.__name__, agrees=True, detail=f"{same} fields have the same name")


# --- weights and outputs ---------------------------------------------------------------------------


def _models(pair: _Pair) -> Iterator[Finding]:
    found = False
    with tempfile.TemporaryDirectory(prefix="autoreg-handover-") as folder:
        for auto_class, ours, own in pair.classes():
            found = True
            subject = Subject(pair.native, own, scratch=Path(folder) / own.__name__)
            yield from _model(pair, subject, auto_class, ours)
    if not found:
        detail = "no Auto class has a model of both"
        yield Finding(part="weights", about=pair.native.model_type, agrees=False, detail=detail)


def _model(pair: _Pair, subject: Subject, auto_class: str, ours: Any) -> Iterator[Finding]:
    theirs = subject.model()
    try:
        model = ours(pair.config_class.from_dict(subject.config().to_dict())).eval()
    except Exception as error:  # whatever a constructor raises is what was seen
        detail = f"the plugin's class cannot be built from transformers' config ({type(error).__name__}: {error})"
        yield Finding(part="weights", about=auto_class, agrees=False, detail=detail)
        return
    shapes = [{name: tuple(tensor.shape) for name, tensor in each.state_dict().items()} for each in (model, theirs)]
    told = None
    for key_map in keys.candidates(*shapes):
        told_now = _outputs(subject, model, theirs, key_map)
        if told_now is None:
            pair.key_maps.append(key_map)
            renamed = keys.patterns(key_map)
            what = f"{len(key_map)} weights" + (f", {len(renamed)} renamings" if renamed else " of the same names")
            yield Finding(part="weights", about=auto_class, agrees=True, detail=what)
            yield Finding(part="outputs", about=auto_class, agrees=True, detail="the same on the same weights")
            return
        told = told or told_now
    if told is None:
        detail = keys.first_difference(*shapes)
        yield Finding(part="weights", about=auto_class, agrees=False, detail=detail)
    else:
        yield Finding(part="outputs", about=auto_class, agrees=False, detail=f"on the same weights, {told}")


def _outputs(subject: Subject, model: Any, theirs: Any, key_map: Mapping[str, str]) -> str | None:
    """Load transformers' weights into the plugin's model; return the first difference of outputs, or None."""
    weights = theirs.state_dict()
    model.load_state_dict({ours: weights[name] for ours, name in key_map.items()})
    inputs = subject.inputs()
    expected = _shared(subject.outputs(theirs, inputs))
    try:
        actual = _shared(subject.outputs(model, inputs))
    except Exception as error:  # whatever a forward raises is what was seen
        return f"the plugin's forward fails ({type(error).__name__}: {error})"
    try:
        difference(actual, expected, tolerance=Tolerance(), what="", compared="")
    except MismatchError as error:
        return str(error.difference)
    return None


def _shared(outputs: Any) -> dict[str, Any]:
    return {name: value for name, value in outputs.items() if name not in _NOT_COMPARED}


# --- tokenizers ------------------------------------------------------------------------------------


def _tokenizers(pair: _Pair, folder: str) -> Iterator[Finding]:
    declared = pair.architecture.tokenizer
    if declared is None:
        return
    try:
        own: Any = transformers.TOKENIZER_MAPPING[pair.native.config_class]
        own = own[-1] or own[0] if isinstance(own, tuple) else own
        ours: Any = declared.load()
        both = [each.from_pretrained(folder) if folder else each() for each in (ours, own)]
    except Exception as error:  # most need files
        detail = f"not compared ({type(error).__name__}: {error}); name a folder with --tokenizer"
        yield Finding(part="tokenizer", about=declared.name, agrees=None, detail=detail)
        return
    for text in _TEXTS:
        ids = [each(text)["input_ids"] for each in both]
        if ids[0] != ids[1]:
            detail = f"{text!r} becomes {ids[0][:12]} and {ids[1][:12]}"
            yield Finding(part="tokenizer", about=declared.name, agrees=False, detail=detail)
            return
    yield Finding(part="tokenizer", about=declared.name, agrees=True, detail=f"the same ids for {len(_TEXTS)} texts")

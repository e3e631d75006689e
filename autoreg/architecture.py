"""`Architecture` and `ClassRef("pkg.mod:Name")`: what a plugin declares; validated, frozen, printable.

Depth: declaration. Nothing here imports transformers or torch; `ClassRef.load` is where a string
becomes a class, and the only place.
"""

from __future__ import annotations

import difflib
import importlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from autoreg import natives
from autoreg.errors import DeclarationError

__all__ = ["PROCESSING", "Architecture", "ClassRef", "check_model_type"]

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_MODEL_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}")
_CLASS_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
PROCESSING: Mapping[str, str] = MappingProxyType(
    {
        "AutoTokenizer": "tokenizer",
        "AutoImageProcessor": "image_processor",
        "AutoVideoProcessor": "video_processor",
        "AutoFeatureExtractor": "feature_extractor",
        "AutoProcessor": "processor",
    }
)
"""The field of `Architecture` for each Auto class that is neither for models nor for configs."""


@dataclass(frozen=True, slots=True, order=True)
class ClassRef:
    """The name of a class that nobody has imported yet: `ClassRef("pkg.module", "Name")`."""

    module: str
    name: str

    @classmethod
    def parse(cls, text: str | ClassRef, *, field: str = "reference") -> ClassRef:
        """Return the reference that `"module:Class"` spells; `field` is named in the `DeclarationError`."""
        if isinstance(text, ClassRef):
            return text
        if not isinstance(text, str) or not _REFERENCE.fullmatch(text):
            example = "write it as `package.module:ClassName`"
            raise DeclarationError(field=field, value=text, problem=f"not a class reference; {example}")
        module, _, name = text.partition(":")
        return cls(module, name)

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"

    def __repr__(self) -> str:
        return f"ClassRef({str(self)!r})"

    def load_object(self) -> object:
        """Import the module and return what the name stands for. Depth: classes.

        Raises:
            ImportError: the module cannot be imported, or has no such name.
        """
        module = importlib.import_module(self.module)
        try:
            return getattr(module, self.name)
        except AttributeError as error:
            near = difflib.get_close_matches(self.name, dir(module), n=1)
            hint = f"; it has {near[0]!r}" if near else ""
            raise ImportError(f"module {self.module!r} has no {self.name!r}{hint}") from error

    def load(self) -> type:
        """Import the module and return the class. Depth: classes.

        Raises:
            ImportError: the module cannot be imported, or has no such name.
            TypeError: the name stands for something that is no class.
        """
        found = self.load_object()
        if not isinstance(found, type):
            raise TypeError(f"{self} is {type(found).__name__}, not a class")
        return found


Reference: TypeAlias = "str | ClassRef"
ModelRefs: TypeAlias = "ClassRef | tuple[ClassRef, ...]"
BackendRefs: TypeAlias = "ClassRef | Mapping[str, ClassRef]"


def check_model_type(text: object, *, field: str = "model_type") -> str:
    """Return `text` if it can be a model type; raise `DeclarationError` naming `field` otherwise."""
    if not isinstance(text, str) or not text:
        raise DeclarationError(field=field, value=text, problem="a model type is a non-empty string")
    strange = next((char for char in text if not char.isascii()), None)
    if strange is not None:
        name = unicodedata.name(strange, "an unnamed character")
        problem = f"holds {name} (U+{ord(strange):04X}), and only ASCII letters can be told apart"
        raise DeclarationError(field=field, value=text, problem=problem)
    if not _MODEL_TYPE.fullmatch(text) or ".." in text:
        problem = "a model type holds ASCII letters, digits and `_ - . +` only, and starts with a letter or digit"
        raise DeclarationError(field=field, value=text, problem=problem)
    return text


@dataclass(frozen=True, slots=True, init=False)
class Architecture:
    """One architecture as its plugin declares it: names of classes, no classes.

    Args:
        model_type: the `model_type` of its config.json; also the entry point's name.
        config: the config class. Only a declaration with `architectures` may leave it out, and then
            keeps the native config class of `model_type`.
        models: for each Auto class of transformers (by its name), or of a package of its own (as
            `"module:AutoClass"`), the model class, or several to choose from by `config.architectures`.
        architectures: class names from the `architectures` field of checkpoints whose `model_type` is
            one of transformers' own and whose weights are not (entry-point group
            `autoreg.architectures`).
        tokenizer, feature_extractor, processor: the class for `AutoTokenizer`, `AutoFeatureExtractor`,
            `AutoProcessor`.
        image_processor, video_processor: one class, or one for each backend (`"pil"`, `"torchvision"`).
        overrides_native: for which versions of transformers the plugin wins over transformers' own
            architecture of this model type, as a version specifier (`"<5.30"`).
        hands_over: for which versions of transformers its own may stand for this architecture, as `autoreg handover`
            found; where both fields say so, this one holds.
        registered_by: `"module:function"`, a package's own function that registers its classes with transformers:
            it is run in isolation at the first look-up, and what it registered for `model_type` is read back.
            Such a declaration names no class.
        weight_conversions: how older checkpoints are renamed on loading: a native model type whose
            conversions apply (`"mixtral"`), or `"module:name"` of a list of
            `transformers.core_model_loading` conversions or of a function that returns one.
        conformance: `"module:name"` of hints for the conformance suite.
        summary: one line for `autoreg list` and `autoreg show`.
        homepage: an http(s) address.

    Raises:
        DeclarationError: naming the field, its value and what is wrong.
    """

    model_type: str
    config: ClassRef | None
    models: Mapping[str, ModelRefs]
    architectures: tuple[str, ...]
    tokenizer: ClassRef | None
    image_processor: BackendRefs | None
    video_processor: BackendRefs | None
    feature_extractor: ClassRef | None
    processor: ClassRef | None
    overrides_native: str | None
    hands_over: str | None
    registered_by: ClassRef | None
    weight_conversions: ClassRef | str | None
    conformance: ClassRef | None
    summary: str
    homepage: str

    def __init__(
        self,
        *,
        model_type: str,
        config: Reference | None = None,
        models: Mapping[str, Reference | Iterable[Reference]] | None = None,
        architectures: Iterable[str] = (),
        tokenizer: Reference | None = None,
        image_processor: Reference | Mapping[str, Reference] | None = None,
        video_processor: Reference | Mapping[str, Reference] | None = None,
        feature_extractor: Reference | None = None,
        processor: Reference | None = None,
        overrides_native: str | None = None,
        hands_over: str | None = None,
        registered_by: Reference | None = None,
        weight_conversions: Reference | None = None,
        conformance: Reference | None = None,
        summary: str = "",
        homepage: str = "",
    ) -> None:
        put = object.__setattr__
        put(self, "model_type", check_model_type(model_type))
        put(self, "architectures", _class_names(architectures))
        put(self, "config", _optional("config", config))
        put(self, "models", _models(models))
        put(self, "tokenizer", _optional("tokenizer", tokenizer))
        put(self, "image_processor", _backends("image_processor", image_processor))
        put(self, "video_processor", _backends("video_processor", video_processor))
        put(self, "feature_extractor", _optional("feature_extractor", feature_extractor))
        put(self, "processor", _optional("processor", processor))
        put(self, "overrides_native", _specifier("overrides_native", overrides_native))
        put(self, "hands_over", _specifier("hands_over", hands_over))
        put(self, "registered_by", _optional("registered_by", registered_by))
        put(self, "weight_conversions", _conversions(weight_conversions))
        put(self, "conformance", _optional("conformance", conformance))
        put(self, "summary", _line("summary", summary))
        put(self, "homepage", _address(homepage))
        self._check_whole()

    def _check_whole(self) -> None:
        if self.registered_by is not None:
            self._check_names_nothing()
        elif self.config is None and not self.architectures:
            problem = "every architecture names its config class, unless it claims `architectures` of a native type"
            raise DeclarationError(field="config", value=None, problem=problem)
        if not any(True for _ in self.references()):
            problem = "an architecture declares at least one class"
            raise DeclarationError(field="models", value={}, problem=problem)

    def _check_names_nothing(self) -> None:
        named = [field for field, _ in self.references() if field != "registered_by"]
        named += ["architectures"] if self.architectures else []
        if named:
            problem = f"its classes are those that the function registers, and `{named[0]}` is declared beside it"
            raise DeclarationError(field="registered_by", value=str(self.registered_by), problem=problem)

    @property
    def meets_native(self) -> bool:
        """Whether it says who is used where transformers has the model type too; the two may then share class names."""
        return self.overrides_native is not None or self.hands_over is not None

    def references(self) -> Iterator[tuple[str, ClassRef]]:
        """Yield `(field, reference)` for every class that is declared, in the order of the fields.

        Where a register function is declared, it alone is named: nobody has called it yet.
        """
        if self.registered_by is not None:
            yield "registered_by", self.registered_by
        if self.config is not None:
            yield "config", self.config
        for auto_class, models in self.models.items():
            for reference in models if isinstance(models, tuple) else (models,):
                yield f'models["{auto_class}"]', reference
        for field in PROCESSING.values():
            value: BackendRefs | None = getattr(self, field)
            if isinstance(value, ClassRef):
                yield field, value
            elif value is not None:
                yield from ((f'{field}["{backend}"]', reference) for backend, reference in value.items())

    def __repr__(self) -> str:
        heads = ", ".join(self.models) or (f"registered by {self.registered_by}" if self.registered_by else "no models")
        claim = f" claims {', '.join(self.architectures)}" if self.architectures else ""
        return f"<Architecture {self.model_type}{claim}: {heads}>"


def _optional(field: str, value: Reference | None) -> ClassRef | None:
    return None if value is None else ClassRef.parse(value, field=field)


def _models(models: Any) -> Mapping[str, ModelRefs]:
    if models is None:
        return MappingProxyType({})
    if not isinstance(models, Mapping):
        problem = "a mapping from Auto class names to class references is needed"
        raise DeclarationError(field="models", value=models, problem=problem)
    return MappingProxyType({_auto_class(key): _model_refs(key, value) for key, value in models.items()})


def _auto_class(key: object) -> str:
    field = f'models["{key}"]'
    if not isinstance(key, str):
        raise DeclarationError(field="models", value=key, problem="the keys are names of Auto classes")
    if ":" in key:
        return str(ClassRef.parse(key, field=field))
    if key == "AutoConfig" or key in PROCESSING:
        problem = f"that is no Auto class for models; use the field `{PROCESSING.get(key, 'config')}`"
        raise DeclarationError(field=field, value=key, problem=problem)
    known = natives.auto_classes()
    if known and key not in known:
        problem = "the installed transformers has no such Auto class"
        near = tuple(difflib.get_close_matches(key, sorted(known), n=2, cutoff=0.8))
        raise DeclarationError(field=field, value=key, problem=problem, suggestions=near)
    return key


def _model_refs(key: str, value: Reference | Iterable[Reference]) -> ModelRefs:
    field = f'models["{key}"]'
    if isinstance(value, (str, ClassRef)):
        return ClassRef.parse(value, field=field)
    if not isinstance(value, (tuple, list)) or not value:
        raise DeclarationError(field=field, value=value, problem="a class reference, or a tuple of them, is needed")
    return tuple(ClassRef.parse(item, field=f"{field}[{index}]") for index, item in enumerate(value))


def _backends(field: str, value: Reference | Mapping[str, Reference] | None) -> BackendRefs | None:
    if value is None or isinstance(value, (str, ClassRef)):
        return _optional(field, value)
    if not isinstance(value, Mapping) or not value:
        problem = "a class reference, or a mapping from backend to class reference, is needed"
        raise DeclarationError(field=field, value=value, problem=problem)
    parsed = {str(name): ClassRef.parse(item, field=f'{field}["{name}"]') for name, item in value.items()}
    return MappingProxyType(parsed)


def _class_names(names: Any) -> tuple[str, ...]:
    listed = (names,) if isinstance(names, str) or not isinstance(names, Iterable) else tuple(names)
    for name in listed:
        if not isinstance(name, str) or not _CLASS_NAME.fullmatch(name):
            raise DeclarationError(field="architectures", value=name, problem="these are class names")
    return listed


def _specifier(field: str, text: str | None) -> str | None:
    if text is None:
        return None
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return str(SpecifierSet(text))
    except (InvalidSpecifier, TypeError, AttributeError) as error:
        problem = 'not a version specifier of transformers, such as "<5.30" or ">=5.20,<5.24"'
        raise DeclarationError(field=field, value=text, problem=problem) from error


def _conversions(value: Reference | None) -> ClassRef | str | None:
    if isinstance(value, str) and ":" not in value:
        return check_model_type(value, field="weight_conversions")
    return _optional("weight_conversions", value)


def _line(field: str, text: Any) -> str:
    if not isinstance(text, str) or not text.isprintable():
        raise DeclarationError(field=field, value=text, problem="one line of printable text is needed")
    return text


def _address(text: str) -> str:
    if _line("homepage", text) and not text.startswith(("https://", "http://")):
        raise DeclarationError(field="homepage", value=text, problem="an http or https address is needed")
    return text

"""Which classes are tried: transformers' own mappings, an architecture at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Architecture", "Subject", "architectures"]

# In the order of importance: the later ones are heads on models that come first.
FIRST = ("MODEL_MAPPING_NAMES", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "MODEL_FOR_MASKED_LM_MAPPING_NAMES")


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A model class by name, and the Auto classes under which the architecture has it."""

    name: str
    auto_classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A model type, its config class and its model classes, the base model first."""

    model_type: str
    config: str
    subjects: tuple[Subject, ...]


def architectures(*, only: Sequence[str] = (), everything: bool = False) -> list[Architecture]:
    """Return transformers' architectures; `only` restricts to Auto classes (by name), or to model types.

    Without `everything` only AutoModel, AutoModelForCausalLM and AutoModelForMaskedLM are looked at.
    """
    # mypy: transformers has the table here, and re-exports it nowhere.
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # type: ignore[attr-defined]

    mappings = _mappings(everything)
    found = []
    for model_type in sorted({key for names in mappings.values() for key in names}):
        classes: dict[str, list[str]] = {}
        for auto_class, names in mappings.items():
            if only and auto_class not in only and model_type not in only:
                continue
            for name in _names(names.get(model_type, ())):
                classes.setdefault(name, []).append(auto_class)
        subjects = tuple(Subject(name=name, auto_classes=tuple(autos)) for name, autos in classes.items())
        if subjects and model_type in CONFIG_MAPPING_NAMES:
            config = CONFIG_MAPPING_NAMES[model_type]
            found.append(Architecture(model_type=model_type, config=config, subjects=subjects))
    return found


def _names(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _mappings(everything: bool) -> Mapping[str, Mapping[str, str | Sequence[str]]]:
    """Return Auto class name -> model type -> class names, as the `*_MAPPING_NAMES` tables have them."""
    from transformers.models.auto import modeling_auto

    tables = [name for name in vars(modeling_auto) if name.endswith("_MAPPING_NAMES") and name.startswith("MODEL_")]
    chosen = [*FIRST, *sorted(set(tables) - set(FIRST))] if everything else FIRST
    autos = {id(value._model_mapping): name for name, value in vars(modeling_auto).items() if _is_auto(value)}
    found = {}
    for table in chosen:
        mapping = getattr(modeling_auto, table.removesuffix("_NAMES"), None)
        found[autos.get(id(mapping), table)] = getattr(modeling_auto, table)
    return found


def _is_auto(value: object) -> bool:
    return isinstance(value, type) and getattr(value, "_model_mapping", None) is not None

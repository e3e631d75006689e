"""What the installed transformers calls its own, read from its files and never imported.

Importing `transformers.models.auto` costs seconds and pulls torch in; the names in it cost a few
milliseconds when read as text. Where a future release moves them, every function here returns an empty
set, and whatever depends on it is decided later, by the classes themselves.
Depth: metadata.
"""

from __future__ import annotations

import importlib.util
import re
from functools import lru_cache
from pathlib import Path

__all__ = ["auto_classes", "class_names", "model_types"]

# Auto classes whose values are not models; they have a field of their own in `Architecture`.
PROCESSING_AUTO_CLASSES = frozenset(
    {
        "AutoConfig",
        "AutoTokenizer",
        "AutoProcessor",
        "AutoImageProcessor",
        "AutoVideoProcessor",
        "AutoFeatureExtractor",
    }
)


@lru_cache(maxsize=1)
def _auto_folder() -> Path | None:
    try:
        spec = importlib.util.find_spec("transformers")
    except ValueError:  # somebody put a module without a spec in its place
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0], "models", "auto")
    return folder if folder.is_dir() else None


@lru_cache(maxsize=16)
def _source(name: str) -> str:
    folder = _auto_folder()
    if folder is None or not (folder / name).is_file():
        return ""
    return (folder / name).read_text(encoding="utf-8")


def _sources() -> list[str]:
    folder = _auto_folder()
    return [_source(path.name) for path in sorted(folder.glob("*auto*.py"))] if folder else []


@lru_cache(maxsize=1)
def auto_classes() -> frozenset[str]:
    """Return the names of the Auto classes for models that the installed transformers has."""
    found: set[str] = set()
    for source in _sources():
        found.update(re.findall(r"^class (Auto[A-Z]?\w*)\(", source, re.MULTILINE))
    return frozenset(found - PROCESSING_AUTO_CLASSES)


@lru_cache(maxsize=1)
def model_types() -> frozenset[str]:
    """Return every model type that the installed transformers has."""
    found: set[str] = set()
    for file in ("auto_mappings.py", "configuration_auto.py"):
        found.update(re.findall(r'(?:^\s*\(?|\{)"([\w.+-]+)"[,:] "\w+Config"', _source(file), re.MULTILINE))
    return frozenset(found)


@lru_cache(maxsize=1)
def class_names() -> frozenset[str]:
    """Return the names of the config, model, tokenizer and processor classes in transformers' Auto tables."""
    found: set[str] = set()
    for source in _sources():
        found.update(re.findall(r'"([A-Za-z]\w*[A-Z]\w*|[A-Z]\w+)"', source))
    return frozenset(found)

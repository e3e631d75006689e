"""Where transformers keeps what people register, and how to put it back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["AUTO_PACKAGE", "PROCESSING_TABLES", "auto_tables", "descendants", "snapshot"]

AUTO_PACKAGE = "transformers.models.auto."

# Where transformers keeps each kind of processing class: module, mapping, and our field of `Architecture`.
PROCESSING_TABLES = {
    f"{AUTO_PACKAGE}tokenization_auto": ("TOKENIZER_MAPPING", "tokenizer"),
    f"{AUTO_PACKAGE}processing_auto": ("PROCESSOR_MAPPING", "processor"),
    f"{AUTO_PACKAGE}feature_extraction_auto": ("FEATURE_EXTRACTOR_MAPPING", "feature_extractor"),
    f"{AUTO_PACKAGE}image_processing_auto": ("IMAGE_PROCESSOR_MAPPING", "image_processor"),
    f"{AUTO_PACKAGE}video_processing_auto": ("VIDEO_PROCESSOR_MAPPING", "video_processor"),
}


def snapshot() -> Callable[[], None]:
    """Remember all that is registered in transformers now; return the function that puts it back.

    Where transformers is first imported in between, what is put back is what it comes with: nothing registered.
    """
    before = {name: dict(table.items()) for name, table in _tables()}

    def put_back() -> None:
        for name, table in _tables():
            _restore(table, before.get(name, {}))

    return put_back


def _restore(table: dict[Any, Any], before: dict[Any, Any]) -> None:
    """Make the table what it was, never empty in between: another thread may be looking a class up."""
    for key in [key for key in dict.keys(table) if key not in before]:
        dict.pop(table, key)
    table.update(before)


def _tables() -> Iterator[tuple[str, dict[Any, Any]]]:
    """Yield every table that registering writes to, under a name that stays the same."""
    for name in (f"{AUTO_PACKAGE}configuration_auto", f"{AUTO_PACKAGE}modeling_auto", *PROCESSING_TABLES):
        for attribute, value in list(vars(sys.modules[name]).items()) if name in sys.modules else ():
            table = value if attribute.startswith("REGISTERED_") else getattr(value, "_extra_content", None)
            if isinstance(table, dict):
                yield f"{name}.{attribute}", table
    yield from ((name, table) for name, table in auto_tables() if ":" in name)


def auto_tables() -> Iterator[tuple[str, dict[Any, Any]]]:
    """Yield what was registered with each Auto class.

    The name is that of the field of `Architecture`; for model classes it is that of the Auto class, or its
    reference where it is a package's own.
    """
    mappings = {f"{AUTO_PACKAGE}configuration_auto": ("CONFIG_MAPPING", "config"), **PROCESSING_TABLES}
    for module, (mapping, field) in mappings.items():
        yield from _content(field, getattr(sys.modules.get(module), mapping, None))
    base = getattr(sys.modules.get(f"{AUTO_PACKAGE}auto_factory"), "_BaseAutoModelClass", None)
    for auto_class in descendants(base) if base is not None else ():
        name, own = auto_class.__name__, not auto_class.__module__.startswith(AUTO_PACKAGE)
        yield from _content(f"{auto_class.__module__}:{name}" if own else name, vars(auto_class).get("_model_mapping"))


def _content(name: str, mapping: Any) -> Iterator[tuple[str, dict[Any, Any]]]:
    content = getattr(mapping, "_extra_content", None)
    if isinstance(content, dict):
        yield name, content


def descendants(parent: type) -> Iterator[type]:
    """Yield every class below this one."""
    child: type
    for child in parent.__subclasses__():
        yield child
        yield from descendants(child)

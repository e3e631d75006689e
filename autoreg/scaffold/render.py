"""Templates into texts.

A template's path is a template too: `{{ package }}/plugin.py.jinja` becomes `autoreg_zigzag/plugin.py`.

Depth: metadata; jinja2 is imported when something is rendered.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from autoreg.errors import DeclarationError

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["common", "kind_files"]

# The range of transformers that a new project starts with: this release of autoreg's own.
_OLDEST, _NEXT = "5.20", "6"

_PURPOSES = {
    "pyproject.toml": "name, version, requirements, entry point",
    "README.md": "what it is and how to load it",
    ".gitignore": "what git need not keep",
    "test.yml": "the tests on both ends of the range, weekly",
    "test_conformance.py": "the conformance suite, one item a check",
    "__init__.py": "empty: imported with the declaration",
    "plugin.py": "the declaration: class names, nothing heavy",
    "configuration": "the config's fields",
    "modeling": "the models",
    "tokenization": "the tokenizer",
    "image_processing": "the image processor",
    "processing": "the processor: tokenizer and image processor together",
}


def common(words: Mapping[str, Any], declares: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the files that every project has, by path, each with what it is for."""
    models = {name[7:-1]: text for name, text in declares.items() if name.startswith("models[")}
    fields = {name: text for name, text in declares.items() if name != "config" and not name.startswith("models[")}
    bounds = {"transformers_version": _OLDEST, "transformers_next": _NEXT, "key": _key(str(words["model_type"]))}
    return _rendered("common", {**words, **bounds, "config": declares["config"], "models": models, "fields": fields})


def kind_files(kind: str, words: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the modules of one kind, by path, each with what it is for."""
    return _rendered(kind, words)


def _key(model_type: str) -> str:
    """Return the model type as a key in TOML, quoted where it must be."""
    bare = model_type.replace("_", "").replace("-", "").isalnum()
    return model_type if bare else json.dumps(model_type)


def _rendered(folder: str, words: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    environment = _environment()
    files = {}
    for template in sorted(_templates(folder)):
        path = environment.from_string(template.removeprefix(f"{folder}/").removesuffix(".jinja")).render(words)
        files[path] = (environment.get_template(template).render(words), _purpose(path))
    return files


def _purpose(path: str) -> str:
    name = path.rpartition("/")[2]
    return _PURPOSES.get(name) or next((text for start, text in _PURPOSES.items() if name.startswith(start)), "")


def _root() -> str:
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")


def _templates(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(os.path.join(_root(), folder)):
        inside = os.path.relpath(parent, _root()).replace(os.sep, "/")
        yield from (f"{inside}/{name}" for name in names if name.endswith(".jinja"))


def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise DeclarationError(
            field="jinja2", value=None, problem='the templates need it: pip install "autoreg[conformance]"'
        ) from error
    return Environment(
        loader=FileSystemLoader(_root()),
        undefined=StrictUndefined,
        autoescape=False,  # Python and TOML, not HTML; every word in them is a checked name or ours
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

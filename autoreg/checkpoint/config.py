"""A checkpoint's config.json: where it lies, and whether it can be what it should be.

Depth: metadata. No torch, no transformers; what is not local is fetched by the Hugging Face hub's own client.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.architecture import check_model_type
from autoreg.checkpoint import provenance
from autoreg.checkpoint.fields import check_structure
from autoreg.checkpoint.json_file import read_json
from autoreg.checkpoint.source import fetch, is_path, nearby
from autoreg.errors import CheckpointError, CheckpointNotFoundError, DeclarationError

__all__ = ["ConfigFile", "find_config", "read_config"]

CONFIG_NAME = "config.json"


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One config.json, read.

    Attributes:
        source: the folder, file or hub id that was asked for.
        file: the file that was read.
        fields: its content.
    """

    source: str
    file: str
    fields: Mapping[str, Any]

    @property
    def model_type(self) -> str | None:
        """The `model_type`, or None where the file has none."""
        return self.fields.get("model_type")

    @property
    def architectures(self) -> tuple[str, ...]:
        """The class names in `architectures`."""
        listed = self.fields.get("architectures")
        return tuple(name for name in listed if isinstance(name, str)) if isinstance(listed, list) else ()

    @property
    def requires(self) -> str:
        """The requirement that autoreg wrote down when it saved the checkpoint; empty if it did not."""
        noted = provenance.read(self.fields)
        return noted.requires if noted is not None else ""

    def remote_code(self, auto_class: str) -> str:
        """Return the `auto_map` entry for an Auto class; empty if there is none."""
        return str(self._auto_map.get(auto_class) or "")

    def auto_class_of(self, reference: str) -> str:
        """Return the Auto class for which `auto_map` names this code; empty if there is none."""
        return next((auto_class for auto_class, entry in self._auto_map.items() if entry == reference), "")

    @property
    def _auto_map(self) -> Mapping[str, Any]:
        table = self.fields.get("auto_map")
        return table if isinstance(table, dict) else {}


def read_config(source: str | os.PathLike[str], options: Mapping[str, Any]) -> ConfigFile | None:
    """Find and read the config.json of a folder, a file or a hub id; None where there is none.

    Args:
        source: what `from_pretrained` was given.
        options: its keywords; those of the hub (`revision`, `cache_dir`, `token`, …) are heeded.

    Raises:
        CheckpointNotFoundError: `source` is plainly a path, or a hub id like one, and nothing is there.
        CheckpointError: the file is no config.json, or one that no config may be built from.
    """
    file = find_config(source, options)
    return None if file is None else ConfigFile(os.fspath(source), file, _fields(file))


def find_config(source: str | os.PathLike[str], options: Mapping[str, Any]) -> str | None:
    """Return the path of the config.json, downloaded by the hub's client where `source` is a hub id."""
    text = os.fspath(source)
    if os.path.isfile(text):
        return text if text.endswith(".json") else None
    if os.path.isdir(text):
        file = os.path.join(text, options.get("subfolder") or "", CONFIG_NAME)
        return file if os.path.isfile(file) else None
    if not isinstance(source, str) or is_path(text):
        raise CheckpointNotFoundError(file=text, problem="there is no such file or folder.", advice=nearby(text))
    return fetch(text, CONFIG_NAME, options)


def _fields(file: str) -> dict[str, Any]:
    fields = read_json(file)
    if "model_type" in fields:
        _check_model_type(fields["model_type"], file)
    check_structure(fields, file=file)
    return fields


def _check_model_type(value: object, file: str) -> None:
    advice = 'Set it to the checkpoint\'s model type, a string such as "bert".'
    if not isinstance(value, str):
        problem = f"`model_type` is {json.dumps(value)}, and must be a string."
        raise CheckpointError(file=file, problem=problem, advice=advice)
    try:
        check_model_type(value)
    except DeclarationError as error:
        problem = f"`model_type` is {value!r}: {error.problem}."
        raise CheckpointError(file=file, problem=problem, advice=advice) from error

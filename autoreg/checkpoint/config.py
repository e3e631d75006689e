"""A checkpoint's config.json: where it lies, and whether it can be what it should be.

Depth: metadata. No torch, no transformers; the Hugging Face hub's own client fetches what is not local.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.architecture import check_model_type
from autoreg.errors import CheckpointError, CheckpointNotFoundError, DeclarationError

__all__ = ["ConfigFile", "find_config", "read_config"]

CONFIG_NAME = "config.json"
_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_JSON_NAMES = {list: "list", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
_AGAIN = "Save or download the checkpoint again."


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
        note = self.fields.get("autoreg")
        requires = note.get("requires") if isinstance(note, dict) else None
        return requires if isinstance(requires, str) and requires.isprintable() else ""

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
        CheckpointNotFoundError: `source` is plainly a path, and nothing is there.
        CheckpointError: the file is no config.json, or its `model_type` cannot be one.
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
    if not isinstance(source, str) or _is_path(text):
        raise CheckpointNotFoundError(file=text, problem="there is no such file or folder.", advice=_nearby(text))
    return _from_hub(text, options)


def _is_path(text: str) -> bool:
    """Say whether the string can only have been meant as a path: no hub id looks like that."""
    return not _HUB_ID.fullmatch(text) or text.endswith((".json", ".safetensors", ".bin"))


def _nearby(text: str) -> str:
    if text.startswith("~"):
        return f"`~` is not expanded here; use os.path.expanduser({text!r})."
    parent = os.path.dirname(os.path.abspath(text))
    if not os.path.isdir(parent):
        return f"There is no folder {parent} either."
    near = difflib.get_close_matches(os.path.basename(text.rstrip("/\\")), os.listdir(parent), n=1)
    return f"Did you mean {os.path.join(parent, near[0])}?" if near else f"The folder {parent} is there."


def _from_hub(repository: str, options: Mapping[str, Any]) -> str | None:
    import huggingface_hub

    wanted = {name: options[name] for name in _HUB_OPTIONS if options.get(name) is not None}
    wanted["subfolder"] = wanted.get("subfolder") or None
    try:
        path: str = huggingface_hub.hf_hub_download(repository, CONFIG_NAME, **wanted)
    except Exception:
        # No such repository, no such file, gated, offline: transformers meets the same a moment later and
        # has its own words and its own ways round it (adapters, GGUF files, other names of the config).
        return None
    return path


def _fields(file: str) -> dict[str, Any]:
    with open(file, "rb") as stream:
        content = stream.read()
    fields = _parse(content, file)
    if "model_type" in fields:
        _check_model_type(fields["model_type"], file)
    return fields


def _parse(content: bytes, file: str) -> dict[str, Any]:
    if not content.strip():
        raise CheckpointError(file=file, problem="the file is empty.", advice=_AGAIN)
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        problem = f"not valid JSON ({error}); it was cut short or edited by hand."
        raise CheckpointError(file=file, problem=problem, advice=_AGAIN) from error
    if not isinstance(fields, dict):
        problem = f"it holds a JSON {_JSON_NAMES[type(fields)]}, and a config is an object ({{…}})."
        raise CheckpointError(file=file, problem=problem, advice=_AGAIN)
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

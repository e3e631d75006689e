"""What a checkpoint's files say of its own code: where it lies, whose it is, which class stands under which Auto class.

Depth: metadata.
"""

from __future__ import annotations

import json
import keyword
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoreg.checkpoint import ConfigFile, find_config, read_config
from autoreg.errors import CheckpointError, CheckpointNotFoundError, UnsafeCheckpointError

__all__ = ["REPOSITORY", "REVISION", "Checkpoint", "Reference", "find"]

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
REVISION = re.compile(r"[\w./-]{1,128}", re.ASCII)

_SNAPSHOT = re.compile(r".*[/\\]models--([^/\\]+)[/\\]snapshots[/\\]([0-9a-f]{40})")
_REFERENCE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\.([A-Za-z_]\w*)", re.ASCII)
# Each overrules those before it, as in transformers: a processor's own file is asked before config.json.
_MORE_FILES = (
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "tokenizer_config.json",
)
_LONGEST = 16 * 2**20


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Reference:
    """One class that the checkpoint names: `module` is a path of identifiers, relative to its folder."""

    module: str
    name: str
    said_in: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A folder with code beside the weights.

    Attributes:
        source: what was asked for.
        folder: where it lies.
        repository, revision: whose it is; empty where a folder does not say.
        config: its config.json.
        classes: by Auto class, the references in the order in which the file lists them; None where it has a gap.
        other: what else in it names code, as sentences.
    """

    source: str
    folder: str
    repository: str
    revision: str
    config: ConfigFile
    classes: Mapping[str, tuple[Reference | None, ...]]
    other: tuple[str, ...]

    @property
    def cached(self) -> bool:
        """Say whether it is a snapshot in the hub's cache, where files are links to blobs."""
        return _SNAPSHOT.fullmatch(self.folder) is not None

    @property
    def origin(self) -> str:
        """The repository and its revision as people write them."""
        if not self.repository:
            return "a local folder"
        return f"{self.repository} at {self.revision[:12]}" if self.revision else self.repository


def find(source: str, *, repository: str = "", revision: str = "") -> Checkpoint:
    """Find a folder, or a snapshot in the hub's cache, and read what it says of its code.

    Raises:
        CheckpointNotFoundError: nothing is there, or it is not in the cache.
        CheckpointError: the files cannot be read, or name no code, or name it in a way that cannot be.
        UnsafeCheckpointError: the code is another repository's, or a path.
    """
    options = {"local_files_only": True, "revision": revision or None}
    file = find_config(source, options)
    if file is None:
        raise _not_found(source)
    # Read as a file: what was found is read, whatever happens to the cache in the meantime.
    config = read_config(file, {})
    assert config is not None  # the file was there a moment ago, or the error says otherwise
    folder = os.path.dirname(os.path.abspath(file))
    snapshot = _SNAPSHOT.fullmatch(folder)
    if snapshot and REPOSITORY.fullmatch(snapshot[1].replace("--", "/", 1)):
        repository, revision = snapshot[1].replace("--", "/", 1), snapshot[2]
    entries = {
        auto_class: tuple(_references(table[auto_class], f"{said_in}, auto_map[{auto_class!r}]", repository))
        for said_in, table in _tables(config, folder)
        for auto_class in table
    }
    classes = {auto_class: listed for auto_class, listed in entries.items() if any(listed)}
    if not classes:
        raise CheckpointError(
            file=file,
            problem="there is no `auto_map` in it or beside it: this checkpoint carries no code of its own.",
            advice=f"There is nothing to adopt. `autoreg why {source}` says how it loads.",
        )
    return Checkpoint(
        source=source,
        folder=folder,
        repository=repository,
        revision=revision,
        config=config,
        classes=classes,
        other=tuple(_other(config, folder)),
    )


def _not_found(source: str) -> CheckpointError:
    if os.path.isdir(source):
        advice = "Point to the folder that save_pretrained wrote."
        return CheckpointNotFoundError(file=source, problem="the folder has no config.json.", advice=advice)
    if os.path.exists(source):
        return CheckpointError(file=source, problem="it is no checkpoint.", advice="Name its folder.")
    return CheckpointNotFoundError(
        file=source,
        problem="it is no folder, and the hub's cache has no config.json of it.",
        advice=f"Nothing is downloaded here. To fetch what is needed: hf download {source} --include '*.json' '*.py'",
    )


def _tables(config: ConfigFile, folder: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield `(file, auto_map)` of each file that has one."""
    files = {config.file: config.fields}
    for name in _MORE_FILES:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            files[path] = _object(path)
    for file, fields in files.items():
        table = fields.get("auto_map")
        if isinstance(table, list) and file.endswith("tokenizer_config.json"):  # as transformers 4.1 wrote it
            table = {"AutoTokenizer": table}
        if table is not None and not isinstance(table, dict):
            problem = "it is no object of Auto classes and references."
            raise CheckpointError(file=file, part="auto_map", problem=problem, advice="Mend or remove it.")
        yield file, table or {}


def _object(file: str) -> Mapping[str, Any]:
    try:
        with open(file, "rb") as stream:
            content = json.loads(stream.read(_LONGEST))
    except (ValueError, RecursionError) as error:
        problem = f"not valid JSON ({error})."
        raise CheckpointError(file=file, problem=problem, advice="Save or download the checkpoint again.") from error
    return content if isinstance(content, dict) else {}


def _references(value: Any, place: str, repository: str) -> Iterator[Reference | None]:
    entries = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else [value]
    for entry in entries:
        yield None if entry is None else _reference(entry, place, repository)


def _reference(entry: Any, place: str, repository: str) -> Reference:
    file, _, part = place.partition(", ")
    text = entry if isinstance(entry, str) else ""
    if text.count("--") == 1:
        elsewhere, _, text = text.partition("--")
        if elsewhere != repository:
            raise _elsewhere(file, part, elsewhere)
    match = _REFERENCE.fullmatch(text)
    if match is None or any(map(keyword.iskeyword, text.split("."))):
        problem = f"{ascii(entry)[:200]} is no `module.ClassName` of identifiers."
        if re.search(r"[/\\]|\.\.", text):
            problem = f"{ascii(entry)[:200]} is a path, and code is adopted from the checkpoint's own folder only."
        kind = UnsafeCheckpointError if "is a path" in problem else CheckpointError
        raise kind(file=file, part=part, problem=problem, advice="Nothing was adopted.")
    return Reference(module=match[1], name=match[2], said_in=os.path.basename(file))


def _elsewhere(file: str, part: str, repository: str) -> CheckpointError:
    named = repository if REPOSITORY.fullmatch(repository) else ascii(repository)[:200]
    advice = (
        f"Adopt that one: autoreg adopt {named}. The plugin then loads this checkpoint too, as every one of its"
        " model type. If this folder is a copy of it, say so with --repository."
        if REPOSITORY.fullmatch(repository)
        else "Nothing was adopted."
    )
    problem = f"its code is not here: the entry names the repository {named}."
    return UnsafeCheckpointError(file=file, part=part, problem=problem, advice=advice)


def _other(config: ConfigFile, folder: str) -> Iterator[str]:
    if config.fields.get("custom_pipelines"):
        yield "config.json names code in `custom_pipelines`, which autoreg does not adopt: nothing loads it."
    if os.path.exists(os.path.join(folder, "custom_generate")):
        yield "the folder has a `custom_generate`, which autoreg does not adopt: nothing loads it."
    if os.path.isfile(os.path.join(folder, "requirements.txt")):
        yield "the folder has a requirements.txt: compare it with the `dependencies` in pyproject.toml."

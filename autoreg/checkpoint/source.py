"""What a user gave as the source of a checkpoint: a path, a hub id, or a slip of the pen on the way to one.

Depth: metadata. The Hugging Face hub's own client fetches what is not local.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from autoreg.errors import CheckpointNotFoundError

__all__ = ["fetch", "fetch_if_there", "is_path", "nearby"]

_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_ADDRESS = re.compile(r"(?:https?://[^/]+/|hf://)([\w.-]+/[\w.-]+)?")
_CLOSE = 0.75
_LISTED = 6


def is_path(text: str) -> bool:
    """Say whether the string can only have been meant as a path: no hub id looks like that."""
    if not _HUB_ID.fullmatch(text) or ".." in text or "--" in text:
        return True
    return text.endswith((".json", ".safetensors", ".bin"))


def nearby(text: str) -> str:
    """Return what to do about a path where nothing is: what is there instead."""
    mistaken = _another_notation(text)
    if mistaken:
        return mistaken
    parent = os.path.dirname(os.path.abspath(text))
    if not os.path.isdir(parent):
        near = _corrected(text)
        return f"There is no folder {parent} either{f'; did you mean {near}?' if near else '.'}"
    found = difflib.get_close_matches(os.path.basename(text.rstrip("/\\")), _listing(parent), n=1)
    return f"Did you mean {os.path.join(parent, found[0])}?" if found else f"The folder {parent} is there."


def _another_notation(text: str) -> str:
    """Return the sentence for what is written as some other place would have it; empty for an ordinary path."""
    if text.startswith("~"):
        return f"`~` is not expanded here; use os.path.expanduser({text!r})."
    address = _ADDRESS.match(text)
    if address:
        return f"This is an address. Pass the hub id alone: {address[1] or 'owner/name'!r}."
    stripped = text.strip().rstrip("/")
    if stripped != text and "/" in stripped and not is_path(stripped):
        return f"If it is a hub id, pass it bare: {stripped!r}."
    if "\\" in text and os.sep != "\\":
        turned = text.replace("\\", "/")
        near = turned if os.path.exists(turned) else _corrected(turned)
        return f"Folders are separated by `/` here. Did you mean {near}?" if near else ""
    return ""


def _corrected(text: str) -> str:
    """Return the existing path that differs from this one by slips of the pen only; empty if there is none."""
    made = "/" if text.startswith("/") else ""
    for part in (each for each in text.split("/") if each):
        step = os.path.join(made, part)
        if not os.path.lexists(step):
            found = difflib.get_close_matches(part, _listing(made or "."), n=1, cutoff=_CLOSE)
            if not found:
                return ""
            step = os.path.join(made, found[0])
        made = step
    return made


def _listing(folder: str) -> Sequence[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return ()


def fetch(repository: str, name: str, options: Mapping[str, Any]) -> str | None:
    """Return the path of a file of a repository, downloaded if need be; None where it cannot be had.

    Raises:
        CheckpointNotFoundError: there is no such repository, and the id reads like the path of a folder here.
    """
    import huggingface_hub

    wanted = {option: options[option] for option in _HUB_OPTIONS if options.get(option) is not None}
    wanted["subfolder"] = wanted.get("subfolder") or None
    try:
        path: str = huggingface_hub.hf_hub_download(repository, name, **wanted)
    except Exception as error:
        # No such repository, no such file, gated, offline: transformers meets the same a moment later and
        # has its own words and its own ways round it (adapters, GGUF files, other names of the config).
        hint = _folder_meant(repository)
        if hint and _is_nowhere(error, repository, options):
            raise CheckpointNotFoundError(
                file=repository,
                problem="there is no such folder, and no such repository on the hub within reach.",
                advice=f"{hint}\nIf it is the repository that you mean, see its name, your token and the connection.",
            ) from error
        return None
    return path


def fetch_if_there(repository: str, name: str, options: Mapping[str, Any]) -> str | None:
    """Return the path of a file that few repositories have; of those that lack it, the hub is asked once a revision."""
    import huggingface_hub

    revision = options.get("revision")
    path = "/".join(part for part in (options.get("subfolder"), name) if part)
    cached = huggingface_hub.try_to_load_from_cache(
        repository, path, cache_dir=options.get("cache_dir"), revision=getattr(revision, "resolved", revision)
    )
    if isinstance(cached, str):
        return cached
    return fetch(repository, name, options) if cached is None else None


def _folder_meant(text: str) -> str:
    """Return the sentence about the local folder that a hub id looks like; empty if there is none."""
    near = _corrected(text)
    if near and os.path.isdir(near):
        return f"Did you mean the folder {near}?"
    first, _, rest = text.partition("/")
    if not rest or not os.path.isdir(first):
        return ""
    held = _listing(first)
    listed = ", ".join([*held[:_LISTED], *(["…"] if len(held) > _LISTED else [])]) or "nothing"
    return f"The folder {first} is here, and there is no {rest} in it; it holds {listed}."


def _is_nowhere(error: Exception, repository: str, options: Mapping[str, Any]) -> bool:
    """Say whether transformers cannot find anything of the repository either."""
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    if isinstance(error, LocalEntryNotFoundError):
        where = {option: options[option] for option in ("cache_dir", "revision") if options.get(option) is not None}
        try:
            # A tokenizer's repository in the cache has no config.json and loads all the same.
            huggingface_hub.snapshot_download(repository, local_files_only=True, **where)
        except Exception:
            return True
        return False
    return isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)

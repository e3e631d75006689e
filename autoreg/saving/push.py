"""`push_to_hub=True`: what was saved, uploaded in one commit."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection
from typing import Any

__all__ = ["CARD", "Push"]

CARD = "README.md"
_COMMIT_WORDS = frozenset({"commit_message", "commit_description", "create_pr", "revision"})


class Push:
    """What `push_to_hub=True` asks for: the repository, made before anything is saved, and what the commit says."""

    def __init__(self, folder: str, options: dict[str, Any]) -> None:
        import huggingface_hub

        self._hub = huggingface_hub
        self._api = huggingface_hub.HfApi(token=options.pop("token", None))
        self._commit = {name: options.pop(name) for name in _COMMIT_WORDS & options.keys()}
        takes = inspect.signature(self._api.create_repo).parameters.keys() - {"repo_id", "exist_ok"}
        given = {name: options.pop(name) for name in takes & options.keys()}
        name = options.pop("repo_id", None) or os.path.basename(os.path.abspath(folder))
        self._repo_type = given.get("repo_type")
        self.repo_id: str = self._api.create_repo(name, exist_ok=True, **given).repo_id
        self._folder = folder

    def upload(self, names: Collection[str], removed: Collection[str], *, tags: Collection[str] | None) -> None:
        """Upload files in one commit, which also removes what was removed here.

        Args:
            names: those that were saved, by their names in the folder.
            removed: those that the save removed.
            tags: of a model, for its card where there is none; None for anything else.
        """
        there = set(self._api.list_repo_files(self.repo_id, repo_type=self._repo_type))
        add, delete = self._hub.CommitOperationAdd, self._hub.CommitOperationDelete
        operations: list[Any] = [
            add(path_in_repo=name, path_or_fileobj=os.path.join(self._folder, name)) for name in names
        ]
        operations += [delete(path_in_repo=name) for name in removed if name in there]
        if tags is not None and CARD not in there and CARD not in names:
            operations.append(add(path_in_repo=CARD, path_or_fileobj=self._new_card(tags)))
        words = {"commit_message": "Upload with autoreg", **{k: v for k, v in self._commit.items() if v is not None}}
        self._api.create_commit(self.repo_id, operations, repo_type=self._repo_type, **words)

    def _new_card(self, tags: Collection[str]) -> Any:
        """Return the folder's README, or a card that at least says which library the repository is for."""
        own = os.path.join(self._folder, CARD)
        if os.path.isfile(own):
            return own
        data = self._hub.ModelCardData(library_name="transformers", tags=list(tags))
        return f"---\n{data.to_yaml()}\n---\n".encode()

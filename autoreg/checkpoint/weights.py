"""Which weight files a folder holds, and whether their headers and their index fit together.

Depth: metadata. Headers and indexes are read, no data; a pickle is named and never opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from autoreg.checkpoint.header import Header, Tensor, listed, opened, read_header
from autoreg.checkpoint.json_file import AGAIN, strict_json
from autoreg.errors import CheckpointError, CheckpointNotFoundError, UnsafeCheckpointError

__all__ = ["Weights", "cached_folder", "check_files", "read_index", "read_weights"]

SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"
_INDEX_SUFFIX = ".index.json"
_LARGEST_INDEX = 100_000_000
_SHARD = re.compile(r"(?:pytorch_)?model(?:\.([\w.-]+))?-\d{5}-of-\d{5}\.(?:safetensors|bin)")


@dataclass(frozen=True, kw_only=True)  # no slots: what is worked out of the headers is kept
class Weights:
    """The weight files of a checkpoint that loading would read, looked over.

    Attributes:
        folder: where they lie.
        index: the index of the shards, with its folder; empty where there is one file only.
        headers: what each safetensors file says that it holds, in the order of their names.
        pickles: the files that loading would unpickle; they have not been opened.
    """

    folder: str
    index: str
    headers: tuple[Header, ...]
    pickles: tuple[str, ...]

    @cached_property
    def tensors(self) -> Mapping[str, tuple[str, Tensor]]:
        """Every tensor of the safetensors files, with the file that holds it, by name."""
        return {name: (header.file, tensor) for header in self.headers for name, tensor in header.tensors.items()}


def read_weights(folder: str, *, variant: str | None = None, name: str = "") -> Weights | None:
    """Find the weight files that transformers would load from a local folder, and look them over.

    Args:
        folder: the folder, without `subfolder` in it.
        variant: as in `from_pretrained`.
        name: the file or index that config.json names as `transformers_weights`; empty where it names none.

    Returns:
        What was found; None where the folder holds no weights.

    Raises:
        CheckpointNotFoundError: there is no such folder, or a file that the index names is missing.
        CheckpointError: a file cannot be what it should be, or they contradict one another.
        UnsafeCheckpointError: an index names a file outside the folder.
    """
    if not os.path.isdir(folder):
        raise CheckpointNotFoundError(file=folder, problem="there is no such folder.", advice="Check the path.")
    if name:
        return _explicit(folder, name)
    for stem in (SAFETENSORS, PICKLE):
        single, index = (os.path.join(folder, _variant(file, variant)) for file in (stem, stem + _INDEX_SUFFIX))
        # A link that leads nowhere counts: transformers would pass over it in silence and take something else.
        if os.path.lexists(single):
            if stem == SAFETENSORS and os.path.lexists(index):
                _refuse_stale(single, index)
            return check_files([single], index=None)
        if os.path.lexists(index):
            return _through(folder, index)
    _refuse_orphans(folder, variant)
    return None


def check_files(files: Sequence[str], *, index: str | None) -> Weights:
    """Look over the very files that transformers resolved.

    Args:
        files: their paths; links, as in the hub's cache, are followed.
        index: the index that named them, if one did.

    Raises:
        CheckpointNotFoundError: a file, or a shard that the index names, is missing.
        CheckpointError: a file cannot be what it should be, or they contradict one another.
        UnsafeCheckpointError: the index names a file outside the folder.
    """
    if index:
        return _indexed(files, index, read_index(index))
    headers, pickles = _looked_over(files)
    folder = os.path.dirname(next(iter(files), ""))
    return Weights(folder=folder, index="", headers=headers, pickles=pickles)


def _looked_over(files: Iterable[str]) -> tuple[tuple[Header, ...], tuple[str, ...]]:
    # transformers unpickles whatever is not called so, whatever it is.
    pickles = tuple(sorted(file for file in files if not file.endswith(".safetensors")))
    headers = tuple(read_header(file) for file in sorted(set(files) - set(pickles)))
    _refuse_twice(headers)
    return headers, pickles


def _indexed(files: Iterable[str], index: str, table: Mapping[str, str]) -> Weights:
    _refuse_gaps(index, sorted(set(table.values())), {os.path.basename(file) for file in files})
    headers, pickles = _looked_over(files)
    _compare(headers, table, index)
    return Weights(folder=os.path.dirname(index), index=index, headers=headers, pickles=pickles)


def read_index(index: str) -> Mapping[str, str]:
    """Return the `weight_map` of an index: the name of a shard, by tensor.

    Raises:
        CheckpointNotFoundError: there is no such file.
        CheckpointError: it is no index.
        UnsafeCheckpointError: it names a file outside its folder.
    """
    with opened(index) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > _LARGEST_INDEX:
            problem = f"it has {size} bytes, and an index has at most {_LARGEST_INDEX}."
            raise CheckpointError(file=index, problem=problem, advice=AGAIN)
        content = stream.readall()  # type: ignore[attr-defined] # without a buffer it is a FileIO
    try:
        fields = strict_json(content)
    except ValueError as error:
        problem = f"not valid JSON ({error}); it was cut short or edited by hand."
        raise CheckpointError(file=index, problem=problem, advice=AGAIN) from error
    problem = _no_index(fields)
    if problem:
        raise CheckpointError(file=index, problem=problem, advice=AGAIN)
    table: dict[str, str] = fields["weight_map"]
    for tensor, shard in table.items():
        if not _plain(shard):
            raise UnsafeCheckpointError(
                file=index,
                part=f"weight_map[{tensor!r}]",
                problem=f"it names {shard!r}, and a shard is a file beside the index.",
                advice="Do not load this checkpoint before you know who wrote that.",
            )
    return table


def cached_folder(repository: str, *, revision: str | None = None) -> str | None:
    """Return the folder in the hub's cache that holds what was downloaded of a repository; None if nothing was."""
    import huggingface_hub

    try:
        return str(huggingface_hub.snapshot_download(repository, revision=revision, local_files_only=True))
    except (OSError, ValueError):  # not there; and what is no repository's name
        return None


# --- which files -----------------------------------------------------------------------------------


def _variant(file: str, variant: str | None) -> str:
    """Return the file's name with the variant in it, where transformers puts it."""
    stem, _, suffix = file.rpartition(".")
    return f"{stem}.{variant}.{suffix}" if variant else file


def _explicit(folder: str, name: str) -> Weights:
    if not _plain(name):
        problem = f"`transformers_weights` names {name!r}, and the weights lie beside config.json."
        config = os.path.join(folder, "config.json")
        raise UnsafeCheckpointError(file=config, part="transformers_weights", problem=problem, advice=AGAIN)
    path = os.path.join(folder, name)
    return _through(folder, path) if name.endswith(_INDEX_SUFFIX) else check_files([path], index=None)


def _through(folder: str, index: str) -> Weights:
    """Look over the files that an index names, as far as they are there."""
    table = read_index(index)
    paths = [os.path.join(folder, shard) for shard in sorted(set(table.values()))]
    return _indexed([path for path in paths if os.path.lexists(path)], index, table)


def _refuse_stale(single: str, index: str) -> None:
    """Refuse one whole file beside shards: one of the two is left over from an older save.

    transformers would take the single file and say nothing. An index that names that file and no other is what some
    writers put beside every checkpoint.
    """
    if set(read_index(index).values()) != {os.path.basename(single)}:
        raise CheckpointError(
            file=single,
            problem=f"it lies beside {os.path.basename(index)}, which names other files: one of the two is stale.",
            advice="Delete the one that is left over from an older save (transformers would load the single file).",
        )


def _refuse_orphans(folder: str, variant: str | None) -> None:
    shards = [name for name in _names(folder) if (found := _SHARD.fullmatch(name)) and found[1] == variant]
    if shards:
        raise CheckpointNotFoundError(
            file=folder,
            problem=f"there are shards ({listed(shards)}) and no index that says what is in them.",
            advice="The save or the download was interrupted. " + AGAIN,
        )


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        problem = f"it cannot be listed ({type(error).__name__}: {error.strerror or error})."
        raise CheckpointError(file=folder, problem=problem, advice="Check its permissions.") from error


# --- the index -------------------------------------------------------------------------------------


def _no_index(fields: object) -> str:
    """Return why this is no index; empty if it is one."""
    if not isinstance(fields, dict):
        return "an index is a JSON object ({…}), and this is none."
    table = fields.get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(shard, str) for shard in table.values()):
        return "`weight_map` has to be an object that names a file for each tensor, and is not."
    if not isinstance(fields.get("metadata"), dict):
        # transformers writes into it
        return "`metadata` has to be an object (it may be empty), and is not."
    return ""


def _plain(name: str) -> bool:
    """Say whether it is the plain name of a file, on every system: `a:b` is a drive on some."""
    return bool(name) and name.isprintable() and not re.search(r'[/\\:*?"<>|]', name) and name.strip(". ") != ""


def _refuse_gaps(index: str, shards: Sequence[str], present: set[str]) -> None:
    missing = [shard for shard in shards if shard not in present]
    if missing:
        raise CheckpointNotFoundError(
            file=os.path.join(os.path.dirname(index), missing[0]),
            problem=f"{os.path.basename(index)} names {len(shards)} files, and of these {len(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not there: {listed(missing)}.",
            advice="The save or the download was interrupted. " + AGAIN,
        )


def _refuse_twice(headers: Iterable[Header]) -> None:
    found: dict[str, str] = {}
    for header in headers:
        both = [name for name in header.tensors if name in found]
        if both:
            raise CheckpointError(
                file=header.file,
                part=_tensors(both),
                problem=f"{os.path.basename(found[both[0]])} has it too, and nothing says which counts.",
                advice=AGAIN,
            )
        found.update(dict.fromkeys(header.tensors, header.file))


def _compare(headers: Iterable[Header], table: Mapping[str, str], index: str) -> None:
    """Compare what the index says with what the shards hold, tensor by tensor."""
    for header in headers:
        for names, problem in _differences(header, table):
            if names:
                raise CheckpointError(
                    file=header.file,
                    part=_tensors(names),
                    problem=f"{problem} {os.path.basename(index)}: the two are not from one save.",
                    advice=AGAIN,
                )


def _differences(header: Header, table: Mapping[str, str]) -> Iterator[tuple[list[str], str]]:
    file = os.path.basename(header.file)
    yield (
        [name for name, shard in table.items() if shard == file and name not in header.tensors],
        ("it is not in this file, against"),
    )
    yield [name for name in header.tensors if name not in table], "it is in this file, and not in"
    yield [name for name in header.tensors if table[name] != file], "it is in this file, against"


def _tensors(names: list[str]) -> str:
    return f"tensor{'s' if len(names) > 1 else ''} {listed(names)}"

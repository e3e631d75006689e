"""Saving in place: everything that `save_pretrained` writes arrives together, or nothing does.

Depth: classes, of which only those of the object that is saved are used.
"""

from __future__ import annotations

import contextlib
import filecmp
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from autoreg import bridge, natives, runtime
from autoreg.checkpoint import manifest, provenance
from autoreg.checkpoint.digests import identity
from autoreg.checkpoint.refusal import advice_for, explained
from autoreg.checkpoint.staging import Stage, stage
from autoreg.errors import AutoregError, SaveError
from autoreg.saving.push import CARD, Push
from autoreg.saving.witness import Witness

__all__ = ["save_pretrained"]

_CONFIG = "config.json"
_UNTOUCHED = "What was in the folder is there as it was."
_SHARD = re.compile(r"(?P<family>.+?)(-\d{5}-of-\d{5})?\.safetensors")
_INDEX = re.compile(r"(?P<stem>.+)\.safetensors\.index(\.(?P<variant>.+))?\.json")
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
_NOT_JSON = re.compile(r"Object of type (\w+) is not JSON serializable")


def save_pretrained(obj: Any, path: str | os.PathLike[str], **options: Any) -> Any:
    """Save a model, config, tokenizer or processor, so that its files replace the old ones together or not at all.

    Depth: classes.

    Args:
        obj: what to save: anything with a `save_pretrained` of its own.
        path: the folder, made where it is not there. Files that are not the object's stay as they are.
        options: what the object's own `save_pretrained` takes, with the same meaning.

    Returns:
        What the object's own `save_pretrained` returns, paths in it leading to the folder.

    Raises:
        SaveError: nothing was saved and the folder is as it was, or the text says what is left to do.
    """
    folder = os.fsdecode(path)
    _refuse(obj, folder, options)
    if not _commits(obj, options):
        return _take_part(obj, options)
    push = Push(folder, options) if options.pop("push_to_hub", False) else None
    saved = _save(obj, folder, options)
    if push is not None:
        push.upload(saved.names, saved.removed, tags=(getattr(obj, "model_tags", None) or ()) if saved.model else None)
    return saved.result


@dataclass(frozen=True, kw_only=True, slots=True)
class _Saved:
    """What a save did: the files that it wrote and those that it removed, by their names in the folder."""

    result: Any
    names: tuple[str, ...]
    removed: tuple[str, ...]
    model: bool


def _refuse(obj: Any, folder: str, options: Mapping[str, Any]) -> None:
    # Of this, transformers says a word in the log, and returns as if all were well.
    if os.path.lexists(folder) and os.path.exists(folder) and not os.path.isdir(folder):
        problem = "nothing was saved: this is a file, and a checkpoint is a folder."
        raise SaveError(file=folder, problem=problem, advice="Give the path of a folder, existing or not.")
    if not callable(getattr(obj, "save_pretrained", None)):
        problem = f"nothing was saved: a {type(obj).__name__} has no `save_pretrained`."
        raise SaveError(file=folder, problem=problem, advice="Give a model, config, tokenizer or processor.")
    if options.get("distributed_checkpoint"):
        raise SaveError(
            file=folder,
            problem="nothing was saved: with distributed_checkpoint=True each process writes its own files, which"
            " nobody can put in place together.",
            advice="Leave it out to gather the weights in one process, or call the model's own save_pretrained.",
        )


# --- the processes of a distributed job --------------------------------------------------------------


def _commits(obj: Any, options: Mapping[str, Any]) -> bool:
    """Say whether this process is the one that writes."""
    asked = bool(options.get("is_main_process", True))
    decide = getattr(obj, "should_save_on_this_rank", None)
    return bool(decide(asked)) if callable(decide) else asked


def _take_part(obj: Any, options: dict[str, Any]) -> None:
    """Help to gather the weights, which all processes have parts of, and write nothing that stays."""
    if not callable(getattr(obj, "should_save_on_this_rank", None)):
        return
    options.pop("push_to_hub", None)
    with tempfile.TemporaryDirectory() as scratch, runtime.turn():
        obj.save_pretrained(scratch, **options)
    _meet(obj)


def _meet(obj: Any) -> None:
    """Wait for the other processes once more: theirs returned from the model's own barrier before the commit."""
    barrier = getattr(obj, "barrier_after_gathered_checkpoint_save", None)
    if callable(barrier):
        barrier(getattr(getattr(obj, "config", None), "distributed_config", None))


# --- staging and committing --------------------------------------------------------------------------


def _save(obj: Any, folder: str, options: Mapping[str, Any]) -> _Saved:
    with contextlib.ExitStack() as stack:
        place, _ = stack.enter_context(stage(folder)), stack.enter_context(explained(folder))
        witness = stack.enter_context(Witness(place.keep, place.hurry))
        with _card(place), _explained(obj, folder, place.path), runtime.turn(), runtime.witnessed(witness):
            result = obj.save_pretrained(place.path, **options)
        stack.callback(_meet, obj)
        staged = place.files()
        if not staged:
            problem = f"nothing was saved: {type(obj).__name__}.save_pretrained returned without writing a file."
            raise SaveError(file=folder, problem=problem, advice="Look at what transformers has logged.")
        if _CONFIG in staged:
            _annotate(obj, folder, staged[_CONFIG])
        removed = _commit(place, staged, witness)
        return _Saved(
            result=_relocated(result, place.path, folder),
            names=(*staged, manifest.NAME),
            removed=removed,
            model=any(_family(name) for name in staged),
        )


def _commit(stage: Stage, staged: Mapping[str, str], witness: Witness) -> tuple[str, ...]:
    """See that the files are on the disk and their digests known, and put them in place; return what was removed."""
    listed = os.path.join(stage.folder, manifest.NAME)
    removed, before = _stale(stage.folder, staged), identity(listed)
    known = witness.entries(staged)
    stage.dress()  # before the digests: a file whose rights change while it is read looks as if it had been written to
    with ThreadPoolExecutor(1) as pool:
        syncing = pool.submit(stage.sync)
        content = manifest.updated(stage.folder, staged, removed, known=known)
        syncing.result()
    with stage.exclusive():
        now = _stale(stage.folder, staged)
        if (now, identity(listed)) != (removed, before):  # somebody else has saved here meanwhile
            removed, content = now, manifest.updated(stage.folder, staged, now, known=known)
        with open(os.path.join(stage.path, manifest.NAME), "xb") as stream:
            stream.write(content)
        stage.commit(remove=removed)
    return removed


@contextlib.contextmanager
def _card(stage: Stage) -> Iterator[None]:
    """Show the folder's README to what would add to it (PEFT does) and otherwise write one of its own."""
    there, copy = os.path.join(stage.folder, CARD), os.path.join(stage.path, CARD)
    seeded = os.path.isfile(there)
    if seeded:
        shutil.copyfile(there, copy)
    yield
    if seeded and os.path.isfile(copy) and filecmp.cmp(there, copy, shallow=False):
        os.unlink(copy)


def _relocated(value: Any, path: str, folder: str) -> Any:
    """Return the value with the paths of staged files leading to where they are now."""
    if isinstance(value, (tuple, list)):
        return type(value)(_relocated(item, path, folder) for item in value)
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if isinstance(text, str) and (text == path or text.startswith(path + os.sep)):
        moved = folder if text == path else os.path.join(folder, text[len(path) + 1 :])
        return moved if isinstance(value, str) else type(value)(moved)
    return value


# --- what belonged to the old weights ----------------------------------------------------------------


def _family(name: str) -> str:
    """Return what a weight file's name has in common with those of the same weights; empty for any other file.

    `model` for model.safetensors, its shards and index; `model.fp16` for those of the variant.
    """
    index = _INDEX.fullmatch(name)
    if index:
        return f"{index['stem']}.{index['variant']}" if index["variant"] else index["stem"]
    shard = _SHARD.fullmatch(name)
    return shard["family"] if shard and "/" not in name else ""


def _stale(folder: str, staged: Collection[str]) -> tuple[str, ...]:
    """Return the weight files that the staged ones leave behind: shards of the same weights, a single file, an index.

    By their names, or because the old index lists them. What another index lists as well, and every file that is
    neither, stays: nobody here can know what it is for.
    """
    families = {_family(name) for name in staged} - {""}
    present = {entry.name for entry in os.scandir(folder) if not entry.is_dir(follow_symlinks=False)}
    own = {name for name in present if _family(name) in families}
    indices = {name: _listed(os.path.join(folder, name)) for name in present if _INDEX.fullmatch(name)}
    for name, shards in indices.items():
        if name in own:
            own |= shards
    for name, shards in indices.items():
        if name not in own:
            own -= shards
    return tuple(sorted((own & present) - set(staged)))


def _listed(index: str) -> set[str]:
    """Return the plain names of weight files that an index lists; none where it cannot be read."""
    try:
        with open(index, "rb") as stream:
            table = json.load(stream)["weight_map"]
        return {name for name in table.values() if _SHARD.fullmatch(name) and os.path.basename(name) == name}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()


# --- config.json says what it needs ------------------------------------------------------------------


def _annotate(obj: Any, folder: str, staged: str) -> None:
    """Write the provenance into the staged config.json.

    Raises:
        SaveError: a number in it is not finite, which JSON has no word for and no later load accepts.
    """
    with open(staged, encoding="utf-8") as stream:
        fields = json.load(stream)
    if not isinstance(fields, dict):
        return
    odd = next(_infinite(fields), None)
    if odd is not None:
        raise SaveError(
            file=os.path.join(folder, _CONFIG),
            part=odd[0],
            problem=f"nothing was saved: the value is {odd[1]}, and JSON has finite numbers only.",
            advice=f"Set it to a number or None. {_UNTOUCHED}",
        )
    annotated = _annotated(obj, fields)
    if annotated != fields:
        with open(staged, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(annotated, indent=2, sort_keys=True) + "\n")


def _annotated(obj: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with the note on the plugin that the object is of, and without that of another."""
    model_type = fields.get("model_type")
    rest = {name: value for name, value in fields.items() if name != provenance.KEY}
    if not isinstance(model_type, str) or bridge.registered_by_user(model_type):
        return dict(fields)
    known = runtime.current()
    owner = _owner(obj, model_type, fields.get("architectures") or ())
    if owner is None:
        # transformers' own needs no package; of a type that nobody has here, the old note may still be right.
        return rest if model_type in natives.model_types() else dict(fields)
    made = provenance.made(
        model_type=model_type,
        distribution=owner.distribution,
        version=owner.version,
        transformers=known.transformers_version,
    )
    return {**rest, provenance.KEY: provenance.note(made)}


def _owner(obj: Any, model_type: str, architectures: Any) -> Any:
    """Return the offer of the plugin that the object's class is of, or else that owns what is saved."""
    names = [name for name in architectures if isinstance(name, str)]
    choice = runtime.current().owner(model_type, names)
    if choice is None:
        return None
    package = type(obj).__module__.partition(".")[0]
    of_package = (offer for offer, _ in choice.candidates if offer.module.partition(".")[0] == package)
    return next(of_package, choice.offer)


def _infinite(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield path, value
    if value == {"__float__": "NaN"}:  # so transformers writes it; an infinite one may be a bound, and is read
        yield path, math.nan
    for name, item in _items(value):
        yield from _infinite(item, f"{path}.{name}" if path else name)


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(name), item) for name, item in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((str(number), item) for number, item in enumerate(value))


# --- what is said ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _explained(obj: Any, folder: str, path: str) -> Iterator[None]:
    """Make a SaveError of whatever an object's own `save_pretrained` raises."""
    try:
        yield
    except (AutoregError, MemoryError):
        raise
    except Exception as error:
        raise _save_error(obj, folder, error, text=str(error).replace(path, folder)) from error


def _save_error(obj: Any, folder: str, error: Exception, *, text: str) -> SaveError:
    system = _system_error(error, text)
    if system is not None:
        problem = f"nothing was saved: {os.strerror(system.errno or 0).lower()}."
        return SaveError(file=folder, problem=problem, advice=advice_for(system))
    culprit = _NOT_JSON.search(text)
    if culprit:
        part = next(_of_type(_fields_of(obj), culprit[1]), "")
        problem = f"nothing was saved: a {culprit[1]} cannot be written to JSON."
        advice = f"Set the field to numbers, strings, booleans, None, lists or dicts of them. {_UNTOUCHED}"
        return SaveError(file=os.path.join(folder, _CONFIG), part=part, problem=problem, advice=advice)
    advice = _UNTOUCHED
    if "shared tensors" in text or "share memory" in text:
        advice = (
            "Weights that are one tensor on purpose are declared as tied (`_tied_weights_keys`); others get a copy of"
            f" their own (`.clone()`). {_UNTOUCHED}"
        )
    problem = f"nothing was saved: {type(error).__name__}: {text.strip()}"
    return SaveError(file=folder, problem=problem, advice=advice)


def _system_error(error: Exception, text: str) -> OSError | None:
    """Return the error of the operating system behind this one; safetensors has it in its text only."""
    if isinstance(error, OSError) and error.errno:
        return error
    told = _SYSTEM_ERROR.search(text) if os.name == "posix" else None
    return OSError(int(told[1]), "") if told else None


def _fields_of(obj: Any) -> Any:
    held: tuple[Any, ...] = (getattr(obj, "config", None), getattr(obj, "generation_config", None), obj)
    for each in held:
        if callable(getattr(each, "to_dict", None)):
            with contextlib.suppress(Exception):  # it is asked for the name of a field, and nothing else
                return each.to_dict()
    return {}


def _of_type(value: Any, kind: str, path: str = "") -> Iterator[str]:
    if type(value).__name__ == kind:
        yield path
    for name, item in _items(value):
        yield from _of_type(item, kind, f"{path}.{name}" if path else name)

"""`autoreg verify`: say whether a checkpoint is sound, and still what its manifest or the hub says that it is."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from autoreg.checkpoint import holding, journal, manifest
from autoreg.checkpoint.config import ConfigFile, read_config
from autoreg.checkpoint.digests import Entry, Progress
from autoreg.checkpoint.hub_cache import compare_with_hub
from autoreg.checkpoint.manifest import Difference
from autoreg.checkpoint.source import is_path, nearby
from autoreg.checkpoint.weights import Weights, cached_folder, check_files, read_weights
from autoreg.cli import show as screen
from autoreg.errors import CheckpointError, CheckpointNotFoundError

if TYPE_CHECKING:
    from autoreg.runtime import Runtime

__all__ = ["Place", "add_arguments", "add_place", "count", "locate", "size", "verify", "weights_at"]

_MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a checkpoint was found.

    Attributes:
        subject: what was asked for.
        folder: where it lies.
        file: the weight file, where that was asked for and not the folder.
        is_hub: whether the folder is the hub's cache.
        variant: which weights in it, as in `from_pretrained`; empty for those without.
    """

    subject: str
    folder: str
    file: str = ""
    is_hub: bool = False
    variant: str = ""

    def held(self) -> AbstractContextManager[None]:
        """Return the block in which no save changes the folder; the cache is nobody's to lock."""
        return nullcontext() if self.is_hub or self.file else journal.reading(self.folder)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Findings:
    """What was seen of one checkpoint."""

    place: Place
    config: ConfigFile | None = None
    weights: Weights | None = None
    problems: tuple[CheckpointError, ...] = ()
    recorded: int | None = None
    from_hub: int = 0
    differences: tuple[Difference, ...] = ()
    unrecorded: tuple[str, ...] = ()

    @property
    def wrong(self) -> bool:
        return bool(self.problems) or any(each.kind != "note" for each in self.differences)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add what says where the checkpoint is."""
    parser.add_argument("subject", metavar="PATH|HUB_ID", help="a folder, a weight file, or what the hub's cache holds")
    parser.add_argument("--revision", metavar="REVISION", help="of the hub id: a branch, a tag or a commit")
    parser.add_argument("--subfolder", metavar="FOLDER", default="", help="where in it, as in from_pretrained")
    parser.add_argument("--variant", metavar="VARIANT", default="", help="which weights, as in from_pretrained")
    parser.set_defaults(complain=parser.error)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_place(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quick", action="store_true", help="compare sizes and spot digests only, as loading does")
    how.add_argument("--write", action="store_true", help="record the files as they are now in a manifest")


def verify(runtime: Runtime, options: argparse.Namespace) -> int:
    """Depth: metadata. Exit code 0 if nothing differs, or nothing is recorded; 1 if something does; 2 if not found."""
    place = locate(options)
    if options.write:
        return _write(place, options)
    with place.held():
        found = _compared(_looked_over(place), quick=options.quick)
    if found.config is None and found.weights is None and found.recorded is None and not found.wrong:
        options.complain(f"{place.subject}: there is neither a config.json nor a weight file in it")
    if options.json:
        screen.json(_as_json(found))
    else:
        _show(found)
    return 1 if found.wrong else 0


def locate(options: argparse.Namespace) -> Place:
    """Return where the checkpoint is that the command line names; refuse the command line if it is nowhere."""
    subject: str = options.subject
    if os.path.isfile(subject):
        if options.subfolder or options.variant:
            options.complain(f"{subject} is one file: --subfolder and --variant are for a checkpoint")
        return Place(subject=subject, folder=os.path.dirname(subject) or os.curdir, file=subject)
    is_hub = not os.path.isdir(subject)
    whole = cached_folder(subject, revision=options.revision) if is_hub else subject.rstrip("/\\") or subject
    folder = os.path.join(whole, options.subfolder) if whole and options.subfolder else whole
    if folder is None or not os.path.isdir(folder):
        error = _not_found(subject) if folder is None else _no_subfolder(subject, folder)
        options.complain(str(error))
        raise error
    return Place(subject=subject, folder=folder, is_hub=is_hub, variant=options.variant)


def _no_subfolder(subject: str, folder: str) -> CheckpointNotFoundError:
    problem = f"there is no folder {os.path.basename(folder)} in it."
    return CheckpointNotFoundError(file=subject, problem=problem, advice=nearby(folder))


def _not_found(subject: str) -> CheckpointNotFoundError:
    if is_path(subject):
        problem = "there is no such file or folder."
        return CheckpointNotFoundError(file=subject, problem=problem, advice=nearby(subject))
    problem = "there is no such file or folder, and the hub's cache has nothing of that name."
    return CheckpointNotFoundError(file=subject, problem=problem, advice=f"Download it first: hf download {subject}")


def weights_at(place: Place, config: ConfigFile | None) -> Weights | None:
    """Return the weights of a checkpoint, looked over."""
    if place.file:
        return check_files([place.file], index=None)
    named = config.fields.get("transformers_weights") if config else None
    name = named if isinstance(named, str) else ""
    return read_weights(place.folder, variant=place.variant or None, name=name)


def size(number: int) -> str:
    """Return a number of bytes as people write it."""
    value, units = float(number), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:  # noqa: PLR2004 # as disks and downloads are counted
        value, units = value / 1000, units[1:]
    return f"{number} bytes" if units[0] == "bytes" else f"{value:.3g} {units[0]}"


# --- looking ---------------------------------------------------------------------------------------


def _looked_over(place: Place) -> _Findings:
    """Read the config, the headers and the index."""
    found = _Findings(place=place)
    try:
        if not place.file:
            found = replace(found, config=read_config(place.folder, {}))
    except CheckpointError as error:
        found = replace(found, problems=(error,))
    try:
        return replace(found, weights=weights_at(place, found.config))
    except CheckpointError as error:
        return replace(found, problems=(*found.problems, error))


def _compared(found: _Findings, *, quick: bool) -> _Findings:
    """Compare the files with the manifest, and with the digests of the hub."""
    folder, full = found.place.folder, not quick
    recorded = _recorded(folder)
    if recorded is not None:
        names = _names(found, recorded)
        with _bar(_bytes_of(folder, names) if full else 0) as progress:
            differences = manifest.check(
                folder, names if found.place.is_hub or found.place.file else None, full=full, progress=progress
            )
        unrecorded = tuple(name for name in _files(folder) if name not in recorded) if not found.place.file else ()
        found = replace(found, recorded=len(names), differences=differences, unrecorded=unrecorded)
    if found.place.is_hub and full:
        with _bar(_bytes_of(folder, _files(folder))) as progress:
            compared, differences = compare_with_hub(folder, progress=progress)
        found = replace(found, from_hub=compared, differences=(*found.differences, *differences))
    return found


def _recorded(folder: str) -> Mapping[str, Entry] | None:
    try:
        read = manifest.read_manifest(folder)
    except CheckpointError:
        return {}  # `check` says what is wrong with it
    return None if read is None else read.files


def _names(found: _Findings, recorded: Mapping[str, Entry]) -> list[str]:
    """Return the files to compare: of a snapshot, which need not be whole, those that are there or would be loaded."""
    if found.place.file:
        return [os.path.basename(found.place.file)]
    if not found.place.is_hub:
        return list(recorded)
    loaded = {os.path.basename(header.file) for header in found.weights.headers} if found.weights else set()
    return [name for name in recorded if name in loaded or os.path.isfile(os.path.join(found.place.folder, name))]


def _files(folder: str) -> list[str]:
    names = (name for name in sorted(os.listdir(folder)) if not name.startswith(".") and name != manifest.NAME)
    return [name for name in names if os.path.isfile(os.path.join(folder, name))]


def _bytes_of(folder: str, names: list[str]) -> int:
    paths = (os.path.join(folder, name) for name in names)
    return sum(os.path.getsize(path) for path in paths if os.path.isfile(path))


@contextmanager
def _bar(total: int) -> Iterator[Progress]:
    """Show on a terminal how far the reading is; drawn some two hundred times, however large the files are."""
    done = shown = 0
    with screen.progress("reading, MB") as move:

        def add(number: int) -> None:
            nonlocal done, shown
            done += number
            if done - shown >= total // 200:
                shown = done
                move(None, done // _MEGABYTE, total // _MEGABYTE)

        yield add


# --- recording -------------------------------------------------------------------------------------


def _write(place: Place, options: argparse.Namespace) -> int:
    if place.is_hub or place.file:
        options.complain("--write takes a folder: the manifest lies beside the files")
    journal.recover(place.folder)
    with holding.locked(place.folder, exclusive=True):
        found = _looked_over(place)
        if found.problems:  # a manifest of files that cannot be right would vouch for them
            for problem in found.problems:
                _complain(problem)
            return 1
        before = _recorded(place.folder)
        with _bar(_bytes_of(place.folder, _files(place.folder))) as progress:
            now = manifest.write(place.folder, progress=progress)
    changed = sorted(name for name in {*now, *(before or {})} if now.get(name) != (before or {}).get(name))
    if options.json:
        screen.json({"subject": place.subject, "folder": place.folder, "recorded": list(now), "changed": changed})
        return 0
    total = size(sum(entry.size for entry in now.values()))
    screen.say(f"{os.path.join(place.folder, manifest.NAME)}: {count(len(now), 'file')} recorded, {total}.")
    if before is not None:
        screen.say(f"Changed since the manifest before: {', '.join(changed) or 'nothing'}.")
    return 0


# --- showing ---------------------------------------------------------------------------------------


def _as_json(found: _Findings) -> dict[str, Any]:
    weights = found.weights
    return {
        "subject": found.place.subject,
        "folder": found.place.folder,
        "weights": [os.path.basename(header.file) for header in weights.headers] if weights else [],
        "pickles": [os.path.basename(file) for file in weights.pickles] if weights else [],
        "tensors": len(weights.tensors) if weights else 0,
        "recorded": found.recorded,
        "from_hub": found.from_hub,
        "unrecorded": list(found.unrecorded),
        "problems": [
            {key: getattr(error, key) for key in ("file", "part", "problem", "expected", "found", "advice")}
            for error in found.problems
        ],
        "differences": [asdict(difference) for difference in found.differences],
    }


def _show(found: _Findings) -> None:
    facts = [
        ("config", _config(found)),
        ("weights", _weights(found)),
        ("manifest", _manifest(found)),
        ("hub", _hub(found)),
        ("not recorded", ", ".join(found.unrecorded)),
    ]
    screen.card(found.place.subject, [(name, text) for name, text in facts if text])
    for problem in found.problems:
        _complain(problem)
    for difference in found.differences:
        severity = "error" if difference.severe else "warning"
        screen.finding(severity, difference.file, str(difference).partition(": ")[2] + ".", _mend(found, difference))


def _mend(found: _Findings, difference: Difference) -> str:
    if difference.kind == "note":
        return ""
    if found.place.is_hub:
        return f"hf download --force-download {found.place.subject}"
    on_purpose = f"if that was on purpose: autoreg verify --write {found.place.folder}"
    return f"restore or download the file again; {on_purpose}" if difference.severe else on_purpose


def _complain(error: CheckpointError) -> None:
    place = f"{error.file}, {error.part}" if error.part else error.file
    compared = f" Expected {error.expected}, found {error.found}." if error.expected else ""
    screen.finding("error", place, f"{error.problem}{compared}", error.advice.replace("\n", " "))


def _config(found: _Findings) -> str:
    if found.place.file:
        return ""
    if found.config is None:
        return "there is none" if not found.problems else "see below"
    names = ", ".join(found.config.architectures)
    return f"{found.config.model_type or 'no model type'}{f' ({names})' if names else ''}"


def _weights(found: _Findings) -> str:
    weights = found.weights
    if weights is None:
        return "see below" if found.problems else "there are none"
    files = [os.path.basename(header.file) for header in weights.headers]
    total = size(sum(os.path.getsize(header.file) for header in weights.headers))
    where = files[0] if len(files) == 1 else f"{len(files)} shards"
    whole = f"{count(len(weights.tensors), 'tensor')}, {total}, in {where}"
    pickles = f"{count(len(weights.pickles), 'pickle')}, not opened" if weights.pickles else ""
    return "; ".join(part for part in (f"{whole}: the headers are sound" if files else "", pickles) if part)


def _manifest(found: _Findings) -> str:
    if found.recorded is None:
        return "there is none: nothing here says what the files should hold"
    if any(difference.file == manifest.NAME for difference in found.differences):
        return "see below"
    wrong = {difference.file for difference in found.differences}
    return f"{count(found.recorded, 'file')}, {'all as recorded' if not wrong else f'{len(wrong)} not as recorded'}"


def _hub(found: _Findings) -> str:
    return f"{count(found.from_hub, 'file')} compared with the digests that the hub gave" if found.from_hub else ""


def count(number: int, noun: str) -> str:
    """Return a number of things."""
    return f"{number} {noun}{'' if number == 1 else 's'}"

"""The broken twins: the correct original with one thing changed, and the check that must notice."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from autoreg import runtime
from autoreg.conformance.target import Target, plugin_target

__all__ = ["ORIGINAL", "Twin", "all_twins", "install", "target_of"]

ORIGINAL = Path(__file__).parents[1] / "original"
_TOPICS = ("registration", "config", "weights", "forward", "training", "generation", "processing", "beyond")


@dataclass(frozen=True, kw_only=True)
class Twin:
    """One defect.

    Attributes:
        name: what it is called in the matrix, `topic-defect`.
        defect: what is wrong with it, as a sentence.
        check: the id of the check that is made for it.
        on: the class on which it shows; empty for a check of the whole architecture.
        message: a pattern that the failure (reason and difference) must match.
        patches: `(file, old, new)`, each of which stands in the file exactly once; a file that the original
            lacks is written whole from `new`, with `old` empty.
    """

    name: str
    defect: str
    check: str
    on: str = ""
    message: str
    patches: tuple[tuple[str, str, str], ...]


def all_twins() -> tuple[Twin, ...]:
    """Return every twin, by topic."""
    found = (import_module(f"{__name__}.{topic}") for topic in _TOPICS)
    return tuple(twin for module in found for twin in module.TWINS)


def install(site: Path, twin: Twin | None = None) -> Path:
    """Install the original, or a twin of it, as a real plugin into the folder, and return the folder."""
    package = site / "tidy_plugin"
    package.mkdir(parents=True)
    sources = {file.name: file.read_text(encoding="utf-8") for file in ORIGINAL.glob("*.py")}
    for name, old, new in twin.patches if twin else ():
        if old:
            assert sources[name].count(old) == 1, f"{twin.name}: {name} has {sources[name].count(old)} times {old!r}"  # type: ignore[union-attr]
        sources[name] = sources[name].replace(old, new) if old else new
    for name, text in sources.items():
        (package / name).write_text(text, encoding="utf-8")
    info = site / "autoreg_tidy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: autoreg-tidy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[autoreg]\ntidy = tidy_plugin.plugin\n")
    return site


def target_of(site: Path) -> partial[Target]:
    """Return what a worker calls, in its own process, to import the plugin that lies in the folder."""
    return partial(_import, site)


def _import(site: Path) -> Target:
    sys.path.insert(0, str(site))
    here = runtime.current()
    here.rescan()
    runtime.activate()
    return plugin_target(here, "tidy")

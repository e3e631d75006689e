"""The Python files that a checkpoint's classes need, read as text: those named, and what they import from beside them.

Depth: metadata. `ast.parse` makes a tree of a text; nothing is compiled to code, imported or run.
"""

from __future__ import annotations

import ast
import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from autoreg.errors import CheckpointError, CheckpointNotFoundError, UnsafeCheckpointError

__all__ = ["Source", "closure", "defined", "optional_nodes", "within"]

_LARGEST = 4 * 2**20
_MOST = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One file: `path` is relative to the checkpoint, with `/`; `content` is its bytes, unchanged."""

    path: str
    content: bytes
    tree: ast.Module

    @property
    def sha256(self) -> str:
        """The digest of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def package(self) -> tuple[str, ...]:
        """The folders that it lies in: what one dot means in it."""
        return tuple(self.path.split("/")[:-1])


def within(folder: str, path: str, *, cached: bool) -> bool:
    """Say whether a file of the folder lies in it, links followed; in the hub's cache, among the snapshot's blobs."""
    roots = [folder, os.path.join(folder, "..", "..", "blobs")] if cached else [folder]
    real = os.path.realpath(os.path.join(folder, path))
    return real.startswith(tuple(os.path.join(os.path.realpath(root), "") for root in roots))


class _Folder:
    """A checkpoint's folder, out of which nothing is read but its own files."""

    def __init__(self, folder: str, *, cached: bool) -> None:
        self.folder = folder
        self.cached = cached

    def find(self, module: tuple[str, ...]) -> str:
        """Return the path of a module's file, empty where there is none; a package comes before a module."""
        stem = "/".join(module)
        candidates = [f"{stem}/__init__.py", f"{stem}.py"] if stem else ["__init__.py"]
        return next((path for path in candidates if os.path.lexists(os.path.join(self.folder, path))), "")

    def read(self, path: str) -> Source:
        file = os.path.join(self.folder, path)
        if not within(self.folder, path, cached=self.cached):
            problem = "it is a link to a file outside the checkpoint."
            raise UnsafeCheckpointError(file=file, problem=problem, advice="Nothing was adopted.")
        if not os.path.isfile(file):
            raise CheckpointNotFoundError(file=file, problem="it is no file.", advice="Download the checkpoint again.")
        with open(file, "rb") as stream:
            content = stream.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            problem = f"it has over {_LARGEST >> 20} MB, and is no source file that somebody can review."
            raise CheckpointError(file=file, problem=problem, advice="Nothing was adopted.")
        return Source(path=path, content=content, tree=_parse(content, file))


def _parse(content: bytes, file: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of "\d" in a string: the author's affair, at the reader's cost
            return ast.parse(content)
    # MemoryError: what the parser raises for a text that is nested too deeply.
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        said = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
        raise CheckpointError(
            file=file,
            problem=f"it does not parse as Python{line}: {said}.",
            advice="It may be cut short, or written for another Python: download it again, or use that Python.",
        ) from error


def closure(folder: str, modules: Iterable[str], *, cached: bool = False) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Read the modules and all that they import relatively, and so on.

    Returns:
        The sources by path, and a sentence for each import that is not there and may be missing (in a `try` or for
        type checkers).

    Raises:
        CheckpointNotFoundError: a file is missing.
        UnsafeCheckpointError: a file or an import lies outside the folder.
        CheckpointError: a file does not parse, or there are too many.
    """
    place = _Folder(folder, cached=cached)
    found: dict[str, Source] = {}
    missing: list[str] = []
    waiting = [_named(place, module) for module in modules]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        if len(found) == _MOST:
            raise CheckpointError(
                file=folder, problem=f"its code has over {_MOST} files.", advice="Nothing was adopted."
            )
        found[path] = source = place.read(path)
        for wanted, optional, line in _imports(source, place):
            new = _paths(place, wanted)
            waiting.extend(new)
            if not place.find(wanted):
                name = f"{'/'.join(wanted) or '__init__'}.py"
                if not optional:
                    raise _missing(place, source, line, name)
                missing.append(f"{path}:{line} imports {name}, which is not there, in a place where it may be missing.")
    return tuple(found[path] for path in sorted(found)), tuple(missing)


def _named(place: _Folder, module: str) -> str:
    path = place.find(tuple(module.split(".")))
    if not path:
        file = os.path.join(place.folder, f"{module.replace('.', '/')}.py")
        raise CheckpointNotFoundError(
            file=file,
            problem="`auto_map` names this file, and it is not there.",
            advice="Download the checkpoint again, with its Python files: hf download … --include '*.json' '*.py'",
        )
    return path


def _missing(place: _Folder, source: Source, line: int, name: str) -> CheckpointError:
    return CheckpointNotFoundError(
        file=os.path.join(place.folder, name),
        problem=f"{source.path}, line {line}, imports it, and it is not there.",
        advice="Download the checkpoint again, with its Python files: hf download … --include '*.json' '*.py'",
    )


def _paths(place: _Folder, module: tuple[str, ...]) -> list[str]:
    """Return the files that importing a module runs: its own, and those of the packages around it."""
    around = [place.find(module[:depth]) for depth in range(1, len(module))]
    return [path for path in (*around, place.find(module)) if path]


def _imports(source: Source, place: _Folder) -> Iterator[tuple[tuple[str, ...], bool, int]]:
    """Yield `(module, may be missing, line)` of each relative import."""
    optional = optional_nodes(source.tree)
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        up = node.level - 1
        if up > len(source.package):
            problem = f"line {node.lineno} imports from {node.level - 1} folders above it, outside the checkpoint."
            raise UnsafeCheckpointError(
                file=os.path.join(place.folder, source.path), problem=problem, advice="Nothing was adopted."
            )
        base = (*source.package[: len(source.package) - up], *filter(None, (node.module or "").split(".")))
        for wanted in _modules(place, base, [alias.name for alias in node.names]):
            yield wanted, id(node) in optional, node.lineno


def _modules(place: _Folder, base: tuple[str, ...], names: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield the modules behind `from base import names`, be they there or not."""
    own = bool(place.find(base))
    below = [(*base, name) for name in names]
    modules = [module for module in below if place.find(module)]
    # The folder's own `__init__.py` is needed only for what is no module in it: transformers has none there.
    if (own and base) or (own and len(modules) < len(below)) or (base and not modules):
        yield base
    elif not own:
        modules = below
    yield from modules


def optional_nodes(tree: ast.Module) -> frozenset[int]:
    """Return the ids of the nodes that may fail to import: in a `try` that catches, or under a condition."""
    found: set[int] = set()
    for node in ast.walk(tree):
        catches = isinstance(node, ast.Try) and bool(node.handlers)
        if isinstance(node, (ast.If, ast.Try)) and (catches or (isinstance(node, ast.If) and _is_guard(node.test))):
            found.update(id(each) for part in node.body for each in ast.walk(part))
    return frozenset(found)


def _is_guard(test: ast.expr) -> bool:
    """Say whether the condition asks for a library (`is_flash_attn_2_available()`) or for type checkers."""
    names = [getattr(each, "attr", getattr(each, "id", "")) for each in ast.walk(test)]
    return any(name == "TYPE_CHECKING" or name.endswith("_available") for name in names)


def defined(tree: ast.Module) -> frozenset[str] | None:
    """Return the names that a module has at its top level; None where a star import hides them."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if any(alias.name == "*" for alias in node.names):
                return None
            found.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(node.name)
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            waiting.extend(_inner(node))
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name))
    return frozenset(found)


def _inner(node: ast.If | ast.Try | ast.With) -> Iterator[ast.stmt]:
    """Yield the statements of the blocks of a statement."""
    for field in ("body", "orelse", "finalbody"):
        yield from getattr(node, field, ())
    for handler in getattr(node, "handlers", ()):
        yield from handler.body

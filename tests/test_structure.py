"""The rooms are what docs/contributor/rooms.md says: its two tables are read here and enforced with `ast`."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "autoreg"
PAGE = (REPOSITORY / "docs" / "contributor" / "rooms.md").read_text(encoding="utf-8")

Check = Callable[[ast.Module], Iterator[ast.AST]]
MOST_LINES, MOST_POSITIONAL = 40, 4


# --- the tables, and the source ------------------------------------------------------------------


def table(first_column: str) -> list[list[str]]:
    """Return the cells of the table on the page whose first column is headed so."""
    lines = PAGE.split(f"| {first_column} |", 1)[1].splitlines()[2:]
    rows = lines[: next(number for number, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def names(cell: str) -> list[str]:
    """Return the names in backquotes."""
    return re.findall(r"`(\w+)`", cell)


ROOMS = {names(module)[0]: (sentence, names(allowed)) for module, sentence, allowed in table("module")}
RULES = {names(check)[0]: (sentence, names(rooms)) for sentence, rooms, check in table("a line that …")}


def room_of(file: Path) -> str:
    """Return the room that a file belongs to: the module, or the package that it lies in."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


SOURCES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(PACKAGE.rglob("*.py"))}


def running(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node that is there when the program runs: not what is imported for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from running(node)


def imports(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Yield each import with the full name of what it imports; `from a import b` as `a.b`."""
    for node in running(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node, f"{'.' * node.level}{node.module or ''}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) == "import_module" and isinstance(node.args[0], ast.Constant):
            yield node, str(node.args[0].value)


def called(node: ast.AST) -> str:
    """Return the last part of the name of the function that is called; empty for any other node."""
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", ""))


# --- what may be done in some rooms only ---------------------------------------------------------


def importing(*packages: str) -> Check:
    def check(tree: ast.Module) -> Iterator[ast.AST]:
        return (node for node, name in imports(tree) if name.partition(".")[0] in packages)

    return check


def naming(pattern: str) -> Check:
    """Return the check for names, dotted or not, that the pattern matches as a whole."""

    def check(tree: ast.Module) -> Iterator[ast.AST]:
        yield from (node for node, name in imports(tree) if re.fullmatch(pattern, name))
        for node in running(tree):
            if isinstance(node, (ast.Name, ast.Attribute)) and re.fullmatch(pattern, ast.unparse(node)):
                yield node

    return check


def calling(*functions: str) -> Check:
    def check(tree: ast.Module) -> Iterator[ast.AST]:
        return (node for node in running(tree) if called(node) in functions)

    return check


def importing_by_name(tree: ast.Module) -> Iterator[ast.AST]:
    for node in running(tree):
        by_name = isinstance(node, ast.Call) and called(node) in ("import_module", "__import__")
        if by_name and not isinstance(node.args[0], ast.Constant):
            yield node


def naming_private(tree: ast.Module) -> Iterator[ast.AST]:
    own, library = _own_names(tree), _library(tree)
    yield from (node for node, name in imports(tree) if _private(name.rpartition(".")[2]))
    for node in running(tree):
        if called(node) in ("getattr", "setattr", "hasattr", "delattr"):
            key = node.args[1]  # type: ignore[attr-defined]  # `called` has seen that it is a call
            if isinstance(key, ast.Constant) and _private(str(key.value)) and key.value not in own:
                yield node
        elif isinstance(node, ast.Attribute) and _private(node.attr) and node.attr not in own:
            owner, _, _ = ast.unparse(node.value).partition(".")
            yield from () if owner in library else (node,)


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _own_names(tree: ast.Module) -> set[str]:
    """Return the names that the module defines itself, as functions, classes, fields or attributes of `self`."""
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            own.add(node.attr)
    return own


def _library(tree: ast.Module) -> set[str]:
    return {name for _, name in imports(tree) if name in sys.stdlib_module_names}


MAKERS_OF_CONSTANTS = {
    "compile",
    "frozenset",
    "MappingProxyType",
    "Template",
    "TypeVar",
    "HookspecMarker",
    "HookimplMarker",
}
MUTATORS = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}


def holding_state(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield locks and context variables, objects made at import, and changes to a value of the module."""
    yield from importing("threading", "contextvars")(tree)
    module_names = {"globals()"}
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            module_names.update(map(ast.unparse, targets))
            if isinstance(node.value, ast.Call) and called(node.value) not in MAKERS_OF_CONSTANTS:
                yield node
    for node in running(tree):
        if isinstance(node, ast.Global) or ast.unparse(_changed(node)) in module_names:
            yield node


def _changed(node: ast.AST) -> ast.AST:
    """Return what a statement changes in place; nothing that has a name if it changes nothing."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        return node.func.value
    return ast.Constant(value=None)


def defining_an_exception(tree: ast.Module) -> Iterator[ast.AST]:
    for node in running(tree):
        bases = map(ast.unparse, node.bases) if isinstance(node, ast.ClassDef) and not _private(node.name) else ()
        if any(re.search(r"(Error|Exception|Warning)$", base) for base in bases):
            yield node


CHECKS: dict[str, Check] = {
    "distributions": naming(
        r"(.*\.)?(PluginManager|entry_points|distributions|Distribution|EntryPoints?)|.*metadata\.distribution"
    ),
    "import_by_name": importing_by_name,
    "transformers": importing("transformers", "torch"),
    "private": naming_private,
    "choice": calling("Choice"),
    "conflict": calling("ConflictError"),
    "environment": naming(r"os\.(environ|getenv|putenv|environb)"),
    "warn": naming(r"warnings\.(warn|warn_explicit|showwarning)"),
    "state": holding_state,
    "print": naming(r"print|input|exit|quit|sys\.(exit|stdout|stderr)|os\._exit"),
    "rich": importing("rich"),
    "exception": defining_an_exception,
    "pytest": importing("pytest", "_pytest"),
}

TWINS = {
    "distributions": ["from importlib.metadata import entry_points", "import pluggy\npluggy.PluginManager('x')"],
    "import_by_name": ["import importlib\ndef f(name): return importlib.import_module(name)", "__import__(f'a.{b}')"],
    "transformers": ["def f():\n    from transformers import AutoModel", "import torch.nn"],
    "private": [
        "from transformers import CONFIG_MAPPING\nCONFIG_MAPPING._extra_content",
        "getattr(mapping, '_extra_content', None)",
        "from autoreg.discovery import _normal",
        "def f(runtime): runtime._declared.clear()",
    ],
    "choice": ["from autoreg import registry\nregistry.Choice(name='x')"],
    "conflict": ["raise ConflictError(name='x', claimants=())"],
    "environment": ["import os\nos.environ.get('X')", "from os import environ"],
    "warn": ["import warnings\nwarnings.warn('x')", "from warnings import warn"],
    "state": [
        "import threading",
        "CACHE = {}\ndef f(): CACHE['a'] = 1",
        "SEEN = []\ndef f(): SEEN.append(1)",
        "registry = Registry()",
        "n = 0\ndef f():\n    global n\n    n += 1",
    ],
    "print": ["def f(): print('x')", "import sys\nsys.exit(1)", "import sys\nsys.stderr.write('x')"],
    "rich": ["from rich.table import Table"],
    "exception": ["class OopsError(ValueError): pass"],
    "pytest": ["import pytest"],
}


def in_wrong_room(check: str, room: str, tree: ast.Module) -> list[int]:
    """Return the lines of a module in this room that only other rooms may have."""
    return [] if room in RULES[check][1] else sorted({node.lineno for node in CHECKS[check](tree)})  # type: ignore[attr-defined]


@pytest.mark.parametrize("check", RULES)
def test_a_line_lives_where_the_table_says(check: str) -> None:
    """No module does what the table keeps for other rooms."""
    found = {str(file): in_wrong_room(check, room_of(file), tree) for file, tree in SOURCES.items()}
    assert {file: lines for file, lines in found.items() if lines} == {}, f"a line that {RULES[check][0]}"


@pytest.mark.parametrize(("check", "source"), [(check, source) for check, twins in TWINS.items() for source in twins])
def test_the_broken_twin_of_each_rule_is_caught(check: str, source: str) -> None:
    """A module that does what the rule forbids is found, and found innocent if only type checkers import it."""
    assert in_wrong_room(check, "some_room", ast.parse(source))
    hidden = "if TYPE_CHECKING:\n    " + source.replace("\n", "\n    ")
    assert not list(running(ast.parse(hidden)))


def test_every_rule_has_a_check_and_a_room_that_needs_it() -> None:
    """The table, the checks and their twins go together, and a room that a rule excepts does what it says."""
    assert set(RULES) == set(CHECKS) == set(TWINS)
    for check, (_, rooms) in RULES.items():
        for room in rooms:
            lines = [node for file, tree in SOURCES.items() if room_of(file) == room for node in CHECKS[check](tree)]
            assert lines, f"the table excepts `{room}` from `{check}`, and it has no such line"


# --- which room imports which --------------------------------------------------------------------


def imported_rooms(tree: ast.Module, room: str) -> set[str]:
    """Return the other rooms that a module of this room imports; `__init__` for autoreg's own public names."""
    found = set()
    for _, name in imports(tree):
        package, _, rest = name.partition(".")
        if package == "autoreg":
            found.add(rest.partition(".")[0] if rest.partition(".")[0] in ROOMS else "__init__")
    return found - {room}


def test_the_table_has_every_room() -> None:
    """Each module and package of autoreg has its row."""
    assert {room_of(file) for file in SOURCES} == set(ROOMS)


def test_a_room_imports_only_what_its_row_allows() -> None:
    """A module imports the rooms that its row names, all of which stand above it."""
    order = list(ROOMS)
    for file, tree in SOURCES.items():
        room = room_of(file)
        allowed = ROOMS[room][1]
        assert imported_rooms(tree, room) <= set(allowed), file
        assert [name for name in allowed if order.index(name) >= order.index(room)] == [], f"{room}: not above it"


def test_no_row_allows_what_nobody_imports() -> None:
    """What a row allows is used: the table is as tight as the code."""
    used: dict[str, set[str]] = {}
    for file, tree in SOURCES.items():
        used.setdefault(room_of(file), set()).update(imported_rooms(tree, room_of(file)))
    assert used == {room: set(allowed) for room, (_, allowed) in ROOMS.items()}


@pytest.mark.parametrize(
    ("source", "room", "rooms"),
    [
        ("from autoreg.bridge import Bridge", "registry", {"bridge"}),
        ("def f():\n    from autoreg import runtime, natives", "discovery", {"runtime", "natives"}),
        ("import importlib\nimportlib.import_module('autoreg.auto')", "registry", {"auto"}),
        ("from autoreg import __version__", "cli", {"__init__"}),
        ("from autoreg.cli import show", "cli", set()),
        ("if TYPE_CHECKING:\n    from autoreg.runtime import Runtime", "registry", set()),
    ],
)
def test_imports_of_rooms_are_found(source: str, room: str, rooms: set[str]) -> None:
    """However a room is imported, it is found; what is imported for type checkers is not."""
    assert imported_rooms(ast.parse(source), room) == rooms


# --- everywhere ----------------------------------------------------------------------------------


def test_every_module_opens_with_its_sentence() -> None:
    """The first sentence of each room's docstring is the one in the table; every module has one."""
    for file, tree in SOURCES.items():
        first = (ast.get_docstring(tree) or "").partition("\n")[0]
        assert first.endswith("."), f"{file}: {first!r}"
        if PACKAGE in (file.parent, file.parent.parent if file.name == "__init__.py" else None):
            assert first == ROOMS[room_of(file)][0], file


def unwieldy(tree: ast.Module) -> Iterator[str]:
    """Yield each function that is too long, or takes too much by position."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = [each for each in node.args.posonlyargs + node.args.args if each.arg not in ("self", "cls")]
            if (node.end_lineno or 0) - node.lineno >= MOST_LINES:
                yield f"{node.name} has over {MOST_LINES} lines"
            if len(arguments) > MOST_POSITIONAL:
                yield f"{node.name} takes over {MOST_POSITIONAL} arguments by position"
            if any(isinstance(default, ast.Constant) and type(default.value) is bool for default in node.args.defaults):
                yield f"{node.name} takes a boolean by position"


def test_functions_are_short_and_named_at_the_call() -> None:
    """No function has more than 40 lines, more than four positional arguments or a positional boolean."""
    assert {file.name: found for file, tree in SOURCES.items() if (found := list(unwieldy(tree)))} == {}


@pytest.mark.parametrize(
    "source",
    ["def f():\n" + "    pass\n" * MOST_LINES, "def f(a, b, c, d, e): pass", "class C:\n    def f(self, x=True): pass"],
)
def test_an_unwieldy_function_is_caught(source: str) -> None:
    """A function of 41 lines, of five positional arguments, or with a positional boolean is found."""
    assert list(unwieldy(ast.parse(source)))

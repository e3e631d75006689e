"""What a reviewer should look at in adopted code: its imports, and what it does beyond computing, by file and line.

The list finds what is written plainly, by whatever name a module was imported. Code that means to hide something can:
the list says where to begin reading, not that there is nothing else.

Depth: metadata; `ast` only.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from autoreg.adopt.sources import Source, optional_nodes

__all__ = ["MENDS", "REGISTERS", "Finding", "Requirement", "requirements", "scan"]

_RUNS = "runs code made at run time"
_PROCESS = "starts processes or foreign code"
_NETWORK = "reaches the network"
_UNPICKLES = "unpickles, which can run code"
_WRITES = "writes, moves or deletes files"
_LOOKS = "looks at the machine"
_HIDES = "hides what it does, or changes other modules"
REGISTERS = "registers classes in transformers, which the plugin does already"
MENDS = "does not work in a package"
_COPIES = "makes save_pretrained copy this code beside the weights"

_BY_NAME: Mapping[str, str] = {
    **dict.fromkeys(("eval", "exec", "compile", "__import__", "breakpoint"), _RUNS),
    **dict.fromkeys(("importlib", "runpy", "code", "codeop", "imp", "zipimport", "pkgutil"), _RUNS),
    **dict.fromkeys(("torch.utils.cpp_extension", "torch.ops.load_library", "torch.classes.load_library"), _PROCESS),
    **dict.fromkeys(("subprocess", "pty", "ctypes", "cffi", "multiprocessing", "asyncio.subprocess"), _PROCESS),
    **dict.fromkeys(("asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"), _PROCESS),
    **dict.fromkeys(("os.system", "os.popen", "os.fork", "os.forkpty", "os.kill", "os.startfile"), _PROCESS),
    **dict.fromkeys(("socket", "ssl", "requests", "urllib", "urllib2", "urllib3", "httpx", "aiohttp"), _NETWORK),
    **dict.fromkeys(("http.client", "http.server", "ftplib", "smtplib", "telnetlib", "paramiko"), _NETWORK),
    **dict.fromkeys(("xmlrpc", "socketserver", "websocket", "websockets", "wget", "boto3"), _NETWORK),
    **dict.fromkeys(("huggingface_hub", "torch.hub", "transformers.utils.cached_file", "nltk.download"), _NETWORK),
    "huggingface_hub.dataclasses": "",
    **dict.fromkeys(("transformers.utils.hub", "transformers.dynamic_module_utils"), _NETWORK),
    **dict.fromkeys(("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve"), _UNPICKLES),
    **dict.fromkeys(("torch.load", "joblib.load", "numpy.load", "pandas.read_pickle", "yaml.load"), _UNPICKLES),
    **dict.fromkeys(("shutil", "tempfile", "torch.save", "numpy.save", "numpy.savez", "zipfile", "tarfile"), _WRITES),
    **dict.fromkeys(("os.remove", "os.unlink", "os.rename", "os.replace", "os.rmdir", "os.removedirs"), _WRITES),
    **dict.fromkeys(("os.mkdir", "os.makedirs", "os.chmod", "os.chown", "os.link", "os.symlink", "os.open"), _WRITES),
    **dict.fromkeys(("os.write", "os.truncate", "os.utime", "safetensors.torch.save_file"), _WRITES),
    **dict.fromkeys(("os.environ", "os.getenv", "os.putenv", "os.environb", "os.path.expanduser"), _LOOKS),
    **dict.fromkeys(("pathlib.Path.home", "os.listdir", "os.walk", "os.scandir", "glob", "os.getlogin"), _LOOKS),
    **dict.fromkeys(("getpass", "platform", "pwd", "os.uname", "os.getuid", "__file__"), _LOOKS),
    **dict.fromkeys(("base64", "binascii", "codecs.decode", "zlib", "lzma", "bz2", "gzip"), _HIDES),
    **dict.fromkeys(("globals", "vars", "locals", "__builtins__", "builtins", "__loader__", "gc"), _HIDES),
    **dict.fromkeys(("sys.modules", "sys.path", "sys.meta_path", "sys.settrace", "sys._getframe"), _HIDES),
    **dict.fromkeys(
        ("inspect.currentframe", "inspect.stack", "atexit", "signal", "site", "types.FunctionType"), _HIDES
    ),
    **dict.fromkeys(("types.CodeType", "sys.setprofile"), _HIDES),
}
# The only ones that a name means without an import; `code` or `glob` may be anybody's variable.
_BUILTINS = frozenset(
    {"eval", "exec", "compile", "__import__", "breakpoint", "globals", "vars", "locals", "__builtins__", "__loader__"}
    | {"__file__"}
)
_FAMILIES = (("os.exec", _PROCESS), ("os.spawn", _PROCESS), ("os.posix_spawn", _PROCESS))
_METHODS: Mapping[str, str] = {
    **dict.fromkeys(("write_text", "write_bytes", "unlink", "rmdir", "rmtree", "mkdir", "extractall"), _WRITES),
    **dict.fromkeys(("symlink_to", "hardlink_to", "touch", "tofile", "to_csv", "to_pickle"), _WRITES),
    **dict.fromkeys(("urlopen", "urlretrieve", "hf_hub_download", "snapshot_download", "push_to_hub"), _NETWORK),
    **dict.fromkeys(("load_state_dict_from_url", "download_url_to_file"), _NETWORK),
    **dict.fromkeys(("load_inline", "load_library", "popen", "check_output", "check_call"), _PROCESS),
    **dict.fromkeys(("exec_module", "load_module", "import_module"), _RUNS),
    **dict.fromkeys(("__subclasses__", "__globals__", "__code__", "__builtins__", "__closure__"), _HIDES),
    **dict.fromkeys(("__getattribute__", "__reduce__", "__reduce_ex__", "__mro__", "__bases__"), _HIDES),
    **dict.fromkeys(("fromhex", "b64decode", "decompress"), _HIDES),
    "register_for_auto_class": _COPIES,
}
_LONGEST_LITERAL = 2000
_SHOWN = 90


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Finding:
    """One place to look at: `kind` says why, `what` is the code, shortened, `at_import` that importing is enough."""

    path: str
    line: int
    kind: str
    what: str
    at_import: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Requirement:
    """A module that the code imports and does not bring.

    Attributes:
        module: its top-level name.
        origin: `"Python"`, `"transformers"`, `"torch"` or `"third party"`.
        needed: somewhere it is imported unconditionally.
        installed: it can be found in this environment (it was not imported).
        places: `file:line` of each import.
    """

    module: str
    origin: str
    needed: bool
    installed: bool
    places: tuple[str, ...]


# --- imports ---------------------------------------------------------------------------------------


def requirements(sources: Iterable[Source]) -> tuple[Requirement, ...]:
    """Return the modules that the sources import absolutely, by name."""
    sources = tuple(sources)
    beside = {*_own(sources), "transformers_modules"}
    places: dict[str, list[str]] = {}
    needed: set[str] = set()
    for source in sources:
        optional = optional_nodes(source.tree)
        for node, module in _absolute(source.tree):
            top = module.partition(".")[0]
            places.setdefault(top, []).append(f"{source.path}:{node.lineno}")
            if id(node) not in optional:
                needed.add(top)
    return tuple(
        Requirement(
            module=top,
            origin=_origin(top),
            needed=top in needed,
            installed=_installed(top),
            places=tuple(dict.fromkeys(where)),
        )
        for top, where in sorted(places.items())
        if top not in beside
    )


def _own(sources: Iterable[Source]) -> frozenset[str]:
    """Return the top-level names of the sources themselves."""
    return frozenset(source.path.removesuffix(".py").split("/")[0] for source in sources)


def _absolute(tree: ast.Module) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node, node.module


def _origin(module: str) -> str:
    if module in sys.stdlib_module_names or module == "__future__":
        return "Python"
    return module if module in ("torch", "transformers") else "third party"


def _installed(module: str) -> bool:
    """Say whether the module can be found; of a top-level name, that imports nothing."""
    try:
        return module in sys.modules or importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


# --- what else the code does -----------------------------------------------------------------------


def scan(sources: tuple[Source, ...]) -> tuple[Finding, ...]:
    """Return what deserves a look, by file and line."""
    own = _own(sources)
    found = {finding for source in sources for finding in (*_nodes(source, own), *_text(source))}
    return tuple(sorted(found))


def _nodes(source: Source, own: frozenset[str]) -> Iterator[Finding]:
    names = _names(source.tree)
    later = _later(source.tree)
    inner: set[int] = set()
    for node in ast.walk(source.tree):  # parents come before their children
        if id(node) in inner:
            continue
        inner.update(_chain(node))
        for kind in _kinds(node, names, own):
            yield Finding(
                path=source.path,
                line=getattr(node, "lineno", 0),
                kind=kind,
                what=_shown(node),
                at_import=id(node) not in later,
            )


def _chain(node: ast.AST) -> Iterator[int]:
    """Yield the ids of `a` and `a.b` in `a.b.c`: the whole says all."""
    while isinstance(node, ast.Attribute):
        node = node.value
        if isinstance(node, (ast.Attribute, ast.Name)):
            yield id(node)


def _later(tree: ast.Module) -> frozenset[int]:
    """Return the ids of the nodes inside functions: they run when somebody calls them."""
    bodies = (
        node.body if isinstance(node.body, list) else [node.body]
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    )
    return frozenset(id(each) for body in bodies for part in body for each in ast.walk(part))


def _names(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name stands for, in full: `sp` for `subprocess`, `run` for `subprocess.run`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def _kinds(node: ast.AST, names: Mapping[str, str], own: frozenset[str]) -> Iterator[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from _of_import(node, own)
    elif isinstance(node, (ast.Name, ast.Attribute)):
        yield from _of_name(node, names)
    elif isinstance(node, ast.Call):
        yield from _of_call(node, names)
    elif isinstance(node, ast.Constant) and _is_packed(node.value):
        yield _HIDES


def _is_packed(value: object) -> bool:
    """Say whether a literal is too long, without a line break, for people to have written it."""
    if isinstance(value, bytes):
        return len(value) > _LONGEST_LITERAL and b"\n" not in value
    return isinstance(value, str) and len(value) > _LONGEST_LITERAL and "\n" not in value


def _of_import(node: ast.Import | ast.ImportFrom, own: frozenset[str]) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom) and node.level:
        return
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    full = modules if isinstance(node, ast.Import) else [f"{node.module}.{alias.name}" for alias in node.names]
    for module in modules:
        if module.partition(".")[0] in {*own, "transformers_modules"}:
            yield MENDS
    yield from dict.fromkeys(kind for name in full if (kind := _known(name)))


def _of_name(node: ast.Name | ast.Attribute, names: Mapping[str, str]) -> Iterator[str]:
    full = _dotted(node, names)
    kind = _known(full) if full else ""
    if not kind and isinstance(node, ast.Attribute):
        kind = _METHODS.get(node.attr, "")
    if kind:
        yield kind
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _root(node) in names:
        yield _HIDES  # an attribute of an imported module or class is replaced


def _of_call(node: ast.Call, names: Mapping[str, str]) -> Iterator[str]:
    called = _dotted(node.func, names)
    last = called.rpartition(".")[2] or getattr(node.func, "attr", getattr(node.func, "id", ""))
    if last in ("getattr", "setattr", "delattr") and len(node.args) > 1:
        onto = isinstance(node.args[0], ast.Name) and node.args[0].id in {*names, "__builtins__"}
        if onto and (last != "getattr" or not isinstance(node.args[1], ast.Constant)):
            yield _HIDES
    elif last == "open" and _opens_to_write(node):
        yield _WRITES
    elif last == "register" and called.startswith("transformers."):
        yield REGISTERS


def _opens_to_write(node: ast.Call) -> bool:
    """Say whether a call of `open` has a mode that writes, or one that is worked out."""
    given = [keyword.value for keyword in node.keywords if keyword.arg == "mode"]
    builtin = isinstance(node.func, ast.Name)
    modes = given or node.args[builtin : builtin + 1]
    for mode in modes:
        if isinstance(mode, ast.Constant) and isinstance(mode.value, str):
            return set(mode.value) <= set("rwaxbtU+") and bool(set(mode.value) & set("wax+"))
        return builtin
    return False


def _known(full: str) -> str:
    """Return why a full name deserves a look: it, or what it is part of, is in the table."""
    parts = full.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in _BY_NAME:
            return _BY_NAME[name]
    return next((kind for beginning, kind in _FAMILIES if full.startswith(beginning)), "")


def _dotted(node: ast.AST, names: Mapping[str, str]) -> str:
    """Return the full name behind `a.b.c`; empty where it begins with something that has no name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    if node.id not in names and node.id not in _BUILTINS:
        return ""  # a method of some object: `model.eval`, `self.code`
    return ".".join([names.get(node.id, node.id), *reversed(parts)])


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _shown(node: ast.AST) -> str:
    """Return the code in one printable line of ASCII."""
    try:
        text = ast.unparse(node).partition("\n")[0]
    except RecursionError:  # what the parser takes iteratively (`1 + 1 + …`), `unparse` does not
        text = "an expression too deep to be shown"
    return ascii(text[:_SHOWN])[1:-1].replace("`", "'") + ("…" if len(text) > _SHOWN else "")


def _text(source: Source) -> Iterator[Finding]:
    """Yield the lines with characters that are not seen, or turn the direction of writing: they show other code."""
    text = source.content.decode("utf-8", errors="replace")
    for number, line in enumerate(text.split("\n"), start=1):
        strange = sorted({f"U+{ord(char):04X}" for char in line if unicodedata.category(char) == "Cf"} - {"U+FEFF"})
        if strange:
            yield Finding(path=source.path, line=number, kind=_HIDES, what=f"invisible characters {', '.join(strange)}")

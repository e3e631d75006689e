"""What the documentation says is what happens: its blocks are run, its lists are compared with the code.

A page is a row of *scenes*. A scene is an environment of its own: an empty folder to work in, an empty folder of
installed packages, no AUTOREG_* variables. In it, in the order of the page:

- a block with a file's name as its title is written to that file among the installed packages; a `pyproject.toml`
  installs its distribution;
- a `python` block is run; a `text` block after it, titled `output`, `warning` or with the name of an error class,
  is what the block prints, warns or raises;
- a `console` block is typed at a prompt, and its output compared.

`...` in an expected text stands for anything. A comment `<!-- scene … -->` begins a scene; the Python in it, which
readers do not see, sets it up with the functions of `Scene`. A block that includes a file (`--8<--`) shows what is
tested elsewhere.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import doctest
import importlib.metadata
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest

import autoreg
from autoreg import discovery, errors, hookspecs
from autoreg.adopt import Adopted
from autoreg.checkpoint.manifest import Difference
from autoreg.cli import parser
from autoreg.diagnosis import Explanation, Finding, Row
from autoreg.pytest_plugin import conformance
from autoreg.scaffold import Made
from autoreg.verdicts import Verdict
from benchmarks.first_plugin import Step

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
SOURCES = sorted((REPOSITORY / "autoreg").rglob("*.py"))

BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$"
    r"|^<!-- scene\n(?P<scene>.*?)-->$",
    re.MULTILINE | re.DOTALL,
)
TITLE = re.compile(r'title="([^"]+)"')
WRITTEN_WITH = "5.23.0"
"""The release of transformers in the expected texts; the installed one may be another."""

OUTCOMES = {"output", "warning", *errors.__all__}


# --- the blocks of a page ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One block of a page: `language` is `scene` for a comment that begins one."""

    page: Path
    line: int
    language: str
    title: str
    body: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"

    @property
    def included(self) -> bool:
        return "--8<--" in self.body

    @property
    def is_file(self) -> bool:
        return "." in self.title


def blocks(page: Path, text: str | None = None) -> list[Block]:
    """Return the blocks of a page in their order."""
    text = page.read_text(encoding="utf-8") if text is None else text
    return [_block(page, text, match) for match in BLOCK.finditer(text)]


def _block(page: Path, text: str, match: re.Match[str]) -> Block:
    title = TITLE.search(match["info"] or "")
    hidden = match["scene"] is not None
    return Block(
        page=page,
        line=text.count("\n", 0, match.start()) + 1,
        language="scene" if hidden else match["language"],
        title=title[1] if title else "",
        body=textwrap.dedent(match["scene"] if hidden else match["body"]),
    )


# --- the scenes they play in ---------------------------------------------------------------------


@dataclass(kw_only=True)
class Scene:
    """An environment with nothing in it, and what a setup may put there."""

    home: Path
    site: Path
    patch: pytest.MonkeyPatch
    names: dict[str, Any] = field(default_factory=dict)

    def plugin(self, model_type: str, distribution: str = "", *, version: str = "1.0", **details: Any) -> None:
        """Install a plugin that declares a config and an `AutoModel`.

        Args:
            model_type, distribution, version: who declares what; by default autoreg-zigzag 1.0 declares zigzag.
            details: `requires`, a tuple of requirements; `source`, the whole declaration module; any other is a
                field of the declaration.
        """
        distribution = distribution or f"autoreg-{model_type}"
        package, prefix = distribution.replace("-", "_"), model_type.capitalize()
        requires, source = details.pop("requires", ()), details.pop("source", "")
        declared = {
            "model_type": model_type,
            "config": f"{package}.configuration:{prefix}Config",
            "models": {"AutoModel": f"{package}.modeling:{prefix}Model"},
            **details,
        }
        hook = "@hookimpl\ndef autoreg_architectures():\n"
        declaring = f"from autoreg import Architecture, hookimpl\n\n{hook}    yield Architecture(**{declared!r})\n"
        self.file(f"{package}/__init__.py", "")
        self.file(f"{package}/plugin.py", source or declaring)
        self.file(f"{package}/configuration.py", _CONFIGURATION.format(prefix=prefix, model_type=model_type))
        self.file(f"{package}/modeling.py", _MODELING.format(prefix=prefix))
        self.distribution(distribution, version, requires, {"autoreg": {model_type: f"{package}.plugin"}})

    def file(self, name: str, text: str) -> Path:
        """Write a file among the installed packages; a pyproject.toml also installs its distribution."""
        path = self.site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if path.name == "pyproject.toml":
            project = tomllib.loads(text)["project"]
            version, requires = project.get("version", "1.0"), project.get("dependencies", ())
            self.distribution(project["name"], version, requires, project["entry-points"])
        return path

    def distribution(self, name: str, version: str, requires: Any, entry_points: dict[str, dict[str, str]]) -> None:
        """Write the metadata that an installer would."""
        info = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        headers = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *headers, "", ""]))
        groups = [[f"[{group}]", *(f"{key} = {value}" for key, value in sorted(lines.items()))]
                  for group, lines in entry_points.items()]  # fmt: skip
        (info / "entry_points.txt").write_text("\n".join(line for lines in groups for line in lines) + "\n")

    def checkpoint(self, name: str, config: Any, **files: str) -> None:
        """Write a checkpoint of config.json (a value, or the file's text) and other files in the working folder."""
        folder = self.home / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
        for file, text in files.items():
            (folder / f"{file}.py").write_text(text)

    def cached(self, repository: str, saved: Any) -> None:
        """Put a saved model into the hub's cache, as a download would."""
        folder = Path(os.environ["HF_HUB_CACHE"], "models--" + repository.replace("/", "--"))
        commit = "0" * 40
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(commit)
        saved.save_pretrained(folder / "snapshots" / commit)


_CONFIGURATION = """
from transformers import PreTrainedConfig

class {prefix}Config(PreTrainedConfig):
    model_type = "{model_type}"
    hidden_size: int = 4
"""

_MODELING = """
import torch
from transformers import PreTrainedModel

from .configuration import {prefix}Config

class {prefix}Model(PreTrainedModel):
    config_class = {prefix}Config

    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.ones(config.hidden_size))
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, x):
        return x * self.scale
"""


@contextlib.contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Play a scene in `folder`, and put everything back after it."""
    home, site = folder / "work", folder / "site-packages"
    home.mkdir(parents=True)
    site.mkdir()
    (home / "plugins").symlink_to(REPOSITORY / "plugins")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", str(site))
        patch.setenv("HF_HUB_CACHE", str(folder / "hub"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        stage = Scene(home=home, site=site, patch=patch)
        _install_retnet(stage)
        with autoreg.isolated():
            yield stage
    for name, module in list(sys.modules.items()):
        # A package without an `__init__.py` has no file.
        if any(str(place).startswith(str(site)) for place in (getattr(module, "__file__", ""), *_folders(module))):
            del sys.modules[name]


def _folders(module: Any) -> list[str]:
    try:
        return list(module.__spec__.submodule_search_locations or ())
    except AttributeError:  # something else that was put among the modules
        return []


def _install_retnet(stage: Scene) -> None:
    """Make the example plugin installed, if this environment lacks it."""
    try:
        importlib.metadata.version("autoreg-retnet")
    except importlib.metadata.PackageNotFoundError:
        folder = REPOSITORY / "plugins" / "autoreg-retnet"
        shutil.copytree(folder / "autoreg_retnet", stage.site / "autoreg_retnet")
        stage.file("autoreg-retnet/pyproject.toml", (folder / "pyproject.toml").read_text())


# --- running them --------------------------------------------------------------------------------


def play(page: Path, folder: Path, *, text: str | None = None) -> Iterator[tuple[Block, str]]:
    """Run a page; yield each block whose text is an expectation, with what really came out."""
    with contextlib.ExitStack() as stack:
        stage = stack.enter_context(scene(folder / "0"))
        said: dict[str, str] = {}
        for block in blocks(page, text):
            if block.language == "scene":
                stack.close()
                stage = stack.enter_context(scene(folder / str(block.line)))
                setup = {name: getattr(stage, name) for name in ("plugin", "file", "checkpoint", "cached", "patch")}
                _execute(block, setup)
            elif block.is_file:
                if not block.included:
                    stage.file(block.title, block.body)
            elif block.language == "python" and not block.included:
                _nothing_unsaid(said)
                said = _run(block, stage.names)
            elif block.title in OUTCOMES:
                yield block, said.pop(block.title, f"(no {block.title} after {sorted(said)})") + "\n"
            elif block.language == "console":
                yield block, _type(block.body)
        _nothing_unsaid(said)


def _execute(block: Block, names: dict[str, Any]) -> None:
    source = "\n" * block.line + block.body
    exec(compile(source, str(block.page), "exec"), names)


def _run(block: Block, names: dict[str, Any]) -> dict[str, str]:
    """Return what a python block printed, warned and raised, by the titles that expect it."""
    said: dict[str, str] = {}
    names.setdefault("__name__", "__main__")
    with contextlib.redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", autoreg.AutoregWarning)
        try:
            _execute(block, names)
        except autoreg.AutoregError as error:
            said[type(error).__name__] = str(error)
        except Exception as error:
            raise AssertionError(f"{block.where}: {error!r}") from error
    told = [str(each.message) for each in caught if issubclass(each.category, autoreg.AutoregWarning)]
    found = {"output": printed.getvalue().rstrip("\n"), "warning": "\n".join(told)}
    said |= {title: text for title, text in found.items() if text}
    return {title: _portable(text) for title, text in said.items()} | {"where": block.where}


def _nothing_unsaid(said: dict[str, str]) -> None:
    left = {title: text for title, text in said.items() if title not in ("where", "output")}
    assert not left, f"{said['where']}: the page does not mention {left}"


def _type(body: str) -> str:
    """Return the block as a terminal would show it after its commands were typed."""
    shown = []
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in (line[2:] for line in body.splitlines() if line.startswith("$ ")):
        shown.append(f"$ {command}")
        # A terminal, wide enough for the paths of a test; none in front of a pipe or a file.
        terminal = {"FORCE_COLOR": "" if set("|>") & set(command) else "1"}
        done = subprocess.run(
            ["bash", "-c", command],
            env={**os.environ, **terminal, "PATH": path, "COLUMNS": "80" if "--help" in command else "400"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        shown += _portable(done.stdout).splitlines()
    return "\n".join(shown) + "\n"


def _portable(text: str) -> str:
    """Take out what differs from machine to machine, and colours."""
    text = re.sub(r"\x1b\[[\d;]*m", "", text).replace(importlib.metadata.version("transformers"), WRITTEN_WITH)
    text = re.sub(r"[^\s('\"]*/site-packages/?", "…/site-packages", text)
    text = re.sub(r"[^\s('\"]*/work(?=[/ ])", "…", text)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


def _matches(expected: str, actual: str) -> bool:
    return doctest.OutputChecker().check_output(expected, actual, doctest.ELLIPSIS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_the_blocks_of_a_page_run_as_printed(page: Path, tmp_path: Path) -> None:
    """Every python and console block runs, and prints, warns or raises what the page shows after it."""
    for block, actual in play(page, tmp_path):
        if not _matches(block.body, actual):
            difference = difflib.unified_diff(block.body.splitlines(), actual.splitlines(), "page", "really", n=9)
            pytest.fail("\n".join([block.where, *difference]), pytrace=False)


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ('```python\nprint(1)\n```\n```text title="output"\n2\n```\n', None),
        ("```python\nprint(undefined)\n```\n", "NameError"),
        ("```python\nimport autoreg\nautoreg.ClassRef.parse('x')\n```\n", "does not mention {'DeclarationError'"),
        ('```python\npass\n```\n```text title="output"\n\n```\n', None),
        ("```console\n$ echo a\nb\n```\n", None),
    ],
)
def test_a_page_that_lies_is_caught(tmp_path: Path, page: str, complaint: str | None) -> None:
    """A block that prints something else, fails, or raises what the page does not mention is found."""
    caught = ""
    with contextlib.suppress(StopIteration):
        try:
            results = list(play(REPOSITORY / "README.md", tmp_path, text=page))
        except AssertionError as error:
            caught = str(error)
            results = []
    assert complaint in caught if complaint else not any(_matches(block.body, actual) for block, actual in results)


def test_every_block_is_of_a_kind_that_somebody_looks_at() -> None:
    """No fence is left open, or has a language or title that the tests would pass over by mistake."""
    for page in PAGES:
        fences = re.findall(r"^ *```\S", page.read_text(encoding="utf-8"), re.MULTILINE)
        found = [block for block in blocks(page) if block.language != "scene"]
        assert len(fences) == len(found), f"{page}: an unclosed fence, or one without a language"
        for block in found:
            known = block.language in ("python", "console", "bash", "toml", "json", "text", "yaml")
            assert known, f"{block.where}: nobody runs or compares {block.language}"
            assert not block.title or block.is_file or block.title in OUTCOMES, f"{block.where}: {block.title}"


# --- lists compared with the code ----------------------------------------------------------------


def _text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_every_command_shows_its_help() -> None:
    """The page of the commands shows `--help` of every one (and running the page compares it)."""
    page = _text("user/cli.md")
    (group,) = (action for action in parser()._actions if action.dest == "command")
    assert [name for name in ["", *group.choices] if f"$ {f'autoreg {name}'.strip()} --help\n" not in page] == []


def test_every_hook_is_documented_with_its_signature() -> None:
    """The page of the hooks shows each hook as it is specified, word for word, and no other."""
    source = Path(inspect.getfile(hookspecs)).read_text(encoding="utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    signatures = {f"def {node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}" for node in functions}
    page = _text("author/hooks.md")
    assert {line for line in signatures if line not in page} == set()
    assert {node.name for node in functions} == set(re.findall(r"^## `(\w+)`$", page, re.MULTILINE))


def test_every_error_is_documented_with_its_kin_and_its_fields() -> None:
    """The page of the errors has a section for each class that names its base classes and all its fields."""
    sections = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", _text("user/errors.md"), re.MULTILINE | re.DOTALL))
    assert set(sections) == set(errors.__all__)
    for name, section in sections.items():
        kind = getattr(errors, name)
        for word in [*(base.__name__ for base in kind.__bases__), *kind.__annotations__]:
            assert f"`{word}`" in section, f"errors.md: {name} lacks `{word}`"


def test_the_variables_are_those_of_the_code() -> None:
    """The page of the variables has a section for each AUTOREG_* that the code knows, and for no other."""
    in_code = {name for file in SOURCES for name in re.findall(r"AUTOREG_[A-Z]+", file.read_text(encoding="utf-8"))}
    documented = re.findall(r"^## `(AUTOREG_[A-Z]+)`$", _text("user/environment.md"), re.MULTILINE)
    assert set(documented) == in_code
    everywhere = {name for page in PAGES for name in re.findall(r"AUTOREG_[A-Z]+", page.read_text(encoding="utf-8"))}
    assert everywhere <= in_code


def test_every_field_of_a_declaration_is_documented() -> None:
    """The reference of `Architecture` has a section for each of its fields."""
    documented = re.findall(r"^## `(\w+)`$", _text("author/architecture.md"), re.MULTILINE)
    assert set(documented) == set(inspect.signature(autoreg.Architecture).parameters)


def test_every_key_of_the_json_is_documented() -> None:
    """The page of the commands names each key that `--json` prints."""
    page = _text("user/cli.md")
    keys = {key.name for kind in (Row, Explanation, Finding) for key in fields(kind)}
    assert {key for key in keys if f"`{key}`" not in page} == set()


def test_every_document_in_json_has_its_keys_on_the_page() -> None:
    """The page of the JSON names each key that its commands print there, and each field of what others print."""
    page = _text("user/json.md")
    printed = set(re.findall(r'^ *"(\w+)":', page, re.MULTILINE))
    keys = {key.name for kind in (Made, Adopted, Verdict, Difference) for key in fields(kind)}
    assert len(printed) > len(fields(Made))
    assert {key for key in printed | keys if not re.search(rf"^\|?.*`{key}`", page, re.MULTILINE)} == set()


def test_every_public_name_has_a_section_with_its_signature() -> None:
    """The page of the Python names has each of them, those that are called with their signature, word for word."""
    page = _text("user/python.md")
    assert [name for name in autoreg.__all__ if f"`{name}`" not in page] == []
    named = [getattr(autoreg, name) for name in ("activate", "isolated", "save_pretrained", "provenance", "ClassRef")]
    for called in [*named, conformance]:
        signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(called)))
        assert f"\n{called.__name__}{signature}\n" in page
    groups = re.findall(r"^\| `(autoreg[\w.]*)` \|", page, re.MULTILINE)
    assert groups == [discovery.MODEL_TYPES, discovery.CLAIMS, discovery.CHECKS]


def test_every_public_name_is_documented() -> None:
    """Each name in `autoreg.__all__` occurs in the documentation."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in autoreg.__all__ if not re.search(rf"(?<!\w){name}(?!\w)", text)] == []


def test_links_out_of_the_documentation_lead_somewhere() -> None:
    """Relative links in the files that mkdocs does not build point to files that exist."""
    for page in PAGES[:2]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


# --- figures compared with what was recorded ----------------------------------------------------

RESULTS = REPOSITORY / "benchmarks" / "results"
SUMMED_UP = {
    "contributor/trial.md": (r"^\| autoreg \| (\d+) \| (\d+) \|", r"^\| plain transformers \| \d+ \| (\d+) \|"),
    "contributor/saving-faults.md": (
        r"^(\d+) points: (\d+) old, (\d+) new, (\d+) anything else",
        r"own `save_pretrained`, (\d+) points: .*?(\d+) mixed",
    ),
    "contributor/twins.md": (r"^- (\d+) twins, (\d+) of them caught", r"^- (\d+) checks, (\d+) of them seen"),
    "contributor/natives.md": (
        r"^\| every class, once \| (\d+) \| (\d+) \| [\d.]+ % \| (\d+) \| ([\d,]+) \| (\d+) \|",
        r" ran (\d+) of the classes on the CPU, moved them",
        r"^\| passed \| runs \| (\d+) \|",
    ),
}
"""The pages whose figures are repeated elsewhere, and the lines that have them."""

HELD_OUT: dict[str, Callable[[Any], str]] = {
    "retnet": lambda it: f"{it['held_out_bits_per_byte']:.2f} bits a byte",
    "gmlp": lambda it: f"{100 * it['held_out_accuracy']:.1f} % right",
    "convs2s": lambda it: f"{it['held_out_errors_percent']['beam_search_4']['phonemes']:.1f} % wrong phonemes",
    "convmixer": lambda it: f"{100 * it['held_out_accuracy']:.1f} % right",
    "nhits": lambda it: f"MASE {it['mean_mase']['nhits']:.2f}",
    "captioner": lambda it: f"{100 * it['held_out_exact_match']:.1f} % of captions exact",
}
"""The checkpoints' figures on data that they were not trained on, as the page has them."""


def _bench_row(row: dict[str, Any]) -> str:
    """Return a row of `bench.json` as the page has it."""
    low, high = row["interval_95"]
    if "added_seconds" in row:
        value, low, high = (f"{1000 * each:+.2f}" for each in (row["added_seconds"], low, high))
        value, target = f"{value} ms", f"≤ {1000 * row['allowed_seconds']:g} ms"
    else:
        value, low, high = (f"{each:#.3g}" for each in (row["ratio_of_medians"], low, high))
        target = row["target"] and f"{'≥' if row['case'] == 'd' else '≤'} {row['target']:g}"
    cells = [row["case"], row["what"], value, f"{low} to {high}", target, row["verdict"]]
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def test_the_benchmarks_are_those_that_were_recorded() -> None:
    """The page of the figures has each row that has a target, met or missed, as the results have it."""
    page = _text("figures.md")
    rows = json.loads((RESULTS / "bench.json").read_text(encoding="utf-8"))["rows"]
    shown = set(re.findall(r"^\| [a-e] \|.*\|$", page, re.MULTILINE))
    assert shown <= {_bench_row(row) for row in rows}
    assert {_bench_row(row) for row in rows if row["verdict"]} <= shown
    for each in json.loads((RESULTS / "suites.json").read_text(encoding="utf-8"))["comparisons"]:
        times = f"{each['theirs']:.2f} s | {each['ours']:.2f} s | {each['ours'] / each['theirs']:.2f}"
        assert f"| {each['family']} | {each['tests']} tests, {each['checks']} checks | {times} |" in page
    assert (DOCS / "assets" / "bench.png").read_bytes() == (RESULTS / "bench.png").read_bytes()


def test_the_first_plugins_are_those_that_were_timed() -> None:
    """The page has each kind's seconds and one transcript as they were recorded; the tutorial has each command."""
    page, tutorial = _text("figures.md"), _text("author/tutorial.md")
    kinds = json.loads((RESULTS / "first_plugin.json").read_text(encoding="utf-8"))["kinds"]
    for kind, steps in kinds.items():
        *way, again = (step["seconds"] for step in steps)
        cells = " | ".join(f"{seconds:.1f}" for seconds in (*way, sum(way), again))
        assert f"\n| {kind} | {cells} |\n" in page
        typed = [step["command"].removesuffix(f" --kind {kind}") for step in steps[:-1]]
        assert [command for command in typed if f"\n{command}\n" not in tutorial] == []
    assert "\n".join(str(Step(**step)) for step in kinds["vision"]) in page


def test_the_figures_of_the_checkpoints_are_those_of_their_training() -> None:
    """Each plugin that has a trained checkpoint is on the page of the figures, with its parameters and its figure."""
    files = REPOSITORY.glob("plugins/*/training/figures.json")
    found = {file.parts[-3].removeprefix("autoreg-"): json.loads(file.read_text(encoding="utf-8")) for file in files}
    assert set(found) == set(HELD_OUT)
    for name, figures in found.items():
        (row,) = re.findall(rf"^\| {name} \|.*", _text("figures.md"), re.MULTILINE)
        for said in (f"{figures['parameters']:,}", HELD_OUT[name](figures)):
            assert f"| {said} |" in row


@pytest.mark.parametrize("page", SUMMED_UP)
def test_what_is_summed_up_is_what_the_page_says(page: str) -> None:
    """Where the page of the figures repeats those of a page of evidence, they are the same."""
    (row,) = (line for line in _text("figures.md").splitlines() if line.startswith("| [") and f"({page})" in line)
    for pattern in SUMMED_UP[page]:
        found = re.search(pattern, _text(page), re.MULTILINE)
        assert found, f"{page} has no line {pattern}"
        missing = [number for number in found.groups() if not re.search(rf"(?<![\d,]){number}(?![\d,])", row)]
        assert missing == [], f"figures.md lacks what {page} says: {row}"

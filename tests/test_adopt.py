# ruff: noqa: E501 # tables of whole messages, one case a line
"""`autoreg adopt`: a checkpoint with code of its own becomes a plugin, and nothing of it runs on the way."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autoreg
from autoreg import discovery, errors
from autoreg.adopt import Adopted, adopt
from autoreg.adopt.references import find
from autoreg.adopt.review import scan
from autoreg.adopt.sources import closure
from autoreg.cli import adopt as command
from autoreg.runtime import Runtime
from autoreg.scaffold import distribution_name, package_name
from tests.plugin_maker import REPOSITORY, in_new_process
from tests.remote_code import CODE, write_remote_checkpoint

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIG = "from transformers import PreTrainedConfig\n\nclass XConfig(PreTrainedConfig):\n    model_type = 'xyz'\n"
MODEL = "import torch\nfrom .configuration_x import XConfig\n\nclass XModel:\n    config_class = XConfig\n"
FILES = {"configuration_x.py": CONFIG, "modeling_x.py": MODEL}
AUTO_MAP = {"AutoConfig": "configuration_x.XConfig", "AutoModel": "modeling_x.XModel"}
FETCH = "Download the checkpoint again, with its Python files: hf download … --include '*.json' '*.py'"


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with nothing in it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def write(folder: Path, auto_map: Any = AUTO_MAP, *, files: dict[str, Any] | None = None, **fields: Any) -> Path:
    """Write a checkpoint without weights."""
    folder.mkdir(parents=True)
    config = {"model_type": "xyz", "auto_map": auto_map, **fields}
    (folder / "config.json").write_text(json.dumps({name: item for name, item in config.items() if item is not None}))
    for name, text in {**FILES, **(files or {})}.items():
        if text is not None:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def install(made: Adopted, site: Path) -> None:
    """Install the project as an editable install would: its package on the path, its metadata from its pyproject."""
    project = tomllib.loads(Path(made.folder, "pyproject.toml").read_text())["project"]
    shutil.copytree(Path(made.folder, made.package), site / made.package)
    info = site / f"{made.package}-{project['version']}.dist-info"
    info.mkdir()
    headers = [f"Name: {project['name']}", f"Version: {project['version']}"]
    headers += [f"Requires-Dist: {line}" for line in project["dependencies"]]
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *headers, "", ""]))
    lines = [f"{name} = {module}" for name, module in project["entry-points"]["autoreg"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[autoreg]", *lines, ""]))


# --- what cannot be adopted ------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no auto_map": (
        {"auto_map": None},
        errors.CheckpointError,
        "{folder}/config.json: there is no `auto_map` in it or beside it: this checkpoint carries no code of its own.\nThere is nothing to adopt. `autoreg why {folder}` says how it loads.",
    ),
    "an empty auto_map": (
        {"auto_map": {"AutoConfig": None, "AutoModel": []}},
        errors.CheckpointError,
        "{folder}/config.json: there is no `auto_map` in it or beside it: this checkpoint carries no code of its own.\nThere is nothing to adopt. `autoreg why {folder}` says how it loads.",
    ),
    "an auto_map that is no object": (
        {"auto_map": "configuration_x.XConfig"},
        errors.CheckpointError,
        "{folder}/config.json, auto_map: it is no object of Auto classes and references.\nMend or remove it.",
    ),
    "a file that auto_map names is missing": (
        {"files": {"modeling_x.py": None}},
        errors.CheckpointNotFoundError,
        f"{{folder}}/modeling_x.py: `auto_map` names this file, and it is not there.\n{FETCH}",
    ),
    "a file that another imports is missing": (
        {"files": {"configuration_x.py": f"{CONFIG}\nfrom .constants import ONE\n"}},
        errors.CheckpointNotFoundError,
        f"{{folder}}/constants.py: configuration_x.py, line 6, imports it, and it is not there.\n{FETCH}",
    ),
    "a module beside it that is missing": (
        {"files": {"configuration_x.py": f"{CONFIG}\nfrom . import constants\n"}},
        errors.CheckpointNotFoundError,
        f"{{folder}}/constants.py: configuration_x.py, line 6, imports it, and it is not there.\n{FETCH}",
    ),
    "code of another repository": (
        {"auto_map": {"AutoConfig": "some/body--configuration_x.XConfig"}},
        errors.UnsafeCheckpointError,
        "{folder}/config.json, auto_map['AutoConfig']: its code is not here: the entry names the repository some/body.\nAdopt that one: autoreg adopt some/body. The plugin then loads this checkpoint too, as every one of its model type. If this folder is a copy of it, say so with --repository.",
    ),
    "code of a repository that cannot be": (
        {"auto_map": {"AutoConfig": "../../some\nbody--configuration_x.XConfig"}},
        errors.UnsafeCheckpointError,
        "{folder}/config.json, auto_map['AutoConfig']: its code is not here: the entry names the repository '../../some\\nbody'.\nNothing was adopted.",
    ),
    "a path above the folder": (
        {"auto_map": {"AutoConfig": "../configuration_x.XConfig"}},
        errors.UnsafeCheckpointError,
        "{folder}/config.json, auto_map['AutoConfig']: '../configuration_x.XConfig' is a path, and code is adopted from the checkpoint's own folder only.\nNothing was adopted.",
    ),
    "an absolute path": (
        {"auto_map": {"AutoConfig": "/etc/configuration_x.XConfig"}},
        errors.UnsafeCheckpointError,
        "{folder}/config.json, auto_map['AutoConfig']: '/etc/configuration_x.XConfig' is a path, and code is adopted from the checkpoint's own folder only.\nNothing was adopted.",
    ),
    "a reference that is a number": (
        {"auto_map": {"AutoConfig": 5}},
        errors.CheckpointError,
        "{folder}/config.json, auto_map['AutoConfig']: 5 is no `module.ClassName` of identifiers.\nNothing was adopted.",
    ),
    "a class without a module": (
        {"auto_map": {"AutoConfig": "XConfig"}},
        errors.CheckpointError,
        "{folder}/config.json, auto_map['AutoConfig']: 'XConfig' is no `module.ClassName` of identifiers.\nNothing was adopted.",
    ),
    "a hyphen in a module": (
        {"auto_map": {"AutoConfig": "configuration-x.XConfig"}},
        errors.CheckpointError,
        "{folder}/config.json, auto_map['AutoConfig']: 'configuration-x.XConfig' is no `module.ClassName` of identifiers.\nNothing was adopted.",
    ),
    "a keyword for a module": (
        {"auto_map": {"AutoConfig": "class.XConfig"}},
        errors.CheckpointError,
        "{folder}/config.json, auto_map['AutoConfig']: 'class.XConfig' is no `module.ClassName` of identifiers.\nNothing was adopted.",
    ),
    "letters that only look like ours": (
        {"auto_map": {"AutoConfig": "configuration_х.XConfig"}},  # noqa: RUF001 # that is the case
        errors.CheckpointError,
        "{folder}/config.json, auto_map['AutoConfig']: 'configuration_\\u0445.XConfig' is no `module.ClassName` of identifiers.\nNothing was adopted.",
    ),
    "a text that ends a string": (
        {"auto_map": {"AutoConfig": 'configuration_x.XConfig"; import os; "'}},
        errors.CheckpointError,
        "{folder}/config.json, auto_map['AutoConfig']: 'configuration_x.XConfig\"; import os; \"' is no `module.ClassName` of identifiers.\nNothing was adopted.",
    ),
    "a source that does not parse": (
        {"files": {"modeling_x.py": "import torch\n\nclass XModel(:\n"}},
        errors.CheckpointError,
        "{folder}/modeling_x.py: it does not parse as Python, line 3: invalid syntax.\nIt may be cut short, or written for another Python: download it again, or use that Python.",
    ),
    "a source of null bytes": (
        {"files": {"modeling_x.py": b"\0\0\0"}},
        errors.CheckpointError,
        "{folder}/modeling_x.py: it does not parse as Python: source code string cannot contain null bytes.\nIt may be cut short, or written for another Python: download it again, or use that Python.",
    ),
    "a source that is nested too deeply": (
        {"files": {"modeling_x.py": "x = " + "(" * 500 + ")" * 500}},
        errors.CheckpointError,
        "{folder}/modeling_x.py: it does not parse as Python, line 1: too many nested parentheses.\nIt may be cut short, or written for another Python: download it again, or use that Python.",
    ),
    "a source of five megabytes": (
        {"files": {"modeling_x.py": "#" * (5 << 20)}},
        errors.CheckpointError,
        "{folder}/modeling_x.py: it has over 4 MB, and is no source file that somebody can review.\nNothing was adopted.",
    ),
    "an import from above the folder": (
        {"files": {"modeling_x.py": f"{MODEL}\nfrom ..secrets import key\n"}},
        errors.UnsafeCheckpointError,
        "{folder}/modeling_x.py: line 7 imports from 1 folders above it, outside the checkpoint.\nNothing was adopted.",
    ),
    "a class that is not in the file": (
        {"auto_map": {**AUTO_MAP, "AutoModel": "modeling_x.YModel"}},
        errors.CheckpointError,
        "{folder}/modeling_x.py, YModel: the `auto_map` in config.json names it, and the file does not define it.\nDid you mean XModel?",
    ),
    "a native model type": (
        {"model_type": "bert", "architectures": ["BertModel"]},
        errors.CheckpointError,
        "{folder}/config.json: its model type 'bert' is one of transformers' own.\nLoad it without its code: autoreg.AutoConfig.from_pretrained('{folder}')",
    ),
    "a native model type, and a class that is none": (
        {"model_type": "bert", "architectures": ["XModel"]},
        errors.CheckpointError,
        "{folder}/config.json: its model type 'bert' is one of transformers' own.\nIts code cannot take the model type over. Write a plugin that claims 'XModel': see the page `Claims on architectures` of the documentation.",
    ),
    "no model type": (
        {"model_type": None},
        errors.CheckpointError,
        '{folder}/config.json: there is no `model_type` in it, by which a plugin could own the checkpoint.\nAdd the line "model_type" with the value in the source of its config class.',
    ),
    "a model type that is a path": (
        {"model_type": "../../evil"},
        errors.CheckpointError,
        "{folder}/config.json: `model_type` is '../../evil': a model type holds ASCII letters, digits and `_ - . +` only, and starts with a letter or digit.\nSet it to the checkpoint's model type, a string such as \"bert\".",
    ),
    "no config class": (
        {"auto_map": {"AutoModel": "modeling_x.XModel"}},
        errors.CheckpointError,
        "{folder}/config.json, auto_map: it names no AutoConfig, and transformers has no model type 'xyz'.\nNothing was adopted.",
    ),
    "a tokenizer's file that is no JSON": (
        {"files": {"tokenizer_config.json": "{"}},
        errors.CheckpointError,
        "{folder}/tokenizer_config.json: not valid JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)).\nSave or download the checkpoint again.",
    ),
    "a tokenizer of another repository": (
        {"files": {"tokenizer_config.json": '{"auto_map": {"AutoTokenizer": ["some/body--tok.Slow", null]}}'}},
        errors.UnsafeCheckpointError,
        "{folder}/tokenizer_config.json, auto_map['AutoTokenizer']: its code is not here: the entry names the repository some/body.\nAdopt that one: autoreg adopt some/body. The plugin then loads this checkpoint too, as every one of its model type. If this folder is a copy of it, say so with --repository.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_adopted(tmp_path: Path, case: str) -> None:
    """A checkpoint that names no code, or code that cannot be a plugin, is one clear error and nothing is written."""
    changes, kind, sentence = REFUSED[case]
    folder = write(tmp_path / "it", **changes)
    with pytest.raises(errors.CheckpointError) as caught:
        adopt(str(folder))
    assert type(caught.value) is kind
    assert str(caught.value) == sentence.replace("{folder}", str(folder))
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("source", "kind", "sentence"),
    [
        ("./nowhere", errors.CheckpointNotFoundError, "./nowhere: there is no such file or folder.\nThe folder {here} is there."),
        ("empty", errors.CheckpointNotFoundError, "empty: the folder has no config.json.\nPoint to the folder that save_pretrained wrote."),
        ("weights.bin", errors.CheckpointError, "weights.bin: it is no checkpoint.\nName its folder."),
        ("some/body", errors.CheckpointNotFoundError, "some/body: it is no folder, and the hub's cache has no config.json of it.\nNothing is downloaded here. To fetch what is needed: hf download some/body --include '*.json' '*.py'"),
    ],
)  # fmt: skip
def test_no_checkpoint(tmp_path: Path, source: str, kind: type[Exception], sentence: str) -> None:
    """What is no checkpoint is called that, and how to fetch one that is not in the cache is said."""
    Path("empty").mkdir()
    Path("weights.bin").touch()
    with pytest.raises(errors.CheckpointError) as caught:
        adopt(source)
    assert type(caught.value) is kind
    assert str(caught.value) == sentence.format(here=os.getcwd())


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_nothing_is_overwritten(tmp_path: Path, kind: str) -> None:
    """Where the project's name is taken, by whatever, nothing is written and what is there stays as it is."""
    folder, taken = write(tmp_path / "it"), Path("autoreg-xyz")
    if kind == "folder":
        taken.mkdir()
    elif kind == "file":
        taken.write_text("mine")
    else:
        taken.symlink_to("nowhere")
    with pytest.raises(errors.SaveError) as caught:
        adopt(str(folder))
    assert str(caught.value) == (
        f"{taken.absolute()}: it exists already; nothing was written.\n"
        "Name another folder with --output, or remove it: an adopted project may hold somebody's changes."
    )
    assert os.listdir() == ["autoreg-xyz"]
    assert not os.path.isdir(taken) or os.listdir(taken) == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A project below a file is a SaveError that names it."""
    folder = write(tmp_path / "it")
    Path("file").touch()
    with pytest.raises(errors.SaveError, match=r"it cannot be written \(Not a directory\); nothing was\."):
        adopt(str(folder), folder="file/project")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on a file's size")
def test_a_disk_that_is_full_half_way_leaves_nothing(tmp_path: Path) -> None:
    """Where a file in the middle cannot be written, neither a project nor half of one is left."""
    folder = write(tmp_path / "it", files={"modeling_x.py": MODEL + "#" * 20_000})
    said = in_new_process(
        """
        import json, os, resource, signal, sys
        from autoreg.adopt import adopt
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            adopt(sys.argv[1])
        except OSError as error:
            print(json.dumps([type(error).__name__, str(error), os.listdir()]))
        """,
        cwd=Path.cwd(),
        arguments=[str(folder)],
    )
    assert said == [
        "SaveError",
        f"{Path('autoreg-xyz').absolute()}: it cannot be written (File too large); nothing was.\n"
        "Name another folder with --output.",
        [],
    ]


@pytest.mark.parametrize("target", ["outside.py", "/etc/hostname"])
def test_a_link_out_of_the_checkpoint_is_not_followed(tmp_path: Path, target: str) -> None:
    """A file that is a link to one outside the folder is not copied: it may be anybody's secret."""
    folder = write(tmp_path / "it", files={"modeling_x.py": None})
    (tmp_path / "outside.py").write_text(MODEL)
    (folder / "modeling_x.py").symlink_to(tmp_path / target)
    with pytest.raises(errors.UnsafeCheckpointError) as caught:
        adopt(str(folder))
    assert str(caught.value) == (
        f"{folder}/modeling_x.py: it is a link to a file outside the checkpoint.\nNothing was adopted."
    )


@pytest.mark.parametrize(("option", "value"), [("repository", "a/b/c"), ("repository", 'x"\n'), ("revision", "a b")])
def test_an_origin_that_cannot_be(tmp_path: Path, option: str, value: str) -> None:
    """What is said of the origin ends up in files, and so must be a repository's id and a revision."""
    with pytest.raises(errors.CheckpointError, match=f"that is no value for --{option}"):
        adopt(str(write(tmp_path / "it")), **{option: value})


# --- nothing of it runs ----------------------------------------------------------------------------

WATCHED = """
import json, os, sys
checkpoint = os.path.realpath(sys.argv[1])
seen = []

def watch(event, arguments):
    if event == "exec":
        code = arguments[0]
        if code.co_filename in ("<unknown>", "<string>") or os.path.realpath(code.co_filename).startswith((checkpoint, os.getcwd())):
            seen.append([event, code.co_filename])
    elif event == "import" and str(arguments[0]).partition(".")[0] in ("configuration_neat", "modeling_neat"):
        seen.append([event, arguments[0]])
    elif event in ("subprocess.Popen", "os.system", "os.fork", "socket.connect"):
        seen.append([event, str(arguments)])

import importlib.metadata
from autoreg.adopt import adopt
sys.addaudithook(watch)
{act}
own = [name for name, module in list(sys.modules.items())
       if os.path.realpath(getattr(module, "__file__", None) or "/").startswith((checkpoint, os.getcwd()))]
heavy = [name for name in ("torch", "transformers") if name in sys.modules]
print(json.dumps([seen, own, heavy]))
"""

CANARY = "import os as _os\nopen(_os.environ['CANARY'], 'a').write(__file__ + '\\n')\n"


def with_canary(folder: Path) -> None:
    """Make every Python file of the checkpoint leave a trace where it runs."""
    for file in folder.glob("*.py"):
        file.write_text(CANARY + file.read_text())


@pytest.mark.parametrize("layout", CODE)
def test_nothing_runs(tmp_path: Path, layout: str) -> None:
    """While a checkpoint is adopted no code of it is executed or imported, no process starts, no torch is imported."""
    folder, canary = write_remote_checkpoint(tmp_path / "it", layout), tmp_path / "canary"
    with_canary(folder)
    script = WATCHED.replace("{act}", "adopt(sys.argv[1])")
    said = in_new_process(script, cwd=Path.cwd(), arguments=[str(folder)], environment={"CANARY": str(canary)})
    assert said == [[], [], []]
    assert not canary.exists()
    assert Path("autoreg-neat", "autoreg_neat", "adopted", "modeling_neat.py").exists()


@pytest.mark.parametrize(
    ("act", "event"),
    [
        ("sys.path.insert(0, checkpoint); import heads_neat", "heads_neat.py"),
        ("exec(open(checkpoint + '/heads_neat.py').read(), {'__file__': 'x'})", "<string>"),
        ("import ast; exec(compile(ast.parse('1'), '<unknown>', 'exec'))", "<unknown>"),
        ("os.system('true')", "b'true'"),
    ],
)
def test_what_watches_that_nothing_runs_sees_what_does(tmp_path: Path, act: str, event: str) -> None:
    """The watch sees an import of the checkpoint's code, its execution as text or tree, and a process."""
    folder, canary = tmp_path / "it", tmp_path / "canary"
    folder.mkdir()
    (folder / "heads_neat.py").write_text(CANARY)
    seen, own, _ = in_new_process(
        WATCHED.replace("{act}", act), cwd=Path.cwd(), arguments=[str(folder)], environment={"CANARY": str(canary)}
    )
    assert event in str(seen)
    assert canary.exists() is ("heads_neat" in act)
    assert own == (["heads_neat"] if "import heads_neat" in act else [])


# --- the plugin ------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", CODE)
def test_the_checkpoint_loads_without_trust(
    tmp_path: Path, site: Path, isolated: Runtime, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """Adopted and installed, the code loads the checkpoint bit for bit; the checkpoint's own copy does not run."""
    import torch

    from tests.conformance.original.modeling import TidyForCausalLM

    folder, canary = write_remote_checkpoint(tmp_path / "it", layout), tmp_path / "canary"
    expected = TidyForCausalLM.from_pretrained(folder, config=_tidy(folder)).state_dict()
    monkeypatch.setenv("CANARY", str(canary))
    with pytest.raises(autoreg.RemoteCodeError):
        autoreg.AutoModelForCausalLM.from_pretrained(folder)
    made = adopt(str(folder))
    install(made, site)
    with_canary(folder)
    try:
        with autoreg.isolated():
            for trust in ({}, {"trust_remote_code": True}):
                model = autoreg.AutoModelForCausalLM.from_pretrained(folder, **trust)
                assert type(model).__module__ == "autoreg_neat.adopted.modeling_neat"
                assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
                if "tokenizer" in CODE[layout]:
                    tokenizer = autoreg.AutoTokenizer.from_pretrained(folder, **trust)
                    assert type(tokenizer).__module__ == "autoreg_neat.adopted.tokenization_neat"
                    assert tokenizer("ab")["input_ids"] == [97, 98]
                logits = model(torch.tensor([[1, 2, 3]])).logits
                assert logits.shape == (1, 3, 259)
        assert not canary.exists()
    finally:
        for name in [name for name in sys.modules if name.startswith("autoreg_neat")]:
            del sys.modules[name]
    with autoreg.isolated(), monkeypatch.context() as patch:
        patch.setenv("AUTOREG_DISABLE", "autoreg-neat")
        autoreg.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    assert canary.exists(), "the canary would not have shown that the code ran"


def _tidy(folder: Path) -> Any:
    from tests.conformance.original.configuration import TidyConfig

    fields = json.loads((folder / "config.json").read_text())
    return TidyConfig(**{name: fields[name] for name in fields if name.startswith(("hidden", "num_"))})


def test_the_files_are_copied_byte_for_byte_and_pinned(tmp_path: Path) -> None:
    """The files, and those that they import, are copied unchanged; their digests and origin are in ORIGIN.json."""
    odd = b"\xef\xbb\xbf# coding: utf-8\r\n" + CONFIG.encode().replace(b"\n", b"\r\n")
    folder = write(tmp_path / "it", files={"configuration_x.py": odd, "train.py": "raise SystemExit"})
    made = adopt(str(folder), repository="some/body", revision="v1.0")
    code = Path(made.folder, "autoreg_xyz", "adopted")
    assert (code / "configuration_x.py").read_bytes() == odd
    assert sorted(os.listdir(code)) == ["__init__.py", "configuration_x.py", "modeling_x.py"]
    origin = json.loads(Path(made.folder, "ORIGIN.json").read_text())
    digest = hashlib.sha256(odd).hexdigest()
    assert origin["files"]["configuration_x.py"] == {"sha256": digest, "size": len(odd)}
    assert (origin["repository"], origin["revision"]) == ("some/body", "v1.0")
    assert made.files["configuration_x.py"] == digest
    assert origin["classes"] == {"AutoConfig": ["configuration_x.XConfig"], "AutoModel": ["modeling_x.XModel"]}


def test_a_snapshot_in_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the hub's cache, where files are links, the repository and revision are known and pinned."""
    commit, cache = "0123456789" * 4, tmp_path / "hub"
    home = cache / "models--some--body"
    entries = {"AutoConfig": "some/body--configuration_x.XConfig", "AutoModel": "modeling_x.XModel"}
    plain = write(tmp_path / "plain", entries)
    snapshot = home / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (home / "blobs").mkdir()
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    for number, file in enumerate(plain.iterdir()):
        file.rename(home / "blobs" / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    for source in ("some/body", str(snapshot)):
        made = adopt(source, folder=f"project-{len(source)}")
        origin = json.loads(Path(made.folder, "ORIGIN.json").read_text())
        assert (origin["repository"], origin["revision"]) == ("some/body", commit)
        assert made.origin == "some/body at 012345678901"
        assert (
            'homepage="https://huggingface.co/some/body"' in Path(made.folder, "autoreg_xyz", "plugin.py").read_text()
        )
    with pytest.raises(errors.CheckpointNotFoundError, match="the hub's cache has no config"):
        adopt("some/body", revision="f" * 40, folder="another")


@pytest.mark.parametrize(
    ("model_type", "distribution"),
    [
        ("xyz", "autoreg-xyz"),
        ("my-model", "autoreg-my-model"),
        ("My_Model.v2+x", "autoreg-my-model-v2-x"),
        ("2x--y-", "autoreg-2x-y"),
    ],
)
def test_any_model_type_makes_a_plugin_that_is_found(
    tmp_path: Path, site: Path, isolated: Runtime, model_type: str, distribution: str
) -> None:
    """Whatever a model type may hold, its project is valid and declares it."""
    package = distribution.replace("-", "_")
    source = CONFIG.replace("'xyz'", repr(model_type))
    made = adopt(str(write(tmp_path / "it", model_type=model_type, files={"configuration_x.py": source})))
    assert (made.distribution, made.package, os.path.basename(made.folder)) == (distribution, package, distribution)
    assert (distribution_name(model_type), package_name(model_type)) == (distribution, package)
    install(made, site)
    try:
        offer = next(each for each in discovery.scan([str(site)]) if each.name == model_type)
        declared = discovery.declare(offer)
        assert isinstance(declared, discovery.Declared), declared
        assert list(discovery.missing_classes(declared.architecture)) == []
        assert str(declared.architecture.config) == f"{package}.adopted.configuration_x:XConfig"
    finally:
        for name in [name for name in sys.modules if name.startswith(package)]:
            del sys.modules[name]


def test_every_kind_of_class_finds_its_field(tmp_path: Path, site: Path, isolated: Runtime) -> None:
    """Tokenizers in pairs, image processors by backend, processors in files of their own: all are declared."""
    names = ["XSlow", "XFast", "XPil", "XVision", "XFeature", "XBoth", "XVideo"]
    files = {
        "processing.py": "".join(f"class {name}: pass\n" for name in names),
        "tokenizer_config.json": json.dumps({"auto_map": ["processing.XSlow", "processing.XFast"]}),
        "preprocessor_config.json": json.dumps(
            {
                "auto_map": {
                    "AutoImageProcessor": ["processing.XPil", "processing.XVision"],
                    "AutoFeatureExtractor": "processing.XFeature",
                }
            }
        ),
        "processor_config.json": json.dumps({"auto_map": {"AutoProcessor": "processing.XBoth"}}),
        "video_preprocessor_config.json": json.dumps({"auto_map": {"AutoVideoProcessor": "processing.XVideo"}}),
    }
    made = adopt(str(write(tmp_path / "it", {**AUTO_MAP, "AutoModelForNothing": "modeling_x.XModel"}, files=files)))
    install(made, site)
    try:
        found: Any = discovery.declare(next(each for each in discovery.scan([str(site)]) if each.name == "xyz"))
    finally:
        for name in [name for name in sys.modules if name.startswith("autoreg_xyz")]:
            del sys.modules[name]
    assert isinstance(found, discovery.Declared), str(found.error)
    short = {field: reference.name for field, reference in found.architecture.references()}
    assert short == {
        "config": "XConfig",
        'models["AutoModel"]': "XModel",
        "tokenizer": "XFast",
        'image_processor["pil"]': "XPil",
        'image_processor["torchvision"]': "XVision",
        "video_processor": "XVideo",
        "feature_extractor": "XFeature",
        "processor": "XBoth",
    }
    assert made.notes[0] == "`auto_map` has 'AutoModelForNothing', which the installed transformers lacks: left out."


def test_relative_imports_are_followed(tmp_path: Path) -> None:
    """Modules, packages and what is imported in functions come along; what is not there and need not be is a note."""
    model = """
from . import one, two
from .sub.deep import three
from .sub import four as five
try:
    from .missing import six
except ImportError:
    six = None
def later():
    from .seven import eight
class XModel: pass
"""
    files = {
        "modeling_x.py": model,
        "one.py": "from .three import *\n",
        "two/__init__.py": "from ..one import x\n",
        "three.py": "",
        "sub/deep.py": "from .four import y\nfrom ..seven import z\n",
        "sub/four.py": "",
        "seven.py": "from .modeling_x import XModel\n",
    }
    folder = write(tmp_path / "it", files=files)
    sources, missing = closure(str(folder), ["modeling_x"])
    assert [source.path for source in sources] == [
        "modeling_x.py", "one.py", "seven.py", "sub/deep.py", "sub/four.py", "three.py", "two/__init__.py",
    ]  # fmt: skip
    assert missing == ("modeling_x.py:6 imports missing.py, which is not there, in a place where it may be missing.",)
    made = adopt(str(folder))
    assert Path(made.folder, "autoreg_xyz", "adopted", "two", "__init__.py").exists()
    assert missing[0] in made.notes


# --- the review ------------------------------------------------------------------------------------

LOOKS = {
    "eval('1')": "runs code made at run time",
    "list(map(eval, []))": "runs code made at run time",
    "exec(x)": "runs code made at run time",
    "compile('1', '', 'eval')": "runs code made at run time",
    "__import__('os').system('x')": "runs code made at run time",
    "__builtins__.eval('1')": "hides what it does, or changes other modules",
    "from importlib import import_module as f; f('x')": "runs code made at run time",
    "import subprocess as sp; sp.run('x')": "starts processes or foreign code",
    "from os import system as log; log('x')": "starts processes or foreign code",
    "import os; f = os.popen": "starts processes or foreign code",
    "import os; os.execvp('x', [])": "starts processes or foreign code",
    "import ctypes": "starts processes or foreign code",
    "from torch.utils import cpp_extension": "starts processes or foreign code",
    "import torch; torch.ops.load_library('x.so')": "starts processes or foreign code",
    "import socket": "reaches the network",
    "import urllib.request": "reaches the network",
    "import requests; requests.get('x').json()": "reaches the network",
    "import httpx": "reaches the network",
    "import torch; torch.hub.load('a', 'b')": "reaches the network",
    "from huggingface_hub import hf_hub_download": "reaches the network",
    "import pickle": "unpickles, which can run code",
    "import torch; torch.load('x.pt')": "unpickles, which can run code",
    "open('x', 'w')": "writes, moves or deletes files",
    "open('x', mode='ab')": "writes, moves or deletes files",
    "open('x', x)": "writes, moves or deletes files",
    "p.open('w')": "writes, moves or deletes files",
    "p.write_text('x')": "writes, moves or deletes files",
    "import shutil": "writes, moves or deletes files",
    "import os; os.remove('x')": "writes, moves or deletes files",
    "import os; os.environ['HF_TOKEN']": "looks at the machine",
    "p = __file__": "looks at the machine",
    "import os; getattr(os, 'sys' + 'tem')('x')": "hides what it does, or changes other modules",
    "import torch; torch.nn.Linear.forward = None": "hides what it does, or changes other modules",
    "import torch; setattr(torch, 'x', 1)": "hides what it does, or changes other modules",
    "().__class__.__subclasses__()": "hides what it does, or changes other modules",
    "globals()['x']": "hides what it does, or changes other modules",
    "import base64": "hides what it does, or changes other modules",
    "eval(" + "1 + " * 400 + "1)": "runs code made at run time",
    f"x = '{'A' * 3000}'": "hides what it does, or changes other modules",
    "x = 1  # \u202e": "hides what it does, or changes other modules",
    "import configuration_x": "does not work in a package",
    "from transformers_modules.a import b": "does not work in a package",
    "X.register_for_auto_class()": "makes save_pretrained copy this code beside the weights",
    "from transformers import AutoConfig; AutoConfig.register('x', X)": "registers classes in transformers, which the plugin does already",
}


@pytest.mark.parametrize("line", LOOKS)
def test_the_review_names_the_line(tmp_path: Path, line: str) -> None:
    """What runs, sends, writes or hides something is in REVIEW.md, with its file and line, and whether import runs it."""
    later = f"\ndef f(x):\n    {line}\n"
    folder = write(tmp_path / "it", files={"modeling_x.py": f"{MODEL}{line}\n{later}"})
    made = adopt(str(folder))
    assert LOOKS[line] in made.findings
    review = Path(made.folder, "REVIEW.md").read_text()
    section = review.split(f"### It {LOOKS[line]}\n")[1].partition("###")[0]
    assert ("| modeling_x.py:6 | on import |" in section) is ("\u202e" not in line)
    assert "| modeling_x.py:9 | when called |" in section
    assert "\u202e" not in review


@pytest.mark.parametrize(
    "line",
    [
        "model.eval(); torch.compile(x)",
        "open('x'); open('x', 'rb'); p.open()",
        "import re; re.compile('x')",
        "getattr(self, f'x{y}'); getattr(torch, 'float32')",
        "code = glob = signal = site = 1; print(code, glob, signal)",
        "from huggingface_hub.dataclasses import strict",
        "self.weights.data.normal_(); x.load(); x.run()",
        "import math, json, logging, copy, functools, typing",
        "'''" + "a line of words\n" * 300 + "'''",
    ],
)
def test_the_review_is_silent_about_what_models_do_all_day(tmp_path: Path, line: str) -> None:
    """A line that only computes is not in the review: one that names everything is read by nobody."""
    sources, _ = closure(str(write(tmp_path / "it", files={"modeling_x.py": f"{MODEL}{line}\n"})), ["modeling_x"])
    assert scan(sources) == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"files": {"modeling_x.py": f"{MODEL}import configuration_x\n"}}, "modeling_x.py:6 says `import configuration_x`: in a package that is a relative import, `from .… import …`."),
        ({"files": {"modeling_x.py": f"{MODEL}import zoologic.x\n"}}, "modeling_x.py:6 imports 'zoologic': find out which distribution provides it, and add that to `dependencies` in pyproject.toml."),
        ({"files": {"configuration_x.py": CONFIG.replace("xyz", "zyx")}}, "XConfig has the `model_type` 'zyx', and config.json 'xyz': make them the same, or transformers takes one for the other."),
        ({"files": {"configuration_x.py": CONFIG.partition("    ")[0] + "    pass\n"}}, "the source does not say that XConfig has the `model_type` 'xyz' of config.json: see that it does."),
        ({"auto_map": {**AUTO_MAP, "AutoModel": "modeling_x.BertModel"}, "files": {"modeling_x.py": MODEL.replace("XModel", "BertModel")}}, "BertModel: transformers has a class of this name, and looks classes up by name: rename it in adopted/, and in plugin.py."),
    ],
)  # fmt: skip
def test_what_does_not_work_until_somebody_mends_it(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    """What would fail once it is installed is said now, as a list to tick off in REVIEW.md."""
    made = adopt(str(write(tmp_path / "it", **changes)))
    assert made.mend == (sentence,)
    assert f"- [ ] {sentence}" in Path(made.folder, "REVIEW.md").read_text()


def test_an_expression_too_deep_to_show_is_named_all_the_same(tmp_path: Path) -> None:
    """A line that the parser takes and `ast.unparse` does not is in the review, and no error."""
    line = "open('x', " + "m + " * 900 + "m)\n"
    made = adopt(str(write(tmp_path / "it", files={"modeling_x.py": MODEL + line})))
    assert "`an expression too deep to be shown`" in Path(made.folder, "REVIEW.md").read_text()


def test_a_model_type_that_is_inherited_is_found(tmp_path: Path) -> None:
    """A config class whose parent in another file has the model type has it too."""
    child = "from .base import BaseConfig\nclass XConfig(BaseConfig):\n    pass\n"
    files = {"configuration_x.py": child, "base.py": CONFIG.replace("XConfig", "BaseConfig")}
    assert adopt(str(write(tmp_path / "it", files=files))).mend == ()


def test_no_name_that_a_checkpoint_invents_becomes_a_dependency(tmp_path: Path) -> None:
    """Well-known libraries become dependencies; any other import is left to a person, for pip runs what it installs."""
    lines = "import PIL.Image\nfrom einops import x\nimport os\nimport transformerz\ntry:\n    import flash_attn\nexcept ImportError: pass\n"
    made = adopt(str(write(tmp_path / "it", files={"modeling_x.py": MODEL + lines})))
    text = Path(made.folder, "pyproject.toml").read_text()
    dependencies = tomllib.loads(text)["project"]["dependencies"]
    assert dependencies == ["autoreg>=0.1", "transformers>=5.20,<6", "torch>=2.6", "pillow", "einops"]
    assert "    # which distribution provides transformerz? It is imported in modeling_x.py:9\n" in text
    review = Path(made.folder, "REVIEW.md").read_text()
    assert "| `transformerz` | third party: **find out** | yes | **no** | modeling_x.py:9 |" in review
    assert "| `flash_attn` | third party: flash-attn | where it is there | " in review


@pytest.mark.parametrize("name", ["LICENSE", "LICENCE.txt", "COPYING", "NOTICE.md"])
def test_the_licence_comes_along(tmp_path: Path, name: str) -> None:
    """A licence beside the checkpoint is copied and declared; where there is none, that is said."""
    made = adopt(str(write(tmp_path / "it", files={name: "Do what you like.\n"})))
    assert Path(made.folder, name).read_text() == "Do what you like.\n"
    assert tomllib.loads(Path(made.folder, "pyproject.toml").read_text())["project"]["license-files"] == [name]
    bare = adopt(str(write(tmp_path / "bare")), folder="bare")
    assert "there is no licence beside the checkpoint: without one, nobody may pass the code on." in bare.notes


def test_a_licence_that_is_a_link_elsewhere_is_not_copied(tmp_path: Path) -> None:
    """A link named LICENSE to a file of the user's is none: it would end up in what is passed on."""
    folder = write(tmp_path / "it")
    (tmp_path / "secret").write_text("secret")
    (folder / "LICENSE").symlink_to(tmp_path / "secret")
    made = adopt(str(folder))
    assert not Path(made.folder, "LICENSE").exists()


def test_other_code_is_named(tmp_path: Path) -> None:
    """What else in a checkpoint is code is not adopted, and said not to be."""
    folder = write(
        tmp_path / "it", custom_pipelines={"x": {}}, files={"custom_generate/generate.py": "", "requirements.txt": "x"}
    )
    notes = adopt(str(folder)).notes
    assert [note.partition(",")[0] for note in notes[:3]] == [
        "config.json names code in `custom_pipelines`",
        "the folder has a `custom_generate`",
        "the folder has a requirements.txt: compare it with the `dependencies` in pyproject.toml.",
    ]
    assert find(str(folder)).origin == "a local folder"


# --- the command -----------------------------------------------------------------------------------

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(isolated: Runtime, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs the command."""

    def run(*arguments: str) -> tuple[int, str]:
        grammar = argparse.ArgumentParser()
        command.add_arguments(grammar)
        grammar.add_argument("--json", action="store_true")
        code = command.adopt(isolated, grammar.parse_args(arguments))
        return code, capsys.readouterr().out

    return run


def test_the_command_says_what_it_made_and_what_to_do_next(tmp_path: Path, run: Run) -> None:
    """`autoreg adopt` prints what was copied, what to look at and the next steps."""
    files = {"modeling_x.py": f"{MODEL}import requests\nimport zoologic\n"}
    code, out = run(str(write(tmp_path / "it", files=files)))
    digest = hashlib.sha256(CONFIG.encode()).hexdigest()[:16]
    other = hashlib.sha256(files["modeling_x.py"].encode()).hexdigest()[:16]
    assert code == 0
    assert out.splitlines() == [
        "autoreg-xyz  in autoreg-xyz",
        "  model type  xyz",
        "  code from   a local folder",
        f"  copied      configuration_x.py  sha256:{digest}…",
        f"  copied      modeling_x.py  sha256:{other}…",
        "  to look at  reaches the network: 1",
        "error: to mend: modeling_x.py:7 imports 'zoologic': find out which distribution provides it, and add that to `dependencies` in pyproject.toml.",
        "warning: note: there is no licence beside the checkpoint: without one, nobody may pass the code on.",
        "Nothing of it was run. Next:",
        f"  1. read {os.path.join('autoreg-xyz', 'REVIEW.md')}, and the code: once it is installed, it runs as any package's does",
        "  2. pip install --editable autoreg-xyz",
        "  3. autoreg check xyz",
        f"  4. load {tmp_path / 'it'} without trust_remote_code",
    ]


def test_the_command_as_json(tmp_path: Path, run: Run) -> None:
    """With --json the same facts are one document."""
    code, out = run(str(write(tmp_path / "it")), "--output", "there", "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["model_type"], facts["folder"]) == ("xyz", str(Path("there").absolute()))


def test_a_model_type_that_a_plugin_has_already_is_said(
    tmp_path: Path, make_plugin: Callable[..., Any], run: Run
) -> None:
    """Where an installed plugin declares the model type, the command says so: one of them will have to go."""
    make_plugin("xyz", distribution="autoreg-other")
    assert (
        "warning: note: autoreg-other 1.0 is installed and declares 'xyz' too." in run(str(write(tmp_path / "it")))[1]
    )


# --- does it behave? -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("layout", CODE)
def test_the_adopted_plugin_passes_the_suite(tmp_path: Path, site: Path, layout: str) -> None:
    """The conformance suite that comes with the project is green on adopted code that is right."""
    made = adopt(str(write_remote_checkpoint(tmp_path / "it", layout)))
    install(made, site)
    done = subprocess.run(
        [sys.executable, "-m", "autoreg", "check", "neat", "--json", "report.json"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(REPOSITORY)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout

"""`autoreg new`: every template is a plugin that works before its author has written a line."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autoreg
from autoreg.cli import main
from autoreg.cli import new as command
from autoreg.errors import DeclarationError, SaveError
from autoreg.runtime import Runtime
from autoreg.scaffold import KINDS, Made, declaring, new
from autoreg.scaffold.names import class_prefix
from tests.plugin_maker import REPOSITORY, Plugin, metadata, write_plugin

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "initializer_range": 0.3}
SIZES = {
    "decoder": {"num_hidden_layers": 2, "vocab_size": 259},
    "encoder": {"num_hidden_layers": 2, "vocab_size": 259},
    "encoder-decoder": {"encoder_layers": 2, "decoder_layers": 2, "vocab_size": 259},
    "vision": {"num_hidden_layers": 2, "image_size": 32, "patch_size": 16},
    "composite": {
        "vision_config": {**SMALL, "num_hidden_layers": 2, "image_size": 16, "patch_size": 8},
        "text_config": {**SMALL, "num_hidden_layers": 2, "num_key_value_heads": 2, "vocab_size": 260},
    },
    "time-series": {"num_hidden_layers": 2, "context_length": 32, "patch_length": 8, "prediction_length": 8},
}
CHECKS = ["weights.roundtrip", "forward.rows-alone", "forward.eager-and-sdpa", "training.gradients", "training.loss"]


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with nothing in it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def name_of(kind: str) -> str:
    return f"zig-{kind}"


def installed(made: Made, site: Path) -> None:
    """Put the project's package where `sys.path` finds it, with the metadata that an installer would write."""
    shutil.copytree(Path(made.folder) / made.package, site / made.package)
    project = tomllib.loads((Path(made.folder) / "pyproject.toml").read_text())["project"]
    info = site / f"{made.package}-{project['version']}.dist-info"
    info.mkdir()
    requires = [f"Requires-Dist: {line}" for line in project["dependencies"]]
    headers = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}", *requires]
    (info / "METADATA").write_text("\n".join([*headers, "", ""]))
    lines = [f"{key} = {value}" for key, value in project["entry-points"]["autoreg"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[autoreg]", *lines, ""]))


@pytest.fixture
def forgotten(site: Path) -> Iterator[None]:
    """Forget the modules that a test imported from its site."""
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(site)):
            del sys.modules[name]


# --- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zig zag", "a model type holds ASCII letters, digits and `_ - . +` only"),
        ("bert", "transformers has it; a plugin that takes its place is written by hand (`overrides_native`)"),
        ("Bert", "transformers has a class 'BertConfig' already, and looks classes up by name; choose another name"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name: str, message: str, tmp_path: Path) -> None:
    """What is no model type, is transformers' own, or would give a class such a name writes nothing."""
    with pytest.raises(DeclarationError, match="Architecture field `model_type`") as caught:
        new(name, "decoder")
    assert message in str(caught.value)
    assert list((tmp_path / "work").iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A folder of that name, even an empty one, is left as it is."""
    folder = tmp_path / "work" / "autoreg-zigzag"
    folder.mkdir()
    with pytest.raises(SaveError, match=r"it exists already; nothing was written\.") as caught:
        new("zigzag", "encoder")
    assert "a plugin project may hold somebody's changes" in str(caught.value)
    assert list(folder.iterdir()) == []
    assert [each.name for each in folder.parent.iterdir()] == ["autoreg-zigzag"]


def test_without_jinja2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where jinja2 is missing, the error names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(DeclarationError, match=r'pip install "autoreg\[conformance\]"'):
        new("zigzag", "decoder")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("torch.nn", "not a class reference; write it as `package.module:ClassName`"),
        ("no_such_package.models:Model", "No module named 'no_such_package'"),
        ("torch.nn:Linea", "module 'torch.nn' has no 'Linea'; it has 'Linear'"),
        ("torch.nn:Linear", "it is no PreTrainedModel with a `config_class` of its own"),
    ],
)
def test_what_is_no_model_cannot_be_declared(reference: str, message: str) -> None:
    """--from says what is wrong with the class that it was given."""
    with pytest.raises(DeclarationError) as caught:
        declaring("zigzag", reference)
    assert message in str(caught.value)


# --- every kind -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_a_plugin_that_behaves(
    kind: str, site: Path, isolated: Runtime, forgotten: None, tmp_path: Path
) -> None:
    """The rendered project declares itself, imports, and passes checks from each topic; all of them in a slow test."""
    from autoreg.conformance.reproduce import examine, subject_of
    from autoreg.errors import NotApplicableError

    made = new(name_of(kind), kind, version="0.1.0")
    installed(made, site)
    architecture = isolated.architecture(made.model_type)
    assert [name for name in sys.modules if name.startswith(made.package)] == [made.package, f"{made.package}.plugin"]
    sizes = SIZES[kind] if kind == "composite" else {**SMALL, **SIZES[kind]}
    config = autoreg.AutoConfig.for_model(made.model_type, **sizes)
    passed = set()
    for auto_class, reference in architecture.models.items():
        subject = subject_of(made.model_type, reference.load(), config)
        assert type(getattr(autoreg, auto_class).from_config(config)) is subject.model_class
        for check in CHECKS:
            try:
                examine(check, subject)
                passed.add(check)
            except NotApplicableError:
                continue
    # The loss of a series is one of `future_values`, which no check of labels knows.
    assert passed == set(CHECKS) - ({"training.loss"} if kind == "time-series" else set())


def test_the_processor_of_a_composite_fits_its_model(
    site: Path, isolated: Runtime, forgotten: None, tmp_path: Path
) -> None:
    """An image in a text becomes as many tokens as the model has features for it, after saving and loading too."""
    import numpy as np

    made = new("zigzag", "composite", version="0.1.0")
    installed(made, site)
    model = autoreg.AutoModelForImageTextToText.from_config(autoreg.AutoConfig.for_model("zigzag"))
    parts = [isolated.architecture("zigzag").tokenizer, isolated.architecture("zigzag").image_processor]
    tokenizer, image_processor = (part.load()() for part in parts)  # type: ignore[union-attr]
    processor = isolated.architecture("zigzag").processor.load()(image_processor, tokenizer)  # type: ignore[union-attr]
    model.save_pretrained("checkpoint")
    processor.save_pretrained("checkpoint")
    processor = autoreg.AutoProcessor.from_pretrained("checkpoint")
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    inputs = processor(images=image, text="<image>what is it?", return_tensors="pt")
    written = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert int((inputs["input_ids"] == model.config.image_token_id).sum()) == 14 * 14 + 1
    assert written.shape == (1, inputs["input_ids"].shape[1] + 3)
    with pytest.raises(ValueError, match="Image features and image tokens do not match, tokens: 0, features: 197"):
        model(**{**inputs, "input_ids": inputs["input_ids"] * 0})


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_clean_code(kind: str) -> None:
    """What is written has no unused import, no undefined name and no over-long line."""
    made = new("zigzag", kind, version="0.1.0")
    options = ["--isolated", "--no-cache", "--select", "E,F,I,UP,B,W", "--line-length", "120"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *options, made.folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    for path in made.files:
        text = (Path(made.folder) / path).read_text()
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert "{%" not in text
        assert "\n\n\n\n" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_explained(kind: str) -> None:
    """The list of files that is shown says of each what it is for."""
    made = new(name_of(kind), kind)
    written = [str(path.relative_to(made.folder)) for path in Path(made.folder).rglob("*") if path.is_file()]
    assert sorted(made.files) == sorted(written)
    assert all(made.files.values())


def test_a_project_states_its_bounds() -> None:
    """The metadata bounds autoreg and transformers on both sides, as autoreg's own are, and leaves the licence open."""
    made = new("zig.zag", "vision", version="0.7.3")
    project = tomllib.loads((Path(made.folder) / "pyproject.toml").read_text())["project"]
    own = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["dependencies"][0] == "autoreg>=0.7,<1"
    assert project["dependencies"][1] in own["dependencies"]
    assert project["entry-points"] == {"autoreg": {"zig.zag": "autoreg_zig_zag.plugin"}}
    assert "license" not in project


@pytest.mark.parametrize(
    ("model_type", "prefix"), [("my-lm2", "MyLm2"), ("RetNet", "RetNet"), ("zig.zag_x", "ZigZagX"), ("3d", "Model3d")]
)
def test_classes_are_named_after_the_model_type(model_type: str, prefix: str) -> None:
    """The words of a model type become the beginning of the class names."""
    assert class_prefix(model_type) == prefix


# --- classes that exist already -----------------------------------------------------------------------


def test_classes_of_an_installed_package_are_declared(
    site: Path, isolated: Runtime, forgotten: None, tmp_path: Path
) -> None:
    """--from declares the class, its config and its like; installed, the plugin loads them, and holds no model code."""
    there = write_plugin(site, "thirdparty", entry_points="[other]\nx = y\n")
    with pytest.raises(DeclarationError, match="has the `model_type` 'thirdparty', which is the NAME to give"):
        declaring("other", f"{there.package}.modeling:ThirdpartyModel")
    made = declaring("thirdparty", f"{there.package}.modeling:ThirdpartyForCausalLM", version="0.1.0")
    assert made.declares == {
        "config": f"{there.package}.configuration:ThirdpartyConfig",
        "models[AutoModel]": f"{there.package}.modeling:ThirdpartyModel",
        "models[AutoModelForCausalLM]": f"{there.package}.modeling:ThirdpartyForCausalLM",
    }
    assert [path for path in made.files if path.startswith(made.package)] == [
        f"{made.package}/__init__.py",
        f"{made.package}/plugin.py",
    ]
    (there.info / "entry_points.txt").unlink()
    shutil.rmtree(there.info)
    installed(made, site)
    isolated.rescan()
    model = autoreg.AutoModelForCausalLM.from_config(autoreg.AutoConfig.for_model("thirdparty"))
    assert type(model).__name__ == "ThirdpartyForCausalLM"


def test_a_distribution_of_classes_is_required_from_its_version_on() -> None:
    """What --from declares is required in the installed version, below the next major one."""
    pytest.importorskip("autoreg_retnet", reason="install it: pip install -e plugins/autoreg-retnet")
    made = declaring("retnet", "autoreg_retnet.modeling_retnet:RetNetModel", folder="here")
    project = tomllib.loads((Path(made.folder) / "pyproject.toml").read_text())["project"]
    assert project["dependencies"][-1] == "autoreg-retnet>=0.1.0,<1"
    assert sorted(made.declares) == [
        "config",
        "models[AutoModelForCausalLM]",
        "models[AutoModelForSequenceClassification]",
        "models[AutoModel]",
    ]


# --- the command --------------------------------------------------------------------------------------


def test_the_command_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    """The files are listed with their purpose, and the next commands are there to be copied."""
    assert main(["new", "zigzag", "--kind", "vision"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("autoreg-zigzag  vision, in autoreg-zigzag\n")
    assert "the declaration: class names, nothing heavy" in said
    assert 'pip install --editable "autoreg-zigzag[test]"' in said
    assert "autoreg check zigzag" in said
    assert main(["new", "zigzag"]) == 1
    assert "it exists already; nothing was written." in capsys.readouterr().err


def test_json_names_folder_and_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """--json gives the same as one document."""
    assert main(["new", "zigzag", "--json", "--output", "there"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["folder"], found["kind"]) == (str(tmp_path / "work" / "there"), "decoder")
    assert found["declares"]["config"] == "autoreg_zigzag.configuration_zigzag:ZigzagConfig"


def test_the_kinds_are_the_choices() -> None:
    """--kind offers every kind, and --from excludes it."""
    grammar = argparse.ArgumentParser()
    command.add_arguments(grammar)
    (kinds,) = (action.choices for action in grammar._actions if action.dest == "kind")
    assert tuple(kinds or ()) == tuple(KINDS)
    with pytest.raises(SystemExit):
        grammar.parse_args(["x", "--kind", "vision", "--from", "a:B"])


# --- the whole way, in environments of its own --------------------------------------------------------


def environment(folder: Path) -> Path:
    """Return the interpreter of a new environment that sees what this one has installed."""
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib*/python*/site-packages"))
    here = sysconfig.get_path("purelib")
    (site / "_everything_else.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    return folder / "bin" / "python"


def run(*command: Any, cwd: Path) -> str:
    """Run a command that has to succeed and return what it printed."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=variables, capture_output=True, text=True, timeout=580, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


PIP = ["-m", "pip", "--disable-pip-version-check", "--quiet"]
OFFLINE = ["--no-deps", "--no-build-isolation"]


def goes_the_whole_way(name: str, *options: str, example: str, author: Path, user: Path) -> str:
    """new, pip install -e, pytest, autoreg check; pip wheel, into another environment; the class that loads there."""
    here = Path.cwd()
    run(author, "-m", "autoreg", "new", name, *options, cwd=here)
    project = here / f"autoreg-{name}"
    run(author, *PIP, "install", *OFFLINE, "--editable", project, cwd=here)
    assert " failed" not in run(author, "-m", "pytest", "-q", cwd=project)
    assert "is conformant" in run(author, "-m", "autoreg", "check", name, cwd=here)
    source = f"""
import autoreg
autoreg.{example}.from_config(autoreg.AutoConfig.for_model({name!r})).save_pretrained("checkpoint")
"""
    run(author, "-c", source, cwd=here)
    run(author, *PIP, "wheel", *OFFLINE, "--wheel-dir", here, project, cwd=here)
    run(user, *PIP, "install", "--no-deps", *here.glob("*.whl"), cwd=here)
    shutil.rmtree(project)
    source = f"""
import autoreg
print(type(autoreg.{example}.from_pretrained("checkpoint")).__name__)
"""
    return run(user, "-c", source, cwd=here).strip()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_goes_the_whole_way(kind: str, tmp_path: Path) -> None:
    """From `new` to a checkpoint that loads in an environment which has only the wheel."""
    name, described = name_of(kind), KINDS[kind]
    author, user = environment(tmp_path / "author"), environment(tmp_path / "user")
    loaded = goes_the_whole_way(name, "--kind", kind, example=described.example, author=author, user=user)
    assert loaded == class_prefix(name) + described.models[described.example]


@pytest.mark.slow
def test_a_declaration_goes_the_whole_way(tmp_path: Path) -> None:
    """The same for --from, with the classes of a package that has no entry point."""
    package = Path(new("zigzag", "decoder", folder="theirs").folder) / "autoreg_zigzag"
    author, user = environment(tmp_path / "author"), environment(tmp_path / "user")
    for python in (author, user):
        site = next(python.parents[1].glob("lib*/python*/site-packages"))
        shutil.copytree(package, site / "theirs")
        metadata(Plugin(model_type="", distribution="theirs", version="1.2", package="theirs", prefix="", site=site))
    option = "theirs.modeling_zigzag:ZigzagForCausalLM"
    loaded = goes_the_whole_way("zigzag", "--from", option, example="AutoModelForCausalLM", author=author, user=user)
    assert loaded == "ZigzagForCausalLM"

"""The command line: what each command prints, in a pipe and as JSON, and how it exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import autoreg
from autoreg.cli import main
from autoreg.runtime import Runtime
from tests.plugin_maker import write_checkpoint, write_plugin


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture
def only(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a site folder that alone holds plugins: what the developer has installed does not show."""
    monkeypatch.setenv("AUTOREG_ONLY", "zigzag,other,autoreg-zigzag")
    return site


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """argparse refuses a command that does not exist, with exit code 2."""
    with pytest.raises(SystemExit) as refused:
        main(["lst"])
    assert refused.value.code == 2
    assert "invalid choice: 'lst'" in capsys.readouterr().err


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`autoreg` alone prints the help and exits with 2."""
    code, out, _ = run(capsys)
    assert code == 2
    assert out.startswith("usage: autoreg")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`autoreg --version` prints the installed version."""
    assert run(capsys, "--version") == (0, f"autoreg {autoreg.__version__}\n", "")


def test_list_prints_a_line_for_each_offer_with_its_state(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every state shows: ok, conflict, unusable, disabled, not used; in a pipe as tab-separated lines."""
    write_plugin(site, "good")
    write_plugin(site, "twice", distribution="autoreg-a")
    write_plugin(site, "twice", distribution="autoreg-b")
    write_plugin(site, "needy", requires=["no-such-package>=3"])
    write_plugin(site, "off")
    write_plugin(site, "bert")
    monkeypatch.setenv("AUTOREG_DISABLE", "off")
    with autoreg.isolated():
        code, out, _ = run(capsys, "list")
    lines = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert lines[0] == ["model type", "distribution", "version", "state"]
    assert {(row[0], row[1]): row[3] for row in lines[1:] if row[1] != "autoreg-retnet"} == {
        ("bert", "autoreg-bert"): "not used",
        ("good", "autoreg-good"): "ok",
        ("needy", "autoreg-needy"): "unusable",
        ("off", "autoreg-off"): "disabled",
        ("twice", "autoreg-a"): "conflict",
        ("twice", "autoreg-b"): "conflict",
    }


def test_list_declared_finds_broken_plugins_and_shows_classes(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --declared a plugin whose module raises is `broken`, and the others show their classes."""
    write_plugin(site, "other", modules={"plugin": "raise RuntimeError('boom')"})
    write_plugin(site, "zigzag", summary="to and fro", tokenizer="processing:{0}Tokenizer")
    with autoreg.isolated():
        rows = json.loads(run(capsys, "list", "--declared", "--json")[1])["architectures"]
    found = {row["name"]: row for row in rows}
    assert found["other"]["state"] == "broken"
    assert "raised RuntimeError: boom" in found["other"]["reason"]
    assert found["zigzag"]["state"] == "ok"
    assert found["zigzag"]["summary"] == "to and fro"
    assert [field for field, _ in found["zigzag"]["classes"]] == ["config", 'models["AutoModel"]', "tokenizer"]


def test_list_says_so_when_nothing_is_installed(
    isolated: Runtime, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a plugin, list explains what one is, and --json is an empty list."""
    monkeypatch.setattr(sys, "path", [str(Path(json.__file__).parents[1])])
    assert run(capsys, "list")[1].startswith("No plugin is installed.")
    assert json.loads(run(capsys, "list", "--json")[1]) == {"architectures": []}


def test_show_unknown_exits_with_one(isolated: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    """`autoreg show` of a model type that nobody declares says so and points to `why`."""
    code, out, _ = run(capsys, "show", "nobody")
    assert (code, out) == (1, "No installed plugin declares 'nobody'. See `autoreg why nobody`.\n")


def test_show_prints_the_declaration_and_where_it_comes_from(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`autoreg show` names the distribution, its folder and every class."""
    plugin = write_plugin(site, "zigzag")
    with autoreg.isolated():
        code, out, _ = run(capsys, "show", "zigzag")
    assert code == 0
    assert f"declared by          {plugin.owner}" in out
    assert f"metadata             {site}" in out
    assert f'models["AutoModel"]  {plugin.package}.modeling:ZigzagModel' in out


def test_why_explains_a_checkpoint_before_anything_runs(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`autoreg why FOLDER` names the owner, the reason, what would be imported, and imports none of it."""
    plugin = write_plugin(site, "zigzag")
    folder = write_checkpoint(
        tmp_path / "checkpoint",
        {"model_type": "zigzag", "auto_map": {"AutoModel": "modeling_zigzag.ZigzagModel"}},
    )
    with autoreg.isolated():
        code, out, _ = run(capsys, "why", str(folder), "--json")
    found = json.loads(out)
    assert code == 0
    assert found["winner"] == plugin.owner
    assert found["reason"] == "no other plugin claims it"
    assert found["imports"] == [f"{plugin.package}.{name}" for name in ("plugin", "configuration", "modeling")]
    assert found["remote_code"].startswith(f"never runs: {plugin.owner} owns this checkpoint")
    assert plugin.imported() == ["plugin"]


def test_why_exits_with_one_where_loading_would_fail(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown model type, a needed package, a conflict and a broken config.json each say what to do."""
    write_plugin(site, "twice", distribution="autoreg-a")
    write_plugin(site, "twice", distribution="autoreg-b")
    needs = {"model_type": "absent", "autoreg": {"requires": "autoreg-absent>=1.2,<2"}}
    cases = {
        "unknown": ({"model_type": "bret"}, "Did you mean 'bert'"),
        "needs": (needs, "pip install 'autoreg-absent>=1.2,<2'"),
        "conflict": ({"model_type": "twice"}, 'AUTOREG_PREFER="twice=autoreg-a"'),
        "remote": ({"model_type": "far", "auto_map": {"AutoConfig": "m.C"}}, "only the checkpoint's own code"),
        "both": (
            {"model_type": "twice", "auto_map": {"AutoConfig": "m.C"}},
            "never runs: a plugin owns this checkpoint",
        ),
        "untyped": ({"hidden_size": 3}, "there is no `model_type` in it"),
        "broken": ("{", "not valid JSON"),
    }
    with autoreg.isolated():
        for name, (config, text) in cases.items():
            code, out, _ = run(capsys, "why", str(write_checkpoint(tmp_path / name, config)))
            assert (code, text in out) == (1, True), out


def test_doctor_is_silent_about_a_healthy_environment(only: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With one good plugin doctor finds nothing and exits with 0."""
    write_plugin(only, "zigzag")
    with autoreg.isolated():
        code, out, _ = run(capsys, "doctor", "--json")
    findings = [item for item in json.loads(out)["findings"] if item["subject"] != "AUTOREG_ONLY"]
    assert (code, findings) == (0, [])


def test_doctor_reports_each_defect_with_its_cure(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing class or requirement, a clash, a stale double and a bad switch are found, each with a cure."""
    write_plugin(site, "other", modules={"plugin": "import nowhere_at_all"})
    write_plugin(site, "zigzag", models={"AutoModel": "modeling:Nothing"})
    write_plugin(site, "needy", requires=["no-such-package>=3"])
    write_plugin(site, "twice", distribution="autoreg-a")
    write_plugin(site, "twice", distribution="autoreg-b")
    write_plugin(site, "gpt2")
    second = tmp_path / "second"
    write_plugin(second, "other", modules={"plugin": ""})
    monkeypatch.syspath_prepend(second)
    monkeypatch.setenv("AUTOREG_DISABLE", "nobody")
    with autoreg.isolated(), pytest.warns(autoreg.AutoregWarning, match="AUTOREG_DISABLE names 'nobody'"):
        code = autoreg.runtime.current().types and main(["doctor", "--json"])
    found = {(item["severity"], item["subject"]): item for item in json.loads(capsys.readouterr().out)["findings"]}
    assert code == 1
    assert "no-such-package>=3 (not installed)" in found["error", "autoreg-needy 1.0"]["problem"]
    assert found["error", "autoreg-needy 1.0"]["mend"] == 'Install what it needs: pip install "no-such-package>=3"'
    assert "has no 'Nothing'" in found["error", "autoreg-zigzag 1.0"]["problem"]
    assert "ConflictError" in found["error", "twice"]["problem"]
    assert "transformers' own is used" in found["warning", "gpt2"]["problem"]
    assert "installed twice" in found["warning", "autoreg-other"]["problem"]
    assert found["warning", "AUTOREG_DISABLE"]["mend"].startswith("Correct or unset AUTOREG_DISABLE")


def test_doctor_classes_imports_what_source_files_cannot_tell(only: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A config whose model type is another's passes the reading of sources, and doctor --classes finds it."""
    config = (
        "from transformers import PreTrainedConfig\nclass ${Class}Config(PreTrainedConfig):\n    model_type = 'x'\n"
    )
    write_plugin(only, "zigzag", modules={"configuration": config})
    with autoreg.isolated():
        assert run(capsys, "doctor")[0] == 0
        code, out, _ = run(capsys, "doctor", "--classes")
    assert code == 1
    assert "its `model_type` is 'x', not 'zigzag'" in out


def test_the_commands_import_neither_torch_nor_transformers(site: Path, tmp_path: Path) -> None:
    """list, show, why and doctor finish with neither torch nor transformers in sys.modules."""
    write_plugin(site, "zigzag")
    folder = write_checkpoint(tmp_path / "checkpoint", {"model_type": "zigzag"})
    commands = [["list"], ["list", "--declared"], ["show", "zigzag"], ["why", str(folder)], ["why", "bert"], ["doctor"]]
    script = (
        "import json, sys\nfrom autoreg.cli import main\n"
        f"codes = [main(words) for words in {commands!r}]\n"
        "print(json.dumps([codes, sorted({'torch', 'transformers', 'rich'} & set(sys.modules))]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [[0] * len(commands), []]


@pytest.mark.parametrize("start", [["-m", "autoreg"], [str(Path(sys.executable).with_name("autoreg"))]])
def test_planted_metadata_in_the_current_directory_runs_nothing(tmp_path: Path, start: list[str]) -> None:
    """In a folder with a checkpoint and a planted plugin, neither `python -m autoreg` nor the script runs its code."""
    here = tmp_path / "download"
    marker = tmp_path / "ran"
    plugin = write_plugin(here, "zigzag", modules={"plugin": f"open({str(marker)!r}, 'w')"})
    (here / "rich.py").write_text(f"open({str(marker)!r}, 'w')")
    (here / "argparse.py").write_text(f"open({str(marker)!r}, 'w')")
    write_checkpoint(here, {"model_type": "zigzag"})
    words = [sys.executable, *start] if start[0] == "-m" else start
    for command in (["list", "--declared"], ["why", "."], ["doctor"]):
        done = subprocess.run([*words, *command], cwd=here, capture_output=True, text=True, check=False)
        assert f"\t{plugin.distribution}\t" not in done.stdout
        assert done.returncode == (1 if command[0] == "why" else 0), done.stderr
    assert "lies in the current directory and is ignored" in done.stdout
    assert not marker.exists()
    trusted = {**os.environ, "PYTHONPATH": str(here)}
    subprocess.run([*words, "list", "--declared"], cwd=tmp_path, env=trusted, capture_output=True, check=False)
    assert marker.exists()

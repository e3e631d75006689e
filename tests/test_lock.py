# ruff: noqa: E501 # tables of whole messages, one case a line
"""`autoreg lock`: what is installed is written down, and any difference from what was written is named."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autoreg
from autoreg import errors, runtime
from autoreg.checkpoint import disk
from autoreg.checkpoint import lock as locks
from autoreg.cli import lock as command
from tests.plugin_maker import Plugin, write_plugin

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs the command in an empty folder, where nothing but the test's plugins counts."""
    monkeypatch.setenv("AUTOREG_ONLY", "zigzag,other,autoreg-bolt")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*arguments: str) -> tuple[int, str, str]:
        grammar = argparse.ArgumentParser(prog="lock")
        command.add_arguments(grammar)
        with autoreg.isolated(), warnings.catch_warnings():
            warnings.simplefilter("ignore", autoreg.AutoregWarning)  # that AUTOREG_ONLY names what is not there
            try:
                code = command.lock(runtime.current(), grammar.parse_args(arguments))
            except SystemExit as refused:
                code = int(str(refused.code))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def record(plugin: Plugin, *, installer: str = "pip", more: tuple[str, ...] = ()) -> str:
    """Write the RECORD that an installer would: the wheel's lines, and its own."""
    files = [*(plugin.site / plugin.package).rglob("*.py"), plugin.info / "METADATA", plugin.info / "entry_points.txt"]
    lines = [_line(plugin.site, file) for file in files]
    (plugin.info / "INSTALLER").write_text(installer)
    lines += [_line(plugin.site, plugin.info / "INSTALLER"), f"{plugin.info.name}/RECORD,,", *more]
    text = "\n".join(lines) + "\n"
    (plugin.info / "RECORD").write_text(text)
    return text


def _line(site: Path, file: Path) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()
    return f"{file.relative_to(site).as_posix()},sha256={digest},{file.stat().st_size}"


# --- what goes wrong -------------------------------------------------------------------------------


def test_a_lock_that_is_not_there_is_a_usage_error(run: Run) -> None:
    """--check without a lock exits with 2 and says what writes one: nothing was compared."""
    code, out, err = run("--check")
    assert (code, out) == (2, "")
    assert err.endswith("lock: error: autoreg.lock: there is no such file.\n`autoreg lock` writes it.\n")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "not valid JSON (Expecting value: line 1 column 1 (char 0))."),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "it is not a lock of this format.\nExpected 1, found None."),
        ('{"format": 2}', "it is not a lock of this format.\nExpected 1, found 2."),
        ('{"format": 1}', "model_types: it is no table."),
        ('{"format": 1, "model_types": {"x": 3}, "architectures": {}}', "model_types.x: its distribution, version, record and classes are not all there, or not all text."),
        ('{"format": 1, "model_types": {"x": {"distribution": "a", "version": 1, "record": "", "classes": {}}}, "architectures": {}}', "model_types.x: its distribution, version, record and classes are not all there, or not all text."),
        ('{"format": 1, "model_types": {"x": {"distribution": "a", "version": "1", "record": "", "classes": {"config": null}}}, "architectures": {}}', "model_types.x: its distribution, version, record and classes are not all there, or not all text."),
        (b"\xff\xfe", "not valid JSON"),
    ],
)  # fmt: skip
def test_a_lock_that_is_none(run: Run, content: str | bytes, sentence: str) -> None:
    """A file that is no lock is named with what is wrong in it, and exits with 2."""
    Path("autoreg.lock").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(errors.CheckpointError) as caught:
        locks.load("autoreg.lock")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("autoreg.lock")
    code, out, err = run("--check")
    assert (code, out) == (2, "")
    assert sentence in err


def test_a_folder_for_a_lock(run: Run) -> None:
    """A folder is no lock, and the file in it is proposed."""
    code, _, err = run(".")
    assert code == 2
    assert f"error: . is a folder: name the file, {os.path.join('.', 'autoreg.lock')}" in err


def test_a_place_that_is_not_there(run: Run) -> None:
    """A lock in a folder that does not exist cannot be written, and that is said."""
    code, _, err = run("nowhere/autoreg.lock")
    assert code == 2
    assert "error: nowhere/autoreg.lock cannot be written: No such file or directory" in err
    assert os.listdir() == []


def test_a_broken_plugin_is_not_locked(run: Run, site: Path) -> None:
    """What cannot be used cannot be locked: its own error is raised and nothing is written."""
    write_plugin(site, modules={"plugin": "raise RuntimeError('boom')"})
    with pytest.raises(autoreg.PluginError, match="raised RuntimeError: boom"):
        run()
    assert os.listdir() == []


def test_a_conflict_is_not_locked(run: Run, site: Path) -> None:
    """Two plugins for one model type are a conflict, in a lock as in a look-up."""
    write_plugin(site, distribution="autoreg-a")
    write_plugin(site, distribution="autoreg-b")
    with pytest.raises(autoreg.ConflictError):
        run()


def test_a_file_that_was_changed_after_it_was_installed(run: Run, site: Path) -> None:
    """A file that is not as the RECORD says is named, by `lock` (which then writes nothing) and by `--check`."""
    plugin = write_plugin(site)
    record(plugin)
    assert run()[0] == 0
    file = site / plugin.package / "modeling.py"
    file.write_text(file.read_text() + "\n# mended\n")
    sentence = (
        f"error: autoreg.lock: {file} is not as autoreg-zigzag 1.0 installed it."
        " To mend it: pip install --force-reinstall --no-deps autoreg-zigzag==1.0\n"
    )
    assert run("--check")[:2] == (1, sentence)
    Path("autoreg.lock").unlink()
    assert run()[:2] == (1, sentence)
    assert os.listdir() == []
    file.unlink()
    assert run()[:2] == (1, sentence)


# --- differences -----------------------------------------------------------------------------------


def _other_version(site: Path, plugin: Plugin) -> None:
    text = (plugin.info / "METADATA").read_text()
    (plugin.info / "METADATA").write_text(text.replace("Version: 1.0", "Version: 1.1"))


def _other_distribution(site: Path, plugin: Plugin) -> None:
    text = (plugin.info / "METADATA").read_text()
    (plugin.info / "METADATA").write_text(text.replace("autoreg-zigzag", "autoreg-other"))


def _gone(site: Path, plugin: Plugin) -> None:
    shutil.rmtree(plugin.info)


def _other_files(site: Path, plugin: Plugin) -> None:
    (site / plugin.package / "modeling.py").write_text("# another\n")
    record(plugin)


def _no_record(site: Path, plugin: Plugin) -> None:
    (plugin.info / "RECORD").unlink()


def _other_class(site: Path, plugin: Plugin) -> None:
    file = site / plugin.package / "plugin.py"
    file.write_text(file.read_text().replace("modeling:ZigzagModel", "modeling:ZigzagForCausalLM"))
    (plugin.info / "RECORD").unlink()
    for name in [name for name in sys.modules if name.startswith(plugin.package)]:
        del sys.modules[name]


def _one_more(site: Path, plugin: Plugin) -> None:
    write_plugin(site, "other")


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (_other_version, ["zigzag: the version is 1.1; locked: 1.0."]),
        (_other_distribution, ["zigzag: the distribution is autoreg-other; locked: autoreg-zigzag."]),
        (_gone, ["zigzag: locked to autoreg-zigzag 1.0, and no plugin here owns it."]),
        (_other_files, ["zigzag: the files of autoreg-zigzag 1.0 are not those that were locked (RECORD sha256:"]),
        (_no_record, ["zigzag: the files of autoreg-zigzag 1.0 are not those that were locked (RECORD missing; locked: sha256:"]),
        (_other_class, ["zigzag: the class for AutoModel is {package}.modeling:ZigzagForCausalLM; locked: {package}.modeling:ZigzagModel."]),
        (_one_more, ["other: autoreg-other 1.0 owns it here, and it is not in the lock."]),
    ],
)  # fmt: skip
def test_a_difference_is_named(
    run: Run, site: Path, change: Callable[[Path, Plugin], None], sentences: list[str]
) -> None:
    """Whatever differs from the lock is named with what was locked, and the exit code is 1; the lock stays."""
    plugin = write_plugin(site)
    record(plugin)
    assert run()[:2] == (0, "autoreg.lock: 1 locked.\n")
    before = Path("autoreg.lock").read_bytes()
    assert run("--check")[:2] == (0, "autoreg.lock: 1 as locked.\n")
    change(site, plugin)
    code, out, _ = run("--check")
    assert code == 1
    for sentence in sentences:
        assert f"error: autoreg.lock: {sentence.replace('{package}', plugin.package)}" in out
    assert Path("autoreg.lock").read_bytes() == before


def test_what_the_installer_adds_is_no_difference() -> None:
    """pip and uv, with compiled files or without, scripts for this machine or that: the same wheel, the same lock."""
    wheel = ["a/__init__.py,sha256=AAA,1", "a-1.0.dist-info/METADATA,sha256=BBB,2", '"a/odd, name.py",sha256=CCC,3']
    pip = [
        "../../../bin/a,sha256=DDD,4",
        "a/__pycache__/__init__.cpython-311.pyc,,",
        "a-1.0.dist-info/INSTALLER,sha256=EEE,4",
        "a-1.0.dist-info/RECORD,,",
        "a-1.0.dist-info/REQUESTED,sha256=FFF,0",
        "a-1.0.dist-info/direct_url.json,sha256=GGG,83",
    ]
    uv = ["a-1.0.dist-info/INSTALLER,sha256=HHH,2", "a-1.0.dist-info/uv_cache.json,sha256=III,9"]
    one, other = "\n".join([*wheel, *pip]), "\r\n".join([*uv, *reversed(wheel)])
    assert locks.digest(one) == locks.digest(other) != ""
    assert locks.digest(one.replace("AAA", "AAB")) != locks.digest(one)
    assert locks.digest(one.replace("a/__init__", "a/__main__")) != locks.digest(one)
    assert locks.digest("") == locks.digest("a-1.0.dist-info/RECORD,,\n") == ""


# --- what is written -------------------------------------------------------------------------------


def test_the_lock_names_what_stands_behind_each_model_type(run: Run, site: Path) -> None:
    """The lock holds distribution, version, the RECORD's digest and every class; claims in a table of their own."""
    plugin = write_plugin(
        site,
        models={
            "AutoModel": "modeling:{0}Model",
            "AutoModelForCausalLM": ("modeling:{0}Model", "modeling:{0}ForCausalLM"),
        },
        tokenizer="processing:{0}Tokenizer",
    )
    text = record(plugin)
    claim = write_plugin(
        site,
        "t5",
        distribution="autoreg-bolt",
        entry_points="[autoreg.architectures]\nBoltForAll = $package.plugin\n",
        architectures=("BoltForAll",),
        config=None,
        models={"AutoModel": "modeling:BoltForAll"},
    )
    assert run()[0] == 0
    content = json.loads(Path("autoreg.lock").read_text())
    assert content == {
        "format": 1,
        "model_types": {
            "zigzag": {
                "distribution": "autoreg-zigzag",
                "version": "1.0",
                "record": locks.digest(text),
                "classes": {
                    "config": f"{plugin.package}.configuration:ZigzagConfig",
                    "AutoModel": f"{plugin.package}.modeling:ZigzagModel",
                    "AutoModelForCausalLM": f"{plugin.package}.modeling:ZigzagModel, {plugin.package}.modeling:ZigzagForCausalLM",
                    "tokenizer": f"{plugin.package}.processing:ZigzagTokenizer",
                },
            }
        },
        "architectures": {
            "BoltForAll": {
                "distribution": "autoreg-bolt",
                "version": "1.0",
                "record": "",
                "classes": {"AutoModel": f"{claim.package}.modeling:BoltForAll"},
            }
        },
    }
    assert locks.dump(locks.load("autoreg.lock")) == Path("autoreg.lock").read_text()


def test_what_a_lock_cannot_hold_is_said(run: Run, site: Path) -> None:
    """A distribution without RECORD, and one in editable mode, are locked by version and said to be."""
    plugin = write_plugin(site)
    code, out, _ = run()
    assert code == 0
    assert (
        "warning: autoreg.lock: autoreg-zigzag 1.0 has no RECORD of its files: only its version and its classes are locked.\n"
        in out
    )
    record(plugin)
    (plugin.info / "direct_url.json").write_text('{"dir_info": {"editable": true}, "url": "file:///x"}')
    assert (
        "warning: autoreg.lock: autoreg-zigzag 1.0 is installed in editable mode: its RECORD does not cover its source files.\n"
        in run()[1]
    )


def test_a_lock_is_replaced_as_a_whole(run: Run, site: Path) -> None:
    """Writing again replaces the file, under another name, leaves nothing beside it, and heeds the umask."""
    record(write_plugin(site))
    mask = os.umask(0o027)
    try:
        assert run("it.json")[0] == 0
    finally:
        os.umask(mask)
    assert os.listdir() == ["it.json"]
    if os.name == "posix":
        assert stat.S_IMODE(os.stat("it.json").st_mode) == 0o640
    assert run("it.json", "--check")[0] == 0
    Path("it.json").write_text("something else")
    assert run("it.json")[0] == 0
    assert run("--check", "it.json")[0] == 0


def test_a_disk_that_is_full_leaves_the_old_lock(run: Run, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the new lock cannot be written in full, the old one stays and nothing lies beside it."""
    resource = pytest.importorskip("resource")
    import signal

    Path("autoreg.lock").write_text("the old one")
    record(write_plugin(site))
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            disk.write("autoreg.lock", b"x" * 500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir() == ["autoreg.lock"]
    assert Path("autoreg.lock").read_text() == "the old one"


@pytest.mark.slow
def test_a_wheel_that_pip_installed(site: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed by pip from the same project twice, in two places, a plugin has the same lock."""
    from autoreg.adopt import adopt
    from tests.test_adopt import write

    monkeypatch.setenv("AUTOREG_ONLY", "xyz")
    made = adopt(str(write(tmp_path / "it", files={"LICENSE": "x"})), folder=str(tmp_path / "project"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    found: list[Any] = []
    for number, options in enumerate([[], ["--no-compile"]]):
        shutil.rmtree(site, ignore_errors=True)
        subprocess.run([*pip, *options, "--target", str(site), made.folder], check=True, stdin=subprocess.DEVNULL)
        assert run(f"{number}.lock")[0] == 0
        assert run("--check", "0.lock")[0] == 0
        found.append(json.loads(Path(f"{number}.lock").read_text())["model_types"]["xyz"]["record"])
    assert found[0] == found[1] != ""

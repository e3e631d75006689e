"""`autoreg verify` and `autoreg inspect`: what they print, in a pipe and as JSON, and how they exit."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from autoreg.checkpoint.manifest import NAME
from autoreg.cli import main
from tests.conftest import MakePlugin
from tests.plugin_maker import REPOSITORY, in_new_process
from tests.test_header import content, entry
from tests.test_manifest import patch, snapshot
from tests.test_weights import FIRST, INDEX, SECOND, SINGLE, index, shard, sharded

RETNET = REPOSITORY / "plugins" / "autoreg-retnet" / "checkpoint"


def run(capsys: pytest.CaptureFixture[str], command: str, *arguments: object) -> tuple[int, str, str]:
    """Run a command; return its exit code, what it printed and what it complained of."""
    try:
        code = main([command, *map(str, arguments)])
    except SystemExit as refused:
        code = int(refused.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a small checkpoint in two shards."""
    path = tmp_path / "it"
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    sharded(path)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


# --- verify ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_what_is_nowhere_is_a_usage_error(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """A path where nothing is, and a hub id that was never downloaded, exit with 2 and say what to do."""
    (tmp_path / "checkpoint").mkdir()
    code, out, err = run(capsys, command, tmp_path / "chekpoint")
    assert (code, out) == (2, "")
    assert f"there is no such file or folder.\nDid you mean {tmp_path / 'checkpoint'}?" in err
    code, _, err = run(capsys, command, "someone/thing")
    assert code == 2
    assert "someone/thing: there is no such file or folder, and the hub's cache has nothing of that name." in err
    assert "Download it first: hf download someone/thing" in err


def test_a_folder_without_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder with neither config nor weights holds nothing that could be verified: exit 2."""
    code, _, err = run(capsys, "verify", tmp_path)
    assert code == 2
    assert f"{tmp_path}: there is neither a config.json nor a weight file in it" in err


def test_a_checkpoint_without_a_manifest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a manifest config, headers and index are looked over; that there is none is said, and is no fault."""
    code, out, _ = run(capsys, "verify", folder)
    assert code == 0
    assert out == (
        f"{folder}\n"
        "  config    bert (BertModel)\n"
        "  weights   3 tensors, 292 bytes, in 2 shards: the headers are sound\n"
        "  manifest  there is none: nothing here says what the files should hold\n"
    )


def test_a_damaged_checkpoint_without_a_manifest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be right is found without a manifest, all of it, with the file and the advice; exit 1."""
    (folder / "config.json").write_text('{"model_type": 3}')
    (folder / SECOND).unlink()
    code, out, _ = run(capsys, "verify", folder)
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == str(folder)
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 2
    assert errors[0].startswith(f"error: {folder / 'config.json'}")
    assert errors[1].startswith(f"error: {folder / SECOND}: {INDEX} names 2 files, and of these 1 is not there")


def test_record_change_and_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--write records; a changed tensor is an error with its name and a changed config a warning, both exit 1."""
    code, out, _ = run(capsys, "verify", folder, "--write")
    assert (code, out) == (0, f"{folder / NAME}: 4 files recorded, 517 bytes.\n")
    code, out, _ = run(capsys, "verify", folder)
    assert code == 0
    assert out.splitlines()[-1] == "  manifest  4 files, all as recorded"

    (folder / "config.json").write_text("{}")
    (folder / "mine.txt").touch()
    patch(folder / FIRST, (folder / FIRST).stat().st_size - 1, b"!")
    code, out, _ = run(capsys, "verify", folder)
    assert code == 1
    assert "  manifest      4 files, 2 not as recorded\n  not recorded  mine.txt\n" in out
    assert "warning: config.json: its size changed since the manifest was written (expected " in out
    assert f"error: {FIRST}: its content changed since the manifest was written (expected SHA-256 " in out
    assert "); tensors: 'b'.\n" in out
    accept = f"if that was on purpose: autoreg verify --write {folder}"
    assert f"  → restore or download the file again; {accept}\n" in out

    code, out, _ = run(capsys, "verify", folder, "--write")
    assert code == 0
    assert out.splitlines()[-1] == f"Changed since the manifest before: config.json, mine.txt, {FIRST}."
    assert run(capsys, "verify", folder)[0] == 0


def test_what_quick_does_not_see(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--quick compares sizes and spot digests, as a load does; a byte between the samples takes the whole reading."""
    length = 4 * 2**20
    header = {"big": {"dtype": "U8", "shape": [length], "data_offsets": [0, length]}}
    (tmp_path / SINGLE).write_bytes(content(header, bytes(length)))
    run(capsys, "verify", tmp_path, "--write")
    patch(tmp_path / SINGLE, 100_000, b"\1")
    assert run(capsys, "verify", tmp_path, "--quick")[0] == 0
    assert run(capsys, "verify", tmp_path)[0] == 1


def test_what_cannot_be_right_is_not_recorded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged checkpoint gets no manifest, which would vouch for it."""
    (folder / SECOND).write_bytes((folder / SECOND).read_bytes()[:-1])
    code, out, _ = run(capsys, "verify", folder, "--write")
    assert code == 1
    assert out.startswith(f"error: {folder / SECOND}: it was cut short. Expected ")
    assert not (folder / NAME).exists()


def test_a_manifest_of_a_later_version(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A manifest that a later autoreg wrote is said to be one, and is no fault."""
    (folder / NAME).write_text('{"version": 7}')
    code, out, _ = run(capsys, "verify", folder)
    assert code == 0
    assert f"warning: {NAME}: its version is 7, and this autoreg knows 1: nothing can be checked.\n" in out


def test_a_damaged_manifest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged manifest is an error, and --write replaces it."""
    (folder / NAME).write_text("{")
    code, out, _ = run(capsys, "verify", folder)
    assert code == 1
    assert f"error: {NAME}: the manifest is damaged: not valid JSON (" in out
    assert run(capsys, "verify", folder, "--write")[0] == 0
    assert run(capsys, "verify", folder)[0] == 0


def test_one_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A weight file is verified alone, against the manifest beside it; --write wants the folder."""
    run(capsys, "verify", folder, "--write")
    patch(folder / SECOND, 110, b"!")
    code, out, _ = run(capsys, "verify", folder / FIRST)
    assert code == 0
    assert "  manifest  1 file, all as recorded\n" in out
    assert run(capsys, "verify", folder / SECOND)[0] == 1
    code, _, err = run(capsys, "verify", folder / FIRST, "--write")
    assert code == 2
    assert "--write takes a folder: the manifest lies beside the files" in err


def test_a_subfolder_and_a_variant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--subfolder` and `--variant` look where `from_pretrained` with these keywords would, and nowhere else."""
    inner = tmp_path / "it" / "unet"
    inner.mkdir(parents=True)
    (inner / "config.json").write_text('{"model_type": "bert"}')
    (inner / "model.fp16.safetensors").write_bytes(content(entry(), bytes(24)))
    code, out, _ = run(capsys, "verify", tmp_path / "it", "--subfolder", "unet", "--variant", "fp16")
    assert code == 0
    assert "in model.fp16.safetensors: the headers are sound" in out
    assert "weights   there are none" in run(capsys, "verify", tmp_path / "it", "--subfolder", "unet")[1]
    assert "model.fp16.safetensors" in run(capsys, "inspect", inner, "--variant", "fp16")[1]
    (inner / "model.fp16.safetensors").write_bytes(content(entry(), bytes(23)))
    assert run(capsys, "verify", inner, "--variant", "fp16")[0] == 1
    assert run(capsys, "verify", inner)[0] == 0


def test_a_subfolder_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A subfolder that is not there, or beside a file, is a usage error that says so."""
    code, _, err = run(capsys, "verify", folder, "--subfolder", "unte")
    assert code == 2
    assert "there is no folder unte in it." in err
    code, _, err = run(capsys, "inspect", folder / FIRST, "--variant", "fp16")
    assert code == 2
    assert "--subfolder and --variant are for a checkpoint" in err


def test_pickles_are_not_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pickle is named and never opened."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"no pickle")
    code, out, _ = run(capsys, "verify", tmp_path)
    assert code == 0
    assert "  weights   1 pickle, not opened\n" in out


def test_a_hub_id_is_what_the_cache_holds(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A hub id is verified against the hub's own digests; a change is found without a manifest, and named."""
    weights = shard(tmp_path, "x", "a").read_bytes()
    place = snapshot(cache, {"config.json": b'{"model_type": "bert"}', SINGLE: weights})
    code, out, _ = run(capsys, "verify", "someone/thing")
    assert code == 0
    assert out == (
        "someone/thing\n"
        "  config    bert\n"
        f"  weights   1 tensor, {len(weights)} bytes, in {SINGLE}: the headers are sound\n"
        "  manifest  there is none: nothing here says what the files should hold\n"
        "  hub       2 files compared with the digests that the hub gave\n"
    )
    patch(place / SINGLE, len(weights) - 1, b"!")
    code, out, _ = run(capsys, "verify", "someone/thing")
    assert code == 1
    assert f"error: {SINGLE}: its content is not what the hub sent (expected " in out
    assert "  → hf download --force-download someone/thing\n" in out
    code, _, err = run(capsys, "verify", "someone/thing", "--write")
    assert code == 2
    assert "--write takes a folder" in err


def test_a_snapshot_with_a_manifest_need_not_be_whole(
    folder: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a snapshot with a manifest the files that are there are compared: the others were not downloaded."""
    (folder / "README.md").write_text("# It")
    run(capsys, "verify", folder, "--write")
    snapshot(cache, {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "README.md"})
    code, out, _ = run(capsys, "verify", "someone/thing")
    assert code == 0
    assert "  manifest  4 files, all as recorded\n  hub       5 files compared" in out


def test_verify_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints one document with all that the text says, and exits alike."""
    code, out, _ = run(capsys, "verify", folder, "--write", "--json")
    assert (code, json.loads(out)) == (
        0,
        {
            "subject": str(folder),
            "folder": str(folder),
            "recorded": ["config.json", FIRST, SECOND, INDEX],
            "changed": ["config.json", FIRST, SECOND, INDEX],
        },
    )
    patch(folder / SECOND, (folder / SECOND).stat().st_size - 1, b"!")
    code, out, _ = run(capsys, "verify", folder, "--json")
    found = json.loads(out)
    (difference,) = found.pop("differences")
    assert code == 1
    assert (difference["file"], difference["kind"], difference["tensors"]) == (SECOND, "severe", ["c"])
    assert found == {
        "subject": str(folder),
        "folder": str(folder),
        "weights": [FIRST, SECOND],
        "pickles": [],
        "tensors": 3,
        "recorded": 4,
        "from_hub": 0,
        "unrecorded": [],
        "problems": [],
    }
    (folder / SECOND).write_bytes(b"")
    (problem,) = json.loads(run(capsys, "verify", folder, "--json")[1])["problems"]
    assert problem["file"] == str(folder / SECOND)
    assert problem["problem"] == "it has 0 bytes, too few for a safetensors file: it was cut short."


# --- inspect ---------------------------------------------------------------------------------------


def test_a_damaged_file_cannot_be_inspected(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file whose header cannot be read is refused with its name and exit code 1."""
    (folder / SECOND).write_bytes(b"")
    code, out, err = run(capsys, "inspect", folder)
    assert (code, out) == (1, "")
    assert err.startswith(f"autoreg: {folder / SECOND}: it has 0 bytes, too few for a safetensors file")


def test_a_package_that_is_not_here(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the checkpoint needs and this machine lacks is said with the requirement, and is no fault of the file."""
    note = {"requires": "autoreg-zebra>=1.2,<2", "distribution": "autoreg-zebra", "version": "1.2"}
    (folder / "config.json").write_text(json.dumps({"model_type": "zebra", "autoreg": note}))
    code, out, _ = run(capsys, "inspect", folder)
    assert code == 0
    assert "  package     not here: " in out
    assert "  asks for    autoreg-zebra>=1.2,<2 (not installed: pip install 'autoreg-zebra>=1.2,<2')\n" in out
    assert "  saved with  autoreg-zebra 1.2\n" in out
    found = json.loads(run(capsys, "inspect", folder, "--json")[1])
    assert (found["requires"], found["requires_met"], found["package"]) == ("autoreg-zebra>=1.2,<2", False, "")


def test_a_package_of_another_version(
    make_plugin: MakePlugin, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An installed plugin outside the range that the checkpoint asks for is said to be another version."""
    make_plugin("zebra", version="3.0")
    config = {"model_type": "zebra", "autoreg": {"requires": "autoreg-zebra>=1.2,<2"}}
    (folder / "config.json").write_text(json.dumps(config))
    _, out, _ = run(capsys, "inspect", folder)
    assert "  package     autoreg-zebra 3.0, installed\n" in out
    assert "  asks for    autoreg-zebra>=1.2,<2 (installed is 3.0, another version)\n" in out


def test_types_and_shards_are_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tensors by dtype and by file, tab-separated in a pipe, with the digests that were recorded."""
    entries = {
        "c": {"dtype": "BF16", "shape": [3, 4], "data_offsets": [0, 24]},
        "d": {"dtype": "F32", "shape": [], "data_offsets": [24, 28]},
    }
    (folder / SECOND).write_bytes(content(entries, bytes(28)))
    index(folder, {"a": FIRST, "b": FIRST, "c": SECOND, "d": SECOND})
    code, out, _ = run(capsys, "inspect", folder)
    assert code == 0
    assert "  architecture  BertModel\n  model type    bert\n  package       transformers, installed\n" in out
    assert "  weights       4 tensors, 17 numbers, 44 bytes\n  manifest      there is none\n" in out
    tables = out.split("\n\n")[1:]
    assert tables[0] == "dtype\ttensors\tnumbers\tsize\nBF16\t1\t12\t24 bytes\nF32\t3\t5\t20 bytes"
    first, second = ((folder / name).stat().st_size for name in (FIRST, SECOND))
    assert tables[1] == (
        f"file\ttensors\tsize\tSHA-256\n{FIRST}\t2\t{first} bytes\tnot recorded\n"
        f"{SECOND}\t2\t{second} bytes\tnot recorded\n"
    )
    run(capsys, "verify", folder, "--write")
    _, out, _ = run(capsys, "inspect", folder, "--tensors")
    assert "not recorded" not in out
    assert out.endswith(
        f"tensor\tdtype\tshape\tfile\na\tF32\t[2]\t{FIRST}\nb\tF32\t[2]\t{FIRST}\n"
        f"c\tBF16\t[3, 4]\t{SECOND}\nd\tF32\t[]\t{SECOND}\n"
    )


def test_inspecting_one_file_pickles_and_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file is inspected without a config, a pickle is named and not opened, and a folder may hold no weights."""
    _, out, _ = run(capsys, "inspect", folder / FIRST)
    assert out.startswith(f"{folder / FIRST}\n  weights   2 tensors, 4 numbers, 16 bytes\n")
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "bert"}')
    assert "  weights     there are none\n" in run(capsys, "inspect", other)[1]
    (other / "pytorch_model.bin").write_bytes(b"no pickle")
    assert "  pickles     pytorch_model.bin (not opened)\n" in run(capsys, "inspect", other)[1]


def test_a_snapshot_is_inspected_with_the_digests_of_the_hub(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a manifest the digests are those by which the hub's cache names its files."""
    place = snapshot(cache, {SINGLE: shard(tmp_path, "x", "a").read_bytes(), "config.json": b"{}"})
    (row,) = json.loads(run(capsys, "inspect", "someone/thing", "--json")[1])["files"]
    assert row["sha256"] == (place / SINGLE).resolve().name
    assert (row["file"], row["tensors"], row["bytes"]) == (SINGLE, 1, (place / SINGLE).stat().st_size)


def test_a_real_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The checkpoint of the example plugin is sound, and inspected without its weights being read."""
    pytest.importorskip("autoreg_retnet", reason="install it: pip install -e plugins/autoreg-retnet")
    folder = Path(shutil.copytree(RETNET, tmp_path / "it"))
    assert run(capsys, "verify", folder)[0] == 0
    found = json.loads(run(capsys, "inspect", folder, "--json", "--tensors")[1])
    assert found["model_type"] == "retnet"
    assert found["package"].startswith("autoreg-retnet ")
    assert found["problem"] == ""
    assert [row["dtype"] for row in found["dtypes"]] == ["F32"]
    assert len(found["tensors"]) == found["dtypes"][0]["tensors"]


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_neither_command_imports_torch(tmp_path: Path, command: str) -> None:
    """Both commands do their work without torch, transformers, safetensors and numpy."""
    folder = shutil.copytree(RETNET, tmp_path / "it")
    script = """
    import contextlib, io, json, sys
    from autoreg.cli import main
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = main(sys.argv[1:])
    heavy = [name for name in ("torch", "transformers", "safetensors", "numpy") if name in sys.modules]
    print(json.dumps([code, "tensors" in printed.getvalue(), heavy]))
    """
    assert in_new_process(script, arguments=[command, str(folder)]) == [0, True, []]


def test_the_bar_shows_on_a_terminal_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal a bar counts megabytes on standard error, and goes; in a pipe there is nothing."""
    length = 4 * 2**20
    header = {"big": {"dtype": "U8", "shape": [length], "data_offsets": [0, length]}}
    (tmp_path / SINGLE).write_bytes(content(header, bytes(length)))
    assert run(capsys, "verify", tmp_path, "--write")[2] == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    assert "reading, MB" in run(capsys, "verify", tmp_path)[2]

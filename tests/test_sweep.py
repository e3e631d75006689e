"""The sweep over transformers' own architectures: which of them are looked at again, and what its page says of that."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.natives import verdicts
from benchmarks.natives.page import page

GREEN = {"model_type": "zig", "class": "ZigModel", "auto_classes": ["AutoModel"], "problem": "", "red": []}
VERDICTS = {"verdicts": {"weights.roundtrip": "passed"}}


def _row(model_type: str, **fields: Any) -> dict[str, Any]:
    return {**GREEN, **VERDICTS, "model_type": model_type, "suite": verdicts.suite(), **fields}


def test_what_an_earlier_suite_looked_at_is_looked_at_again(tmp_path: Path) -> None:
    """`--stale` opens rows of another suite and rows that name none; what this suite made stays, red or not."""
    red = [{"check": "weights.roundtrip", "reason": "", "difference": ""}]
    unnamed = {name: value for name, value in _row("zug").items() if name != "suite"}
    rows = [_row("zig"), _row("zag", suite="0" * 12), unnamed, _row("zog", red=red)]
    file = tmp_path / "natives.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert verdicts.done(file) == {"zig", "zag", "zug", "zog"}
    assert verdicts.done(file, stale=True) == {"zig", "zog"}
    assert verdicts.done(file, retry=True) == {"zig", "zag", "zug"}
    assert verdicts.done(file, retry=True, stale=True) == {"zig"}


def test_what_is_appended_joins_what_was_compressed(tmp_path: Path) -> None:
    """Where only the compressed rows are there, a row that is tried again replaces its own and loses no other."""
    file = tmp_path / "device.jsonl"
    file.write_text("".join(f"{json.dumps(_row(name))}\n" for name in ("zig", "zag")))
    verdicts.compress(file)
    file.unlink()
    assert len(verdicts.resumed(file)) == 2
    with file.open("a") as appended:
        appended.write(f"{json.dumps(_row('zig', suite='again'))}\n")
    verdicts.compress(file)
    file.unlink()
    assert {row["model_type"]: row["suite"] for row in verdicts.read(file)} == {"zig": "again", "zag": verdicts.suite()}


@pytest.mark.parametrize("change", ["edit", "rename", "add"])
def test_a_suite_is_another_when_its_sources_are(tmp_path: Path, change: str) -> None:
    """The digest follows the text, the names and the number of the files, and nothing but the sources."""
    file = tmp_path / "check.py"
    file.write_text("one")
    before = verdicts.suite(tmp_path)
    (tmp_path / "check.pyc").write_text("compiled")
    assert verdicts.suite(tmp_path) == before
    if change == "edit":
        file.write_text("two")
    elif change == "rename":
        file.rename(tmp_path / "other.py")
    else:
        (tmp_path / "more.py").write_text("")
    assert verdicts.suite(tmp_path) != before


def test_the_page_says_how_much_of_it_an_earlier_suite_saw() -> None:
    """Rows of another suite are counted by architecture; where there are none nothing is said of it."""
    rows = [_row("zig"), _row("zag", suite="0" * 12)]
    told = page(rows, "5.23.0", total=2, suite=verdicts.suite())
    assert "1 of 2 architectures were last looked at by an earlier state of the suite" in told
    assert "earlier state" not in page(rows[:1], "5.23.0", total=1, suite=verdicts.suite())


def test_the_page_holds_the_check_of_devices_against_a_gpu() -> None:
    """Each pair of verdict and what a GPU did has a line, with the classes where they are few; no run, no section."""
    ran = {"model_type": "zig", "ok": True, "on": "NVIDIA Z, torch 9.9", "check": "passed", "gpu": "runs"}
    many = [{**ran, "class": f"Zig{number}Model"} for number in range(30)]
    mixing = {**ran, "class": "ZagModel", "check": "failed", "gpu": "mixes devices"}
    underived = {"model_type": "zog", "class": "ZogModel", "ok": False}
    told = page([_row("zig")], "5.23.0", total=1, suite="", moved=[*many, mixing, underived])
    assert "ran 31 of the classes" in told
    assert "NVIDIA Z, torch 9.9" in told
    assert "| passed | runs | 30 |" in told
    assert "| failed | mixes devices | 1: `ZagModel` |" in told
    assert "On a GPU" not in page([_row("zig")], "5.23.0", total=1, suite="")

"""Bad inputs and faults: each ends rightly through autoreg, and otherwise where the guarantee for it is off."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.plugin_maker import REPOSITORY
from tests.trial.ablations import GUARANTEES
from tests.trial.case import GROUPS, OUTCOMES, Case, Report, Seen
from tests.trial.cases import CASES
from tests.trial.material import ZIGZAG, Array, Place, read_folder, safetensors, write, write_shards
from tests.trial.oracle import error, judge, truth

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are limited as Linux does it")

PAGE = REPOSITORY / "docs" / "contributor" / "trial.md"
Rows = list[dict[str, Any]]


def trial(folder: Path, *arguments: str) -> tuple[int, str, Rows]:
    """Run the trial in an interpreter of its own; return the exit code, what it said, and the rows."""
    file = folder / "rows.json"
    command = [sys.executable, "-m", "tests.trial", "--json", str(file), *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert file.exists(), done.stdout + done.stderr
    return done.returncode, done.stdout, json.loads(file.read_text())


def ends(rows: Rows, face: str, *, ablated: bool = False) -> Counter[str]:
    """Return how many of the runs ended how."""
    return Counter(
        row["outcome"] for row in rows if row["run"]["face"] == face and bool(row["run"]["without"]) == ablated
    )


# --- the trial -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everyday(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Rows]:
    """Return how the everyday selection ends: one case or more for each guarantee, with it and without."""
    return trial(tmp_path_factory.mktemp("trial"), "--everyday", "--ablations")


def test_autoreg_ends_each_rightly(everyday: tuple[int, str, Rows]) -> None:
    """Through autoreg each case of the selection ends rightly, and no ablation does."""
    code, said, rows = everyday
    assert code == 0, said
    assert set(ends(rows, "autoreg")) == {"right"}
    assert ends(rows, "autoreg", ablated=True)["right"] == 0


def test_plain_transformers_does_not(everyday: tuple[int, str, Rows]) -> None:
    """The same cases end otherwise in plain transformers: the trial sees what it is for."""
    found = ends(everyday[2], "plain")
    assert found["wrong"] + found["warned"] + found["unsafe"] + found["lost"] > 8


@pytest.mark.slow
def test_every_case(tmp_path: Path) -> None:
    """Every case ends rightly through autoreg, or is named as one that cannot; every ablation makes its cases fail."""
    code, said, rows = trial(tmp_path, "--ablations")
    assert code == 0, said
    assert ends(rows, "autoreg").total() >= 120


# --- the table -----------------------------------------------------------------------------------


def test_there_are_enough_cases() -> None:
    """There are at least 120 cases, each named once, in each of the nine groups."""
    assert len({case.id for case in CASES}) == len(CASES) >= 120
    assert {case.group for case in CASES} == set(GROUPS)
    assert all(case.id.startswith(case.group.replace("_", "-")) for case in CASES)


def test_every_guarantee_is_put_to_the_test_every_day() -> None:
    """Each guarantee has a case in the everyday selection, and each case's guarantee is one there is."""
    named = {name for case in CASES for name in case.guarantee.split(" + ") if name}
    assert named == set(GUARANTEES)
    assert {name for case in CASES if case.everyday for name in case.guarantee.split(" + ") if name} == named


def test_the_page_is_of_these_cases() -> None:
    """The page has a row for each case, and autoreg ended each rightly that is not named as one that cannot."""
    text = PAGE.read_text(encoding="utf-8")
    listed = {
        (section.split("\n")[0], row.split(" | ")[0][2:]): row.endswith("| right |")
        for section in text.split("\n### ")[1:]
        for row in section.splitlines()
        if row.startswith("| ")
    }
    assert [case.id for case in CASES if (case.group, case.what) not in listed] == []
    assert [case.id for case in CASES if listed[case.group, case.what] == bool(case.cannot)] == []


# --- the judge -----------------------------------------------------------------------------------


def described(tensors: dict[str, Array]) -> dict[str, Any]:
    found = {
        name: [str(array.dtype), list(array.shape), np.ascontiguousarray(array).tobytes().hex()]
        for name, array in tensors.items()
    }
    return {"tensors": found, "config": dict(ZIGZAG.config)}


def seen(place: Place, report: Report, **case: Any) -> Seen:
    """Return what the judge is shown."""
    made = Case(**{"id": "x", "group": "weights", "what": "", "make": print, "act": print, "wanted": truth(), **case})
    return Seen(case=made, place=place, report=report, later=None)


def returned(tensors: dict[str, Array], said: Sequence[str] = ()) -> Report:
    return Report(ended="returned", value=described(tensors), said=tuple(said))


def test_the_judge_sees_each_number(tmp_path: Path) -> None:
    """One number, one dtype, one shape, one name or one field that differs is not the truth."""
    place, good = Place(tmp_path), dict(ZIGZAG.truth)
    assert judge(seen(place, returned(good))).outcome == "right"
    embed = good["model.embed.weight"]
    other = embed.copy()
    other[3, 2] = np.nextafter(other[3, 2], np.float32(9))
    for name, array in (("model.embed.weight", other), ("model.embed.weight", embed.astype(np.float64)), ("x", embed)):
        assert judge(seen(place, returned({**good, name: array}))).outcome == "wrong"
    assert judge(seen(place, returned({**good, "model.embed.weight": embed.reshape(4, 7)}))).outcome == "wrong"
    assert judge(seen(place, returned({name: good[name] for name in list(good)[1:]}))).outcome == "wrong"
    report = returned(good)
    report.value["config"]["scale"] = 2.0
    assert judge(seen(place, report)).outcome == "wrong"
    assert judge(seen(place, replace(report, said=("scale is odd",)), names=("scale",))).outcome == "warned"


@pytest.mark.parametrize(
    ("family", "text", "outcome"),
    [
        (("CheckpointError", "AutoregError"), "{folder}/config.json, scale: no number", "right"),
        (("CheckpointError", "AutoregError"), "something is wrong somewhere", "unclear"),
        (("OSError",), "'{folder}/config.json' is not a valid JSON file", "right"),
        (("ValueError",), "scale is no number", "unclear"),
        (("TypeError",), "{folder}/config.json is odd", "unclear"),
        (("MemoryError",), "", "crash"),
    ],
)
def test_the_judge_knows_a_clear_error(tmp_path: Path, family: tuple[str, ...], text: str, outcome: str) -> None:
    """An error is clear if it is autoreg's and names the culprit, or names the file."""
    place = Place(tmp_path)
    said = text.replace("{folder}", str(place.folder))
    report = Report(ended="raised", error=family[0], family=family, text=said)
    assert judge(seen(place, report, wanted=error(), file="config.json", names=("scale",))).outcome == outcome


def test_the_judge_looks_for_the_canary(tmp_path: Path) -> None:
    """Code that ran is unsafe whatever came of the load, unless it was trusted."""
    place = Place(tmp_path)
    place.canary.write_text("ran")
    assert judge(seen(place, returned(dict(ZIGZAG.truth)))).outcome == "unsafe"
    assert judge(seen(place, returned(dict(ZIGZAG.truth)), trusts=True)).outcome == "right"


def test_the_material_is_what_it_says(tmp_path: Path) -> None:
    """What is written by hand reads back by hand, from one file and from shards, and by safetensors too."""
    from safetensors.numpy import load

    place = Place(tmp_path)
    wanted = {name: array.tobytes() for name, array in ZIGZAG.tensors.items()}
    write(place, ZIGZAG)
    assert read_folder(place.folder) == (ZIGZAG.config, wanted)
    write_shards(place, ZIGZAG)
    assert read_folder(place.folder) == (ZIGZAG.config, wanted)
    assert {name: array.tobytes() for name, array in load(safetensors(ZIGZAG.tensors)).items()} == wanted


def test_every_outcome_is_explained() -> None:
    """The page says what each outcome means."""
    text = PAGE.read_text(encoding="utf-8")
    for outcome in OUTCOMES:
        assert outcome in text

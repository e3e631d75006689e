"""`autoreg check`: what it refuses, what it writes, how it exits."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

import autoreg
from autoreg.cli import main, parser
from autoreg.conformance.check import Level
from autoreg.conformance.checks import standard
from autoreg.conformance.report.document import from_document
from autoreg.conformance.run import Selection
from tests.conformance.test_discovery_checks import GOOD
from tests.conformance.test_discovery_checks import install as install_checks
from tests.conformance.twins import install
from tests.plugin_maker import in_new_process, write_plugin

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(site: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Return the command, in an environment that sees what lies in `site`."""

    def typed(*words: str) -> tuple[int, str, str]:
        try:
            code = main(["check", *words])
        except SystemExit as refused:
            code = int(str(refused.code))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    with autoreg.isolated():
        yield typed


# --- what it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the model type is missing"),
        (["retnet", "--expect", "weights.roundtrip"], "is not of the form ID=REASON"),
        (["retnet", "--expect", "weights.roundtrip= "], "is not of the form ID=REASON"),
        (["retnet", "--processes", "0"], "--processes is at least 1"),
        (
            ["retnet", "--html", "/no/such/folder/report.html"],
            "the folder of /no/such/folder/report.html does not exist",
        ),
        (["retnet", "--json", "-", "--junit", "-"], "only one report fits on standard output"),
        (["retnet", "--list", "--explain-subject"], "not allowed with"),
        (["bert"], "'bert' is one of transformers' own: say `autoreg check --native bert`"),
        (["retnet", "--only", "weihgts.*"], "--only weihgts.* selects no check"),
        (
            ["retnet", "--only", "config.roundtrip", "--class", "RetNut"],
            "retnet has no class 'RetNut', only RetNetModel",
        ),
        (["retnet", "--reproduce", "no.check"], "there is no check 'no.check'"),
        (["retnet", "--reproduce", "weights.roundtrip[RetNut]"], "retnet has no class 'RetNut'"),
    ],
)
def test_a_mistake_on_the_command_line_exits_with_two(run: Run, words: list[str], message: str) -> None:
    """What cannot be done is refused with one line, before anything takes time where that is possible."""
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert message in err


def test_an_unknown_architecture_gets_suggestions(run: Run) -> None:
    """A model type that nobody has is the usual error, with near matches."""
    code, _, err = run("retnett")
    assert code == 1
    assert "Did you mean 'retnet'" in err
    assert run("--native", "bertt")[2].count("Did you mean 'bert'") == 1


def test_a_broken_plugin_is_the_plugins_error(run: Run, site: Path) -> None:
    """A plugin whose modules cannot be imported is named, and no report is written."""
    write_plugin(site, "zigzag", modules={"modeling": "import nowhere_at_all"})
    report = site / "report.html"
    code, out, err = run("zigzag", "--html", str(report))
    assert (code, out) == (1, "")
    assert "'zigzag' belongs to the plugin autoreg-zigzag 1.0" in err
    assert "ModuleNotFoundError: No module named 'nowhere_at_all'" in err
    assert not report.exists()


def test_a_broken_declaration_is_the_plugins_error(run: Run, site: Path) -> None:
    """A declaration that raises is the same error as in any look-up."""
    write_plugin(site, "zigzag", modules={"plugin": "raise RuntimeError('boom')"})
    code, _, err = run("zigzag")
    assert code == 1
    assert "raised RuntimeError: boom" in err


# --- what it does ---------------------------------------------------------------------------------


def test_one_run_writes_every_report(run: Run, site: Path, tmp_path: Path) -> None:
    """A run prints its text in a pipe without colours and writes each report whole, readable by all."""
    install(site / "plugin")
    os.umask(mask := os.umask(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site / "plugin")
        files = {name: tmp_path / f"report.{name}" for name in ("json", "junit", "markdown", "html", "badge")}
        words = [word for name, file in files.items() for word in (f"--{name}", str(file))]
        code, out, err = run("tidy", "--only", "config.roundtrip", "--only", "forward.deterministic", *words)
    assert (code, err) == (0, ""), out
    assert out.splitlines()[-4:-1] == [
        "tidy is conformant  autoreg-tidy 1.0",
        "  loads  ✓ 1 passed",
        "  runs   ✓ 3 passed",
    ]
    assert "\x1b" not in out
    starts = {name: file.read_text()[:9] for name, file in files.items()}
    assert starts == {
        "json": '{\n  "sche',
        "junit": "<?xml ver",
        "markdown": "## ✅ tidy",
        "html": "<!DOCTYPE",
        "badge": "<svg xmln",
    }
    assert {file.stat().st_mode & 0o777 for file in files.values()} == {0o666 & ~mask}
    assert [file for file in tmp_path.iterdir() if file.name.startswith(".")] == []
    report = from_document(json.loads(files["json"].read_text()))
    assert report.conformant
    assert report.classes[0].name == "TidyModel"


def test_json_on_standard_output_stands_alone(run: Run) -> None:
    """With `--json -` standard output is the document and nothing else; expected failures are strict."""
    words = ["retnet", "--only", "config.roundtrip", "--expect", "config.roundtrip=why not", "--json", "-"]
    code, out, _ = run(*words)
    report = from_document(json.loads(out))
    assert code == 1
    assert "It was expected to fail (why not) and passes" in report.red[0].reason


def test_a_brokens_plugins_checks_are_red_in_every_report(run: Run, site: Path) -> None:
    """A run in which a plugin's checks cannot be loaded is not conformant, and says whose they are."""
    install_checks(site, "raise RuntimeError('boom')")
    code, out, _ = run("retnet", "--only", "config.roundtrip")
    assert code == 1
    assert "! suite.checks  acme-checks  error" in out
    assert "the plugin acme-checks 1.0" in out


def test_a_run_leaves_nothing_in_the_working_folder(site: Path, tmp_path: Path) -> None:
    """What hypothesis keeps of a run goes where the child's other files go, and away with them."""
    here = tmp_path / "empty"
    here.mkdir()
    script = """
        import json, os
        from autoreg.cli import main
        main(["check", "tidy", "--only", "properties.config-roundtrip", "--json", "report.json"])
        with open("report.json") as file:
            outcomes = json.load(file)["outcomes"]
        print(json.dumps([[each["verdict"] for each in outcomes], os.listdir()]))
        """
    verdicts, left = in_new_process(script, path=[install(site)], cwd=here)
    assert (verdicts, left) == (["passed"], ["report.json"])


def test_explaining_derives_and_runs_nothing(run: Run) -> None:
    """--explain-subject shows what was derived, of the classes that were asked for."""
    code, out, _ = run("retnet", "--explain-subject", "--class", "RetNetForCausalLM")
    assert code == 0
    assert out.startswith("RetNetForCausalLM  ")
    assert "  config\n" in out
    assert "RetNetModel" not in out


def test_listing_names_checks_and_owners(run: Run, site: Path, tmp_path: Path) -> None:
    """--list needs no architecture and shows plugins' checks; the page of the documentation leaves these out."""
    install_checks(site, GOOD)
    code, out, _ = run("--list")
    assert code == 0
    assert "weights.roundtrip " in out
    assert "acme-checks.bare" in out
    assert "A bare function will do. (acme-checks 1.0)" in out
    assert run("--list", "--markdown", str(tmp_path / "checks.md"))[0] == 0
    assert "acme" not in (tmp_path / "checks.md").read_text()


def test_the_levels_on_the_command_line_are_those_of_the_checks() -> None:
    """The parser, which must not import the suite, knows every level."""
    command = parser().parse_args(["check", "retnet", "--level", get_args(Level)[-1]])
    assert command.level == "scales"
    for level in get_args(Level):
        assert parser().parse_args(["check", "x", "--level", level]).level == level


@pytest.mark.parametrize(
    ("selection", "subject", "taken"),
    [
        (Selection(only=("*[TidyModel]",)), "TidyModel", True),
        (Selection(only=("*[TidyModel]",)), "TidyForCausalLM", False),
        (Selection(only=("*.roundtrip",)), "TidyModel", True),
        (Selection(only=("weights.roundtrip",)), "TidyModel", True),
        (Selection(only=("weights",)), "TidyModel", False),
        (Selection(classes=("TidyModel",)), "TidyModel", True),
        (Selection(classes=("TidyModel",)), "", False),
        (Selection(level="loads"), "TidyModel", True),
    ],
)
def test_what_a_selection_takes(selection: Selection, subject: str, taken: bool) -> None:
    """A bracket in a pattern is a bracket; a class leaves out other classes and the architecture."""
    check = next(each for each in standard() if each.id == "weights.roundtrip")
    assert selection.takes(check, subject) is taken

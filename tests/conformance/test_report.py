"""What a report becomes: JSON and back, JUnit, Markdown, HTML, a badge, and lines on a terminal."""

from __future__ import annotations

import io
import json
import re
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from autoreg.conformance.outcome import VERDICTS, Capability, ClassFacts, Outcome, Report
from autoreg.conformance.report import words
from autoreg.conformance.report.badge import to_badge
from autoreg.conformance.report.document import SCHEMA, from_document, to_document, to_json
from autoreg.conformance.report.html import to_html
from autoreg.conformance.report.junit import to_junit
from autoreg.conformance.report.markdown import to_markdown
from autoreg.conformance.report.terminal import explained, plain, shown

FORMAT = Path(__file__).parents[2] / "docs" / "author" / "report-format.md"
NASTY = "<script>alert(1)</script> \x1b[31mred\x1b[0m \x00 `code|pipe` *stars* ]]> &amp;"

FAILED = Outcome(
    check="weights.roundtrip",
    level="loads",
    subject="ZigModel",
    verdict="failed",
    reason="The saved model comes back changed",
    compared="the model before saving and after loading",
    difference="scale[0]: 1.5 and 1 (4 of 4 numbers differ)",
    where="zig.modeling.ZigModel (/zig/modeling.py:7)",
    hurts="users load another model than was trained.",
    change="let `_init_weights` touch what is missing only.",
    comparisons=1,
    seconds=0.02,
)
FACTS = ClassFacts(
    name="ZigModel",
    file="/zig/modeling.py",
    line=7,
    auto_classes=("AutoModel",),
    parameters=1234,
    fields=(("hidden_size", "512", "64", "shrunk: width"),),
    inputs=(("input_ids", "int64[2, 8]", "the main input"),),
    capabilities=(
        Capability(name="cache", value=True, source="inferred", why="`use_cache=True` returns past_key_values"),
        Capability(name="sdpa", value=False, source="contradicted", why="the hints say so; `_supports_sdpa` is True"),
        Capability(name="loss", value=False, source="inferred", why="no labels give a loss"),
    ),
)


def outcome(verdict: Any, check: str = "forward.some", **values: Any) -> Outcome:
    return Outcome(check=check, level="runs", subject="ZigModel", verdict=verdict, **values)


def report(*outcomes: Outcome, **values: Any) -> Report:
    made = Report(
        model_type="zig",
        owner="autoreg-zig 1.0",
        versions={"python": "3.11.7", "autoreg": "0.1.0"},
        selection={"level": "scales", "slow": False, "only": []},
        classes=(FACTS,),
        outcomes=outcomes,
        seconds=3.2,
    )
    return replace(made, **values)


RED = report(
    FAILED,
    outcome("passed"),
    outcome("error", "forward.error", reason="RuntimeError: boom", output="Traceback …\nRuntimeError: boom"),
    outcome("vacuous", "forward.vacuous", reason="It compared nothing"),
    outcome("not applicable", "forward.cache", reason="it has no cache"),
    outcome("expected failure", "forward.expected", reason="known"),
    outcome("upstream", "forward.upstream", reason="transformers does it"),
    outcome("passed", "forward.notes", notes=("3 of 5 fields were exercised",)),
    Outcome(check="config.roundtrip", level="loads", verdict="passed", comparisons=9),
)
GREEN = report(outcome("passed"), outcome("not applicable", "forward.cache", reason="it has no cache"))
STRANGE = report(
    outcome("failed", reason=NASTY, compared=NASTY, difference=NASTY, output=NASTY, notes=(NASTY,)),
    classes=(replace(FACTS, name="Zig<b>", problem=NASTY),),
    model_type="zig<i>",
)


# --- JSON ------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=20)
CAPABILITIES = st.builds(
    Capability, name=TEXTS, value=st.booleans(), source=st.sampled_from(["inferred", "declared"]), why=TEXTS
)
CLASSES = st.builds(
    ClassFacts,
    name=TEXTS,
    auto_classes=st.lists(TEXTS, max_size=2).map(tuple),
    parameters=st.integers(0),
    fields=st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS), max_size=2).map(tuple),
    inputs=st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=2).map(tuple),
    capabilities=st.lists(CAPABILITIES, max_size=2).map(tuple),
)
OUTCOMES = st.builds(
    Outcome,
    check=TEXTS,
    level=st.sampled_from(["loads", "runs", "scales"]),
    verdict=st.sampled_from(VERDICTS),
    reason=TEXTS,
    output=TEXTS,
    notes=st.lists(TEXTS, max_size=2).map(tuple),
    seconds=st.floats(0, 1e6),
)
REPORTS = st.builds(
    Report,
    model_type=TEXTS,
    owner=TEXTS,
    versions=st.dictionaries(TEXTS, TEXTS, max_size=2),
    seed=st.integers(),
    selection=st.fixed_dictionaries({"level": TEXTS, "only": st.lists(TEXTS, max_size=2)}),
    classes=st.lists(CLASSES, max_size=2).map(tuple),
    outcomes=st.lists(OUTCOMES, max_size=3).map(tuple),
    seconds=st.floats(0, 1e6),
)


@settings(max_examples=50, deadline=None)
@given(REPORTS)
def test_a_report_comes_back_from_its_document(made: Report) -> None:
    """Whatever a report holds, JSON gives back an equal one."""
    assert from_document(json.loads(to_json(made))) == made


def test_the_document_says_its_schema_and_the_verdict() -> None:
    """The document begins with its schema and carries the counts, and each outcome its id."""
    document = to_document(RED)
    assert next(iter(document.items())) == ("schema", SCHEMA)
    assert document["conformant"] is False
    assert document["counts"]["failed"] == 1
    assert document["outcomes"][0]["id"] == "weights.roundtrip[ZigModel]"


def test_a_later_key_is_passed_over_and_another_schema_refused() -> None:
    """A reader of this release takes documents with added keys, and none of another number."""
    document = to_document(GREEN)
    assert from_document({**document, "colour": "blue"}) == GREEN
    with pytest.raises(ValueError, match=r"the document's schema is 'autoreg\.conformance/2'"):
        from_document({**document, "schema": "autoreg.conformance/2"})


def test_every_key_of_the_document_is_described() -> None:
    """The page of the format names the schema and each key."""
    page = FORMAT.read_text(encoding="utf-8")
    keys = {field.name for kind in (Report, ClassFacts, Capability, Outcome) for field in fields(kind)}
    assert f"`{SCHEMA}`" in page
    assert {key for key in {*keys, *to_document(RED), "id"} if f"`{key}`" not in page} == set()
    assert {verdict for verdict in VERDICTS if f"`{verdict}`" not in page} == set()


# --- JUnit -----------------------------------------------------------------------------------------


def test_junit_counts_and_tells() -> None:
    """There is a suite for each class and the architecture; red is a failure or error, excused is skipped."""
    top = ET.fromstring(to_junit(RED))
    assert [suite.get("name") for suite in top] == ["zig.ZigModel", "zig"]
    assert [top.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["9", "2", "1", "3"]
    failure = top.find(".//failure")
    assert failure is not None
    assert failure.get("message") == FAILED.reason
    assert "scale[0]: 1.5 and 1" in (failure.text or "")
    assert top.findtext(".//testcase[@name='forward.notes']/system-out") == "3 of 5 fields were exercised"


def test_junit_is_xml_whatever_a_model_prints() -> None:
    """Control characters and markup in messages leave the XML readable."""
    assert "<script>" in (ET.fromstring(to_junit(STRANGE)).find(".//failure").text or "")  # type: ignore[union-attr]


# --- Markdown --------------------------------------------------------------------------------------


def test_markdown_has_headline_table_and_details() -> None:
    """The summary has the verdict, a row for each level, and a fold for each failure."""
    text = to_markdown(RED)
    assert text.startswith("## ❌ zig is not conformant\n")
    assert "| loads | 1 | 1 |" in text
    assert "<summary>✗ <code>weights.roundtrip</code> ZigModel: failed</summary>" in text
    assert "autoreg check zig --reproduce 'weights.roundtrip[ZigModel]'" in text
    assert text.count("<details>") == text.count("</details>")
    assert to_markdown(GREEN).startswith("## ✅ zig is conformant\n")


def test_markdown_shows_markup_as_text() -> None:
    """What a model says is shown, not obeyed."""
    text = to_markdown(STRANGE)
    assert "\\<script\\>" in text
    assert not re.search(r"(?<!\\)<script(?!\\)>", re.sub(r"(`+).*?\1(?!`)", "", text, flags=re.DOTALL))


# --- HTML ------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Collects tags, and what is left open or closed twice."""

    VOID = frozenset({"meta", "input", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("made", [RED, GREEN, STRANGE, Report(model_type="none", owner="x 1")])
def test_html_is_one_whole_file(made: Report) -> None:
    """Every tag is closed, nothing is fetched from anywhere, and no script runs."""
    reader = Reader()
    reader.feed(to_html(made))
    assert reader.open == []
    assert {tag for tag, _ in reader.tags} & {"script", "link", "img", "iframe", "object"} == set()
    assert not [attrs for _, attrs in reader.tags if {"src", "href"} & set(attrs)]
    assert "url(" not in to_html(made)
    assert "@import" not in to_html(made)


def test_html_tells_what_is_wrong() -> None:
    """The page has the failure with all that is known of it, the matrix, capabilities and the derivation."""
    page = to_html(RED)
    for text in (FAILED.reason, FAILED.compared, FAILED.difference, "/zig/modeling.py:7", FAILED.hurts, "1,234 param"):
        assert text in page
    assert "let <code>_init_weights</code> touch" in page
    assert 'class="cell contradicted"' in page


# --- the badge -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (GREEN, "1 passed"),
        (RED, "3 of 9 red"),
        (report(), "nothing passed"),
        (replace(GREEN, classes=(replace(FACTS, problem="x"),)), "1 of 2 red"),
    ],
)
def test_the_badge_says_it_in_a_word(made: Report, text: str) -> None:
    """The badge is an SVG with the count that matters, green only where all is well."""
    svg = to_badge(made)
    assert [each.text for each in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")] == ["conformance", text]
    assert ("#2da44e" in svg) == made.conformant


# --- the terminal ----------------------------------------------------------------------------------


def test_plain_text_holds_the_whole_failure() -> None:
    """In a pipe a failure is a block of lines none of which is cut, and the verdict stands at the end."""
    text = plain(shown(RED))
    assert text.startswith(
        "What is wrong\n"
        "✗ weights.roundtrip  ZigModel\n"
        "  The saved model comes back changed\n"
        "  compared          the model before saving and after loading\n"
        "  first difference  scale[0]: 1.5 and 1 (4 of 4 numbers differ)\n"
        "  where             zig.modeling.ZigModel (/zig/modeling.py:7)\n"
        "  it hurts          users load another model than was trained.\n"
        "  change            let `_init_weights` touch what is missing only.\n"
        "  step through it   autoreg check zig --reproduce 'weights.roundtrip[ZigModel]'\n"
    )
    assert "RuntimeError: boom" in text
    assert "none         sdpa contradicted: the hints say so" in text
    assert text.splitlines()[-4:] == [
        "zig is not conformant  autoreg-zig 1.0",
        "  loads  ✓ 1 passed   ✗ 1 failed",
        "  runs   ✓ 2 passed   ! 1 error   · 1 not applicable   ~ 1 expected failure   ∅ 1 vacuous   ↑ 1 upstream",
        "  9 results in 3.2 s · seed 0 · python 3.11.7, autoreg 0.1.0",
    ]


def test_what_is_said_of_several_classes_is_said_once() -> None:
    """A check that fails on two classes in the same way is one block that names both."""
    other = replace(FAILED, subject="ZigForCausalLM", difference="scale[1]: 2 and 3")
    text = plain(shown(report(FAILED, other)))
    assert "  first difference  scale[0]: 1.5 and 1 (4 of 4 numbers differ)\n" in text
    assert "  and               ZigForCausalLM: scale[1]: 2 and 3\n" in text
    assert "✗ weights.roundtrip  ZigModel, ZigForCausalLM\n" in text
    assert text.count(FAILED.reason) == 1


def test_errors_for_one_reason_are_one() -> None:
    """Where nothing could be derived for a class, its checks are one block and not fifty."""
    made = [outcome("error", f"forward.{name}", reason="Nothing could be derived") for name in "abc"]
    assert "! forward.a and 2 more checks  ZigModel  error\n" in plain(shown(report(*made)))
    assert "! forward.a and 1 more check  ZigModel  error\n" in plain(shown(report(*made[:2])))


def test_a_narrow_terminal_loses_nothing() -> None:
    """On forty columns every word of a failure is still there."""
    screen = io.StringIO()
    Console(file=screen, width=40, force_terminal=True, color_system="truecolor").print(shown(RED))
    letters = re.sub(r"\s|\x1b\[[0-9;]*m", "", screen.getvalue())
    assert [
        text for text in (FAILED.reason, FAILED.difference, FAILED.change) if text.replace(" ", "") not in letters
    ] == []


def test_colours_of_a_model_do_not_reach_the_terminal() -> None:
    """Escape sequences in a message are taken out."""
    assert "\x1b" not in plain(shown(STRANGE))


def test_a_native_architecture_is_reproduced_as_one() -> None:
    """The command for one of transformers' own says --native, and the seed where it is not the usual."""
    made = report(FAILED, owner="transformers 5.23.0", seed=3)
    assert (
        words.command(made, FAILED) == "autoreg check --native zig --reproduce 'weights.roundtrip[ZigModel]' --seed 3"
    )


def test_explaining_shows_config_inputs_and_capabilities() -> None:
    """What was derived is three small tables; what could not be derived is its problem."""
    text = plain(explained([FACTS, ClassFacts(name="ZigForAll", problem="no inputs were found")]))
    assert "    hidden_size  512  →  64  shrunk: width\n" in text
    assert "    input_ids  int64[2, 8]  the main input\n" in text
    assert "    sdpa   no   contradicted: the hints say so" in text
    assert text.endswith("ZigForAll\n  no inputs were found\n")


def test_names_are_shortened_by_what_they_share() -> None:
    """Class names lose the words that all of them begin with, and never their last."""
    assert words.short_names(["T5Model", "T5ForConditionalGeneration"]) == {
        "T5Model": "Model",
        "T5ForConditionalGeneration": "ForConditionalGeneration",
    }
    assert words.short_names(["RetNet", "RetNetForCausalLM"]) == {
        "RetNet": "Net",
        "RetNetForCausalLM": "NetForCausalLM",
    }
    assert words.short_names(["OnlyOne"]) == {"OnlyOne": "OnlyOne"}

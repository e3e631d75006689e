"""`autoreg handover`: a plugin's architecture beside transformers' own, and a verdict that the registry honours."""

from __future__ import annotations

import importlib.util
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

import autoreg
from autoreg.cli import main
from autoreg.errors import ConflictError, UnknownArchitectureError
from autoreg.handover import compare, keys, offer_of
from autoreg.registry import NATIVE
from autoreg.runtime import Runtime
from autoreg.verdicts import DIFFERENT, EQUIVALENT, KEY_MAP, Verdict, read, written
from tests.plugin_maker import Plugin, write_plugin

MakePlugin = Callable[..., Plugin]
RENAMED = {r"\bself_attn\b": "attention", r"\bmlp\b": "feed_forward", r"\binput_layernorm\b": "norm_before"}


def copied(plugin: Plugin, changes: Mapping[str, str]) -> None:
    """Make the plugin's classes copies of transformers' Llama, under names of their own, with these changes."""
    for kind in ("configuration", "modeling"):
        spec = importlib.util.find_spec(f"transformers.models.llama.{kind}_llama")
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).read_text()
        source = source.replace("from ...", "from transformers.").replace(
            "from .configuration_llama", "from .configuration"
        )
        source = source.replace("Llama", plugin.prefix)
        for pattern, text in changes.items() if kind == "modeling" else ():
            source, found = re.subn(pattern, text, source)
            assert found, pattern
        (plugin.site / plugin.package / f"{kind}.py").write_text(source)


@pytest.fixture
def copy_of_llama(site: Path, isolated: Runtime) -> MakePlugin:
    """Return the function that installs a plugin which has the model type of transformers' Llama."""

    def make(changes: Mapping[str, str] | None = None, **details: object) -> Plugin:
        models = {"AutoModel": "modeling:{0}Model", "AutoModelForCausalLM": "modeling:{0}ForCausalLM"}
        plugin = write_plugin(site, "llama", **{"models": models, "distribution": "autoreg-copy", **details})
        # The class names of transformers' own are refused: these begin otherwise.
        for path in (plugin.site / plugin.package).glob("*.py"):
            path.write_text(path.read_text().replace("Llama", "Copied"))
        renamed = replace(plugin, prefix="Copied")
        copied(renamed, changes or {})
        return renamed

    return make


# --- what cannot be compared -------------------------------------------------------------------------


def test_what_only_one_side_has_is_not_compared(make_plugin: MakePlugin, isolated: Runtime) -> None:
    """A model type that no plugin declares, or that transformers lacks, is refused with a reason."""
    make_plugin("zigzag")
    with pytest.raises(UnknownArchitectureError):
        offer_of(isolated, "llama")
    with pytest.raises(LookupError, match="has no model type 'zigzag' to hand over to"):
        offer_of(isolated, "zigzag")
    assert main(["handover", "zigzag"]) == 1


def test_several_plugins_need_a_name(site: Path, isolated: Runtime) -> None:
    """Where several plugins declare it, one has to be named."""
    write_plugin(site, "llama", distribution="autoreg-one")
    write_plugin(site, "llama", distribution="autoreg-two")
    with pytest.raises(ConflictError):
        offer_of(isolated, "llama")
    assert offer_of(isolated, "llama", "autoreg-two").distribution == "autoreg-two"


def test_nothing_is_overwritten(copy_of_llama: MakePlugin, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of that name is left as it is, and nothing is built first."""
    copy_of_llama()
    (tmp_path / "verdict.json").write_text("mine")
    assert main(["handover", "llama", "--output", str(tmp_path / "verdict.json")]) == 1
    assert "it exists already; nothing was written." in capsys.readouterr().err
    assert (tmp_path / "verdict.json").read_text() == "mine"


# --- verdicts ------------------------------------------------------------------------------------------


def test_a_copy_is_equivalent(copy_of_llama: MakePlugin, isolated: Runtime) -> None:
    """A plugin that copied transformers' own and renamed nothing reads the same weights and computes the same."""
    copy_of_llama()
    verdict, findings = compare(isolated, offer_of(isolated, "llama"))
    assert (verdict.verdict, verdict.key_map) == (EQUIVALENT, {})
    agreed = {(each.part, each.about) for each in findings if each.agrees}
    assert {("outputs", "AutoModel"), ("outputs", "AutoModelForCausalLM"), ("config", "LlamaConfig")} <= agreed


def test_renamed_weights_are_found(copy_of_llama: MakePlugin, isolated: Runtime) -> None:
    """Where modules were renamed, the map between the names is found, and the outputs on mapped weights confirm it."""
    copy_of_llama(RENAMED)
    verdict, _ = compare(isolated, offer_of(isolated, "llama"))
    assert verdict.verdict == KEY_MAP
    assert verdict.key_map["model.layers.*.attention.q_proj.weight"] == "model.layers.*.self_attn.q_proj.weight"
    assert verdict.key_map["layers.*.norm_before.weight"] == "layers.*.input_layernorm.weight"
    assert len(verdict.key_map) == 2 * 8
    assert all(ours != theirs for ours, theirs in verdict.key_map.items())


@pytest.mark.parametrize(
    ("change", "part", "detail"),
    [
        ({r"self\.scaling = self\.head_dim\*\*-0\.5": "self.scaling = 0.5"}, "outputs", "numbers differ"),
        ({r"self\.head_dim, bias=config\.attention_bias": "self.head_dim, bias=True"}, "weights", "the plugin has"),
        ({r"self\.up_proj = nn\.Linear\(self\.hidden_size, ": "self.up_proj = nn.Linear(3, "}, "weights", "of shape"),
        ({r"def __init__\(self, config: CopiedConfig\):": "def __init__(self, config, more):"}, "weights", "TypeError"),
    ],
    ids=["another scale", "more weights", "other shapes", "other arguments"],
)
def test_a_difference_is_located(
    copy_of_llama: MakePlugin, isolated: Runtime, change: Mapping[str, str], part: str, detail: str
) -> None:
    """A plugin that computes something else, or has other weights, is told by where it differs."""
    copy_of_llama(change)
    verdict, findings = compare(isolated, offer_of(isolated, "llama"))
    assert (verdict.verdict, verdict.key_map) == (DIFFERENT, {})
    assert [each.part for each in findings if each.agrees is False] == [part, part]
    assert all(detail in each.detail for each in findings if each.agrees is False)


def test_a_field_of_the_plugins_own_is_a_difference(copy_of_llama: MakePlugin, isolated: Runtime) -> None:
    """A config field that transformers' own would ignore is a difference; one that the plugin lacks is a note."""
    plugin = copy_of_llama()
    file = plugin.site / plugin.package / "configuration.py"
    file.write_text(
        file.read_text().replace("    vocab_size: int =", "    extra_scale: float = 1.0\n    vocab_size: int =")
    )
    verdict, findings = compare(isolated, offer_of(isolated, "llama"))
    assert verdict.verdict == DIFFERENT
    assert [each.about for each in findings if each.agrees is False] == ["extra_scale"]


def test_tokenizers_are_compared(copy_of_llama: MakePlugin, isolated: Runtime) -> None:
    """Tokenizers that make other ids are a difference, and one that cannot be made without files is a note."""
    copy_of_llama(tokenizer="processing:{0}Tokenizer")
    _, findings = compare(isolated, offer_of(isolated, "llama"))
    (found,) = (each for each in findings if each.part == "tokenizer")
    assert found.about == "CopiedTokenizer"
    assert found.agrees is not True


# --- names of weights -----------------------------------------------------------------------------------


def test_layers_are_never_mixed_up() -> None:
    """Names of a pattern are paired by their numbers, and the likeliest name comes first."""
    ours = {f"layers.{n}.{part}.weight": (4, 4) for n in range(12) for part in ("query", "key")}
    theirs = {f"blocks.{n}.{part}_proj.weight": (4, 4) for n in range(12) for part in ("key", "query")}
    first, second = keys.candidates(ours, theirs)
    assert first["layers.11.query.weight"] == "blocks.11.query_proj.weight"
    assert second["layers.11.query.weight"] == "blocks.11.key_proj.weight"
    assert keys.patterns(first) == {
        f"layers.*.{part}.weight": f"blocks.*.{part}_proj.weight" for part in ("query", "key")
    }


def test_shapes_that_do_not_fit_give_no_map() -> None:
    """Without a pairing of shapes there is none, and the reason names a weight."""
    ours, theirs = {"a.weight": (2, 3), "b": (1,)}, {"c.weight": (3, 2), "b": (1,)}
    assert list(keys.candidates(ours, theirs)) == []
    assert keys.first_difference(ours, theirs) == "weights of shape [2, 3], as a.weight, are there 1 and 0 times"
    assert keys.first_difference(ours, {}) == "the plugin has 2 weights and transformers' own 0"


# --- the registry honours it ----------------------------------------------------------------------------


def verdict_for(verdict: str, **changes: str) -> Verdict:
    fields = {"model_type": "bert", "distribution": "my-bert", "versions": "==1.*", "transformers": ">=5,<6", **changes}
    return Verdict(verdict=verdict, **fields)


def chosen(file: Path, verdict: Verdict | None, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, str, list[str]]:
    """Return who has `bert` under the verdict, if any: winner, reason, what became of the plugin, warnings."""
    if verdict is not None:
        file.write_text(written(verdict))
        monkeypatch.setenv("AUTOREG_HANDOVER", str(file))
    with autoreg.isolated() as runtime, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        choice = runtime.types.choose("bert")
        runtime.owns("bert")
        ((offer, fate),) = choice.candidates
        winner = choice.winner if choice.winner == NATIVE else offer.distribution
        return str(winner), choice.reason, fate, [str(each.message) for each in caught]


def test_an_equivalent_plugin_steps_back_in_silence(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the verdict `equivalent` transformers' own is used and nobody is warned, even if the plugin overrides."""
    make_plugin("bert", distribution="my-bert", overrides_native=">=5")
    winner, reason, fate, warned = chosen(tmp_path / "v.json", verdict_for(EQUIVALENT), monkeypatch)
    assert (winner, fate, warned) == (NATIVE, "handed over", [])
    assert reason == "a handover found transformers' own and the plugin's: equivalent"


@pytest.mark.parametrize("verdict", [KEY_MAP, DIFFERENT])
def test_another_plugin_keeps_its_model_type(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: str
) -> None:
    """With any other verdict the plugin keeps the model type, whose checkpoints transformers' own would misread."""
    make_plugin("bert", distribution="my-bert")
    winner, reason, fate, warned = chosen(tmp_path / "v.json", verdict_for(verdict), monkeypatch)
    assert (winner, fate, warned) == ("my-bert", "wins", [])
    assert reason == f"a handover found transformers' own and the plugin's: {verdict}"


@pytest.mark.parametrize(
    "changes", [{"versions": "==2.*"}, {"transformers": "<5"}, {"distribution": "other"}, {"model_type": "gpt2"}]
)
def test_a_verdict_holds_within_its_versions(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    """Beyond the releases, the plugin and the model type that it names, a verdict changes nothing."""
    make_plugin("bert", distribution="my-bert")
    winner, _, fate, warned = chosen(tmp_path / "v.json", verdict_for(DIFFERENT, **changes), monkeypatch)
    assert (winner, fate) == (NATIVE, "loses")
    assert len(warned) == 1


def test_a_plugin_says_itself_that_it_hands_over(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin that declares `hands_over` steps back in silence, for those releases, with no variable set."""
    plugin = make_plugin("bert", distribution="my-bert", hands_over=">=5,<6")
    winner, reason, fate, warned = chosen(tmp_path / "v.json", None, monkeypatch)
    assert (winner, fate, warned) == (NATIVE, "handed over", [])
    assert reason == "the plugin declares that it hands over to transformers' own"
    assert plugin.imported() == ["plugin"]


def test_a_plugin_does_not_hand_over_to_other_releases(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the releases of transformers that it names, the plugin loses with a warning, as it would without."""
    make_plugin("bert", distribution="my-bert", hands_over=">=6")
    winner, _, fate, warned = chosen(tmp_path / "v.json", None, monkeypatch)
    assert (winner, fate, len(warned)) == (NATIVE, "loses", 1)


def test_a_declaration_is_not_imported_to_hand_over_what_only_the_plugin_has(
    make_plugin: MakePlugin, isolated: Runtime
) -> None:
    """Where transformers lacks the model type, nobody asks the declaration who has it."""
    plugin = make_plugin("zigzag", hands_over=">=5")
    assert isolated.types.choose("zigzag").offer is not None
    assert plugin.imported() == []


def test_the_users_verdict_comes_before_the_plugins(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where both have something to say, the file that the user names decides."""
    make_plugin("bert", distribution="my-bert", hands_over=">=5")
    winner, reason, fate, _ = chosen(tmp_path / "v.json", verdict_for(DIFFERENT), monkeypatch)
    assert (winner, fate) == ("my-bert", "wins")
    assert reason == "a handover found transformers' own and the plugin's: different"


def test_a_declaration_of_nonsense_hands_nothing_over(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A specifier that is none breaks the plugin, which `doctor` names; transformers' own is used with the warning."""
    make_plugin("bert", distribution="my-bert", hands_over="5.24")
    winner, _, fate, (warned,) = chosen(tmp_path / "v.json", None, monkeypatch)
    assert (winner, fate) == (NATIVE, "loses")
    assert warned.startswith("my-bert 1.0 declares 'bert', which transformers has too")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "No such file or directory"),
        ("[]", "it is no verdict of `autoreg handover`"),
        ('{"model_type": "bert"}', "it is no verdict of `autoreg handover` ("),
        (written(verdict_for("perhaps")), "its verdict is 'perhaps'"),
        (written(verdict_for(EQUIVALENT, versions="1.0")), "Invalid specifier"),
        ("{", "Expecting property name"),
    ],
)
def test_a_file_that_is_no_verdict_is_a_warning(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, problem: str
) -> None:
    """What cannot be used is named with a reason, once, and changes nothing."""
    make_plugin("zigzag")
    if text is not None:
        (tmp_path / "v.json").write_text(text)
    monkeypatch.setenv("AUTOREG_HANDOVER", str(tmp_path / "v.json"))
    with autoreg.isolated() as runtime, pytest.warns(autoreg.AutoregWarning, match=re.escape(problem)):
        assert runtime.owns("zigzag")


def test_the_command_writes_what_the_registry_reads(
    copy_of_llama: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict on the screen, in JSON and in the file are one, and with the file the plugin keeps its model type."""
    copy_of_llama(RENAMED)
    file = tmp_path / "verdict.json"
    assert main(["handover", "llama", "--output", str(file), "--json"]) == 0
    verdict = read(str(file))
    assert json.loads(capsys.readouterr().out)["verdict"] == verdict.verdict == KEY_MAP
    assert verdict.holds("1.0", version("transformers"))
    assert not verdict.holds("1.1", version("transformers"))
    assert main(["handover", "llama"]) == 0
    assert f'overrides_native="{verdict.transformers}"' in capsys.readouterr().out
    monkeypatch.setenv("AUTOREG_HANDOVER", str(file))
    with autoreg.isolated() as runtime:
        assert runtime.types.choose("llama").offer is not None

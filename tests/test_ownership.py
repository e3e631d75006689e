# ruff: noqa: E501 # tables of whole messages, one case a line
"""Every row of DESIGN.md's table "Who owns a model type", end to end, with the words that a user reads."""

import os
import warnings
from pathlib import Path

import pytest

import autoreg
import autoreg.runtime
from tests.conftest import MakePlugin
from tests.plugin_maker import write_checkpoint, write_plugin


def told(check: object) -> list[str]:
    """Return the text of each AutoregWarning that was recorded."""
    return [str(warning.message) for warning in check if issubclass(warning.category, autoreg.AutoregWarning)]


def config_of(model_type: str, **options: object) -> type:
    """Return the config class that autoreg gives for a model type."""
    return type(autoreg.AutoConfig.for_model(model_type, **options))


# --- two plugins, one model type -------------------------------------------------------------------


def conflict(first: object, second: object) -> str:
    return (
        "2 installed plugins claim 'zigzag':\n"
        f"  - {first.owner} ({first.site})\n  - {second.owner} ({second.site})\n"
        f'Choose one by setting the environment variable AUTOREG_PREFER="zigzag={first.distribution}"'
        f' (or "zigzag={second.distribution}"), or uninstall the other with `pip uninstall`.'
    )


def test_two_plugins_conflict(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """Two plugins with one model type are a ConflictError that names both and the line that settles it."""
    first, second = make_plugin(distribution="acme-zigzag"), make_plugin(distribution="zz-top", version="2.0")
    checkpoint = write_checkpoint(tmp_path / "checkpoint", {"model_type": "zigzag"})
    for look_up in (
        lambda: autoreg.AutoConfig.for_model("zigzag"),
        lambda: autoreg.AutoConfig.from_pretrained(checkpoint),
        lambda: autoreg.AutoModel.from_pretrained(checkpoint),
        lambda: autoreg.AutoTokenizer.from_pretrained(checkpoint),
    ):
        with pytest.raises(autoreg.ConflictError) as caught:
            look_up()
        assert str(caught.value) == conflict(first, second)
        assert caught.value.claimants == tuple((it.distribution, it.version, str(it.site)) for it in (first, second))
    assert first.imported() == second.imported() == []


@pytest.mark.parametrize("written", ["zz-top", "ZZ_Top", "zz.top"])
def test_prefer_settles_a_conflict(make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    """AUTOREG_PREFER settles a conflict, however the distribution's name is written."""
    make_plugin(distribution="acme-zigzag")
    second = make_plugin(distribution="zz-top")
    monkeypatch.setenv("AUTOREG_PREFER", f"zigzag={written}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", autoreg.AutoregWarning)
        assert config_of("zigzag") is second.cls("configuration:Config")


def test_a_conflict_is_nobodys_concern_until_it_is_looked_up(make_plugin: MakePlugin) -> None:
    """A conflict over one model type leaves all other model types alone, transformers' own and plugins'."""
    make_plugin(distribution="acme-zigzag")
    make_plugin(distribution="zz-top")
    other = make_plugin("other")
    assert config_of("other") is other.cls("configuration:Config")
    assert config_of("bert").__module__.startswith("transformers.")


# --- the same plugin twice -------------------------------------------------------------------------


def test_a_stale_double_gives_way_to_the_importable_one(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a distribution that is installed twice the importable one is used, without a conflict."""
    live = make_plugin()
    stale = write_plugin(tmp_path / "stale", distribution="Autoreg.Zigzag", version="0.1")
    (stale.site / stale.package).rename(stale.site / "moved_away")
    monkeypatch.syspath_prepend(stale.site)  # found first
    assert config_of("zigzag") is live.cls("configuration:Config")
    fates = dict(autoreg.runtime.current().types.choose("zigzag").candidates)
    assert {offer.version: fate for offer, fate in fates.items()} == {"1.0": "wins", "0.1": "shadowed"}


# --- a plugin and transformers' own ----------------------------------------------------------------


def test_transformers_own_wins_with_one_warning(make_plugin: MakePlugin) -> None:
    """transformers' own architecture wins over a plugin that declares no override, with one warning for it."""
    plugin = make_plugin("bert", distribution="my-bert", config="configuration:BertConfigOfMine", models={})
    with pytest.warns(autoreg.AutoregWarning) as check:  # noqa: PT031 # once is what is tested
        assert config_of("bert").__module__.startswith("transformers.")
        assert config_of("bert").__module__.startswith("transformers.")
    assert told(check) == [
        "my-bert 1.0 declares 'bert', which transformers has too: transformers' own is used."
        ' To use the plugin, set AUTOREG_PREFER="bert=my-bert".'
    ]
    assert check[0].filename == __file__
    assert "configuration" not in plugin.imported()


def make_bert(make_plugin: MakePlugin, **details: object) -> object:
    """Install a plugin that has a BERT of its own."""
    return make_plugin("bert", distribution="my-bert", **details)


def test_an_override_in_range_wins(make_plugin: MakePlugin) -> None:
    """A plugin that declares to override the installed version of transformers wins without a warning."""
    plugin = make_bert(make_plugin, overrides_native=">=5.0,<99")
    with warnings.catch_warnings():
        warnings.simplefilter("error", autoreg.AutoregWarning)
        config = autoreg.AutoConfig.for_model("bert")
        model = autoreg.AutoModel.from_config(config)
    assert type(config) is plugin.cls("configuration:Config")
    assert type(model) is plugin.cls("modeling:Model")


def test_an_override_out_of_range_loses(make_plugin: MakePlugin) -> None:
    """A plugin that overrides only other versions of transformers loses like one that overrides none."""
    make_bert(make_plugin, overrides_native="<5.0")
    with pytest.warns(autoreg.AutoregWarning, match="transformers' own is used"):
        assert config_of("bert").__module__.startswith("transformers.")


def test_prefer_chooses_transformers_over_an_override(make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """AUTOREG_PREFER="bert=transformers" keeps transformers' own against a declared override, in silence."""
    make_bert(make_plugin, overrides_native=">=5.0")
    monkeypatch.setenv("AUTOREG_PREFER", "bert=transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("error", autoreg.AutoregWarning)
        config = autoreg.AutoConfig.for_model("bert", num_hidden_layers=1, hidden_size=12, intermediate_size=8)
        assert type(autoreg.AutoModel.from_config(config)).__module__.startswith("transformers.")


def test_prefer_chooses_the_plugin_without_an_override(
    make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AUTOREG_PREFER lets a plugin win that declares no override itself, as the warning promises."""
    modules = {"configuration": CONFIGURATION.replace("Name", "MyBertConfig"), "modeling": ""}
    plugin = make_bert(make_plugin, config="configuration:MyBertConfig", models={}, modules=modules)
    monkeypatch.setenv("AUTOREG_PREFER", "bert=my-bert")
    assert config_of("bert").__module__ == f"{plugin.package}.configuration"


CONFIGURATION = """
from transformers import PreTrainedConfig

class Name(PreTrainedConfig):
    model_type = "$model_type"
"""


# --- somebody overrode a native type behind our back -----------------------------------------------


def tiny_bert() -> dict[str, object]:
    return {"model_type": "bert", "num_hidden_layers": 1, "hidden_size": 12, "intermediate_size": 8, "vocab_size": 9}


def override_bert() -> tuple[type, type]:
    """Do what some packages do when they are imported; return the native and the new class."""
    import transformers

    class Usurper(transformers.BertModel):
        pass

    transformers.AutoModel.register(transformers.BertConfig, Usurper, exist_ok=True)
    return transformers.BertModel, Usurper


def test_an_override_behind_our_back_is_shown_once(isolated: object, tmp_path: Path) -> None:
    """A class registered over transformers' own is used, and one warning names it and the way back."""
    import transformers

    native, usurper = override_bert()
    checkpoint = tmp_path / "bert"
    native(transformers.BertConfig(**tiny_bert())).save_pretrained(checkpoint)
    with pytest.warns(autoreg.AutoregWarning) as check:  # noqa: PT031 # once is what is tested
        assert type(autoreg.AutoModel.from_pretrained(checkpoint)) is usurper
        assert type(autoreg.AutoModel.from_pretrained(checkpoint)) is usurper
    assert told(check) == [
        f"'bert' is one of transformers' own, and {__name__}.Usurper was registered in its place by some package."
        ' To load the native class, set AUTOREG_PREFER="bert=transformers".'
    ]
    assert check[0].filename == __file__


@pytest.mark.parametrize("usurped", ["model", "config"])
def test_prefer_restores_the_native_class(
    isolated: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usurped: str
) -> None:
    """AUTOREG_PREFER="bert=transformers" gives the native class back, in autoreg's Auto classes and plain ones."""
    import transformers

    native = transformers.BertModel
    if usurped == "model":
        override_bert()
    else:
        other = type("OtherConfig", (transformers.BertConfig,), {"model_type": "bert", "__module__": "kernel"})
        transformers.AutoConfig.register("bert", other, exist_ok=True)
    checkpoint = tmp_path / "bert"
    native(transformers.BertConfig(**tiny_bert())).save_pretrained(checkpoint)
    monkeypatch.setenv("AUTOREG_PREFER", "bert=transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("error", autoreg.AutoregWarning)
        assert type(autoreg.AutoModel.from_pretrained(checkpoint)) is native
        assert type(transformers.AutoModel.from_pretrained(checkpoint)) is native


# --- a plugin claims a checkpoint's `architectures` ------------------------------------------------

CLAIM = {
    "config": None,
    "architectures": ["ZetaForForecast"],
    "models": {"AutoModel": "claim:ZetaForForecast"},
    "modules": {
        "claim": """
        import transformers

        class ZetaForForecast(transformers.BertModel):
            pass
        """
    },
    "entry_points": "[autoreg.architectures]\nZetaForForecast = $package.plugin\n",
}


def bert_checkpoints(tmp_path: Path) -> tuple[Path, Path]:
    """Save one checkpoint that says ZetaForForecast and one that says BertModel, both of model type bert."""
    import transformers

    model = transformers.BertModel(transformers.BertConfig(**tiny_bert()))
    claimed, native = tmp_path / "claimed", tmp_path / "native"
    type("ZetaForForecast", (transformers.BertModel,), {})(model.config).save_pretrained(claimed)
    transformers.BertModel(transformers.BertConfig(**tiny_bert())).save_pretrained(native)
    return claimed, native


def test_a_claim_takes_its_checkpoints_and_no_other(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A claimed checkpoint of a native model type is loaded by the plugin; every other one stays native."""
    import transformers

    plugin = make_plugin("bert", distribution="zeta", **CLAIM)
    claimed, native = bert_checkpoints(tmp_path)
    assert type(autoreg.AutoModel.from_pretrained(claimed)).__module__ == f"{plugin.package}.claim"
    assert type(autoreg.AutoModel.from_pretrained(native)) is transformers.BertModel
    assert type(autoreg.AutoConfig.from_pretrained(claimed)) is transformers.BertConfig
    with pytest.raises(autoreg.UnknownArchitectureError) as caught:
        autoreg.AutoModelForCausalLM.from_pretrained(claimed)
    assert "'bert' has no class for AutoModelForCausalLM.\nzeta 1.0 declares it with: AutoModel." in str(caught.value)


def test_a_claim_with_a_config_of_its_own(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A claim may bring a config class; keywords become its fields, and reach the model."""
    import transformers

    source = """
    import transformers

    class ZetaConfig(transformers.BertConfig):
        model_type = "bert"
        horizon: int = 7

    class ZetaForForecast(transformers.BertModel):
        config_class = ZetaConfig
    """
    details = {**CLAIM, "config": "claim:ZetaConfig", "modules": {"claim": source}}
    plugin = make_plugin("bert", distribution="zeta", **details)
    claimed, native = bert_checkpoints(tmp_path)
    assert type(autoreg.AutoConfig.from_pretrained(claimed)).__module__ == f"{plugin.package}.claim"
    model = autoreg.AutoModel.from_pretrained(claimed, horizon=9)
    assert (type(model).__module__, model.config.horizon) == (f"{plugin.package}.claim", 9)
    assert type(autoreg.AutoModel.from_config(model.config)) is type(model)
    assert type(autoreg.AutoModel.from_pretrained(native)) is transformers.BertModel


def test_prefer_gives_a_claimed_checkpoint_back(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AUTOREG_PREFER="ZetaForForecast=transformers" loads a claimed checkpoint with transformers' own class."""
    import transformers

    make_plugin("bert", distribution="zeta", **CLAIM)
    claimed, _ = bert_checkpoints(tmp_path)
    monkeypatch.setenv("AUTOREG_PREFER", "ZetaForForecast=transformers")
    assert type(autoreg.AutoModel.from_pretrained(claimed)) is transformers.BertModel


def test_two_claims_conflict(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """Two plugins that claim one class name are a ConflictError, for the claimed checkpoints only."""
    for distribution in ("zeta", "eta"):
        make_plugin("bert", distribution=distribution, **CLAIM)
    claimed, native = bert_checkpoints(tmp_path)
    with pytest.raises(autoreg.ConflictError, match="2 installed plugins claim 'ZetaForForecast':"):
        autoreg.AutoModel.from_pretrained(claimed)
    assert type(autoreg.AutoModel.from_pretrained(native)).__name__ == "BertModel"


# --- the user's own register -----------------------------------------------------------------------


def test_the_users_own_register_wins(make_plugin: MakePlugin) -> None:
    """What the user registered himself wins over a plugin of the same model type."""
    import transformers

    plugin = make_plugin()
    mine = type("MineConfig", (transformers.PreTrainedConfig,), {"model_type": "zigzag"})
    transformers.AutoConfig.register("zigzag", mine)
    assert config_of("zigzag") is mine
    assert "configuration" not in plugin.imported()


# --- unusable, broken ------------------------------------------------------------------------------


def test_unmet_requirements_are_named(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A plugin whose requirements are not met raises them at the look-up, and nothing of it is imported."""
    plugin = make_plugin(requires=["transformers>=99", "no-such-thing", "pluggy"])
    checkpoint = write_checkpoint(tmp_path / "checkpoint", {"model_type": "zigzag"})
    installed = autoreg.runtime.current().transformers_version
    with pytest.raises(autoreg.PluginError) as caught:
        autoreg.AutoModel.from_pretrained(checkpoint)
    assert str(caught.value) == plugin.cannot_be_used(
        f"its requirements are not met: transformers>=99 ({installed} is installed), no-such-thing (not installed)",
        advice='Install what it needs: pip install "transformers>=99" "no-such-thing"',
    )
    assert isinstance(caught.value, ImportError)
    assert plugin.imported() == []


def test_a_plugin_that_fails_to_import_is_blamed(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A plugin that fails to import raises PluginError with the cause chained, and all others work."""
    plugin = make_plugin(modules={"plugin": "import no_such_module_anywhere"})
    other = make_plugin("other")
    checkpoint = write_checkpoint(tmp_path / "checkpoint", {"model_type": "zigzag"})
    for look_up in (autoreg.AutoConfig, autoreg.AutoModel, autoreg.AutoTokenizer):
        with pytest.raises(autoreg.PluginError) as caught:
            look_up.from_pretrained(checkpoint)
        assert str(caught.value) == plugin.cannot_be_used(
            f"importing '{plugin.package}.plugin' raised ModuleNotFoundError: No module named 'no_such_module_anywhere'"
        )
        assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert config_of("other") is other.cls("configuration:Config")


def test_a_class_that_fails_to_import_is_blamed(make_plugin: MakePlugin) -> None:
    """A class that cannot be imported raises PluginError naming the reference, through every Auto class."""
    plugin = make_plugin(modules={"modeling": "raise RuntimeError('no such device')"})
    config = autoreg.AutoConfig.for_model("zigzag")
    with pytest.raises(autoreg.PluginError) as caught:
        autoreg.AutoModel.from_config(config)
    assert str(caught.value) == plugin.cannot_be_used(
        "RuntimeError: no such device", declared=f"the class {plugin.package}.modeling:ZigzagModel"
    )


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("class ZigzagConfig: pass", "it is no PreTrainedConfig"),
        (CONFIGURATION.replace("Name", "ZigzagConfig").replace("$model_type", "zag"), "its `model_type` is 'zag', not 'zigzag'"),
        ("ZigzagConfig = 3", "{reference} is int, not a class"),
        ("ZigzagConfigs = 3", "ImportError: module '{module}' has no 'ZigzagConfig'; it has 'ZigzagConfigs'"),
    ],
)  # fmt: skip
def test_a_config_class_that_is_none_is_blamed(make_plugin: MakePlugin, source: str, problem: str) -> None:
    """A declared config class that is something else is refused with what it is."""
    plugin = make_plugin(modules={"configuration": source})
    module = f"{plugin.package}.configuration"
    reference = f"{module}:ZigzagConfig"
    with pytest.raises(autoreg.PluginError) as caught:
        autoreg.AutoConfig.for_model("zigzag")
    expected = problem.format(reference=reference, module=module)
    assert str(caught.value) == plugin.cannot_be_used(expected, declared=f"the class {reference}")


def test_an_unused_broken_plugin_changes_nothing(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """Broken, unusable and conflicting plugins that nobody looks up raise nothing, warn nothing, change nothing."""
    make_plugin("broken", modules={"plugin": "1/0"})
    make_plugin("unusable", requires=["no-such-thing"])
    for distribution in ("one", "two"):
        make_plugin("conflict", distribution=distribution)
    good = make_plugin("good")
    _, native = bert_checkpoints(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", autoreg.AutoregWarning)
        assert type(autoreg.AutoModel.from_pretrained(native)).__name__ == "BertModel"
        assert config_of("good") is good.cls("configuration:Config")


# --- nobody has it ---------------------------------------------------------------------------------


def unknown(name: str, file: str = "", *, notes: str = "", near: str = "", advice: str = "") -> str:
    problem = (
        f"the model type {name!r} is neither one of transformers {autoreg.runtime.current().transformers_version}'s own"
        " nor declared by an installed plugin."
    )
    listed = "See what is installed with `autoreg list`, and how this was decided with "
    last = advice or f"{listed}`autoreg why {file or name}`."
    return "\n".join(part for part in (f"{file}: {problem}" if file else problem, notes, near, last) if part)


def test_nobody_has_it(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A model type that nobody has is an UnknownArchitectureError that offers near matches."""
    make_plugin()
    with pytest.raises(autoreg.UnknownArchitectureError) as caught:
        autoreg.AutoConfig.for_model("zigzagg")
    assert str(caught.value) == unknown("zigzagg", near="Did you mean 'zigzag'?")
    assert isinstance(caught.value, ValueError)
    folder = write_checkpoint(tmp_path / "checkpoint", {"model_type": "qqqqq"})
    for auto_class in (autoreg.AutoConfig, autoreg.AutoModel, autoreg.AutoModelForCausalLM):
        with pytest.raises(autoreg.UnknownArchitectureError) as caught:
            auto_class.from_pretrained(folder)
        assert str(caught.value) == unknown("qqqqq", os.fspath(folder / "config.json"))


def test_a_tokenizer_beside_an_unknown_config(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A tokenizer loads by its own files beside a config that nobody knows; without files, that is what is said."""
    make_plugin()
    folder = write_checkpoint(tmp_path / "checkpoint", {"model_type": "qqqqq"})
    with pytest.raises(autoreg.UnknownArchitectureError) as caught:
        autoreg.AutoTokenizer.from_pretrained(folder)
    assert str(caught.value) == unknown("qqqqq", os.fspath(folder / "config.json"))
    write_checkpoint(folder, tokenizer_config={"tokenizer_class": "ByT5Tokenizer"})
    assert type(autoreg.AutoTokenizer.from_pretrained(folder)).__name__ == "ByT5Tokenizer"


def test_the_checkpoint_says_which_package_it_needs(isolated: object, tmp_path: Path) -> None:
    """The requirement that the checkpoint carries is repeated word for word, even where it has code of its own."""
    fields = {
        "model_type": "qqqqq",
        "autoreg": {"requires": "autoreg-qqqqq>=1.2,<2"},
        "auto_map": {"AutoModel": "modeling.Q"},
    }
    folder = write_checkpoint(tmp_path / "checkpoint", fields)
    with pytest.raises(autoreg.UnknownArchitectureError) as caught:
        autoreg.AutoModel.from_pretrained(folder)
    advice = "The checkpoint says which package it needs. If you trust it: pip install 'autoreg-qqqqq>=1.2,<2'"
    assert str(caught.value) == unknown("qqqqq", os.fspath(folder / "config.json"), advice=advice)


def test_a_head_that_nobody_has(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A head that the plugin does not declare is an UnknownArchitectureError that lists those it has."""
    plugin = make_plugin()
    folder = write_checkpoint(tmp_path / "checkpoint", {"model_type": "zigzag"})
    with pytest.raises(autoreg.UnknownArchitectureError) as caught:
        autoreg.AutoModelForCausalLM.from_pretrained(folder)
    assert str(caught.value) == (
        f"{folder}: 'zigzag' has no class for AutoModelForCausalLM.\nautoreg-zigzag 1.0 declares it with: AutoModel.\n"
        "See what is installed with `autoreg list`, and how this was decided with"
        f" `autoreg why {folder}`."
    )
    with pytest.raises(autoreg.UnknownArchitectureError, match="'zigzag' has no class for AutoModelForCausalLM"):
        autoreg.AutoModelForCausalLM.from_config(autoreg.AutoConfig.from_pretrained(folder))
    assert "modeling" not in plugin.imported()


# --- AUTOREG_DISABLE, AUTOREG_ONLY, AUTOREG_PREFER, AUTOREG_STRICT ----------------------------------


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AUTOREG_DISABLE", "zigzag"),
        ("AUTOREG_DISABLE", " other-thing , Autoreg.Zigzag,"),
        ("AUTOREG_ONLY", "other"),
        ("AUTOREG_ONLY", "autoreg_other"),
    ],
)
def test_switched_off_is_said(
    make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """A plugin that is switched off, by distribution or model type, is named when it is looked up."""
    make_plugin()
    make_plugin("other")
    monkeypatch.setenv(variable, value)
    warnings.simplefilter("ignore", autoreg.AutoregWarning)
    with pytest.raises(autoreg.UnknownArchitectureError) as caught:
        autoreg.AutoConfig.for_model("zigzag")
    note = "autoreg-zigzag 1.0 declares it and is switched off by AUTOREG_DISABLE or AUTOREG_ONLY."
    assert str(caught.value).splitlines()[1] == note
    assert config_of("other").model_type == "other"


def test_disable_takes_a_broken_plugin_out_of_the_way(make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two plugins the broken one can be disabled, and the other one is used."""
    make_plugin(distribution="bad", modules={"plugin": "1/0"})
    good = make_plugin(distribution="good")
    monkeypatch.setenv("AUTOREG_DISABLE", "bad")
    assert config_of("zigzag") is good.cls("configuration:Config")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AUTOREG_DISABLE", "zigzug", "AUTOREG_DISABLE names 'zigzug', and nothing installed answers to it (see `autoreg list`)"),
        ("AUTOREG_ONLY", "zigzag,nope", "AUTOREG_ONLY names 'nope', and nothing installed answers to it (see `autoreg list`)"),
        ("AUTOREG_PREFER", "zigzag=nope", "AUTOREG_PREFER names 'zigzag=nope', and nothing installed answers to it (see `autoreg list`)"),
        ("AUTOREG_PREFER", "nope=transformers", "AUTOREG_PREFER names 'nope=transformers', and nothing installed answers to it (see `autoreg list`)"),
        ("AUTOREG_PREFER", "zigzag", "AUTOREG_PREFER holds 'zigzag', which is not of the form \"model_type=distribution\""),
        ("AUTOREG_STRICT", "ja", "AUTOREG_STRICT is 'ja'; it is 0 or 1, and 1 is assumed"),
    ],
)  # fmt: skip
def test_names_that_nothing_answers_to_warn(
    make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """A switch that names nothing installed, or says nothing, warns once at the caller's line."""
    make_plugin()
    if variable == "AUTOREG_STRICT":  # read when there is something to warn of
        make_plugin("bert", distribution="my-bert")
    monkeypatch.setenv(variable, value)
    with pytest.warns(autoreg.AutoregWarning) as check:  # noqa: PT031 # once is what is tested
        if variable == "AUTOREG_STRICT":
            with pytest.raises(autoreg.StrictError):
                config_of("bert")
        else:
            config_of("zigzag")
            config_of("zigzag")
    assert told(check) == [message]
    assert check[0].filename == __file__


def test_strict_makes_a_warning_an_error(make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """With AUTOREG_STRICT=1 what would warn raises StrictError with the same words."""
    make_plugin("bert", distribution="my-bert")
    monkeypatch.setenv("AUTOREG_STRICT", "1")
    with pytest.raises(autoreg.StrictError) as caught:
        config_of("bert")
    assert str(caught.value) == (
        "my-bert 1.0 declares 'bert', which transformers has too: transformers' own is used."
        ' To use the plugin, set AUTOREG_PREFER="bert=my-bert".\n'
        "(AUTOREG_STRICT is set, which makes this warning an error.)"
    )


def test_strict_does_not_wear_off(make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that AUTOREG_STRICT made an error is an error the second time too."""
    make_plugin("bert", distribution="my-bert")
    monkeypatch.setenv("AUTOREG_STRICT", "1")
    for _ in range(2):
        with pytest.raises(autoreg.StrictError):
            config_of("bert")


# --- names of classes ------------------------------------------------------------------------------


def test_a_class_name_of_transformers_own_is_refused(make_plugin: MakePlugin) -> None:
    """A declared class of the name of one of transformers' own is refused, for each kind of class."""
    plugin = make_plugin(config="configuration:BertConfig")
    with pytest.raises(autoreg.PluginError) as caught:
        autoreg.AutoConfig.for_model("zigzag")
    assert str(caught.value) == plugin.cannot_be_used(
        f"`config` is {plugin.package}.configuration:BertConfig, and transformers has a class 'BertConfig' of its own,"
        " which it would confuse with this one; rename it, or declare `overrides_native`"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tokenizer", "processing:BertTokenizer"),
        ("image_processor", "processing:ViTImageProcessor"),
        ("feature_extractor", "processing:Wav2Vec2FeatureExtractor"),
        ("processor", "processing:CLIPProcessor"),
        ("models", {"AutoModelForCausalLM": ("modeling:{0}Model", "modeling:GPT2LMHeadModel")}),
    ],
)
def test_every_kind_of_class_name_is_compared(make_plugin: MakePlugin, field: str, value: object) -> None:
    """The names of tokenizers, processors and heads are compared with transformers' own as well."""
    make_plugin(**{field: value})
    with pytest.raises(autoreg.PluginError, match=rf"`{field}.*transformers has a class '\w+' of its own"):
        autoreg.AutoConfig.for_model("zigzag")


def test_a_class_name_may_be_transformers_own_where_it_is_declared(make_plugin: MakePlugin) -> None:
    """A class of the name of one of transformers' own is allowed where the plugin declares the override."""
    plugin = make_bert(make_plugin, overrides_native=">=5.0")
    assert config_of("bert") is plugin.cls("configuration:Config")
    assert config_of("bert").__name__ == "BertConfig"


def test_class_names_between_plugins_collide(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A class name that two plugins declare is a ConflictError when it is looked up by name, and settled by PREFER."""
    first, second = (
        make_plugin(name, tokenizer="processing:SharedTokenizer", modules={"processing": PROCESSING_SOURCE})
        for name in ("zig", "zag")
    )
    folder = write_checkpoint(tmp_path / "tokenizer", tokenizer_config={"tokenizer_class": "SharedTokenizer"})
    with pytest.raises(autoreg.ConflictError, match="2 installed plugins claim 'SharedTokenizer':") as caught:
        autoreg.AutoTokenizer.from_pretrained(folder)
    assert {it[0] for it in caught.value.claimants} == {first.distribution, second.distribution}
    for plugin in (first, second):  # with a config.json beside them there is no doubt
        folder = write_checkpoint(
            tmp_path / plugin.model_type,
            {"model_type": plugin.model_type},
            tokenizer_config={"tokenizer_class": "SharedTokenizer"},
        )
        assert type(autoreg.AutoTokenizer.from_pretrained(folder)).__module__ == f"{plugin.package}.processing"


def test_prefer_settles_a_class_name(make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that a conflict over a class name proposes settles it, and is not warned of."""
    for name in ("zig", "zag"):
        last = make_plugin(name, tokenizer="processing:SharedTokenizer", modules={"processing": PROCESSING_SOURCE})
    folder = write_checkpoint(tmp_path / "tokenizer", tokenizer_config={"tokenizer_class": "SharedTokenizer"})
    monkeypatch.setenv("AUTOREG_PREFER", "SharedTokenizer=Autoreg_Zag")
    with warnings.catch_warnings():
        warnings.simplefilter("error", autoreg.AutoregWarning)
        assert type(autoreg.AutoTokenizer.from_pretrained(folder)).__module__ == f"{last.package}.processing"


PROCESSING_SOURCE = """
from transformers import PreTrainedTokenizer

class SharedTokenizer(PreTrainedTokenizer):
    vocab_size = 2

    def get_vocab(self):
        return {"a": 0, "b": 1} | self.added_tokens_encoder

    def _tokenize(self, text, **kwargs):
        return list(text)
"""


def test_two_model_types_may_share_a_class(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """Two model types of one plugin that declare the same class do not collide over its name."""
    source = """
from autoreg import Architecture, hookimpl

@hookimpl
def autoreg_architectures():
    for name in ("zig", "zag"):
        yield Architecture(
            model_type=name, config=f"$package.c:{name}Config", tokenizer="$package.processing:SharedTokenizer"
        )
"""
    lines = "[autoreg]\nzig = $package.plugin\nzag = $package.plugin\n"
    plugin = make_plugin("zig", modules={"plugin": source, "processing": PROCESSING_SOURCE}, entry_points=lines)
    folder = write_checkpoint(tmp_path / "tokenizer", tokenizer_config={"tokenizer_class": "SharedTokenizer"})
    assert type(autoreg.AutoTokenizer.from_pretrained(folder)).__module__ == f"{plugin.package}.processing"


def test_prefer_is_heeded_though_the_preferred_cannot_be_used(
    make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin that AUTOREG_PREFER names and that cannot be used raises its reason; no other takes its place unsaid."""
    make_plugin(distribution="wanted", requires=["no-such-thing"])
    make_plugin(distribution="other")
    monkeypatch.setenv("AUTOREG_PREFER", "zigzag=wanted")
    with pytest.raises(autoreg.PluginError, match="its requirements are not met: no-such-thing"):
        autoreg.AutoConfig.for_model("zigzag")


@pytest.mark.parametrize("details", [{"requires": ["no-such-thing"]}, {"modules": {"plugin": "1/0"}}])
def test_a_native_type_survives_a_plugin_that_cannot_be_used(
    make_plugin: MakePlugin, details: dict[str, object]
) -> None:
    """A plugin for a native model type that is broken or unusable leaves transformers' own in place."""
    make_plugin("bert", distribution="my-bert", overrides_native=">=5", **details)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", autoreg.AutoregWarning)
        assert config_of("bert").__module__.startswith("transformers.")

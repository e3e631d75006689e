"""The suite on an architecture that claims checkpoints of a native model type."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from autoreg.conformance.outcome import Outcome
from autoreg.conformance.target import look_up, plugin_target
from autoreg.conformance.worker import Job, Worker
from autoreg.errors import UnknownArchitectureError
from autoreg.runtime import Runtime
from tests.conformance.test_twins import CHECKS
from tests.conftest import MakePlugin
from tests.plugin_maker import Plugin

MODELING = """
    import torch
    from transformers import T5Config, T5PreTrainedModel

    class ${Class}Model(T5PreTrainedModel):
        config_class = T5Config

        def __init__(self, config):
            super().__init__(config)
            self.patches = torch.nn.Linear(config.patch_size, config.d_model)
            self.post_init()

        def forward(self, context):
            return (self.patches(context),)
    """
HINTS = """
    import torch
    from autoreg.conformance import Hints

    def series(config, batch_size, length, seed):
        generator = torch.Generator().manual_seed(seed)
        return {"context": torch.randn(batch_size, config.patch_size, generator=generator)}

    hints = Hints(config={"$field": 4}, inputs=series)
    """


@pytest.fixture
def make_claim(make_plugin: MakePlugin):
    """Return the function that installs a plugin which claims checkpoints of t5, whose hint is this field."""

    def make(field: str = "patch_size") -> Plugin:
        plugin = make_plugin(
            "zigzag",
            config=None,
            models={"AutoModel": "modeling:{0}Model"},
            architectures=("ZigzagModel",),
            entry_points="[autoreg.architectures]\nZigzagModel = $package.plugin\n",
            modules={"modeling": MODELING, "hinting": HINTS.replace("$field", field)},
            conformance="hinting:hints",
        )
        declaration = plugin.site / plugin.package / "plugin.py"
        declaration.write_text(declaration.read_text().replace("'model_type': 'zigzag'", "'model_type': 't5'"))
        return plugin

    return make


@pytest.fixture
def outcome(isolated: Runtime) -> Callable[..., Outcome]:
    """Return the function that runs one check on the claimed class."""

    def run(check: str, subject: str = "") -> Outcome:
        with Worker(partial(plugin_target, isolated, "ZigzagModel"), checks=list(CHECKS.values())) as worker:
            found = worker.run(Job(check=CHECKS[check], subject=subject))
        assert isinstance(found, Outcome)
        return found

    return run


def test_a_claim_is_looked_up_by_its_class_name(make_claim, isolated: Runtime) -> None:
    """The target has transformers' config class and the plugin's models, and goes by the claimed name."""
    plugin = make_claim()
    look_up(isolated, "ZigzagModel")
    target = plugin_target(isolated, "ZigzagModel")
    assert (target.name, target.model_type, target.owner) == ("ZigzagModel", "t5", plugin.owner)
    assert target.config_class.__module__.startswith("transformers.")
    assert list(target.models) == [plugin.cls("modeling:Model")]
    with pytest.raises(UnknownArchitectureError):
        look_up(isolated, "ZigzagModle")


@pytest.mark.parametrize("check", ["registration.auto-classes", "registration.hints", "registration.model-type"])
def test_what_concerns_the_declaration_passes(make_claim, outcome, check: str) -> None:
    """Checks of the declaration pass, among them that of hints for a field that only the model reads."""
    make_claim()
    found = outcome(check)
    assert (found.verdict, found.reason) == ("passed", "")


def test_its_checkpoints_load_through_autoreg(make_claim, outcome) -> None:
    """What is saved loads through autoreg's Auto classes; plain ones know the native model type alone."""
    make_claim()
    found = outcome("weights.auto", "ZigzagModel")
    assert (found.verdict, found.reason) == ("passed", "")


def test_a_hint_that_nobody_reads_is_caught(make_claim, outcome) -> None:
    """A field that neither the config nor the model's source knows is named."""
    make_claim("pach_size")
    found = outcome("registration.hints")
    assert found.verdict == "failed"
    assert "`Hints.config` names 'pach_size', which does not exist" in found.reason

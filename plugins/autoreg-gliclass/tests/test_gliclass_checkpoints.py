"""Real checkpoints, made by the package's own class: they load with equal weights, nested configs included."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import autoreg
import pytest
import torch
from autoreg.pytest_plugin import conformance

from autoreg_gliclass.conformance import hints, labelled

pytest.importorskip("gliclass", reason="pip install --no-deps gliclass")
from gliclass.config import GLiClassModelConfig
from gliclass.model import GLiClassModel

_LOAD = """
import json, sys
import autoreg, torch
model = autoreg.AutoModel.from_pretrained(sys.argv[1])
torch.save(model.state_dict(), sys.argv[2])
print(json.dumps(f"{type(model).__module__}:{type(model).__name__}"))
"""


def tiny(**fields: object) -> GLiClassModel:
    """Return a tiny classifier with random weights; the fields go to its config."""
    torch.manual_seed(0)
    return GLiClassModel(GLiClassModelConfig(**{**copy.deepcopy(hints.config), **fields})).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a tiny model and the folder that it saved itself to, as its package's users do."""
    model, folder = tiny(), tmp_path_factory.mktemp("gliclass")
    model.save_pretrained(folder)
    return model, folder


def test_a_fresh_process_loads_the_weights(saved, tmp_path: Path):
    """In a process that imports nothing but autoreg, `AutoModel` gives the package's class and equal weights."""
    model, folder = saved
    command = [sys.executable, "-c", _LOAD, str(folder), str(tmp_path / "state.pt")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == "gliclass.model:GLiClassModel"
    loaded = torch.load(tmp_path / "state.pt")
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())


def test_its_scores_are_the_same(saved):
    """The loaded model scores the labels as the saved one does."""
    model, folder = saved
    inputs = labelled(model.config, 2, 6, 1)
    with torch.no_grad():
        expected, found = model(**inputs).logits, autoreg.AutoModel.from_pretrained(folder)(**inputs).logits
    assert expected[:, :2].abs().min() > 0
    assert torch.equal(found, expected)


def test_plain_transformers_knows_it_while_active(saved):
    """Without autoreg transformers refuses the model type; after `activate()` plain `AutoModel` loads it."""
    import transformers

    _, folder = saved
    with autoreg.isolated():
        with pytest.raises(ValueError, match="GLiClass"):
            transformers.AutoModel.from_pretrained(folder)
        undo = autoreg.activate()
        assert type(transformers.AutoModel.from_pretrained(folder)) is GLiClassModel
        undo()


def test_an_encoder_may_be_another_plugins(tmp_path: Path):
    """The nested config of an encoder that another plugin declares is that plugin's, resolved by its owner."""
    pytest.importorskip("autoreg_retnet")
    encoder = {"model_type": "retnet", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    with autoreg.isolated():
        undo = autoreg.activate()
        config = GLiClassModelConfig(encoder_config={**encoder, "vocab_size": 64}, encoder_model="encoder")
        config.save_pretrained(tmp_path)
        loaded = autoreg.AutoConfig.from_pretrained(tmp_path)
        assert type(loaded.encoder_config).__name__ == "RetNetConfig"
        undo()


test_conformance = conformance("GLiClass")

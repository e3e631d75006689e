"""Real checkpoints, made by the package's own classes: claimed ones load as they are, other t5 ones stay native."""

import json
import os
import subprocess
import sys
from pathlib import Path

import autoreg
import pytest
import torch
import transformers
from autoreg.pytest_plugin import conformance
from transformers import T5Config

from autoreg_chronos.conformance import bolt, chronos2, series

pytest.importorskip("chronos", reason="pip install --no-deps chronos-forecasting, and pandas and einops")
from chronos import BaseChronosPipeline
from chronos.chronos2.config import Chronos2CoreConfig
from chronos.chronos2.model import Chronos2Model
from chronos.chronos_bolt import ChronosBoltModelForForecasting

HEADS = ("AutoModel", "AutoModelForTimeSeriesPrediction")
MAKERS = {
    "bolt": lambda: ChronosBoltModelForForecasting(
        T5Config(**bolt.config, chronos_pipeline_class="ChronosBoltPipeline")
    ),
    "chronos2": lambda: Chronos2Model(Chronos2CoreConfig(**chronos2.config, chronos_pipeline_class="Chronos2Pipeline")),
}
_LOAD = """
import json, sys
import autoreg, torch
found, names = {}, {}
for key, head, folder in json.loads(sys.argv[1]):
    model = getattr(autoreg, head).from_pretrained(folder)
    names[key] = f"{type(model).__module__}:{type(model).__name__}"
    found[key] = model.state_dict()
torch.save(found, sys.argv[2])
print(json.dumps(names))
"""


@pytest.fixture(scope="module")
def all_saved(tmp_path_factory):
    """Return by name a tiny model and the folder that it saved itself to, as its package's users do."""
    found = {}
    for name, make in MAKERS.items():
        torch.manual_seed(0)
        model, folder = make().eval(), tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
        found[name] = (model, folder)
    return found


@pytest.fixture(scope="module")
def loaded(all_saved, tmp_path_factory):
    """Return class and weights of each, by name and head, as one process sees them that imports nothing but autoreg."""
    jobs = [(f"{name} {head}", head, str(folder)) for name, (_, folder) in all_saved.items() for head in HEADS]
    out = tmp_path_factory.mktemp("loaded") / "weights.pt"
    command = [sys.executable, "-c", _LOAD, json.dumps(jobs), str(out)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), torch.load(out)


@pytest.fixture(params=MAKERS)
def saved(request, all_saved):
    """Return one model and its folder."""
    return all_saved[request.param]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", MAKERS)
def test_a_fresh_process_loads_the_weights(all_saved, loaded, name: str, head: str):
    """In a process that imports nothing but autoreg, each Auto class gives the package's class and equal weights."""
    model, (names, weights) = all_saved[name][0], loaded
    assert names[f"{name} {head}"] == f"{type(model).__module__}:{type(model).__name__}"
    assert weights[f"{name} {head}"].keys() == model.state_dict().keys()
    assert all(torch.equal(weights[f"{name} {head}"][key], tensor) for key, tensor in model.state_dict().items())


def test_its_forecasts_are_the_same(saved):
    """The loaded model forecasts what the saved one does, and both are finite."""
    model, folder = saved
    loaded = autoreg.AutoModelForTimeSeriesPrediction.from_pretrained(folder)
    context = series(model.config, 2, 0, 3)
    with torch.no_grad():
        expected, found = model(**context).quantile_preds, loaded(**context).quantile_preds
    assert expected.isfinite().all()
    assert torch.equal(found, expected)


def test_saved_by_autoreg_it_says_what_it_needs(saved, tmp_path: Path):
    """`autoreg.save_pretrained` writes the package that is needed, and the checkpoint still loads by its claim."""
    model, _ = saved
    autoreg.save_pretrained(model, tmp_path / "again")
    assert type(autoreg.AutoModel.from_pretrained(tmp_path / "again")) is type(model)
    assert json.loads((tmp_path / "again" / "config.json").read_text())["model_type"] == "t5"


def test_other_t5_checkpoints_stay_native(tmp_path: Path):
    """A checkpoint of transformers' own T5 loads as it did, beside the claims."""
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2, "vocab_size": 9}
    transformers.T5ForConditionalGeneration(T5Config(**sizes)).save_pretrained(tmp_path)
    assert type(autoreg.AutoModelForSeq2SeqLM.from_pretrained(tmp_path)) is transformers.T5ForConditionalGeneration
    assert type(autoreg.AutoModel.from_pretrained(tmp_path)) is transformers.T5Model
    assert type(autoreg.AutoConfig.from_pretrained(tmp_path)) is T5Config


def test_without_the_claim_it_would_be_a_t5(tmp_path: Path, monkeypatch):
    """Plain `AutoModel` makes a `T5Model` of a Chronos-Bolt checkpoint and raises nothing: what the claim is for."""
    MAKERS["bolt"]().save_pretrained(tmp_path)
    assert type(transformers.AutoModel.from_pretrained(tmp_path)) is transformers.T5Model
    monkeypatch.setenv("AUTOREG_PREFER", "ChronosBoltModelForForecasting=transformers")
    with autoreg.isolated():
        assert type(autoreg.AutoModel.from_pretrained(tmp_path, strict=False)) is transformers.T5Model


def test_the_packages_own_pipeline_takes_it(saved):
    """The package's own way of loading reads the same folder while autoreg is active: nothing was put in its way."""
    model, folder = saved
    pipeline = BaseChronosPipeline.from_pretrained(folder, device_map="cpu")
    assert type(pipeline.model) is type(model)


test_bolt = conformance("ChronosBoltModelForForecasting")
test_chronos2 = conformance("Chronos2Model")

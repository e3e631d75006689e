"""Save a tiny checkpoint of each declared package into folders of the folder on the command line."""

import copy
import sys
from pathlib import Path

from autoreg_chronos import conformance as chronos
from autoreg_gliclass import conformance as gliclass
from chronos.chronos2.config import Chronos2CoreConfig
from chronos.chronos2.model import Chronos2Model
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from transformers import T5Config

import autoreg

folder = Path(sys.argv[1])
llama = {"src_vocab_size": 32, "emb_dim": 16, "nheads": 2, "nlayers": 1, "multiple_of": 8}
models = {
    "chronos": ChronosBoltModelForForecasting(T5Config(**chronos.bolt.config)),
    "chronos2": Chronos2Model(Chronos2CoreConfig(**chronos.chronos2.config)),
    "gliclass": autoreg.AutoModel.from_config(
        autoreg.AutoConfig.for_model("GLiClass", **copy.deepcopy(gliclass.hints.config))
    ),
    "fms": autoreg.AutoModelForCausalLM.from_config(autoreg.AutoConfig.for_model("hf_adapted_llama", **llama)),
}
for name, model in models.items():
    model.save_pretrained(folder / name)
print("saved", *models)

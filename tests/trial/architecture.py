"""The architecture on trial: one plugin, installed as pip would, with a head, a tie, buffers and faults on demand.

A field of its config makes it stop while it is being built, so that threads meet where they should.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.plugin_maker import Plugin, write_plugin

__all__ = ["CONFIGURATION", "MODELING", "MODELS", "install"]

CONFIGURATION = """
    from transformers import PreTrainedConfig

    class ${Class}Config(PreTrainedConfig):
        model_type = "$model_type"
        vocab_size: int = 7
        hidden_size: int = 4
        blocks: int = 2
        scale: float = 1.0
        tie_word_embeddings: bool = True
        release: int = 0
        hole: str = ""
        memory_size: int = 0
        pause: str = ""
    """

MODELING = """
    import os
    import time

    import torch
    from torch import nn
    from transformers import PreTrainedModel
    from transformers import initialization as init

    from .configuration import ${Class}Config

    def pause(gate):
        # Say that the model is being built, and wait until the gate is there.
        open(f"{gate}.inside", "w").close()
        while not os.path.exists(gate):
            time.sleep(0.01)

    class ${Class}PreTrainedModel(PreTrainedModel):
        config_class = ${Class}Config
        base_model_prefix = "model"

        def _init_weights(self, module):
            if isinstance(module, (nn.Linear, nn.Embedding)):
                init.normal_(module.weight)
            if getattr(module, "bias", None) is not None:
                init.zeros_(module.bias)
            if isinstance(module, ${Class}Model):
                init.constant_(module.gain, module.config.scale)

    class ${Class}Model(${Class}PreTrainedModel):
        def __init__(self, config):
            super().__init__(config)
            self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
            self.layers = nn.ModuleList(
                nn.Linear(config.hidden_size, config.hidden_size) for _ in range(config.blocks)
            )
            self.register_buffer("gain", torch.full((config.hidden_size,), float(config.scale)), persistent=False)
            self.register_buffer("count", torch.tensor([0]))
            if config.pause:
                pause(config.pause)
            if config.memory_size:
                self.memory = nn.Embedding(config.memory_size, config.hidden_size)
            if config.hole == "buffer":
                self.register_buffer("angles", torch.arange(4.0), persistent=False)
            if config.hole == "integers":
                self.register_buffer("angles", torch.arange(4), persistent=False)
            if config.hole == "attribute":
                self.angles = torch.arange(4.0)
            self.post_init()

        def forward(self, input_ids):
            hidden = self.embed(input_ids) * self.gain
            for layer in self.layers:
                hidden = hidden + layer(hidden)
            return hidden

    class ${Class}ForCausalLM(${Class}PreTrainedModel):
        _tied_weights_keys = {"head.weight": "model.embed.weight"}

        def __init__(self, config):
            super().__init__(config)
            self.model = ${Class}Model(config)
            self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
            self.post_init()

        def get_output_embeddings(self):
            return self.head

        def forward(self, input_ids):
            return self.head(self.model(input_ids))

    class ${Class}ForSequenceClassification(${Class}PreTrainedModel):
        def __init__(self, config):
            super().__init__(config)
            self.model = ${Class}Model(config)
            self.classifier = nn.Linear(config.hidden_size, config.num_labels)
            self.post_init()

        def forward(self, input_ids):
            return self.classifier(self.model(input_ids))
    """

MODELS = {
    "AutoModel": "modeling:{0}Model",
    "AutoModelForCausalLM": "modeling:{0}ForCausalLM",
    "AutoModelForSequenceClassification": "modeling:{0}ForSequenceClassification",
}


def install(site: Path, model_type: str = "zigzag", **changes: Any) -> Plugin:
    """Install the architecture, under this model type, into a folder on `sys.path`."""
    modules = {"configuration": CONFIGURATION, "modeling": MODELING, **changes.pop("modules", {})}
    site.mkdir(parents=True, exist_ok=True)
    return write_plugin(site, model_type, modules=modules, models=MODELS, **changes)

"""Save a RetNet with random weights: a folder, then fields of the config as name=number."""

import sys

import torch
from autoreg_retnet import RetNetConfig, RetNetForCausalLM

torch.manual_seed(0)
fields = {name: int(number) for name, number in (text.split("=") for text in sys.argv[2:])}
model = RetNetForCausalLM(RetNetConfig(**fields))
model.save_pretrained(sys.argv[1])
print(f"saved {sum(parameter.numel() for parameter in model.parameters())} parameters")

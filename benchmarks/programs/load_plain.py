"""From process start to a loaded custom model, by hand: the user knows the package and registers its classes."""

import sys

from autoreg_retnet import RetNetConfig, RetNetForCausalLM
from transformers import AutoConfig, AutoModelForCausalLM

AutoConfig.register("retnet", RetNetConfig)
AutoModelForCausalLM.register(RetNetConfig, RetNetForCausalLM)
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
print(type(model).__name__)

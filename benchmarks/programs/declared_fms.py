"""From process start to a loaded LLaMA of the Foundation Model Stack, by hand: call its register function, load."""

import sys

from fms.models.hf.utils import register_fms_models
from transformers import AutoModelForCausalLM

register_fms_models()
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
print(type(model).__name__)

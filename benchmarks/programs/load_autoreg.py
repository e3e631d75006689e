"""From process start to a loaded custom model, through autoreg."""

import sys

from autoreg import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
print(type(model).__name__)

"""From process start to a loaded custom model, where every installed plugin is imported at start."""

import sys

from everything import register_everything

register_everything()

from transformers import AutoModelForCausalLM  # noqa: E402  the program first needs it here

model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
print(type(model).__name__)

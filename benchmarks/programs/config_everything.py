"""The same config, where every installed plugin is imported at start although none is needed."""

import sys

from everything import register_everything

register_everything()

from transformers import AutoConfig  # noqa: E402  the program first needs it here

print(type(AutoConfig.from_pretrained(sys.argv[1])).__name__)

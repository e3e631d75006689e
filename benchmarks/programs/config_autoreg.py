"""From process start to the config of a checkpoint of transformers' own architectures, through autoreg."""

import sys

from autoreg import AutoConfig

print(type(AutoConfig.from_pretrained(sys.argv[1])).__name__)

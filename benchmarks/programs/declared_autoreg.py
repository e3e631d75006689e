"""From process start to a loaded model of a declared package, through autoreg: nothing of the package is named."""

import sys

import autoreg

model = getattr(autoreg, sys.argv[2]).from_pretrained(sys.argv[1])
print(type(model).__name__)

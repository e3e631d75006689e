"""Save a small GPT-2, one of transformers' own architectures, with random weights."""

import sys

from transformers import GPT2Config, GPT2LMHeadModel

GPT2LMHeadModel(GPT2Config(vocab_size=1000, n_embd=64, n_layer=2, n_head=2)).save_pretrained(sys.argv[1])
print("saved")

"""One step of data-parallel training, a batch on each rank: `torchrun data_parallel.py CHECKPOINT OUT`."""

import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = ("And God said, Let there be light", "The LORD is my shepherd; I shall not")

dist.init_process_group("gloo")
rank = dist.get_rank()
model = DistributedDataParallel(AutoModelForCausalLM.from_pretrained(sys.argv[1]))
ids = AutoTokenizer.from_pretrained(sys.argv[1])(TEXTS[rank], return_tensors="pt").input_ids
model(input_ids=ids, labels=ids).loss.backward()
torch.save({name: each.grad for name, each in model.module.named_parameters()}, f"{sys.argv[2]}/rank{rank}.pt")
dist.destroy_process_group()

"""Logits of a model that two ranks share by its plan: `torchrun tensor_parallel.py CHECKPOINT OUT`."""

import sys

import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM
from transformers.distributed.configuration_utils import DistributedConfig

dist.init_process_group("gloo")
rank = dist.get_rank()
plan = DistributedConfig(tp_size=2, tp_plan="auto")
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], distributed_config=plan).eval()
with torch.no_grad():
    logits = model(input_ids=torch.arange(2, 34).view(2, 16)).logits
logits = logits.full_tensor() if hasattr(logits, "full_tensor") else logits
shapes = {
    name: tuple(each.to_local().shape if hasattr(each, "to_local") else each.shape)
    for name, each in model.named_parameters()
}
torch.save({"logits": logits, "shapes": shapes}, f"{sys.argv[2]}/rank{rank}.pt")
dist.destroy_process_group()

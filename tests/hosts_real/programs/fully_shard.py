"""One step under FSDP2, saved and loaded with torch.distributed.checkpoint: `torchrun fully_shard.py PATH OUT`."""

import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

TEXTS = ("And God said, Let there be light", "The LORD is my shepherd; I shall not")


def sharded(model):
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model, torch.optim.AdamW(model.parameters(), lr=1e-3)


def whole(model):
    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))


dist.init_process_group("gloo")
path, out = sys.argv[1:]
model, optimizer = sharded(AutoModelForCausalLM.from_pretrained(path))
local = sum(each.to_local().numel() for each in model.parameters())
ids = AutoTokenizer.from_pretrained(path)(TEXTS[dist.get_rank()], return_tensors="pt").input_ids
model(input_ids=ids, labels=ids).loss.backward()
optimizer.step()
states = dict(zip(("model", "optimizer"), get_state_dict(model, optimizer), strict=True))
dcp.save(states, checkpoint_id=f"{out}/sharded")

# Another model, of random weights, continues from there.
again, fresh = sharded(AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path)))
states = dict(zip(("model", "optimizer"), get_state_dict(again, fresh), strict=True))
dcp.load(states, checkpoint_id=f"{out}/sharded")
set_state_dict(again, fresh, model_state_dict=states["model"], optim_state_dict=states["optimizer"])
saved, loaded = whole(model), whole(again)
moments = [each["exp_avg"].to_local() for each in fresh.state.values()]
if dist.get_rank() == 0:
    found = {"saved": saved, "loaded": loaded, "local": local, "moments": sum(bool(it.any()) for it in moments)}
    torch.save(found, f"{out}/found.pt")
dist.destroy_process_group()

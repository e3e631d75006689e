"""Two local Ray workers load a checkpoint, and one hands its model to the driver: `python ray_workers.py PATH TMP`."""

import json
import os
import sys

import ray
import torch

IDS = torch.arange(32, 48).view(1, 16)


@ray.remote(num_cpus=1)
class Worker:
    def __init__(self, path):
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(path).eval()

    def answer(self):
        with torch.no_grad():
            return os.getpid(), type(self.model).__name__, self.model(input_ids=IDS).logits.sum().item()

    def hand_over(self):
        return self.model


ray.init(num_cpus=2, include_dashboard=False, _temp_dir=sys.argv[2], log_to_driver=False)
workers = [Worker.remote(sys.argv[1]) for _ in range(2)]
answers = ray.get([each.answer.remote() for each in workers])
model = ray.get(workers[0].hand_over.remote())
with torch.no_grad():
    answers.append((os.getpid(), type(model).__name__, model(input_ids=IDS).logits.sum().item()))
ray.shutdown()
sys.stdout.write(json.dumps(answers))

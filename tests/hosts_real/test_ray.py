"""Ray: workers that never import the plugin load its checkpoint."""

import json
import tempfile

import pytest
import torch

import autoreg
from tests.hosts_real.launching import PROGRAMS, checkpoint, run

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


def test_two_local_workers(tmp_path, seen):
    """Two workers load the checkpoint, and the driver unpickles a model: three processes, one class, equal logits."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as sockets:  # their paths must be short
        done = run(PROGRAMS / "ray_workers.py", checkpoint("retnet"), sockets, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    pids, classes, sums = zip(*answers, strict=True)
    assert len(set(pids)) == 3
    assert set(classes) == {"RetNetForCausalLM"}
    with torch.no_grad():
        model = autoreg.AutoModelForCausalLM.from_pretrained(checkpoint("retnet")).eval()
        expected = model(input_ids=torch.arange(32, 48).view(1, 16)).logits.sum().item()
    assert sums == pytest.approx((expected,) * 3, rel=1e-4)
    seen("ray", "two workers and the driver, to which one hands its model: equal logits")

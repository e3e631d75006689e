"""PEFT: an adapter is merged into a plugin's model, which is saved and loaded like any other."""

import pytest
import torch
import transformers

import autoreg
from tests.hosts_real.launching import checkpoint

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.usefixtures("activated")


def test_merge_and_save(tmp_path, seen):
    """A LoRA that was trained and merged is saved as a whole checkpoint, and autoreg loads what it computes."""
    ids = torch.arange(32, 64).view(2, 16)
    base = transformers.AutoModelForCausalLM.from_pretrained(checkpoint("retnet")).eval()
    with torch.no_grad():
        before = base(input_ids=ids).logits
    torch.manual_seed(0)
    adapted = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"))
    optimizer = torch.optim.SGD([each for each in adapted.parameters() if each.requires_grad], lr=0.1)
    for _ in range(2):  # one of a LoRA's two matrices starts at zero: the first step moves only the other one
        adapted(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        expected = adapted.eval()(input_ids=ids).logits
    assert (expected - before).abs().max() > 0.1
    adapted.merge_and_unload().save_pretrained(tmp_path)
    loaded = autoreg.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        found = loaded(input_ids=ids).logits
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    seen("peft", f"merged, saved, loaded: logits within {(found - expected).abs().max():.0e}")

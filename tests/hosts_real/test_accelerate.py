"""accelerate: a model spread over memory and disk."""

import pytest
import torch
import transformers

from tests.hosts_real.launching import checkpoint

pytest.importorskip("accelerate")


IDS = torch.arange(32, 48).view(2, 8)


@pytest.mark.usefixtures("activated")
@pytest.mark.parametrize(
    ("name", "auto", "inputs"),
    [
        ("retnet", "AutoModelForCausalLM", {"input_ids": IDS}),
        ("convs2s", "AutoModelForSeq2SeqLM", {"input_ids": IDS, "decoder_input_ids": IDS}),
    ],
    ids=["retnet", "convs2s"],
)
def test_disk_offload(name, auto, inputs, tmp_path, seen):
    """With `device_map="auto"` and too little memory, layers lie on the disk and the logits are the same."""
    path, auto = checkpoint(name), getattr(transformers, auto)
    whole = auto.from_pretrained(path).eval()
    memory = {"cpu": sum(each.numel() * each.element_size() for each in whole.parameters()) // 2}
    spread = auto.from_pretrained(path, device_map="auto", max_memory=memory, offload_folder=str(tmp_path))
    places = set(map(str, spread.hf_device_map.values()))
    assert places == {"cpu", "disk"}
    assert any(each.is_meta for each in spread.parameters())
    with torch.no_grad():
        torch.testing.assert_close(spread(**inputs).logits, whole(**inputs).logits, rtol=0, atol=0)
    seen("accelerate", f"{name}: {len(spread.hf_device_map)} parts on {' and '.join(sorted(places))}; logits equal")

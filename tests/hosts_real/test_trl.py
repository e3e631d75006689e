"""TRL: supervised fine-tuning from the path of a plugin's checkpoint."""

import pytest
import torch

import autoreg
from tests.hosts_real.launching import checkpoint

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")
pytestmark = [pytest.mark.usefixtures("activated"), pytest.mark.slow]


def test_one_step(tmp_path, seen):
    """SFTTrainer takes the path, trains one step, and saves a checkpoint that autoreg loads whole."""
    texts = ["And God said, Let there be light: and there was light.", "The LORD is my shepherd; I shall not want."]
    path = str(checkpoint("retnet"))
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=2, learning_rate=1e-3, use_cpu=True,
        bf16=False, report_to=[], save_strategy="no", max_length=64,
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        model=path, args=arguments, train_dataset=datasets.Dataset.from_list([{"text": text} for text in texts])
    )
    assert type(trainer.model).__name__ == "RetNetForCausalLM"
    loss = trainer.train().training_loss
    assert 0 < loss < 3  # bits of English, byte by byte: random weights would give log 259, 5.6
    trainer.save_model(str(tmp_path / "tuned"))
    tuned = autoreg.AutoModelForCausalLM.from_pretrained(tmp_path / "tuned")
    before = autoreg.AutoModelForCausalLM.from_pretrained(path).state_dict()
    moved = [name for name, each in tuned.state_dict().items() if not torch.equal(each, before[name])]
    assert len(moved) > len(before) / 2
    seen("trl", f"SFT, one step from the path: loss {loss:.2f}, {len(moved)} of {len(before)} tensors moved")

"""Libraries that know nothing of ConvS2S use the checkpoint by nothing but its path."""

import json
from collections.abc import Iterator
from pathlib import Path

import autoreg
import pytest
import torch
import transformers

PLUGIN = Path(__file__).resolve().parents[1]
CHECKPOINT = str(PLUGIN / "checkpoint")


@pytest.fixture(autouse=True)
def _activated() -> Iterator[None]:
    """Let plain transformers see the plugins, for one test."""
    with autoreg.isolated():
        undo = autoreg.activate()
        yield
        undo()


def _pairs(tokenizer):
    lines = (PLUGIN / "training" / "heldout.tsv").read_text().splitlines()[:8]
    return [dict(tokenizer(word, text_target=phonemes)) for word, phonemes, *_ in (line.split("\t") for line in lines)]


def test_seq2seq_trainer(tmp_path):
    """transformers' Seq2SeqTrainer takes one step, generates with beams while it evaluates, saves and resumes."""
    pytest.importorskip("accelerate")
    tokenizer = transformers.AutoTokenizer.from_pretrained(CHECKPOINT)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(CHECKPOINT)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    data = _pairs(tokenizer)
    arguments = transformers.Seq2SeqTrainingArguments(
        output_dir=str(tmp_path),
        max_steps=1,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        learning_rate=1e-3,
        predict_with_generate=True,
        generation_num_beams=2,
        generation_max_length=20,
        save_steps=1,
        report_to=[],
        use_cpu=True,
    )
    trainer = transformers.Seq2SeqTrainer(
        model=model,
        args=arguments,
        train_dataset=data,
        eval_dataset=data,
        data_collator=transformers.DataCollatorForSeq2Seq(tokenizer, model=model),
        compute_metrics=lambda prediction: {"width": prediction.predictions.shape[1]},
    )
    result = trainer.train()
    assert result.global_step == 1
    assert 0 < result.training_loss < 2
    assert any(not tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    metrics = trainer.evaluate()
    assert 0 < metrics["eval_loss"] < 2
    assert 1 < metrics["eval_width"] <= 20
    saved = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "checkpoint-1")
    assert all(saved.state_dict()[name].equal(tensor) for name, tensor in model.state_dict().items())


def test_peft(tmp_path):
    """PEFT trains an adapter, saves it, loads it back by the adapter's path alone, and merges it."""
    peft = pytest.importorskip("peft")
    tokenizer = transformers.AutoTokenizer.from_pretrained(CHECKPOINT)
    base = transformers.AutoModelForSeq2SeqLM.from_pretrained(CHECKPOINT)
    torch.manual_seed(0)
    config = peft.LoraConfig(task_type="SEQ_2_SEQ_LM", r=2, target_modules=["in_proj", "out_proj"])
    model = peft.get_peft_model(base, config)
    batch = transformers.DataCollatorForSeq2Seq(tokenizer, model=base)(_pairs(tokenizer))
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=1.0)
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    model.eval()
    expected = model(**batch).logits
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == CHECKPOINT

    loaded = peft.AutoPeftModelForSeq2SeqLM.from_pretrained(str(tmp_path)).eval()
    trained = peft.get_peft_model_state_dict(model)
    assert all(trained[name].equal(tensor) for name, tensor in peft.get_peft_model_state_dict(loaded).items())
    # Not bit by bit: a product of the same numbers depends on where they lie in memory, on some processors.
    torch.testing.assert_close(loaded(**batch).logits, expected, rtol=0, atol=1e-4)
    plain = transformers.AutoModelForSeq2SeqLM.from_pretrained(CHECKPOINT)
    assert (plain(**batch).logits - expected).abs().max() > 1e-2
    torch.testing.assert_close(loaded.merge_and_unload()(**batch).logits, expected, rtol=0, atol=1e-4)


def test_pipelines_of_this_task_are_gone():
    """transformers 5 has no pipeline for sequence to sequence; the one for features reads the checkpoint."""
    with pytest.raises(KeyError, match="text2text-generation"):
        transformers.pipeline("text2text-generation", model=CHECKPOINT)
    features = transformers.pipeline("feature-extraction", model=CHECKPOINT, device="cpu")("cat")
    assert torch.tensor(features).shape == (1, 4, 96)

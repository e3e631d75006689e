"""Libraries that call plain transformers and know nothing of autoreg, after one `activate()`."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autoreg
from tests.plugin_maker import REPOSITORY


@pytest.fixture(scope="module")
def retnet() -> Path:
    """Return the trained checkpoint of the example plugin."""
    pytest.importorskip("autoreg_retnet", reason="install it: pip install -e plugins/autoreg-retnet")
    return REPOSITORY / "plugins" / "autoreg-retnet" / "checkpoint"


@pytest.fixture(autouse=True)
def activated() -> Iterator[None]:
    """Activate during the test."""
    with autoreg.isolated():
        autoreg.activate()
        yield


def test_without_activation_the_host_refuses(retnet: Path) -> None:
    """Without activate() a pipeline refuses the checkpoint, so that the next tests prove something."""
    import transformers

    with autoreg.isolated(), pytest.raises(ValueError, match="`retnet`"):
        transformers.pipeline("text-generation", model=str(retnet))


@pytest.mark.parametrize("given", ["path", "objects"])
def test_a_pipeline(retnet: Path, given: str, caplog: pytest.LogCaptureFixture) -> None:
    """transformers' text-generation pipeline continues a prompt, from a path or objects, and supports the model."""
    import transformers

    model: Any = str(retnet)
    options: dict[str, Any] = {}
    if given == "objects":
        model = transformers.AutoModelForCausalLM.from_pretrained(retnet)
        options["tokenizer"] = transformers.AutoTokenizer.from_pretrained(retnet)
    pipe = transformers.pipeline("text-generation", model=model, **options)
    (answer,) = pipe("abc", max_new_tokens=3, do_sample=False)
    assert answer["generated_text"].startswith("abc")
    assert type(pipe.model).__name__ == "RetNetForCausalLM"
    assert "is not supported" not in caplog.text


def train(retnet: Path, folder: Path, **options: Any) -> Any:
    """Take one step with transformers' Trainer; return the Trainer."""
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(retnet)
    tokenizer = transformers.AutoTokenizer.from_pretrained(retnet)
    rows = [dict(tokenizer(text)) for text in ("to be or not", "to be that is")]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True,
        disable_tqdm=True, save_strategy="no", **options,
    )  # fmt: skip
    collator = transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False)
    trainer = transformers.Trainer(model, arguments, train_dataset=rows, data_collator=collator)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error", autoreg.AutoregWarning)
        trainer.train()
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())
    return trainer


def test_a_trainer(retnet: Path, tmp_path: Path) -> None:
    """transformers' Trainer takes a step and saves what autoreg loads."""
    trainer = train(retnet, tmp_path)
    trainer.save_model(str(tmp_path / "saved"))
    assert type(autoreg.AutoModelForCausalLM.from_pretrained(tmp_path / "saved")).__name__ == "RetNetForCausalLM"


def test_label_smoothing_shifts_the_labels(retnet: Path, tmp_path: Path) -> None:
    """With label smoothing the Trainer shifts the labels, as for every causal language model it knows."""
    import torch

    trainer = train(retnet, tmp_path, label_smoothing_factor=0.1)
    inputs = trainer.data_collator([trainer.train_dataset[0], trainer.train_dataset[1]])
    model = trainer.model.eval()
    with torch.no_grad():
        loss = trainer.compute_loss(model, dict(inputs))
        labels = inputs.pop("labels")
        logits = model(**inputs).logits
    shifted = trainer.label_smoother({"logits": logits}, labels, shift_labels=True)
    straight = trainer.label_smoother({"logits": logits}, labels)
    assert not torch.isclose(shifted, straight)
    assert torch.isclose(loss, shifted)


def test_a_lora_adapter(retnet: Path, tmp_path: Path) -> None:
    """PEFT trains a LoRA adapter for one step, saves it, and loads it with the plugin's base model by name alone."""
    peft = pytest.importorskip("peft", reason="pip install peft")
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(retnet)
    linear = sorted({name.rpartition(".")[2] for name, it in model.named_modules() if type(it) is torch.nn.Linear})
    targets = [name for name in linear if name != "lm_head"]
    adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=targets))
    ids = torch.tensor([[1, 2, 3, 4]])
    optimizer = torch.optim.SGD(adapted.parameters(), lr=1.0)
    for _ in range(2):  # one of a LoRA's two matrices starts at zero: the first step moves only the other one
        adapted(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    adapted.save_pretrained(tmp_path)
    again = peft.AutoPeftModelForCausalLM.from_pretrained(tmp_path)
    base = transformers.AutoModelForCausalLM.from_pretrained(retnet)
    with torch.no_grad():
        expected = adapted.eval()(input_ids=ids).logits
        assert torch.allclose(again.eval()(input_ids=ids).logits, expected, atol=1e-5)
        assert not torch.allclose(base.eval()(input_ids=ids).logits, expected, atol=1e-5)
    assert type(again.base_model.model).__name__ == "RetNetForCausalLM"
    direct = autoreg.AutoModelForCausalLM.from_pretrained(tmp_path)  # the adapter's folder, by autoreg itself
    with torch.no_grad():
        assert torch.allclose(direct.eval()(input_ids=ids).logits, expected, atol=1e-5)

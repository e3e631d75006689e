"""`transformers serve`, started through `autoreg run`, completes a prompt over HTTP."""

import pytest
import torch

import autoreg
from tests.hosts_real.launching import checkpoint
from tests.hosts_real.serving import ask, serving

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("openai")
pytestmark = pytest.mark.slow

PROMPT = "And God said unto "


def test_a_completion(tmp_path, seen):
    """The server takes the checkpoint's path, and its greedy completion is the model's own."""
    path = str(checkpoint("retnet"))
    with serving(path, tmp_path) as url:
        body = {"model": path, "prompt": PROMPT, "max_tokens": 12, "temperature": 0}
        (choice,) = ask(f"{url}/v1/completions", body)["choices"]
    model = autoreg.AutoModelForCausalLM.from_pretrained(path).eval()
    tokenizer = autoreg.AutoTokenizer.from_pretrained(path)
    inputs = tokenizer(PROMPT, return_tensors="pt")
    with torch.no_grad():
        ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    assert choice["text"] == tokenizer.decode(ids[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    seen("transformers", f"transformers serve: /v1/completions continues with {choice['text']!r}")

"""`transformers serve`, started through `autoreg run`, completes a prompt over HTTP."""

import json
import socket
import time
import urllib.error
import urllib.request

import pytest
import torch

import autoreg
from tests.hosts_real.launching import checkpoint, start

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("openai")
pytestmark = pytest.mark.slow

PROMPT = "And God said unto "


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def ask(url: str, body: dict | None = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def await_health(server, url: str) -> None:
    """Wait until the server answers; its output is the failure if it ends or takes five minutes."""
    end = time.monotonic() + 300
    while time.monotonic() < end and server.poll() is None:
        try:
            ask(f"{url}/health")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
        else:
            return
    server.kill()
    pytest.fail(server.communicate()[1])


def test_a_completion(tmp_path, seen):
    """The server takes the checkpoint's path, and its greedy completion is the model's own."""
    path = str(checkpoint("retnet"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ("-m", "transformers.cli.transformers", "serve", path, "--device", "cpu", "--host", "127.0.0.1")
    with start(*command, "--port", str(port), cwd=tmp_path) as server:
        try:
            await_health(server, url)
            body = {"model": path, "prompt": PROMPT, "max_tokens": 12, "temperature": 0}
            (choice,) = ask(f"{url}/v1/completions", body)["choices"]
        finally:
            server.kill()
    model = autoreg.AutoModelForCausalLM.from_pretrained(path).eval()
    tokenizer = autoreg.AutoTokenizer.from_pretrained(path)
    inputs = tokenizer(PROMPT, return_tensors="pt")
    with torch.no_grad():
        ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    assert choice["text"] == tokenizer.decode(ids[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    seen("transformers", f"transformers serve: /v1/completions continues with {choice['text']!r}")

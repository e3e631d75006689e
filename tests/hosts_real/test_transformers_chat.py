"""`transformers chat`, typed to through a pipe, with a model that `transformers serve` has."""

import json
from pathlib import Path

import pytest
import tokenizers
import torch
import transformers
from transformers.convert_slow_tokenizer import bytes_to_unicode

import autoreg
from tests.hosts_real.launching import TRANSFORMERS, checkpoint, run
from tests.hosts_real.serving import serving

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("openai")
pytestmark = pytest.mark.slow

PROMPT = "And God said unto "
TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"


def streamable(folder: Path) -> transformers.PreTrainedTokenizerFast:
    """Save the trained RetNet with what a chat takes: a template, and its bytes as a tokenizer that can stream."""
    path = checkpoint("retnet")
    autoreg.AutoModelForCausalLM.from_pretrained(path).save_pretrained(folder)
    letters = bytes_to_unicode()
    rust = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={letters[each]: each for each in letters}, merges=[]))
    rust.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    rust.decoder = tokenizers.decoders.ByteLevel()
    names = {"pad_token": "<|pad|>", "bos_token": "<|bos|>", "eos_token": "<|eos|>"}
    rust.add_special_tokens(list(names.values()))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=rust, chat_template=TEMPLATE, **names)
    own = autoreg.AutoTokenizer.from_pretrained(path)
    assert fast.bos_token + PROMPT == own.decode(own(PROMPT).input_ids)
    assert fast(fast.bos_token + PROMPT).input_ids == own(PROMPT).input_ids
    fast.save_pretrained(folder)
    return fast


def test_a_chat(tmp_path, seen):
    """What is typed gets the model's own greedy continuation, streamed into the terminal and into the saved chat."""
    folder = tmp_path / "retnet"
    tokenizer = streamable(folder)
    typed = f"{PROMPT}\nn\n!save\n!exit\n"  # "n": do not go on where the limit of tokens was reached
    with serving(folder, tmp_path) as url:
        chat = (*TRANSFORMERS, "chat", folder, url, "do_sample=False", "max_new_tokens=12")
        done = run(*chat, cwd=tmp_path, offline=False, typed=typed)
    assert done.returncode == 0, done.stderr
    (saved,) = folder.glob("chat_*.json")
    question, answer = json.loads(saved.read_text())["chat_history"]
    assert question == {"role": "user", "content": PROMPT}
    model = autoreg.AutoModelForCausalLM.from_pretrained(checkpoint("retnet")).eval()
    inputs = tokenizer(tokenizer.bos_token + PROMPT, return_tensors="pt")
    with torch.no_grad():
        ids = model.generate(input_ids=inputs.input_ids, max_new_tokens=12, do_sample=False)
    expected = tokenizer.decode(ids[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    assert answer == {"role": "assistant", "content": expected}
    assert expected.strip() in done.stdout
    seen("transformers", f"transformers chat: {PROMPT!r} is answered with {expected!r}")

"""Loads from many threads at once give the weights of the files; the long runs are marked slow."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.plugin_maker import REPOSITORY

# Plain transformers gives wrong weights in the first round: the twin that shows that the test can fail.
_LOADS = """
    import importlib, json, sys, threading
    import torch
    from safetensors.torch import load_file

    folder, threads, rounds = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    AutoModel = importlib.import_module(sys.argv[1]).AutoModelForCausalLM
    wanted = load_file(f"{folder}/model.safetensors")
    barrier, wrong = threading.Barrier(threads), []

    def load(number):
        dtype = (torch.float32, torch.bfloat16)[number % 2]
        barrier.wait()
        for _ in range(rounds):
            try:
                model = AutoModel.from_pretrained(folder, dtype=dtype)
                found = model.state_dict()
                if not all(torch.equal(found[name], value.to(dtype)) for name, value in wanted.items()):
                    wrong.append("other weights")
                if model.get_input_embeddings().weight is not model.get_output_embeddings().weight:
                    wrong.append("not tied")
            except Exception as error:
                wrong.append(f"{type(error).__name__}: {error}")

    running = [threading.Thread(target=load, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    print(json.dumps({"wrong": wrong, "dtype": str(torch.get_default_dtype())}))
    """


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a tiny GPT-2, whose head is tied."""
    import transformers

    folder = tmp_path_factory.mktemp("tied")
    config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=3, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def loads(face: str, folder: Path, threads: int, rounds: int) -> dict[str, object]:
    """Load in a fresh process from threads that start together; return what went wrong, and the dtype left behind."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_LOADS), face, str(folder), str(threads), str(rounds)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_eight_threads_get_the_weights_of_the_file(tied: Path) -> None:
    """Eight threads, two dtypes, each load three times: bit for bit the file, tied, and torch's dtype as before."""
    assert loads("autoreg", tied, 8, 3) == {"wrong": [], "dtype": "torch.float32"}


@pytest.mark.slow
def test_eight_threads_load_twenty_times(tied: Path) -> None:
    """Eight threads that load twenty times each are right; of the same in plain transformers some are not."""
    assert loads("autoreg", tied, 8, 20) == {"wrong": [], "dtype": "torch.float32"}
    assert loads("transformers", tied, 8, 20) != {"wrong": [], "dtype": "torch.float32"}


@pytest.mark.slow
def test_the_first_two_loads_of_thirty_processes(tied: Path) -> None:
    """Two threads that load first in a fresh process get the right weights, in each of thirty processes."""
    assert [loads("autoreg", tied, 2, 1) for _ in range(30)] == [{"wrong": [], "dtype": "torch.float32"}] * 30

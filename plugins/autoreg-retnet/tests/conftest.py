"""What the tests share: a tiny model, and single-threaded torch, which is faster at this size."""

from collections.abc import Callable

import pytest
import torch

from autoreg_retnet import RetNetConfig, RetNetForCausalLM


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_model() -> Callable[..., RetNetForCausalLM]:
    """Return a maker of tiny float64 language models; arguments go to the config."""

    def make(**options) -> RetNetForCausalLM:
        torch.manual_seed(0)
        sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "chunk_size": 4}
        # A wide start, so that no test passes because everything is close to zero.
        config = RetNetConfig(**{**sizes, "initializer_range": 0.3, "vocab_size": 40, **_tokens(), **options})
        return RetNetForCausalLM(config).double().eval()

    return make


def _tokens() -> dict[str, int]:
    return {"pad_token_id": 37, "bos_token_id": 38, "eos_token_id": 39}

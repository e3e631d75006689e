"""What the tests share: a tiny model, and single-threaded torch, which is faster at this size."""

from collections.abc import Callable

import pytest
import torch

from autoreg_convs2s import ConvS2SConfig, ConvS2SForConditionalGeneration


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_model() -> Callable[..., ConvS2SForConditionalGeneration]:
    """Return a maker of tiny float64 models; arguments go to the config."""
    return tiny


def tiny(**options) -> ConvS2SForConditionalGeneration:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 40,
        "hidden_size": 10,
        "conv_channels": 14,
        "encoder_layers": 3,
        "decoder_layers": 2,
        "max_position_embeddings": 40,
    }
    model = ConvS2SForConditionalGeneration(ConvS2SConfig(**{**sizes, **options})).double().eval()
    with torch.no_grad():
        # Embeddings ten times as wide and biases, so that no test passes because everything is close to zero.
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.normal_(std=0.3)
        for table in (model.model.encoder.embed_tokens, *(part.embed_positions for part in model.model.children())):
            table.weight.normal_()
    return model

"""What the tests share: tiny models, and single-threaded torch, which is faster at this size."""

from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedModel

from autoreg_gmlp import GMLPConfig, GMLPModel


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_model() -> Callable[..., PreTrainedModel]:
    """Return a maker of tiny float64 models; a class first, then arguments of the config."""

    def make(model_class: type[PreTrainedModel] = GMLPModel, **options) -> PreTrainedModel:
        torch.manual_seed(0)
        sizes = {"hidden_size": 12, "num_hidden_layers": 2, "intermediate_size": 20, "max_position_embeddings": 16}
        # A wide start, so that no test passes because everything is close to zero.
        wide = {"initializer_range": 0.3, "spatial_initializer_range": 0.5}
        config = GMLPConfig(**{"vocab_size": 40, **sizes, **wide, **options})
        return model_class(config).double().eval()

    return make

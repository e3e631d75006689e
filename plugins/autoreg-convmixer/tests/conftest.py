"""What the tests share: single-threaded torch, which is faster at this size, and a tiny model."""

from collections.abc import Callable

import pytest
import torch

from autoreg_convmixer import ConvMixerConfig, ConvMixerForImageClassification


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_classifier() -> Callable[..., ConvMixerForImageClassification]:
    """Return a maker of tiny float64 classifiers with used batch norms; arguments go to the config."""

    def make(**options) -> ConvMixerForImageClassification:
        sizes = {"hidden_size": 6, "num_hidden_layers": 2, "patch_size": 2, "kernel_size": 3, "image_size": 12}
        torch.manual_seed(0)
        model = ConvMixerForImageClassification(ConvMixerConfig(**{**sizes, "num_labels": 5, **options})).double()
        for name, tensor in model.state_dict().items():
            # Statistics and scales that are not 0 and 1, so that no test passes because a norm does nothing.
            if "normalization" in name and tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5)
        return model.eval()

    return make

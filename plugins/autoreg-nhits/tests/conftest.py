"""What the tests share: a tiny model, windows, and single-threaded torch, which is faster at this size."""

from collections.abc import Callable

import pytest
import torch

from autoreg_nhits import NHitsConfig, NHitsForPrediction


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_model() -> Callable[..., NHitsForPrediction]:
    """Return a maker of tiny float64 forecasters; arguments go to the config."""

    def make(**options) -> NHitsForPrediction:
        torch.manual_seed(0)
        sizes = {
            "context_length": 24,
            "prediction_length": 10,
            "pooling_kernel_sizes": [6, 2, 1],
            "frequency_downsampling": [5, 3, 1],
            "hidden_size": 16,
        }
        # A wide start, so that no test passes because everything is close to zero.
        config = NHitsConfig(**{**sizes, "initializer_range": 0.3, **options})
        return NHitsForPrediction(config).double().eval()

    return make


@pytest.fixture
def make_windows() -> Callable[..., torch.Tensor]:
    """Return a maker of float64 windows `(batch_size, length)` with a level, a trend and a season."""

    def make(batch_size: int = 3, length: int = 24, *, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        steps = torch.arange(length, dtype=torch.float64)
        level, slope, season = torch.rand(3, batch_size, 1, generator=generator, dtype=torch.float64)
        noise = torch.randn(batch_size, length, generator=generator, dtype=torch.float64)
        return 50 * level + slope * steps + 5 * season * torch.sin(steps) + noise

    return make

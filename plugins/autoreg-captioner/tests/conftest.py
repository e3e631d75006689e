"""What the tests share: single-threaded torch, which is faster at this size, and a tiny captioner."""

from collections.abc import Callable

import pytest
import torch

from autoreg_captioner import CaptionerConfig, CaptionerForConditionalGeneration

VISION = {"hidden_size": 6, "num_hidden_layers": 2, "patch_size": 4, "kernel_size": 3, "image_size": 8}
TEXT = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "chunk_size": 4,
    "initializer_range": 0.3,
    "pad_token_id": 37,
    "bos_token_id": 38,
    "eos_token_id": 39,
}
IMAGE = 36


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_captioner() -> Callable[..., CaptionerForConditionalGeneration]:
    """Return a maker of tiny float64 captioners; arguments go to the config. Image tokens have the id 36."""

    def make(**options) -> CaptionerForConditionalGeneration:
        torch.manual_seed(0)
        parts = {
            "vision_config": {"model_type": "convmixer", **VISION},
            "text_config": {"model_type": "retnet", **TEXT},
        }
        # A wide start, so that no test passes because everything is close to zero.
        config = CaptionerConfig(**{**parts, "image_token_id": IMAGE, "initializer_range": 0.3, **options})
        return CaptionerForConditionalGeneration(config).double().eval()

    return make

"""What the conformance suite cannot derive: both keep what they are made of in a nested dict of the config."""

from typing import Any

import torch
from autoreg.conformance import Hints

_PATCHES = {
    "context_length": 16,
    "input_patch_size": 4,
    "input_patch_stride": 4,
    "quantiles": [0.1, 0.5, 0.9],
    "use_reg_token": True,
}
_TINY = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2, "dropout_rate": 0.0}


def series(config: Any, batch_size: int, length: int, seed: int) -> dict[str, torch.Tensor]:
    """Return random walks: `context` of shape (batch_size, 16), float32, whatever the length of a text would be."""
    steps = torch.randn(batch_size, 16, generator=torch.Generator().manual_seed(seed))
    return {"context": steps.cumsum(dim=-1)}


_MUTATES = (
    "chronos: `__init__` writes `reg_token_id`, `vocab_size` or `time_encoding_scale` into the config it is given"
)
_NO_KEYWORD = "chronos: `forward` takes no such keyword; the only output is the ModelOutput with the quantiles"

bolt = Hints(
    # These two token ids are in every released config.json, and no longer among T5Config's defaults.
    config={
        **_TINY,
        "num_decoder_layers": 2,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "chronos_config": {**_PATCHES, "prediction_length": 4},
    },
    inputs=series,
    expected_failures={
        "config.kept": _MUTATES,
        "forward.return-dict": _NO_KEYWORD,
        "forward.attentions": _NO_KEYWORD,
        "weights.ignored-missing": "chronos: `_keys_to_ignore_on_load_missing` lists the patch embeddings, so that a"
        " truncated checkpoint loads at random without a word; autoreg's own loading is strict and says so",
        "weights.missing": "transformers: the parts of T5 that `_init_weights` sets through their container modules are"
        " not initialised for classes outside transformers",
    },
)

chronos2 = Hints(
    config={**_TINY, "chronos_config": {**_PATCHES, "output_patch_size": 4, "use_arcsinh": True}},
    inputs=series,
    expected_failures={
        "config.copies": "transformers: configs are compared by the fields in the class body, and this one sets its own"
        " in `__init__`: two with other sizes are equal",
        "config.kept": _MUTATES,
        "forward.return-dict": _NO_KEYWORD,
    },
)

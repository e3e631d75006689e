"""What the conformance suite cannot derive: the encoder's config, and where in a text its labels are."""

from typing import Any

import torch
from autoreg.conformance import Hints

_LABEL, _SEPARATOR, _WORDS = 60, 61, range(5, 60)
_ENCODER = {
    "model_type": "deberta-v2",
    "vocab_size": 64,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
    "type_vocab_size": 0,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def labelled(config: Any, batch_size: int, length: int, seed: int) -> dict[str, torch.Tensor]:
    """Return `input_ids` and `attention_mask` of shape (batch_size, length + 6), int64: two labels, then a text."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(_WORDS.start, _WORDS.stop, (batch_size, length + 6), generator=generator)
    words[:, [1, 3]] = config.class_token_index
    words[:, 5] = config.text_token_index
    return {"input_ids": words, "attention_mask": torch.ones_like(words)}


hints = Hints(
    config={
        "encoder_config": _ENCODER,
        "encoder_model": "encoder",  # a path is made of it, and None is none
        "hidden_size": 16,
        "vocab_size": 64,
        "class_token_index": _LABEL,
        "text_token_index": _SEPARATOR,
        "scorer_num_heads": 2,
        "scorer_mlp_hidden_size": 16,
        "dropout": 0.0,
    },
    inputs=labelled,
    expected_failures={
        "registration.import-effects": "gliclass: importing it switches off warnings of the whole process",
        "config.copies": "transformers: configs are compared by the fields in the class body, and this one sets its own"
        " in `__init__`: two with other sizes are equal",
        "config.kept": "gliclass: a model whose encoder has another vocabulary than `vocab_size` resizes it, and writes"
        " that into the config that it was given",
        "weights.missing": "gliclass: `logit_scale` is not set by `_init_weights`, and so left unwritten where a"
        " checkpoint lacks it",
        "training.gradients": "gliclass: `logit_scale` is a parameter that no scorer but one uses",
        "forward.return-dict": "gliclass: the tuple holds other tensors than the output with names",
    },
)

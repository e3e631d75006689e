"""Checkpoints shaped as the hub's bert-base-cased, gpt2 and facebook/bart-base are, small and with random weights."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    BartConfig,
    BartModel,
    BertConfig,
    BertForPreTraining,
    GPT2Config,
    GPT2Model,
    PreTrainedConfig,
    PreTrainedModel,
)

MOVED = {"bert-base-cased": "google-bert/bert-base-cased", "gpt2": "openai-community/gpt2"}
OTHER_REVISION = "v1.0"

# The hub's own config.json files, all fields. Of 768 hidden units and 12 layers, 48 and 2 are left: no file is
# larger than 20 MB. The numbers of heads, tokens and positions are the real ones.
BERT: dict[str, Any] = {
    "architectures": ["BertForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 48,
    "initializer_range": 0.02,
    "intermediate_size": 192,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "transformers_version": "4.6.0.dev0",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 28996,
}
GPT2: dict[str, Any] = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 48,
    "n_head": 12,
    "n_layer": 2,
    "n_positions": 1024,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 50257,
}
BART: dict[str, Any] = {
    "activation_dropout": 0.1,
    "activation_function": "gelu",
    "add_bias_logits": False,
    "add_final_layer_norm": False,
    "architectures": ["BartModel"],
    "attention_dropout": 0.1,
    "bos_token_id": 0,
    "classif_dropout": 0.1,
    "classifier_dropout": 0.0,
    "d_model": 48,
    "decoder_attention_heads": 12,
    "decoder_ffn_dim": 192,
    "decoder_layerdrop": 0.0,
    "decoder_layers": 2,
    "decoder_start_token_id": 2,
    "dropout": 0.1,
    "early_stopping": True,
    "encoder_attention_heads": 12,
    "encoder_ffn_dim": 192,
    "encoder_layerdrop": 0.0,
    "encoder_layers": 2,
    "eos_token_id": 2,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 2,
    "gradient_checkpointing": False,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"},
    "init_std": 0.02,
    "is_encoder_decoder": True,
    "label2id": {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2},
    "max_position_embeddings": 1024,
    "model_type": "bart",
    "no_repeat_ngram_size": 3,
    "normalize_before": False,
    "normalize_embedding": True,
    "num_beams": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 1,
    "scale_embedding": False,
    "task_specific_params": {"summarization": {"length_penalty": 1.0, "max_length": 128, "min_length": 12}},
    "torch_dtype": "float32",
    "transformers_version": "4.12.0.dev0",
    "use_cache": True,
    "vocab_size": 50265,
}

Tensors = dict[str, torch.Tensor]
Config = TypeVar("Config", bound=PreTrainedConfig)


def make_hub(root: Path) -> Path:
    """Write the three repositories, and a second revision of the first; serve them with `moved=MOVED`."""
    make_bert(root / "google-bert" / "bert-base-cased", seed=1)
    make_bert(root / "google-bert" / f"bert-base-cased@{OTHER_REVISION}", seed=2)
    make_gpt2(root / "openai-community" / "gpt2", seed=3)
    make_bart(root / "facebook" / "bart-base", seed=4)
    return root


def make_bert(folder: Path, *, seed: int) -> None:
    """Write bert-base-cased: saved with both heads of its pretraining, and layer norms named gamma and beta."""
    model = _model(lambda: BertForPreTraining(_config(BertConfig, BERT)), seed)
    tensors = {_gamma_and_beta(name): tensor for name, tensor in _tensors(model).items()}
    tensors.pop("cls.predictions.decoder.weight", None)  # tied to the embeddings
    tensors.pop("cls.predictions.decoder.bias", None)  # tied to cls.predictions.bias
    _write(folder, BERT, tensors)
    _write_word_pieces(folder, size=BERT["vocab_size"])


def make_gpt2(folder: Path, *, seed: int) -> None:
    """Write gpt2: no prefix on the names, no head (it is tied), and the causal masks of old saved as weights."""
    tensors = _tensors(_model(lambda: GPT2Model(_config(GPT2Config, GPT2)), seed))
    mask = torch.ones(1024, 1024).tril().view(1, 1, 1024, 1024)
    tensors |= {f"h.{layer}.attn.bias": mask.clone() for layer in range(GPT2["n_layer"])}
    _write(folder, GPT2, tensors)
    _write_byte_pairs(folder, first=(), last=("<|endoftext|>",), size=GPT2["vocab_size"])
    _json(folder / "tokenizer_config.json", {"model_max_length": 1024})


def make_bart(folder: Path, *, seed: int) -> None:
    """Write facebook/bart-base: an encoder and a decoder that share one embedding."""
    tensors = _tensors(_model(lambda: BartModel(_config(BartConfig, BART)), seed))
    shared = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    _write(folder, BART, {name: tensor for name, tensor in tensors.items() if name not in shared})
    _write_byte_pairs(folder, first=("<s>", "<pad>", "</s>", "<unk>"), last=("<mask>",), size=BART["vocab_size"])
    _json(folder / "tokenizer_config.json", {"model_max_length": 1024})


def _config(kind: type[Config], fields: Mapping[str, Any]) -> Config:
    return kind.from_dict(dict(fields))


def _model(make: Callable[[], PreTrainedModel], seed: int) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def _tensors(model: PreTrainedModel) -> Tensors:
    return {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}


def _gamma_and_beta(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def _write(folder: Path, config: Mapping[str, Any], tensors: Tensors) -> None:
    folder.mkdir(parents=True)
    _json(folder / "config.json", config)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_word_pieces(folder: Path, *, size: int) -> None:
    """Write a WordPiece vocabulary: special tokens where BERT's are, some words, every letter; the rest unused."""
    letters = [chr(code) for code in range(33, 127)]
    words = ["Hello", "world", "model", "architecture", "##s"]
    head = ["[PAD]", *(f"[unused{i}]" for i in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = [*head, *letters, *(f"##{letter}" for letter in letters if letter != "s"), *words]
    tokens += [f"[unused{i}]" for i in range(100, 100 + size - len(tokens))]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    _json(folder / "tokenizer_config.json", {"do_lower_case": False, "model_max_length": 512})


def _write_byte_pairs(folder: Path, *, first: tuple[str, ...], last: tuple[str, ...], size: int) -> None:
    """Write a byte-level BPE: every byte, four words put together by merges, special tokens; the rest unused."""
    merges = [pair for word in ("Hello", "Ġworld", "Ġmodel", "Ġa") for pair in _merges(word)]
    tokens = [*first, *sorted(ByteLevel.alphabet()), *dict.fromkeys(left + right for left, right in merges)]
    tokens += [f"<unused{i}>" for i in range(size - len(tokens) - len(last))] + [*last]
    _json(folder / "vocab.json", {token: index for index, token in enumerate(tokens)})
    lines = ["#version: 0.2", *dict.fromkeys(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _merges(word: str) -> list[tuple[str, str]]:
    return [(word[:end], word[end]) for end in range(1, len(word))]

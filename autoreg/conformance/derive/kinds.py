"""What a field of a config is, judged from its name: a width, a number of layers, a vocabulary."""

from __future__ import annotations

import re
from types import MappingProxyType

__all__ = ["kind_of"]

# The first that matches wins. Order matters: `num_attention_heads` is no width, `type_vocab_size` no vocabulary.
_PATTERNS = MappingProxyType(
    {
        "token": r"(token_(id|index|ids)|^(pad|bos|eos|unk|mask|sep|cls)_(index|idx|id))$",
        "chosen": r"(per_tok|per_token|top_?k|topk_group|n_group|moe_k)$",
        "shared": r"(shared|kv_shared)_layers$",
        "half": r"pos_feats$",
        "maps": r"(feature_sizes|feat_sizes|featmap_size)$",
        "pinpoints": r"(pinpoints|possible_resolutions)$",
        "image_tokens": r"(tokens_per_image|image_seq_len(gth)?|num_image_tokens|num_soft_tokens|image_token_len(gth)?"
        r"|tokens_per_frame|vision_soft_tokens_per_image|default_output_length)$",
        "compression": r"compress(ion)?_rates?$",
        "kept": r"(^|_)(type_vocab|patch|kernel|stride|strides|tubelet|merge|group(?!_vocab)|groups?_size|step"
        r"|pool|padding|scale|factor|ratio|ratios|mult|expand|expansion|temperature|theta|base|buckets|kernel_sizes|patch_sizes|index"
        r"|indices|indexes|d_conv|conv_dim_kernel|levels?|points|dilations?|rates?|bins)(_|$)"
        r"|^(num_channels|in_chans|num_labels|audio_channels|num_input_channels|n_languages|n_langs)$",
        "pattern": r"(interval|period|pattern|frequency|freq|every_n|every|sparse_step|every_n_layers)$",
        "offset": r"(offset|first_k_dense_replace|num_dense_layers|num_hash_layers)$",
        "layers": r"((^|_)n?_?(layers?|blocks?)|(^|_)depths?|block_repeats|num_blocks|n_layer)$",
        "head_dim": r"((head|heads)_(dim|size|width)|dim_head|d_head|d_kv|^head_features|rotary_dim|attention_key_dim)",
        "heads": r"(heads?|n_head|num_heads|heads_num)(_|$)",
        "experts": r"(experts?|local_experts|n_routed_experts)$",
        "span": r"(context_length|prediction_length|forecast_length|horizon_length|context_window)$",
        "positions": r"(max_.*position.*|n_positions|n_ctx|positions$|max_seq.*|max_(source|target|text)_.*"
        r"|max_.*len(gth)?|position_embeddings|position_encodings|max_wavelength|max_relative.*|max_pos.*"
        r"|max_duration)$",
        "codebook": r"(codebook_size|^num_embeddings)$",
        "vocabulary": r"(vocab|vocab_size.*|vocabulary|n_tokens|entry_vocab.*|n_vocab)$",
        "window": r"(window.*|chunk_.*|block_size|.*chunk_size|local_transformer_stride)$",
        "image": r"(image_size|img_size|image_resolution|resolution|crop_size|input_resolution|spec_size)$",
        "queries": r"(num_queries|query_tokens|num_latents|n_latents|num_proposals|object_queries|denoising"
        r"|num_.*_tokens|queries)$",
        "frames": r"(num_frames|frames_per_clip)$",
        "state": r"(state_size|d_state|ssm_state_size|state_dim)$",
        "width": r"(size|sizes|size_global|dims?|width|channels?|units|rank|filters|d_model|d_ff|dff|dim_ff|n_embd"
        r"|n_inner|planes|features|d_inner|d_embed|d_proj|embd|neurons)$|^(dim|width|d_)|d_ssm$",
    }
)
_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in _PATTERNS.items())


def kind_of(name: str) -> str | None:
    """Return the kind of a field, None where the name says nothing."""
    name = name.removesuffix("_per_stage")
    return next((kind for kind, pattern in _COMPILED if pattern.search(name)), None)

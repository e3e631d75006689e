"""What a config says about its inputs, wherever in the tree it says it and by whatever name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from transformers import PreTrainedConfig

__all__ = ["configs_in", "image_size", "lookup", "number", "placeholder", "read", "special_ids", "vocabulary"]

_SPECIAL = re.compile(r"(token_(id|index|ids)|^(pad|bos|eos|unk|mask|sep|cls)_(index|idx|id))$")
_IMAGE = ("vision", "image", "visual", "pixel", "backbone", "encoder")
_PLACEHOLDERS = MappingProxyType(
    {
        "image": r"^(image|img|media|vision|visual|im)_?(patch|pad|soft|context|pooling)?_?token_?(id|index)$",
        "video": r"^video_?(patch|pad|soft|context)?_?token_?(id|index)$",
        "audio": r"^(audio|speech|sound)_?(patch|pad|soft|context)?_?token_?(id|index)$",
    }
)
_BEGIN = MappingProxyType(
    {"image": r"^(boi|vision_start|image_start|im_start|image_begin)_token", "audio": r"^(boa|audio_start)_token"}
)
_END = MappingProxyType({"image": r"^(eoi|vision_end|image_end|im_end)_token", "audio": r"^(eoa|audio_end)_token"})


def configs_in(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `(path, config)` for a config and those nested in it, the outer one first."""
    yield path, config
    for name, value in vars(config).items():
        if isinstance(value, PreTrainedConfig):
            yield from configs_in(value, f"{path}.{name}" if path else name)


def is_int(value: object) -> bool:
    """Say whether it is an integer and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def read(config: Any, name: str) -> Any:
    """Return a field, None where there is none: some configs refuse to be asked for one.

    A config whose layers differ raises for what differs; what lies beneath is what it was given.
    """
    try:
        return getattr(config, name, None)
    except Exception:  # a stranger's property may raise anything
        return vars(config).get(name)


def lookup(config: Any, names: tuple[str, ...], words: tuple[str, ...] = ()) -> Any:
    """Return the first of these fields that is set, looking first into configs whose path has one of the words."""
    nodes = list(configs_in(config))
    ordered = [node for node in nodes if any(word in node[0] for word in words)]
    ordered += [node for node in nodes if node not in ordered]
    for _, node in ordered:
        for name in names:
            value = read(node, name)
            if value is not None:
                return value
    return None


def number(config: Any, names: tuple[str, ...], default: int, words: tuple[str, ...] = ()) -> int:
    """Return `lookup` as one integer: the first of a list."""
    value = lookup(config, names, words)
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    return int(value) if is_int(value) else default


def image_size(config: Any) -> tuple[int, int]:
    """Return height and width of the images that the config is for."""
    names = (
        "image_size",
        "img_size",
        "input_size",
        "image_resolution",
        "resolution",
        "pretrain_image_size",
        "spec_size",
    )
    value = lookup(config, names, _IMAGE)
    if isinstance(value, dict):
        value = (value.get("height", 64), value.get("width", 64))
    if isinstance(value, (list, tuple)) and len(value) > 1:
        return int(value[-2]), int(value[-1])
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    return (int(value), int(value)) if is_int(value) and value > 1 else (64, 64)


def special_ids(config: Any) -> frozenset[int]:
    """Return every token id that a config, or one nested in it, gives a meaning."""
    found: set[int] = set()
    for _, each in configs_in(config):
        for name, value in vars(each).items():
            if _SPECIAL.search(name):
                found.update(item for item in (value if isinstance(value, (list, tuple)) else [value]) if is_int(item))
    return frozenset(found)


def placeholder(config: Any, modality: str) -> tuple[int | None, int | None, int | None]:
    """Return the ids that open, stand for and close an image, a video or a stretch of audio; None where unset."""
    return (
        _named(config, _BEGIN.get(modality, "^$")),
        _named(config, _PLACEHOLDERS[modality]),
        _named(config, _END.get(modality, "^$")),
    )


def is_placeholder(name: str) -> bool:
    """Say whether a field of this name holds the id of a token that stands for an image, a video or sound."""
    return any(re.search(pattern, name) for pattern in _PLACEHOLDERS.values())


def _named(config: Any, pattern: str) -> int | None:
    for _, each in configs_in(config):
        for name, value in vars(each).items():
            if re.search(pattern, name) and is_int(value):
                return int(value)
    return None


def vocabulary(config: Any, *, decoder: bool = False) -> int | None:
    """Return how many ids the text embedding of the encoder (or decoder) has, None where there is no text.

    Not `get_text_config`, which raises where a config has both a text encoder and a generator.
    """
    names = ("vocab_size", "text_vocab_size", "n_vocab", "input_vocab_size", "codebook_size", "num_embeddings")
    for name in names:
        found = {path: size for path, each in configs_in(config) if is_int(size := read(each, name))}
        words = ("decoder", "generator", "text", "") if decoder else ("", "text", "encoder", "decoder")
        for word in words:
            for path, size in found.items():
                if path == word or (word and word in path):
                    return int(size)
        if found:
            return int(next(iter(found.values())))
    return None

"""What an input is made from: the config, how much of it is asked for, and random numbers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

__all__ = ["Draw", "Sizes", "configs_in", "special_ids", "vocabulary"]

_SPECIAL = ("_token_id", "_token_index", "_token_ids", "_index", "_idx")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """The sizes that no config states and the search finds.

    Attributes:
        length: tokens of text.
        image: height and width of an image in pixels.
        frames: frames of audio features.
        samples: samples of raw audio.
        clip: frames of a video.
    """

    length: int = 8
    image: tuple[int, int] | None = None
    frames: int | None = None
    samples: int | None = None
    clip: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """One request for inputs.

    Attributes:
        config: what the inputs must fit.
        batch_size: rows.
        length: tokens of text.
        seed: of all random numbers.
        sizes: the sizes that the search found.
    """

    config: Any
    batch_size: int
    length: int
    seed: int
    sizes: Sizes = field(default_factory=Sizes)

    def generator(self, name: str) -> torch.Generator:
        """Return random numbers of this input's own, so that one input more does not change the others."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + zlib.crc32(name.encode()))

    def ids(self, name: str, shape: tuple[int, ...], *, vocab: int, avoid: frozenset[int] = frozenset()) -> torch.Tensor:
        """Return int64 ids below `vocab`, none of those to avoid (as far as any are left)."""
        allowed = torch.tensor([each for each in range(vocab) if each not in avoid] or [0])
        drawn = torch.randint(len(allowed), shape, generator=self.generator(name))
        return allowed[drawn]

    def normal(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Return float32 normal numbers."""
        return torch.randn(shape, generator=self.generator(name))


def configs_in(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `(path, config)` for a config and those nested in it, the outer one first."""
    from transformers import PreTrainedConfig

    yield path, config
    for name, value in vars(config).items():
        if isinstance(value, PreTrainedConfig):
            yield from configs_in(value, f"{path}.{name}" if path else name)


def special_ids(config: Any) -> frozenset[int]:
    """Return every token id that a config, or one nested in it, gives a meaning."""
    found: set[int] = set()
    for _, each in configs_in(config):
        for name, value in vars(each).items():
            if name.endswith(_SPECIAL):
                found.update(item for item in (value if isinstance(value, (list, tuple)) else [value]) if _is_id(item))
    return frozenset(found)


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def vocabulary(config: Any, *, decoder: bool = False) -> int | None:
    """Return how many ids the text embedding of the encoder (or decoder) has, None where there is no text.

    Not `get_text_config`, which raises where a config has both a text encoder and a generator.
    """
    found = {path: size for path, each in configs_in(config) if _is_id(size := getattr(each, "vocab_size", None))}
    words = ("decoder", "generator", "text") if decoder else ("text", "encoder", "decoder")
    for word in ("", *words) if not decoder else (*words, ""):
        for path, size in found.items():
            if path == word or (word and word in path):
                return int(size)
    return next(iter(found.values()), None)

"""What an input is made from: the config, how much of it is asked for, and random numbers."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch

from autoreg.conformance.derive.inputs import facts

__all__ = ["Draw", "Sizes"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """The sizes that no config states, or not all of them, and the search finds; None asks the config.

    Attributes:
        length: tokens of text.
        image: height and width of an image in pixels.
        frames: frames of audio features.
        samples: samples of raw audio.
        clip: frames of a video.
        crops: crops of an image.
        features: spectral features of a frame of audio.
        codebooks: codes of each place, where ids are codes.
        placeholders: for each modality how many tokens of a row stand for it.
    """

    length: int = 8
    image: int | None = None
    frames: int | None = None
    samples: int | None = None
    clip: int | None = None
    features: int | None = None
    codebooks: int | None = None
    crops: int = 2
    placeholders: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
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

    def ids(self, name: str, shape: tuple[int, ...], *, vocab: int) -> torch.Tensor:
        """Return int64 ids below `vocab`, none of them special as far as any others are left."""
        special = facts.special_ids(self.config)
        allowed = torch.tensor([each for each in range(vocab) if each not in special] or [0])
        return allowed[torch.randint(len(allowed), shape, generator=self.generator(name))]

    def normal(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Return float32 normal numbers."""
        return torch.randn(shape, generator=self.generator(name))

    @cached_property
    def layout(self) -> tuple[tuple[str, int], ...]:
        """The row of text as `(modality, id)`: `("text", 0)` for a token to draw, others for themselves."""
        row: list[tuple[str, int]] = [("text", 0)] * max(self.length // 2, 1)
        for modality, count in self.sizes.placeholders.items():
            begin, token, end = facts.placeholder(self.config, modality)
            row += [("mark", begin)] if begin is not None else []
            row += [(modality, token if token is not None else 0)] * count
            row += [("mark", end)] if end is not None else []
        row += [("text", 0)] * (self.length - max(self.length // 2, 1))
        return tuple(row)

    @property
    def image(self) -> tuple[int, int]:
        """Height and width of an image."""
        if self.sizes.image is not None:
            return self.sizes.image, self.sizes.image
        return facts.image_size(self.config)

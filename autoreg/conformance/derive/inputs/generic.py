"""Values with no modality of their own: embedded sequences, indices, prompts of points and boxes."""

from __future__ import annotations

from functools import partial

import torch

from autoreg.conformance.derive.inputs import facts
from autoreg.conformance.derive.inputs.draw import Draw
from autoreg.conformance.derive.inputs.form import Form
from autoreg.conformance.derive.inputs.vision import PATCHES

__all__ = ["BOX_PROMPTS", "EMBEDDED", "INDEX", "POINTS", "REGIONS", "ROWS", "SEQUENCE"]

_WIDTHS = ("hidden_size", "d_model", "n_embd", "embed_dim", "dim", "hidden_dim")


def _sequence(draw: Draw, name: str, *, words: tuple[str, ...]) -> torch.Tensor:
    return draw.normal(name, (draw.batch_size, draw.length, facts.number(draw.config, _WIDTHS, 64, words)))


def _channels_first(draw: Draw, name: str) -> torch.Tensor:
    return _sequence(draw, name, words=()).transpose(1, 2).contiguous()


def _inner(draw: Draw, name: str) -> torch.Tensor:
    names = ("d_latents", "latent_dim", "codebook_dim", "num_mel_bins", "d_model")
    return draw.normal(name, (draw.batch_size, draw.length, facts.number(draw.config, names, 64)))


def _index(draw: Draw, name: str) -> torch.Tensor:
    return torch.zeros(draw.batch_size, dtype=torch.long)


def _rows(draw: Draw, name: str) -> torch.Tensor:
    width = facts.number(draw.config, ("state_dim", "max_state_dim", *_WIDTHS), 8)
    return draw.normal(name, (draw.batch_size, width))


def _points(draw: Draw, name: str) -> torch.Tensor:
    return torch.rand((draw.batch_size, 1, 2, 2), generator=draw.generator(name)) * draw.image[0]


def _box_prompts(draw: Draw, name: str) -> torch.Tensor:
    corner = torch.rand((draw.batch_size, 1, 2), generator=draw.generator(name)) * draw.image[0] / 2
    return torch.cat([corner, corner + draw.image[0] / 4], -1)


def _regions(draw: Draw, name: str) -> torch.Tensor:
    width = 4 if "pos" in name else facts.number(draw.config, ("visual_feat_dim", "visual_embedding_dim"), 64)
    return torch.rand((draw.batch_size, 3, width), generator=draw.generator(name))


REGIONS = Form(make=_regions, kind="values")
INDEX = Form(make=_index, kind="index")
ROWS = Form(make=_rows, kind="values")
POINTS = Form(make=_points, kind="values")
BOX_PROMPTS = Form(make=_box_prompts, kind="boxes")
SEQUENCE = Form(make=_inner, kind="values", length_axis=1)
EMBEDDED = (
    Form(make=partial(_sequence, words=("text",)), kind="values", length_axis=1),
    Form(make=partial(_sequence, words=("encoder", "vision", "audio")), kind="values", length_axis=1),
    SEQUENCE,
    PATCHES,
    Form(make=_channels_first, kind="values", length_axis=2),
    ROWS,
)

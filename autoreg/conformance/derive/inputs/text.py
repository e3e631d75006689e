"""Text: ids, masks and what goes beside them, `(batch_size, length)` and int64 unless it says otherwise."""

from __future__ import annotations

from types import MappingProxyType

import torch

from autoreg.conformance.derive.inputs import facts
from autoreg.conformance.derive.inputs.draw import Draw
from autoreg.conformance.derive.inputs.form import Form

__all__ = [
    "BOXES",
    "CODES",
    "DECODER_IDS",
    "DECODER_MASK",
    "EMBEDDED",
    "ENDED",
    "IDS",
    "IMAGE_ATTENTION",
    "MASK",
    "MODALITIES",
    "PLACES",
    "POSITIONS",
    "ZEROS",
]

_MODALITY_NUMBERS = MappingProxyType({"image": 1, "video": 2, "audio": 3})
_WIDTHS = ("hidden_size", "d_model", "n_embd", "embed_dim", "dim", "hidden_dim")


def _ids(draw: Draw, name: str) -> torch.Tensor:
    layout = draw.layout
    drawn = draw.ids(name, (draw.batch_size, len(layout)), vocab=facts.vocabulary(draw.config) or 2)
    for column, (modality, token) in enumerate(layout):
        if modality != "text":
            drawn[:, column] = token
    return drawn


def _ended(draw: Draw, name: str) -> torch.Tensor:
    drawn = _ids(draw, name)
    end = facts.lookup(draw.config, ("eos_token_id",))
    # In front, where the model finds it too, and where no check cuts it off.
    drawn[:, 0] = end[0] if isinstance(end, (list, tuple)) else end
    return drawn


def _decoder_ids(draw: Draw, name: str) -> torch.Tensor:
    vocab = facts.vocabulary(draw.config, decoder=True) or 2
    return draw.ids(name, (draw.batch_size, draw.length), vocab=vocab)


def _codebooks(draw: Draw) -> int:
    if draw.sizes.codebooks is not None:
        return draw.sizes.codebooks
    return facts.number(draw.config, ("num_codebooks", "n_codebooks", "num_quantizers", "num_vq", "audio_channels"), 4)


def _codes_last(draw: Draw, name: str) -> torch.Tensor:
    shape = (draw.batch_size, draw.length, _codebooks(draw))
    return draw.ids(name, shape, vocab=facts.vocabulary(draw.config, decoder=True) or 2)


def _codes_first(draw: Draw, name: str) -> torch.Tensor:
    return _codes_last(draw, name).transpose(1, 2).contiguous()


def _codes_flat(draw: Draw, name: str) -> torch.Tensor:
    return _codes_first(draw, name).flatten(0, 1)


def _mask(draw: Draw, name: str) -> torch.Tensor:
    return torch.ones(draw.batch_size, len(draw.layout), dtype=torch.long)


def _decoder_mask(draw: Draw, name: str) -> torch.Tensor:
    return torch.ones(draw.batch_size, draw.length, dtype=torch.long)


def _image_attention(draw: Draw, name: str) -> torch.Tensor:
    """Return which of its images a token sees: all of them."""
    images = draw.sizes.clip or facts.number(draw.config, ("num_frames", "frames_per_clip"), 2)
    return torch.ones(draw.batch_size, len(draw.layout), images, dtype=torch.long)


def _zeros(draw: Draw, name: str) -> torch.Tensor:
    return torch.zeros(draw.batch_size, len(draw.layout), dtype=torch.long)


def _positions(draw: Draw, name: str) -> torch.Tensor:
    return torch.arange(len(draw.layout)).expand(draw.batch_size, -1).contiguous()


def _modalities(draw: Draw, name: str) -> torch.Tensor:
    row = torch.tensor([_MODALITY_NUMBERS.get(modality, 0) for modality, _ in draw.layout])
    return row.expand(draw.batch_size, -1).contiguous()


def _places(draw: Draw, name: str) -> torch.Tensor:
    """Return where the row has room for the modality that the argument is named after."""
    row = torch.tensor([int(modality in name) for modality, _ in draw.layout])
    return row.expand(draw.batch_size, -1).contiguous()


def _boxes(draw: Draw, name: str) -> torch.Tensor:
    shape = (draw.batch_size, len(draw.layout), 2)
    limit = min(facts.number(draw.config, ("max_2d_position_embeddings",), 1000), 1000) // 2
    corner = torch.randint(limit - 1, shape, generator=draw.generator(name))
    return torch.cat([corner, corner + 1 + torch.randint(limit - 1, shape, generator=draw.generator(f"{name}+"))], -1)


def _corners(draw: Draw, name: str) -> torch.Tensor:
    return _boxes(draw, name)[..., [0, 1, 2, 1, 2, 3, 0, 3]] / 1000


def _embedded(draw: Draw, name: str) -> torch.Tensor:
    words = ("decoder",) if "encoder" not in name else ("encoder",)
    width = facts.number(draw.config, _WIDTHS, 64, words)
    return draw.normal(name, (draw.batch_size, draw.length, width))


IDS = Form(make=_ids, kind="ids", length_axis=1)
ENDED = Form(make=_ended, kind="ids", length_axis=1)
DECODER_IDS = Form(make=_decoder_ids, kind="ids", length_axis=1)
CODES = (
    Form(make=_codes_last, kind="ids", length_axis=1),
    Form(make=_codes_first, kind="ids", length_axis=2),
    Form(make=_codes_flat, kind="ids", batch_axis=None, length_axis=1),
)
IMAGE_ATTENTION = Form(make=_image_attention, kind="mask", length_axis=1)
MASK = Form(make=_mask, kind="mask", length_axis=1)
DECODER_MASK = Form(make=_decoder_mask, kind="mask", length_axis=1)
ZEROS = Form(make=_zeros, kind="index", length_axis=1)
POSITIONS = Form(make=_positions, kind="index", length_axis=1)
PLACES = Form(make=_places, kind="mask", length_axis=1)
MODALITIES = Form(make=_modalities, kind="index", length_axis=1)
BOXES = (Form(make=_boxes, kind="boxes", length_axis=1), Form(make=_corners, kind="boxes", length_axis=1))
EMBEDDED = Form(make=_embedded, kind="values", length_axis=1)

"""Images and videos, as whole pictures or as flattened patches, with the masks and sizes that go beside them."""

from __future__ import annotations

import torch

from autoreg.conformance.derive.inputs import facts
from autoreg.conformance.derive.inputs.draw import Draw
from autoreg.conformance.derive.inputs.form import Form

__all__ = [
    "GRID",
    "GRIDS_WITH_TARGETS",
    "IMAGES_PER_SAMPLE",
    "IMAGE_MASK",
    "MERGES",
    "PATCHES",
    "PATCH_MASK",
    "PATCH_POSITIONS",
    "PATCH_ROWS",
    "PATCH_ROWS_MASK",
    "PIXELS",
    "PLACED_PATCHES",
    "SHAPES",
    "SIZES",
    "VIDEOS",
    "VIDEO_GRID",
]

_VISION = ("vision", "image", "visual", "backbone", "encoder", "video")
_MERGES = ("spatial_merge_size", "merge_size", "merge_kernel_size", "adapter_merge_size")
_CHANNELS = ("num_channels", "in_channels", "in_chans", "input_channels", "image_channels", "num_image_channels")


def _channels(draw: Draw) -> int:
    return facts.number(draw.config, _CHANNELS, 3, _VISION)


def _patch(draw: Draw) -> int:
    return facts.number(draw.config, ("patch_size", "image_patch_size", "patch_stride"), 16, _VISION)


def _clip(draw: Draw) -> int:
    return draw.sizes.clip or facts.number(draw.config, ("num_frames", "frames_per_clip"), 2, _VISION)


def _image(draw: Draw, name: str) -> torch.Tensor:
    return draw.normal(name, (draw.batch_size, _channels(draw), *draw.image))


def _clip_first(draw: Draw, name: str) -> torch.Tensor:
    return draw.normal(name, (draw.batch_size, _clip(draw), _channels(draw), *draw.image))


def _channels_first(draw: Draw, name: str) -> torch.Tensor:
    return _clip_first(draw, name).transpose(1, 2).contiguous()


def _one_crop(draw: Draw, name: str) -> torch.Tensor:
    return _image(draw, name)[:, None]


def _one_crop_of_one(draw: Draw, name: str) -> torch.Tensor:
    return _image(draw, name)[:, None, None]


def _crops(draw: Draw, name: str) -> torch.Tensor:
    return draw.normal(name, (draw.batch_size, draw.sizes.crops, _channels(draw), *draw.image))


def _channels_last(draw: Draw, name: str) -> torch.Tensor:
    return _image(draw, name).permute(0, 2, 3, 1).contiguous()


def _side(draw: Draw) -> int:
    """Return the side of the grid of patches: two of what the model merges into one token."""
    merge = facts.number(draw.config, _MERGES, 1)
    return max(2 * merge, 4)


def _patch_width(draw: Draw) -> int:
    depth = facts.number(draw.config, ("temporal_patch_size",), 1, _VISION)
    return _channels(draw) * depth * _patch(draw) ** 2


def _patches(draw: Draw, name: str) -> torch.Tensor:
    frames = _clip(draw) if "video" in name else 1
    return draw.normal(name, (draw.batch_size * _side(draw) ** 2 * frames, _patch_width(draw)))


def _pictured_patches(draw: Draw, name: str) -> torch.Tensor:
    rows = draw.batch_size * _side(draw) ** 2
    return draw.normal(name, (rows, _channels(draw), _patch(draw), _patch(draw)))


def _strip(draw: Draw, name: str) -> torch.Tensor:
    """Return the patches of all images side by side, as one image that is a patch high."""
    patches = draw.batch_size * _side(draw) ** 2
    return draw.normal(name, (1, _channels(draw), _patch(draw), patches * _patch(draw)))


def _patch_rows(draw: Draw, name: str) -> torch.Tensor:
    width = _channels(draw) * _patch(draw) ** 2
    return draw.normal(name, (draw.batch_size, _side(draw) ** 2, width))


def _placed_patches(draw: Draw, name: str) -> torch.Tensor:
    """Return patches with the row and the column of each in front; zero is for padding."""
    width = facts.number(draw.config, ("patch_embed_hidden_size",), _channels(draw) * _patch(draw) ** 2, _VISION)
    side = _side(draw)
    drawn = draw.normal(name, (draw.batch_size, side**2, 2 + width))
    drawn[..., 0], drawn[..., 1] = 1 + torch.arange(side**2) // side, 1 + torch.arange(side**2) % side
    return drawn


def _embedded_patches(draw: Draw, name: str) -> torch.Tensor:
    width = facts.number(draw.config, ("embed_dim", "hidden_size"), 64, _VISION)
    return draw.normal(name, (draw.batch_size * _side(draw) ** 2, width))


def _grid(draw: Draw, name: str) -> torch.Tensor:
    return torch.tensor([[1, _side(draw), _side(draw)]] * draw.batch_size)


def _grids_with_targets(draw: Draw, name: str) -> torch.Tensor:
    """Return for each row the grid of its image, and the grid of one that is to be made."""
    return _grid(draw, name).repeat_interleave(2, dim=0)


def _one_each(draw: Draw, name: str) -> torch.Tensor:
    return torch.ones(draw.batch_size, dtype=torch.long)


def _two_each(draw: Draw, name: str) -> torch.Tensor:
    return 2 * _one_each(draw, name)


def _video_grid(draw: Draw, name: str) -> torch.Tensor:
    return torch.tensor([[_clip(draw), _side(draw), _side(draw)]] * draw.batch_size)


def _flat_grid(draw: Draw, name: str) -> torch.Tensor:
    return _grid(draw, name)[:, 1:].contiguous()


def _sizes(draw: Draw, name: str) -> torch.Tensor:
    return torch.tensor([list(draw.image)] * draw.batch_size)


def _sizes_of_one(draw: Draw, name: str) -> torch.Tensor:
    return _sizes(draw, name)[:, None]


def _image_mask(draw: Draw, name: str) -> torch.Tensor:
    return torch.ones(draw.batch_size, *draw.image, dtype=torch.long)


def _crop_mask(draw: Draw, name: str) -> torch.Tensor:
    return _image_mask(draw, name)[:, None]


def _patch_rows_mask(draw: Draw, name: str) -> torch.Tensor:
    return torch.ones(draw.batch_size, _side(draw) ** 2, dtype=torch.long)


def _patch_mask(draw: Draw, name: str) -> torch.Tensor:
    count = (draw.image[0] // _patch(draw)) * (draw.image[1] // _patch(draw))
    return torch.arange(count).expand(draw.batch_size, -1) % 2 == 0


def _video_patch_mask(draw: Draw, name: str) -> torch.Tensor:
    depth = facts.number(draw.config, ("tubelet_size",), 1, _VISION)
    return _patch_mask(draw, name).repeat(1, max(_clip(draw) // depth, 1))


def _patch_positions(draw: Draw, name: str) -> torch.Tensor:
    side = torch.arange(_side(draw))
    return torch.cartesian_prod(side, side).expand(draw.batch_size, -1, -1).contiguous()


def _merges(draw: Draw, name: str) -> torch.Tensor:
    return torch.full((draw.batch_size,), facts.number(draw.config, _MERGES, 1))


def _tuple_sizes(draw: Draw, name: str) -> list[tuple[int, int]]:
    return [draw.image] * draw.batch_size


_pixels = Form(make=_image, kind="pixels")
PATCHES = Form(make=_patches, kind="pixels", batch_axis=None)
PLACED_PATCHES = (Form(make=_placed_patches, kind="pixels"),)
_video = Form(make=_clip_first, kind="pixels")
PATCH_ROWS = Form(make=_patch_rows, kind="pixels")
STRIP = Form(make=_strip, kind="pixels", batch_axis=None)
PIXELS = (
    _pixels,
    _video,
    Form(make=_one_crop, kind="pixels"),
    PATCHES,
    PATCH_ROWS,
    Form(make=_one_crop_of_one, kind="pixels"),
    Form(make=_crops, kind="pixels"),
    Form(make=_pictured_patches, kind="pixels", batch_axis=None),
    Form(make=_channels_first, kind="pixels"),
    Form(make=_embedded_patches, kind="pixels", batch_axis=None),
    Form(make=_channels_last, kind="pixels"),
    STRIP,
)
VIDEOS = (_video, PATCHES, Form(make=_channels_first, kind="pixels"), _pixels)
GRID = (Form(make=_grid, kind="index"), Form(make=_flat_grid, kind="index"), Form(make=_sizes, kind="index"))
GRIDS_WITH_TARGETS = Form(make=_grids_with_targets, kind="index", batch_axis=None)
IMAGES_PER_SAMPLE = (Form(make=_one_each, kind="index"), Form(make=_two_each, kind="index"))
VIDEO_GRID = (Form(make=_video_grid, kind="index"), Form(make=_grid, kind="index"))
SIZES = (
    Form(make=_sizes, kind="index"),
    Form(make=_sizes_of_one, kind="index"),
    Form(make=_flat_grid, kind="index"),
    Form(make=_tuple_sizes, kind="index"),
)
PATCHED_SIZES = (SIZES[2], *SIZES[:2])
MERGES = (Form(make=_merges, kind="index"),)
SHAPES = (Form(make=_flat_grid, kind="index"), Form(make=_sizes, kind="index"), Form(make=_grid, kind="index"))
PATCH_ROWS_MASK = Form(make=_patch_rows_mask, kind="mask")
IMAGE_MASK = (
    Form(make=_image_mask, kind="mask"),
    Form(make=_crop_mask, kind="mask"),
    PATCH_ROWS_MASK,
)
PATCH_MASK = (Form(make=_patch_mask, kind="mask"), Form(make=_video_patch_mask, kind="mask"))
PATCH_POSITIONS = (Form(make=_patch_positions, kind="index"),)

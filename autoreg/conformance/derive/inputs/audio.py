"""Sound: raw samples, and frames of spectral features."""

from __future__ import annotations

import math
from typing import Any

import torch

from autoreg.conformance.derive.inputs import facts
from autoreg.conformance.derive.inputs.draw import Draw
from autoreg.conformance.derive.inputs.form import Form

__all__ = ["FEATURES", "FRAME_LENGTHS", "FRAME_MASK", "FRAME_PADDING", "SAMPLES", "SAMPLE_MASK", "SPECTROGRAM"]

_AUDIO = ("audio", "speech", "encoder", "codec")
_MELS = ("num_mel_bins", "n_mels", "mel_bins", "input_feat_size", "feature_size", "input_feat_per_channel",
         "feature_projection_input_dim", "input_dim", "num_mel", "model_in_dim", "input_size")  # fmt: skip
_STRIDES = ("conv_stride", "upsampling_ratios", "downsampling_ratios", "upsample_rates", "strides", "hop_length",
            "downsample_factor", "audio_frame_size", "encoder_rates", "downsample_rates")  # fmt: skip


def _mels(draw: Draw) -> int:
    return draw.sizes.features or facts.number(draw.config, _MELS, 80, _AUDIO)


def _frames(draw: Draw) -> int:
    """Return how many frames: a model with fixed positions wants exactly twice as many (a convolution of stride 2)."""
    if draw.sizes.frames is not None:
        return draw.sizes.frames
    positions = facts.number(draw.config, ("max_source_positions",), 16, _AUDIO)
    return 2 * positions


def _samples(draw: Draw) -> int:
    if draw.sizes.samples is not None:
        return draw.sizes.samples
    strides = [_product(facts.lookup(draw.config, (name,), _AUDIO)) for name in _STRIDES]
    return 8 * max(min(max(strides), 2048), 64)


def _product(value: Any) -> int:
    if isinstance(value, (list, tuple)):
        return math.prod(int(each) for each in value if facts.is_int(each))
    return int(value) if facts.is_int(value) else 1


def _raw(draw: Draw, name: str) -> torch.Tensor:
    return draw.normal(name, (draw.batch_size, _samples(draw)))


def _raw_channel(draw: Draw, name: str) -> torch.Tensor:
    channels = facts.number(draw.config, ("audio_channels", "channels"), 1, _AUDIO)
    return draw.normal(name, (draw.batch_size, channels, _samples(draw)))


def _frames_last(draw: Draw, name: str) -> torch.Tensor:
    return draw.normal(name, (draw.batch_size, _mels(draw), _frames(draw)))


def _mels_last(draw: Draw, name: str) -> torch.Tensor:
    return draw.normal(name, (draw.batch_size, _frames(draw), _mels(draw)))


def _mels_last_channel(draw: Draw, name: str) -> torch.Tensor:
    return _mels_last(draw, name)[:, None]


def _frames_of_all(draw: Draw, name: str) -> torch.Tensor:
    """Return the frames of all rows one after the other, as `feature_lens` divides them."""
    return draw.normal(name, (_mels(draw), draw.batch_size * _frames(draw)))


def _samples_mask(draw: Draw, name: str) -> torch.Tensor:
    return torch.ones(draw.batch_size, _samples(draw), dtype=torch.long)


def _samples_channel_mask(draw: Draw, name: str) -> torch.Tensor:
    return _samples_mask(draw, name)[:, None]


def _frames_mask(draw: Draw, name: str) -> torch.Tensor:
    return torch.ones(draw.batch_size, _frames(draw), dtype=torch.long)


def _frames_bool_mask(draw: Draw, name: str) -> torch.Tensor:
    return _frames_mask(draw, name).bool()


def _frames_padding(draw: Draw, name: str) -> torch.Tensor:
    return ~_frames_bool_mask(draw, name)


def _lengths(draw: Draw, name: str) -> torch.Tensor:
    return torch.full((draw.batch_size,), _frames(draw))


_raw_form = Form(make=_raw, kind="audio")
_raw_channel_form = Form(make=_raw_channel, kind="audio")
_mels_form = Form(make=_mels_last, kind="audio")
SAMPLES = (_raw_form, _raw_channel_form, _mels_form, Form(make=_mels_last_channel, kind="audio"))
FEATURES = (
    Form(make=_frames_last, kind="audio"),
    _mels_form,
    Form(make=_mels_last_channel, kind="audio"),
    Form(make=_frames_of_all, kind="audio", batch_axis=None),
    _raw_form,
    _raw_channel_form,
)
SPECTROGRAM = (_mels_form, Form(make=_frames_last, kind="audio"))
SAMPLE_MASK = (Form(make=_samples_mask, kind="mask"), Form(make=_samples_channel_mask, kind="mask"))
FRAME_MASK = (Form(make=_frames_mask, kind="mask"), Form(make=_frames_bool_mask, kind="mask"))
FRAME_PADDING = (Form(make=_frames_padding, kind="mask"),)
FRAME_LENGTHS = (Form(make=_lengths, kind="index"),)

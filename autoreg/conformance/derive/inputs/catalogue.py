"""Which forms an argument of `forward` may have, by its name: transformers' words for what models are given."""

from __future__ import annotations

import re
from functools import lru_cache

from autoreg.conformance.derive.inputs import audio, generic, series, text, vision
from autoreg.conformance.derive.inputs.form import Form

__all__ = ["SWITCHES", "forms_of", "modality_of"]

# Arguments that say what to return, hand over a cache or replace other arguments: never derived.
SWITCHES = re.compile(
    r"^(self|kwargs|args|labels?|.*_labels?|past_key_values?|cache.*|.*_cache|use_cache|output_.*|return_.*|logits_to_keep"
    r"|head_mask|.*_head_mask|interpolate_pos_encoding|encoder_outputs|mm_encoder_outputs|start_positions|end_positions"
    r"|inputs_embeds|decoder_inputs_embeds|vision_feature_.*|num_items_in_batch)$"
)

_ENTRIES: tuple[tuple[str, tuple[Form, ...]], ...] = (
    (r"^input_ids$", (text.IDS, text.ENDED, *text.CODES)),
    (r"^decoder_input_ids$", (text.DECODER_IDS, *text.CODES)),
    (r"^(.*_)?input_ids$|^input_(shape|pronunciation)_ids$|^ids$", (text.DECODER_IDS, text.ZEROS, generic.INDEX)),
    (r"^(mm_token_type_ids)$", (text.MODALITIES,)),
    (r"^attention_mask$", (text.MASK, *audio.FRAME_MASK, *audio.SAMPLE_MASK, *vision.IMAGE_MASK, text.DECODER_MASK)),
    (r"^bbox$", text.BOXES),
    (r"^visual_(feats|pos|embeds)$", (generic.REGIONS,)),
    (r"^task_inputs$", (text.DECODER_IDS,)),
    (r"^flattened_patches$", vision.PLACED_PATCHES),
    (r"^pixel_values_videos$|^video(s|_values)?$", vision.VIDEOS),
    (r"^(pixel_values.*|.*_pixel_values|images?|frame|.*patches)$", vision.PIXELS),
    (r"^(pixel_(attention_)?mask|.*pixel_mask|prompt_masks?)$", vision.IMAGE_MASK),
    (r"^bool_masked_pos$", vision.PATCH_MASK),
    (r"^images_per_sample$", vision.IMAGES_PER_SAMPLE),
    (r"^(video_grid_thw)$", vision.VIDEO_GRID),
    (r"^(.*grid_(thw|hw|shapes?))$", vision.GRID),
    (r"merge_sizes?$", vision.MERGES),
    (r"^target_sizes$", vision.PATCHED_SIZES),
    (r"^(image_sizes?|original_sizes|target_sizes|.*_sizes)$", vision.SIZES),
    (r"^(spatial_shapes)$", vision.SHAPES),
    (r"^pixel_position_ids$|^image_position_ids$|^.*_position_ids$", (*vision.PATCH_POSITIONS, text.POSITIONS)),
    (r"^(input_values.*|waveform|raw_audio|audio_values)$", audio.SAMPLES),
    (r"^(input_features|audio_mel|audio_input_features|audio_features)$", audio.FEATURES),
    (r"^(spectrogram|decoder_input_values)$", (*audio.SPECTROGRAM, generic.EMBEDDED[0])),
    (r"^(.*features?_(attention_)?mask|audio_mel_mask|audio_attention_mask)$", audio.FRAME_MASK),
    (r"^(padding_mask.*)$", (*audio.SAMPLE_MASK, *audio.FRAME_MASK, text.MASK)),
    (r"^(feature_lens|audio_feature_lengths|.*_lengths)$", audio.FRAME_LENGTHS),
    (r"^(past|future)_values$", (*series.PAST, *series.LIST_OF_SERIES)),
    (r"^(past|future)_observed_mask$|^observed_mask$", series.OBSERVED),
    (r"^(past|future)_time_features$", series.TIMES),
    (r"^past_values_padding$", series.PADDING),
    (r"^static_real_features$", series.STATIC),
    (r"^static_categorical_features$", series.CATEGORIES),
    (r"^freq$", series.FREQUENCY),
    (r"^(states?)$", (*series.STATES, generic.ROWS)),
    (r"^(actions?)$", series.ACTIONS),
    (r"^(rewards?|returns_to_go)$", series.REWARDS),
    (r"^(timesteps?|position_ids|cache_position)$", (text.POSITIONS, generic.INDEX)),
    (r"^decoder_attention_mask$", (text.DECODER_MASK,)),
    (r"^image_attention_mask$", (text.IMAGE_ATTENTION, text.MASK, *vision.IMAGE_MASK)),
    (r"^(image|video|audio)_.*position_mask$", (text.PLACES, text.MASK)),
    (r"^(.*mask)$", (text.MASK, text.DECODER_MASK, *audio.FRAME_MASK, *vision.IMAGE_MASK)),
    (r"^(token_type_ids|langs?|.*_type_ids)$", (text.ZEROS,)),
    (r"^(lang_ids?|.*_index|.*_idx)$", (generic.INDEX,)),
    (r"^(input_points)$", (generic.POINTS,)),
    (r"^(input_boxes)$", (generic.BOX_PROMPTS,)),
    (r"^(.*audio_codes|codes|audio_code)$", text.CODES[1:]),
    (r"^(inputs)$", (text.IDS, *vision.PIXELS[:1], generic.SEQUENCE)),
    (r"^(.*_embeds|.*hidden_states?|latents?|.*_embeddings?|.*embeds)$", (*generic.EMBEDDED, audio.SAMPLES[1])),
)
_COMPILED = tuple((re.compile(pattern), forms) for pattern, forms in _ENTRIES)
_MODALITIES = (
    ("video", re.compile(r"^pixel_values_videos$|^video")),
    ("image", re.compile(r"^pixel_values|^images?$|_patches$")),
    ("audio", re.compile(r"^(input_features|input_values|audio_values|audio_input_features|audio_mel)$")),
)


@lru_cache(maxsize=512)
def forms_of(name: str) -> tuple[Form, ...]:
    """Return the forms that an argument of this name may have, the likeliest first; empty if nothing is known."""
    if name in ("decoder_input_ids", "decoder_attention_mask"):
        pass
    elif SWITCHES.match(name) and name not in ("inputs_embeds",):
        return ()
    if name == "inputs_embeds":
        return generic.EMBEDDED
    return next((forms for pattern, forms in _COMPILED if pattern.search(name)), ())


def modality_of(name: str) -> str | None:
    """Return which modality the argument brings in beside the text."""
    return next((modality for modality, pattern in _MODALITIES if pattern.search(name)), None)

"""The names in a config.json: which are no fields, because they are the code's own.

transformers sets each key of the file as an attribute of the config, whatever the key: one that is a method's name
hides the method, and `attribute_map` or `_auto_class` change what the config does.

Depth: metadata. No torch, no transformers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from autoreg.checkpoint.json_file import dotted, field_error
from autoreg.errors import UnsafeCheckpointError

__all__ = ["EDIT", "METHODS", "PRIVATE", "check_keys", "check_names"]

# What `PreTrainedConfig` does and cannot do without, in transformers 5.20 to 5.23; a test compares.
# fmt: off
METHODS = frozenset({
    "_check_received_keys", "_decode_special_floats", "_dict_from_json_file", "_encode_special_floats",
    "_get_config_dict", "_get_files_timestamps", "_get_generation_parameters",
    "_getattr_without_heterogeneous_validation", "_hasattr_without_heterogeneous_validation",
    "_iter_config_keys_with_heterogeneous_adjustment", "_remove_keys_not_serialized",
    "_update_heterogeneous_to_dict_output", "_upload_modified_files", "_validate_axial_rope_parameters",
    "_validate_default_rope_parameters", "_validate_dynamic_rope_parameters", "_validate_linear_rope_parameters",
    "_validate_llama3_rope_parameters", "_validate_longrope_rope_parameters",
    "_validate_proportional_rope_parameters", "_validate_yarn_rope_parameters", "convert_rope_params_to_dict",
    "default_config_fields", "dict_dtype_to_str", "from_dict", "from_json_file", "from_pretrained",
    "get_config_dict", "get_mtp_config", "get_text_config", "is_custom_code", "is_heterogeneous", "is_remote_code",
    "nested_rope_parameter_keys", "per_layer_attributes", "push_to_hub", "register_for_auto_class",
    "save_pretrained", "standardize_rope_params", "sub_configs", "to_dict", "to_diff_dict", "to_json_file",
    "to_json_string", "update", "update_from_string", "use_return_dict", "validate", "validate_architecture",
    "validate_layer_type", "validate_output_attentions", "validate_rope", "validate_token_ids",
})
# fmt: on
# Of the class, not of a checkpoint: the first would give every field another's value.
_OF_THE_CLASS = frozenset({"attribute_map", "sub_configs_defaults", "_heterogeneity_spec"})
# What releases of transformers and of the libraries around it have written themselves.
# fmt: off
PRIVATE = frozenset({
    "_attn_implementation", "_attn_implementation_autoset", "_attn_implementation_internal", "_commit_hash",
    "_diffusers_version", "_experts_implementation", "_experts_implementation_internal", "_flash_attn_2_enabled",
    "_frame_rate", "_from_auto", "_from_model_config", "_is_quantized", "_label_trainable_num_channels",
    "_load_in_4bit", "_load_in_8bit", "_name_or_path", "_num_labels", "_original_object_hash", "_output_attentions",
    "_pad_token_id", "_post_init_done", "_pre_quantization_dtype", "_remove_final_layer_norm",
    "_sliding_window_pattern", "_use_sdpa",
})
# fmt: on

EDIT = "Take the line out of the file, or save or download the checkpoint again."


def check_keys(config: Mapping[str, Any], *, file: str, place: tuple[str, ...] = ()) -> None:
    """Refuse the names that no config of any model type may have; `place` says where a nested one stands."""
    for name in config:
        if name in METHODS or name in _OF_THE_CLASS or name.startswith("_"):
            _check_key(file, (*place, name), config[name])


def _check_key(file: str, path: tuple[str, ...], value: Any) -> None:
    name = path[-1]
    if name == "_auto_class" and value is not None:
        problem = "with it, each later save would copy Python source files into the checkpoint."
        raise UnsafeCheckpointError(file=file, part=dotted(path), problem=problem, advice=EDIT)
    if name in METHODS or name.startswith("__"):
        problem = "it is a method or property of every config, which the value would take the place of."
        raise field_error(file, path, problem, advice=EDIT)
    if name in _OF_THE_CLASS and value:
        problem = "it belongs to the class of the config, and cannot come from a file."
        raise field_error(file, path, problem, advice=EDIT)


def check_names(
    fields: Mapping[str, Any], *, file: str, taken: Collection[str] = (), own: Collection[str] = ()
) -> None:
    """Look over the names in a plugin's config more closely than in one of transformers' own.

    Args:
        fields: the config's content.
        file: where it was read.
        taken: the methods and read-only properties of the plugin's config class.
        own: the fields of that class, and what its own configs write besides.

    Raises:
        CheckpointError: a key hides a method, or is private and neither the class's nor transformers' own.
    """
    for name in fields:
        if name in taken and name not in own:
            problem = "it is a method or property of this config class, which the value would take the place of."
            raise field_error(file, (name,), problem, advice=EDIT)
        if name.startswith("_") and name not in PRIVATE and name not in own:
            problem = "a name that begins with `_` is private to the code, and neither transformers nor this config "
            raise field_error(file, (name,), f"{problem}class writes this one.", advice=EDIT)

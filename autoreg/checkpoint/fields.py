"""The fields of a config.json: which values no config may be built from, whatever its model type.

A number of labels or of layers becomes a list of that length while the config is built, before anything is compared
with the weights; the name of a dtype becomes whatever torch has under that name.

Depth: metadata. No torch, no transformers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from autoreg.checkpoint.json_file import dotted, field_error, not_finite, shown
from autoreg.checkpoint.names import EDIT, check_keys
from autoreg.errors import UnsafeCheckpointError

__all__ = ["check_sizes", "check_structure"]

Path = tuple[str, ...]

_IMPLEMENTATIONS = frozenset(
    {"attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation"}
)
_NO_CONFIGS = frozenset(
    {"compression_config", "distributed_config", "generation_config", "per_layer_config", "quantization_config"}
)
_DTYPE = re.compile(
    r"b?float((4|6|8|16|32|64)(_\w+)?)?|half|double|short|long|bool|q?u?int(([1-8]|16|32|64)(x\d+)?)?"
    r"|complex(32|64|128)|c(half|float|double)"
    r"|bit|bits\d+(x\d+)?"
)

_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_MOST_LABELS = 1_000_000
_MOST_LAYERS = 10_000
_LARGEST_SIZE = 2**31
# fmt: off
_LAYERS = frozenset({
    "attention_types", "block_repeats", "decoder_layers", "depths", "encoder_layers", "n_layer", "n_layers",
    "num_decoder_layers", "num_encoder_layers", "num_hidden_layers", "num_layers", "num_mtp_layers",
    "num_nextn_predict_layers", "stage_num_blocks",
})
# fmt: on
_WIDTHS = ("hidden_size", "d_model", "n_embd", "embed_dim")
_ROWS = ("vocab_size", "intermediate_size", "ffn_dim", "d_ff", "n_inner", *_WIDTHS)
_SIZES = frozenset(_ROWS)

_CORRECT = "Correct the value in the file, or save or download the checkpoint again."


def check_structure(fields: Mapping[str, Any], *, file: str) -> None:
    """Look over a config of any model type, and the configs in it, as no class knows better.

    Raises:
        UnsafeCheckpointError: a field would make transformers run or copy code, or leave the folder.
        CheckpointError: a field hides a method, cannot be what its name says, or would fill the memory.
    """
    found = not_finite(fields)
    if found is not None:
        path, number = found
        value = "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"  # noqa: PLR0124 # NaN
        problem = "it is no number that can be computed with."
        raise field_error(file, path, problem, advice=_CORRECT, expected="a finite number", found=value)
    for place, config in _configs(fields):
        check_keys(config, file=file, place=place)
        _check_values(file, place, config)


def _configs(fields: Mapping[str, Any], place: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the config and those nested in it, with where each stands."""
    yield place, fields
    for name, value in fields.items():
        named = name.endswith("_config") and name not in _NO_CONFIGS
        if isinstance(value, dict) and (named or isinstance(value.get("model_type"), str)):
            yield from _configs(value, (*place, name))


# --- values ------------------------------------------------------------------------------------------


def _check_values(file: str, place: Path, config: Mapping[str, Any]) -> None:
    if place and not isinstance(config.get("model_type"), (str, type(None))):
        found = shown(config["model_type"])
        raise field_error(
            file, (*place, "model_type"), "not a model type.", advice=_CORRECT, expected="a string", found=found
        )
    _check_labels(file, place, config)
    for name in ("dtype", "torch_dtype"):
        _check_dtype(file, (*place, name), config)
    for name in _IMPLEMENTATIONS.intersection(config):
        _check_kernel(file, (*place, name), config[name])
    if "transformers_weights" in config and not _is_inside(config["transformers_weights"]):
        raise UnsafeCheckpointError(
            file=file,
            part=dotted((*place, "transformers_weights")),
            problem="it names the file of the weights.",
            advice=EDIT,
            expected="a file in the checkpoint's own folder",
            found=shown(config["transformers_weights"]),
        )
    for name in _LAYERS.intersection(config):
        _check_number(file, (*place, name), config[name], most=_MOST_LAYERS)
    for name in _SIZES.intersection(config):
        _check_number(file, (*place, name), config[name], most=_LARGEST_SIZE)


def _check_labels(file: str, place: Path, config: Mapping[str, Any]) -> None:
    number, labels = config.get("num_labels"), config.get("id2label")
    # A table of so many names is made while the config is built: ten million took 20 s and 2 GB.
    if number is not None and (type(number) is not int or not 0 <= number <= _MOST_LABELS):
        raise field_error(
            file,
            (*place, "num_labels"),
            "not a number of labels.",
            advice=_CORRECT,
            expected=f"an integer from 0 to {_MOST_LABELS}",
            found=shown(number),
        )
    if labels is None:
        return
    path, problem = (*place, "id2label"), "not a table of labels."
    expected = 'an object such as {"0": "no", "1": "yes"}'
    if not isinstance(labels, dict):
        raise field_error(file, path, problem, advice=_CORRECT, expected=expected, found=shown(labels))
    wrong = next((key for key in labels if not _NUMBER.fullmatch(key)), None)
    if wrong is not None:
        found = f"the key {shown(wrong)}"
        raise field_error(file, path, problem, advice=_CORRECT, expected=expected, found=found)


def _check_dtype(file: str, path: Path, config: Mapping[str, Any]) -> None:
    value = config.get(path[-1])
    # A token's number in a vocabulary that has the word; and `dtype` by part of the model.
    if not isinstance(value, str) or _DTYPE.fullmatch(value):
        return
    # `getattr(torch, "load")` is a function, and the config that has it for its dtype says nothing.
    advice = f"Take `torch.` away: {value[6:]!r}." if _DTYPE.fullmatch(value.removeprefix("torch.")) else _CORRECT
    raise field_error(
        file, path, "not a dtype of torch.", advice=advice, expected='a name such as "bfloat16"', found=shown(value)
    )


def _check_kernel(file: str, path: Path, value: Any) -> None:
    given = value.values() if isinstance(value, dict) else (value,)
    for each in given:
        if isinstance(each, str) and "/" in each:
            name = path[-1].lstrip("_")
            raise UnsafeCheckpointError(
                file=file,
                part=dotted(path),
                problem=f"transformers would fetch the repository {each!r} from the hub and run its code.",
                advice=f"Take the line out of the file. If you trust that code, pass {name}={each!r} yourself.",
            )


def _is_inside(name: Any) -> bool:
    return name is None or (
        isinstance(name, str) and re.fullmatch(r"[\w.-]+(/[\w.-]+)*", name) is not None and ".." not in name.split("/")
    )


def _check_number(file: str, path: Path, value: Any, *, most: int) -> None:
    if isinstance(value, list):
        for each in value:
            _check_number(file, path, each, most=most)
    elif type(value) is int and value > most:
        problem = "no model is that large; transformers would fill the memory with it."
        raise field_error(file, path, problem, advice=_CORRECT, expected=f"at most {most}", found=str(value))


# --- sizes, against the weights ----------------------------------------------------------------------


def check_sizes(fields: Mapping[str, Any], *, file: str, weights: int) -> None:
    """Refuse a config of whose tensors a single one could not be in the weight files, by the names of its fields.

    A cheap guard before anything is built, for what is absurd; shapes are compared exactly against the model on
    the meta device. Not for adapters, whose config describes weights that lie elsewhere.

    Args:
        fields: the config's content.
        file: where it was read.
        weights: the size of all weight files in bytes.

    Raises:
        CheckpointError: two sizes that make one matrix, or the layers of that width, need far more than there is.
    """
    # A number takes a byte, an eighth of one where it is quantized; four times as many may be tied, shared by
    # layers or factored. Below a gigabyte in memory nothing is refused.
    most = max(weights * 4 * (8 if "quantization_config" in fields else 1), 2**28)
    for place, config in _configs(fields):
        width_name = next((name for name in _WIDTHS if type(config.get(name)) is int), None)
        if width_name is None:
            continue
        width, path = config[width_name], (*place, width_name)
        if width < 0:
            problem = "a size cannot be negative."
            raise field_error(file, path, problem, advice=_CORRECT, expected="a size", found=str(width))
        for name, size in _beside(config, width_name).items():
            if size * width > most:
                problem = f"with `{name}`, it makes {size * width:,} numbers; all weight files have {weights:,} bytes."
                raise field_error(
                    file,
                    path,
                    problem,
                    advice="One of these sizes is wrong, or the weights are another model's. " + _CORRECT,
                    expected=f"at most {most:,} numbers",
                    found=f"{width_name} {width} and {name} {size}",
                )


def _beside(config: Mapping[str, Any], width_name: str) -> dict[str, int]:
    """Return the sizes that make matrices with the width, and as one the rows of a square matrix in each layer."""
    sizes: dict[str, int] = {name: config[name] for name in _ROWS if type(config.get(name)) is int}
    layers = (name for name in ("num_hidden_layers", "n_layer", "num_layers") if type(config.get(name)) is int)
    return sizes | {f"{name} * {width_name}": config[name] * config[width_name] for name in layers}

"""Moving, listing and comparing the tensors of a model, so that one which is not restored shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn

from autoreg.conformance.derive.inputs.facts import configs_in

__all__ = [
    "buffers",
    "has_field",
    "perturb",
    "plain_tensors",
    "set_everywhere",
    "snapshot",
    "storages",
    "tensors",
    "ties_switched",
    "unsaved_buffers",
]


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return every parameter and persistent buffer by its name, an alias under each of its names."""
    unsaved = set(unsaved_buffers(model))
    found: dict[str, torch.Tensor] = dict(model.named_parameters(remove_duplicate=False))
    found.update((name, each) for name, each in buffers(model).items() if name not in unsaved)
    return found


def buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return every buffer by its name, an alias under each of its names."""
    return dict(model.named_buffers(remove_duplicate=False))


def unsaved_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the buffers that are registered with `persistent=False`, by name."""
    found = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        # torch says nowhere else whether a buffer is persistent.
        for name in module._non_persistent_buffers_set:
            buffer = module._buffers.get(name)
            if buffer is not None:
                found[f"{prefix}.{name}" if prefix else name] = buffer
    return found


def plain_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors that modules hold as ordinary attributes, or in a list or dict, by name."""
    found: dict[str, torch.Tensor] = {}
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            # These hold what torch and transformers manage: parameters, buffers, hooks.
            if name in ("_parameters", "_buffers", "_modules") or name.endswith(("_hooks", "_hook")):
                continue
            found.update((f"{prefix}.{path}" if prefix else path, each) for path, each in _inside(name, value))
    return found


def _inside(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        if not isinstance(value, nn.Parameter):
            yield name, value
    elif type(value) is dict:
        for key, item in value.items():
            yield from _inside(f"{name}[{key!r}]", item)
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):
            yield from _inside(f"{name}[{index}]", item)


def storages(named: Mapping[str, torch.Tensor]) -> dict[int, list[str]]:
    """Return the names by the memory that they stand for."""
    found: dict[int, list[str]] = {}
    for name, each in named.items():
        if each.numel() and each.device.type != "meta":
            found.setdefault(each.data_ptr(), []).append(name)
    return found


def perturb(model: nn.Module, seed: int, *, integers: bool = True) -> None:
    """Move every persistent buffer away from its initial value, each storage once; parameters stay as they are.

    `Subject.model` has moved the parameters. Floats move up only, so that a variance stays one.

    Args:
        model: the model, changed in place.
        seed: of the noise.
        integers: also integers and bools, after which an index table is no longer one: for models that will not
            be run.
    """
    generator = torch.Generator().manual_seed(seed + 2)
    named = tensors(model)
    with torch.no_grad():
        for names in storages(named).values():
            _move(named[names[0]], generator, integers)


def _move(tensor: torch.Tensor, generator: torch.Generator, integers: bool) -> None:
    if isinstance(tensor, nn.Parameter) or any(step == 0 for step in tensor.stride()):
        return  # an expanded tensor has several elements in one place, which cannot be written to
    if tensor.is_floating_point():
        tensor.add_((0.02 + 0.1 * torch.rand(tensor.shape, generator=generator)).to(tensor.dtype))
    elif integers and tensor.dtype == torch.bool:
        tensor.logical_not_()
    elif integers and not tensor.is_complex():
        tensor.add_(1)


def snapshot(named: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return copies that later changes do not reach."""
    return {name: each.detach().clone() for name, each in named.items()}


def has_field(config: Any, name: str) -> bool:
    """Say whether the config, or one nested in it, has the field."""
    return any(hasattr(each, name) for _, each in configs_in(config))


def set_everywhere(config: Any, name: str, value: Any) -> Any:
    """Set the field in the config and in those nested in it, wherever there is one; return the config."""
    for _, each in configs_in(config):
        if hasattr(each, name):
            setattr(each, name, value)
    return config


def ties_switched(config: Any, *, tie: bool) -> Any:
    """Return the config built anew with ties on or off: what a class derives from that field follows.

    None where the class refuses: some check that ties are off, or that those of a nested config agree.
    """
    fields = config.to_dict()
    for each in [fields, *(value for value in fields.values() if isinstance(value, dict))]:
        if "tie_word_embeddings" in each:
            each["tie_word_embeddings"] = tie
    try:
        made = type(config).from_dict(fields)
    except (StrictDataclassError, ValueError):
        return None
    inner = dict(configs_in(made))
    for path, each in configs_in(config):  # setting it sets those of the nested ones too: the outermost first
        if path in inner:
            inner[path]._attn_implementation = each._attn_implementation
    return made

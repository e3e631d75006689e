"""What came out of an act, as JSON: every tensor's dtype, shape and bytes, every field of a config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["described"]


def described(value: Any) -> Any:
    """Return what the judge needs to know of a value."""
    import torch

    if isinstance(value, torch.nn.Module):
        return {"tensors": _tensors(value), "config": _plain(vars(value.config))}
    if hasattr(value, "to_diff_dict"):
        return {"config": _plain(vars(value))}
    if isinstance(value, (list, tuple)):
        return [described(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): described(each) for name, each in value.items()}
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)


def _tensors(model: Any) -> dict[str, list[Any]]:
    import torch

    found: dict[str, torch.Tensor] = dict(model.state_dict())
    found |= dict(model.named_buffers())
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                found[f"{path}.{name}" if path else name] = value
    return {name: _tensor(tensor) for name, tensor in found.items()}


def _tensor(tensor: Any) -> list[Any]:
    import torch

    kind, shape = str(tensor.dtype).removeprefix("torch."), list(tensor.shape)
    if tensor.device.type == "meta":
        return [kind, shape, "meta"]
    data = tensor.detach().cpu().contiguous()
    return [kind, shape, data.reshape(-1).view(torch.uint8).numpy().tobytes().hex()]


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in fields.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError):
            continue
        kept[name] = value
    return kept

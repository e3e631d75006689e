"""How a model is divided between devices."""

from __future__ import annotations

import torch
from torch import nn

from autoreg.conformance.checks.devices import device_maps


class Head(nn.Module):
    """A head whose bias is a parameter beside the layer that it is tied to."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 4)
        self.decoder = nn.Linear(4, 9)
        self.bias = nn.Parameter(torch.zeros(9))
        self.decoder.bias = self.bias


class Model(nn.Module):
    """A model with tied embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(9, 4)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))
        self.head = Head()
        self.head.decoder.weight = self.embeddings.weight


def place(device_map: dict[str, str], name: str) -> str:
    return next(where for key, where in device_map.items() if name == key or name.startswith(f"{key}."))


def test_what_is_tied_is_in_one_place() -> None:
    """A head that is tied by its weight and by its bias lies with both, wherever the model is divided."""
    maps = device_maps(Model(), 6)
    assert {place(each, "layers.3") for each in maps} == {"cpu", "disk"}
    for each in maps:
        assert {place(each, name) for name in ("embeddings.weight", "head.decoder.weight", "head.bias")} == {"cpu"}

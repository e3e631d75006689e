"""What the checks of training compare."""

from __future__ import annotations

import torch

from autoreg.conformance.checks.training import rounding


def test_a_gradient_of_rounding_is_told_from_a_small_one() -> None:
    """A bias that moves all scores alike changes no softmax, and has no gradient; another one has, however small."""
    generator = torch.Generator().manual_seed(0)
    weight, bias, small = torch.randn(5, 3, generator=generator), torch.zeros(()), torch.full((), 1e-4)
    parts = {"weight": weight, "bias": bias, "small": small}
    for each in parts.values():
        each.requires_grad_()
    scores = torch.randn(8, 5, generator=generator) @ weight + bias
    scores = scores + 1e-3 * small * torch.arange(3.0)
    loss = torch.nn.functional.cross_entropy(scores, torch.arange(8) % 3)
    found = dict(zip(parts, torch.autograd.grad(loss, list(parts.values())), strict=True))
    assert 0 < found["small"].abs() < 1e-3
    assert rounding(found) == {"bias"}

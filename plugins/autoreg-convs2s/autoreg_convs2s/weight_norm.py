"""Weight-normalized layers with parameters of their own, and their folding into plain ones.

Not `torch.nn.utils.parametrizations.weight_norm`: a parametrized module gets a class made at run time, which cannot
be pickled, and saves its weights as `parametrizations.weight.original0` and `.original1`. Not under torch's older names
`weight_g` and `weight_v` either: when transformers loads a checkpoint, it renames those to the former.
Not subclasses of `nn.Linear` and `nn.Conv1d` either: what merges something into `weight`, as adapters do, would write
into a direction that is normalized afterwards. Such tools do not know these classes; fold first.
"""

import torch
from torch import nn


class WeightNorm(nn.Module):
    """Hold a weight as its direction and its length: w = g * v / |v|, one length an output (Salimans & Kingma 2016)."""

    def __init__(self, *shape: int):
        super().__init__()
        self.gain = nn.Parameter(torch.empty(shape[0], *(1 for _ in shape[1:])))
        self.direction = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(shape[0]))

    @property
    def weight(self) -> torch.Tensor:
        """The weight, of the shape and dtype of `direction`."""
        norm = row_norms(self.direction)
        # A direction of zero, which no gradient leads to, gives a weight of zero and not NaN.
        return (self.direction * (self.gain / norm.clamp_min(torch.finfo(norm.dtype).tiny))).to(self.direction.dtype)

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """Return the plain torch layer that computes the same."""
        raise NotImplementedError


class WeightNormLinear(WeightNorm):
    """A weight-normalized `nn.Linear` with a bias."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__(out_features, in_features)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map `(..., in_features)` to `(..., out_features)`."""
        return nn.functional.linear(states, self.weight, self.bias)

    def folded(self) -> nn.Linear:
        """Return the `nn.Linear` that computes the same."""
        return _copied(self, nn.Linear(*self.direction.shape[::-1], device="meta"))


class WeightNormConv1d(WeightNorm):
    """A weight-normalized `nn.Conv1d` with a bias and without padding."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(out_channels, in_channels, kernel_size)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map `(batch, in_channels, length)` to `(batch, out_channels, length - kernel_size + 1)`."""
        return nn.functional.conv1d(states, self.weight, self.bias)

    def folded(self) -> nn.Conv1d:
        """Return the `nn.Conv1d` that computes the same."""
        out_channels, in_channels, kernel_size = self.direction.shape
        return _copied(self, nn.Conv1d(in_channels, out_channels, kernel_size, device="meta"))


def row_norms(weight: torch.Tensor) -> torch.Tensor:
    """Return the length of each output's weights, `(outputs, 1, ...)`, float32 or wider."""
    # Sums of thousands of squares overflow in float16 and lose most of their bits in bfloat16.
    dtype = torch.promote_types(weight.dtype, torch.float32)
    return torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.dim())), keepdim=True, dtype=dtype)


def _copied(source: WeightNorm, target: nn.Linear | nn.Conv1d) -> nn.Linear | nn.Conv1d:
    for name in ("weight", "bias"):
        value = getattr(source, name).detach().clone()
        setattr(target, name, nn.Parameter(value, requires_grad=source.direction.requires_grad))
    return target.train(source.training)


__all__ = ["WeightNorm", "WeightNormConv1d", "WeightNormLinear", "row_norms"]

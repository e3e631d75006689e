"""Padding set aside: the real tokens of each row moved together, and put back."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Packing:
    """Where the real tokens of a batch lie.

    A convolution sees neighbours, so padding between two tokens, or zeros in the wrong place, would change what it
    sees. Packed, every row begins with its real tokens in their order and ends with its padding: the convolutions see
    what they see of the text alone, and a token's column is its position.

    Attributes:
        order: `(batch_size, length)`, int64: the column that the token of each packed column came from.
        real: `(batch_size, length)`, bool: whether the packed column holds a real token.
    """

    order: torch.Tensor
    real: torch.Tensor

    @classmethod
    def of(cls, mask: torch.Tensor) -> "Packing":
        """Return the packing of a mask, `(batch_size, length)`, bool, False on padding anywhere."""
        # `argsort` of booleans is not exported everywhere.
        order = mask.int().argsort(dim=-1, descending=True, stable=True)
        return cls(order=order, real=mask.gather(1, order))

    @property
    def counts(self) -> torch.Tensor:
        """How many real tokens each row has, `(batch_size,)`, int64."""
        return self.real.sum(-1)

    def pack(self, states: torch.Tensor) -> torch.Tensor:
        """Move the real tokens of `(batch_size, length, width)` to the front of their rows."""
        return _columns(states, self.order)

    def unpack(self, states: torch.Tensor) -> torch.Tensor:
        """Put the columns of `(batch_size, length, width)` back where they were."""
        return _columns(states, self.order.argsort(dim=-1))


def _columns(states: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    # Of a model on several devices the last layers may lie on another one than the first.
    return states.gather(1, order.to(states.device)[..., None].expand(-1, -1, states.shape[-1]))


__all__ = ["Packing"]

"""Hierarchical interpolation: few coefficients to a whole window (section 3.3 of the paper)."""

import torch


def interpolate(coefficients: torch.Tensor, length: int, *, mode: str) -> torch.Tensor:
    """Return g(tau, theta) for `length` steps, `(..., length)`, from `(..., num_knots)` coefficients.

    The knots are evenly spaced, the first on the first step and the last on the last; a single one gives a
    constant. As many knots as steps give the coefficients themselves, in every mode.

    Args:
        coefficients: The values at the knots, theta; floating point, and the result has their dtype.
        length: Number of steps, at least the number of knots.
        mode: `"nearest"` (the nearer knot, the earlier one of two), `"linear"` (eq. 4), or `"cubic"`
            (Hermite polynomials whose tangents are central differences, one-sided at both ends).
    """
    num_knots = coefficients.shape[-1]
    if num_knots == 1:
        return coefficients.expand(*coefficients.shape[:-1], length)
    # Positions need more than the 8 bits of a bfloat16; the quotient is exact wherever a step is on a knot.
    dtype = torch.promote_types(coefficients.dtype, torch.float32)
    steps = torch.arange(length, device=coefficients.device, dtype=dtype)
    positions = steps * (num_knots - 1) / (length - 1)
    return coefficients @ _WEIGHTS[mode](positions, num_knots).to(coefficients.dtype)


def _nearest(positions: torch.Tensor, num_knots: int) -> torch.Tensor:
    """Return `(num_knots, length)` weights of ones and zeros."""
    knots = torch.arange(num_knots, device=positions.device)
    return ((positions - 0.5).ceil() == knots[:, None]).to(positions.dtype)


def _linear(positions: torch.Tensor, num_knots: int) -> torch.Tensor:
    """Return `(num_knots, length)` weights: a hat of width 2 on each knot."""
    knots = torch.arange(num_knots, device=positions.device)
    return (1 - (positions - knots[:, None]).abs()).clamp(min=0)


def _cubic(positions: torch.Tensor, num_knots: int) -> torch.Tensor:
    """Return `(num_knots, length)` weights: the cubic Hermite basis over values and tangents of the knots."""
    left = positions.floor().clamp(max=num_knots - 2)
    t = (positions - left)[:, None]
    values = torch.eye(num_knots, device=positions.device, dtype=positions.dtype)
    steps = values[1:] - values[:-1]
    tangents = torch.cat((steps[:1], (steps[1:] + steps[:-1]) / 2, steps[-1:]))
    left = left.long()
    weights = (
        (2 * t**3 - 3 * t**2 + 1) * values[left]
        + (3 * t**2 - 2 * t**3) * values[left + 1]
        + (t**3 - 2 * t**2 + t) * tangents[left]
        + (t**3 - t**2) * tangents[left + 1]
    )
    return weights.T


_WEIGHTS = {"nearest": _nearest, "linear": _linear, "cubic": _cubic}

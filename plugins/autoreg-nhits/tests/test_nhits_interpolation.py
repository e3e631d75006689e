"""Hierarchical interpolation: the paper's formulas, and what they imply."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg_nhits.interpolation import interpolate

MODES = ("nearest", "linear", "cubic")
SIZES = st.tuples(st.integers(1, 12), st.integers(0, 40)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def _coefficients(num_knots, seed=0):
    return torch.randn(2, num_knots, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(sizes=SIZES)
def test_linear_is_equation_4(sizes):
    """Linear interpolation is the paper's: between the last knot at or before a step and the one behind it."""
    num_knots, length = sizes
    theta = _coefficients(num_knots)
    expected = torch.empty(2, length, dtype=torch.float64)
    spacing = (length - 1) / max(num_knots - 1, 1)
    for tau in range(length):
        first = max((knot for knot in range(num_knots) if knot * spacing <= tau + 1e-9), default=0)
        second = min(first + 1, num_knots - 1)
        slope = (theta[:, second] - theta[:, first]) / max(spacing, 1e-9)
        expected[:, tau] = theta[:, first] + slope * (tau - first * spacing)
    _close(interpolate(theta, length, mode="linear"), expected)


@settings(deadline=None, max_examples=25)
@given(sizes=SIZES)
def test_nearest_takes_the_nearer_knot(sizes):
    """Nearest-neighbour interpolation is the coefficient of the knot at the least distance, the earlier of two."""
    num_knots, length = sizes
    theta = _coefficients(num_knots)
    spacing = (length - 1) / max(num_knots - 1, 1)
    chosen = [
        min(range(num_knots), key=lambda knot: (round(abs(tau - knot * spacing), 9), knot)) for tau in range(length)
    ]
    assert interpolate(theta, length, mode="nearest").equal(theta[:, chosen])


@settings(deadline=None, max_examples=25)
@given(sizes=SIZES)
def test_cubic_is_hermites(sizes):
    """Cubic interpolation solves, between two knots, for the cubic that has their values and slopes."""
    num_knots, length = sizes
    theta = _coefficients(num_knots)
    if num_knots == 1:
        _close(interpolate(theta, length, mode="cubic"), theta.expand(2, length))
        return
    slopes = torch.stack(
        [
            (theta[:, min(k + 1, num_knots - 1)] - theta[:, max(k - 1, 0)])
            / (min(k + 1, num_knots - 1) - max(k - 1, 0))
            for k in range(num_knots)
        ],
        dim=1,
    )
    # a + b t + c t^2 + d t^3 with value and slope at 0 and at 1.
    conditions = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0], [0, 1, 2, 3]], dtype=torch.float64)
    expected = torch.empty(2, length, dtype=torch.float64)
    for tau in range(length):
        position = tau * (num_knots - 1) / (length - 1)
        left = min(int(position + 1e-9), num_knots - 2)
        ends = torch.stack((theta[:, left], theta[:, left + 1], slopes[:, left], slopes[:, left + 1]), dim=1)
        powers = (position - left) ** torch.arange(4, dtype=torch.float64)
        expected[:, tau] = torch.linalg.solve(conditions, ends.T).T @ powers
    _close(interpolate(theta, length, mode="cubic"), expected)


@pytest.mark.parametrize("mode", MODES)
def test_as_many_knots_as_steps_are_the_steps(mode):
    """Where there is a knot on each step, the coefficients are the window, exactly."""
    theta = _coefficients(17)
    assert interpolate(theta, 17, mode=mode).equal(theta)
    assert interpolate(theta[:, :1], 1, mode=mode).equal(theta[:, :1])


@pytest.mark.parametrize("mode", MODES)
def test_knots_are_on_the_curve(mode):
    """A step that lies on a knot has that knot's value; the first and the last always do."""
    theta = _coefficients(5)
    curve = interpolate(theta, 25, mode=mode)
    _close(curve[:, ::6], theta)
    _close(interpolate(theta, 23, mode=mode)[:, [0, -1]], theta[:, [0, -1]])


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_straight_lines_are_kept(mode):
    """Coefficients on a line give that line."""
    line = torch.linspace(-3, 8, 31, dtype=torch.float64)
    _close(interpolate(line[::5][None], 31, mode=mode)[0], line)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_dtype_is_kept(mode, dtype):
    """Coefficients of a short dtype give a curve of that dtype, whose positions are not rounded to it."""
    theta = torch.linspace(0, 1, 4, dtype=dtype)
    curve = interpolate(theta[None], 700, mode=mode)
    assert curve.dtype == dtype
    exact = interpolate(theta[None].double(), 700, mode=mode)
    assert (curve.double() - exact).abs().max() <= 2 * torch.finfo(dtype).eps

"""The three forms of retention are one function."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg_retnet import retention


def _inputs(batch, heads, length, head_dim, value_dim, *, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    # Steps of 0 are padding, steps above 1 skipped positions: the forms must agree on both.
    steps = torch.randint(0, 4, (batch, length), generator=generator)
    log_decay = retention.head_log_decays(heads, device=torch.device("cpu"), dtype=dtype)
    shapes = ((batch, heads, length, head_dim),) * 2 + ((batch, heads, length, value_dim),)
    return *(normal(*shape) for shape in shapes), steps.cumsum(-1) - 1, log_decay


def _forms(inputs, *, past=None, chunk_size):
    return (
        retention.parallel_retention(*inputs, past),
        retention.recurrent_retention(*inputs, past),
        retention.chunkwise_retention(*inputs, past, chunk_size=chunk_size),
    )


@settings(deadline=None, max_examples=60)
@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 5),
    length=st.integers(1, 20),
    head_dim=st.integers(1, 4).map(lambda half: 2 * half),
    value_dim=st.integers(1, 7),
    chunk_size=st.integers(1, 24),
    seed=st.integers(0, 2**16),
)
def test_forms_agree(batch, heads, length, head_dim, value_dim, chunk_size, seed):
    """Outputs and states of the three forms are equal for any shape, chunk size and gaps in the positions."""
    inputs = _inputs(batch, heads, length, head_dim, value_dim, seed=seed)
    (output, state), *others = _forms(inputs, chunk_size=chunk_size)
    for other_output, other_state in others:
        torch.testing.assert_close(other_output, output, rtol=0, atol=1e-11)
        torch.testing.assert_close(other_state.memory, state.memory, rtol=0, atol=1e-11)
        assert other_state.position.equal(state.position)


@settings(deadline=None, max_examples=40)
@given(length=st.integers(2, 18), cut=st.data(), chunk_size=st.integers(1, 6), seed=st.integers(0, 2**16))
def test_state_carries_the_past(length, cut, chunk_size, seed):
    """Reading a sequence in two parts equals reading it at once, in every form of the second part."""
    *tensors, positions, log_decay = _inputs(2, 3, length, 4, 5, seed=seed)
    at = cut.draw(st.integers(1, length - 1))
    whole, state = retention.parallel_retention(*tensors, positions, log_decay)
    _, past = retention.recurrent_retention(*(t[:, :, :at] for t in tensors), positions[:, :at], log_decay)
    rest = (*(t[:, :, at:] for t in tensors), positions[:, at:], log_decay)
    for output, end in _forms(rest, past=past, chunk_size=chunk_size):
        torch.testing.assert_close(output, whole[:, :, at:], rtol=0, atol=1e-11)
        torch.testing.assert_close(end.memory, state.memory, rtol=0, atol=1e-11)


def test_forms_agree_in_float32():
    """In float32 the forms differ by rounding only, at a length of several hundred."""
    inputs = _inputs(2, 4, 300, 8, 16, seed=1, dtype=torch.float32)
    (output, _), *others = _forms(inputs, chunk_size=64)
    for other_output, _ in others:
        torch.testing.assert_close(other_output, output, rtol=1e-5, atol=1e-4)


def test_parallel_form_is_equation_5():
    """The parallel form equals the paper's sum written with scalar loops."""
    query, key, value, _, log_decay = _inputs(1, 2, 6, 4, 3, seed=2)
    positions = torch.arange(6)[None]
    output, _ = retention.parallel_retention(query, key, value, positions, log_decay)
    expected = torch.zeros_like(output)
    for head in range(2):
        gamma = 1 - 2.0 ** (-5 - head)
        for n in range(6):
            for m in range(n + 1):
                expected[0, head, n] += query[0, head, n].dot(key[0, head, m]) * gamma ** (n - m) * value[0, head, m]
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)


def test_row_scale_is_the_sum_it_closes():
    """The closed form of the normalizer equals the sum of the powers of gamma, added up one by one."""
    log_decay = retention.head_log_decays(4, device=torch.device("cpu"), dtype=torch.float64)
    positions = torch.arange(50)[None]
    expected = torch.stack([(log_decay[:, None] * torch.arange(n + 1)).exp().sum(-1) for n in range(50)], dim=-1)
    scale = retention.row_scale(positions, log_decay)[0, :, :, 0]
    torch.testing.assert_close(scale, expected.rsqrt(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("num_heads", [1, 24, 64])
def test_decays_stay_below_one(num_heads):
    """Every head forgets, even where gamma itself would round to 1."""
    log_decay = retention.head_log_decays(num_heads, device=torch.device("cpu"), dtype=torch.float32)
    assert (log_decay < 0).all()
    assert (log_decay.diff() > 0).all()


def test_rotation_depends_on_distance_alone():
    """Shifting query and key by the same number of positions leaves their product as it was."""
    query, key, *_ = _inputs(1, 1, 1, 8, 1, seed=3)

    def product(query_position, key_position):
        angles = [
            retention.rotation(torch.tensor([[p]]), 8, base=100.0, dtype=torch.float64)
            for p in (query_position, key_position)
        ]
        return (retention.rotate(query, *angles[0]) * retention.rotate(key, *angles[1])).sum()

    torch.testing.assert_close(product(9, 2), product(1007, 1000), rtol=0, atol=1e-9)
    assert (product(9, 2) - product(9, 3)).abs() > 1e-3


def test_long_padding_gives_finite_gradients():
    """Positions thousands of steps apart give no infinity under the causal mask, so no NaN behind it."""
    query, key, value, _, log_decay = _inputs(1, 2, 3, 4, 4, seed=4, dtype=torch.float32)
    tensors = [tensor.requires_grad_() for tensor in (query, key, value)]
    output, _ = retention.parallel_retention(*tensors, torch.tensor([[0, 50_000, 100_000]]), log_decay)
    output.sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in tensors)

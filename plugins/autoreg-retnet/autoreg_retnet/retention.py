"""Retention in its three equal forms: pure functions of tensors, no parameters, no configuration.

Sun et al. 2023, "Retentive Network: A Successor to Transformer for Large Language Models",
arXiv:2307.08621, section 2. The names are the paper's: Q, K, V, gamma, D, S.

Every function speaks of *positions* where the paper writes the index n. Without padding the two are the
same; with padding a padded column has a zero key and repeats the position before it, so that it neither
adds to the state nor ages it, and all three forms agree whatever the padding.

Shapes: `batch` may be 1 in `positions` where it is larger in the other tensors.

- query, key: `(batch, heads, length, head_dim)`, floating point, already rotated; query already scaled
- value: `(batch, heads, length, value_head_dim)`, floating point
- positions: `(batch, length)`, int64, never decreasing along a row
- log_decay: `(heads,)`, log gamma, floating point
"""

from typing import NamedTuple

import torch


class RetentionState(NamedTuple):
    """What the recurrent form carries from one token to the next.

    Attributes:
        memory: S_n of eq. 6, `(batch, heads, head_dim, value_head_dim)`.
        position: The n it belongs to, `(batch,)`, int64; -1 before the first token.
    """

    memory: torch.Tensor
    position: torch.Tensor


def head_log_decays(num_heads: int, *, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return log gamma of each head, gamma_h = 1 - 2^(-5-h) (eq. 8).

    Returns:
        `(num_heads,)`. In logarithms, because gamma itself rounds to 1 in float32 from the 20th head on.
    """
    exponents = -5.0 - torch.arange(num_heads, device=device, dtype=dtype)
    return torch.log1p(-torch.exp2(exponents))


def rotation(
    positions: torch.Tensor, head_dim: int, *, base: float, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosine and sine of n theta_i, theta_i = base^(-2i/head_dim): the Theta_n = e^(i n theta) of eq. 5.

    Returns:
        Two tensors `(batch, 1, length, head_dim // 2)` of `dtype`, the 1 for the heads.
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device, dtype=dtype) / head_dim
    angles = positions[:, None, :, None].to(dtype) * base**-exponents
    return angles.cos(), angles.sin()


def rotate(states: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Multiply the complex numbers (first half of the channels + i second half) by e^(i n theta) (eq. 5).

    Conjugating the key's factor, as the paper writes it, is what the real dot product of two rotated
    vectors does by itself: it depends on n - m only.

    Returns:
        As `states`, `(batch, heads, length, head_dim)`.
    """
    real, imaginary = states.chunk(2, dim=-1)
    return torch.cat((real * cosine - imaginary * sine, real * sine + imaginary * cosine), dim=-1)


def row_scale(positions: torch.Tensor, log_decay: torch.Tensor) -> torch.Tensor:
    """Return 1 / sqrt(sum_{m<=n} gamma^(n-m)), the second of the score normalizations of section 2.2.

    The sum is the geometric series (1 - gamma^(n+1)) / (1 - gamma): a function of the position alone, so
    one formula serves all three forms. The paper's third normalization, by max(|row sum|, 1), is left out:
    the group norm behind it is blind to a factor on the row, and it would be one more thing to carry.

    Returns:
        `(batch, heads, length, 1)` of `log_decay`'s dtype; 1 for positions before the first token.
    """
    log_decay = log_decay[:, None]
    steps = (positions[:, None, :] + 1).to(log_decay.dtype)
    series = torch.expm1(steps * log_decay) / torch.expm1(log_decay)
    # A left-padded column is at position -1: an empty sum, whose zero key makes the row zero anyway.
    return series.clamp(min=1.0).rsqrt()[..., None]


def _powers(steps: torch.Tensor, log_decay: torch.Tensor) -> torch.Tensor:
    """Return gamma^steps, `(batch, heads, *steps.shape[1:])`, for int64 `steps` >= 0 of `(batch, ...)`."""
    shape = (-1,) + (1,) * (steps.dim() - 1)
    return torch.exp(steps[:, None].to(log_decay.dtype) * log_decay.view(shape))


def _decay_matrix(positions: torch.Tensor, log_decay: torch.Tensor) -> torch.Tensor:
    """Return D of eq. 5, gamma^(n-m) where n >= m and 0 elsewhere, `(batch, heads, length, length)`."""
    # Clamped before the exponential: a huge power under the mask would make NaN gradients.
    steps = (positions[:, :, None] - positions[:, None, :]).clamp(min=0)
    return _powers(steps, log_decay).tril()


def parallel_retention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    positions: torch.Tensor,
    log_decay: torch.Tensor,
    past: RetentionState | None = None,
) -> tuple[torch.Tensor, RetentionState]:
    """Compute (Q K^T * D) V over all tokens at once (eq. 5), on top of an earlier state if there is one.

    Returns:
        The output, `(batch, heads, length, value_head_dim)`, and the state after the last token.
        Time and memory are quadratic in the length.
    """
    scores = query @ key.transpose(-1, -2) * _decay_matrix(positions, log_decay)
    output = scores @ value
    if past is not None:
        # The cross-chunk half of eq. 7: what the past adds, aged by the distance to it.
        output = output + (query @ past.memory) * _powers(positions - past.position[:, None], log_decay)[..., None]
    return output, _advance(key, value, positions, log_decay, past)


def _advance(
    key: torch.Tensor,
    value: torch.Tensor,
    positions: torch.Tensor,
    log_decay: torch.Tensor,
    past: RetentionState | None,
) -> RetentionState:
    """Return the state after these tokens: R_i = K^T (V * zeta) + gamma^B R_{i-1} (eq. 7)."""
    end = positions[:, -1]
    memory = key.transpose(-1, -2) @ (value * _powers(end[:, None] - positions, log_decay)[..., None])
    if past is not None:
        memory = memory + past.memory * _powers(end - past.position, log_decay)[..., None, None]
    return RetentionState(memory, end)


def recurrent_retention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    positions: torch.Tensor,
    log_decay: torch.Tensor,
    past: RetentionState | None = None,
) -> tuple[torch.Tensor, RetentionState]:
    """Compute S_n = gamma S_{n-1} + K_n^T V_n and Q_n S_n, token by token (eq. 6).

    Returns:
        The output, `(batch, heads, length, value_head_dim)`, and the state after the last token.
        Memory does not depend on the length; a Python loop over the tokens.
    """
    memory, position = past or (key.new_zeros(*key.shape[:2], key.shape[-1], value.shape[-1]), positions[:, 0])
    outputs = []
    for n in range(key.shape[2]):
        decay = _powers(positions[:, n] - position, log_decay)[..., None, None]
        memory = decay * memory + key[:, :, n, :, None] * value[:, :, n, None, :]
        position = positions[:, n]
        outputs.append(query[:, :, n, None, :] @ memory)
    return torch.cat(outputs, dim=2), RetentionState(memory, position)


def chunkwise_retention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    positions: torch.Tensor,
    log_decay: torch.Tensor,
    past: RetentionState | None = None,
    *,
    chunk_size: int,
) -> tuple[torch.Tensor, RetentionState]:
    """Compute retention in parallel within chunks and recurrently across them (eq. 7).

    Returns:
        The output, `(batch, heads, length, value_head_dim)`, and the state after the last token.
        Time is linear in the length, memory for the scores quadratic in `chunk_size`.
    """
    outputs = []
    for start in range(0, key.shape[2], chunk_size):
        chunk = slice(start, start + chunk_size)
        output, past = parallel_retention(
            query[:, :, chunk], key[:, :, chunk], value[:, :, chunk], positions[:, chunk], log_decay, past
        )
        outputs.append(output)
    return torch.cat(outputs, dim=2), past

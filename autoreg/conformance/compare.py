"""Comparing what models return, and saying where the first difference is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from autoreg.errors import MismatchError

__all__ = ["Tolerance", "difference", "leaves", "shown"]

# Float32 results of two orders of summation in a network of a few layers lie some 1e-6 apart; a defect moves
# them by 1e-2. Half precision has 8 or 11 bits.
_RELATIVE = {torch.float32: 1e-4, torch.float64: 1e-7, torch.float16: 1e-2, torch.bfloat16: 5e-2}


class Tolerance:
    """How far two floats may lie apart, as a multiple of what their dtype allows; 0 is bit by bit."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def far(self, actual: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        """Return where the two differ, as a bool tensor of their shape. NaN equals NaN only bit by bit."""
        if not self.factor or not actual.dtype.is_floating_point:
            both_nan = actual.isnan() & expected.isnan() if actual.dtype.is_floating_point else torch.zeros(())
            return (actual != expected) & ~both_nan.bool()
        relative = self.factor * max(_RELATIVE.get(each.dtype, 1e-4) for each in (actual, expected))
        left, right = actual.double(), expected.double()
        # The scale is that of the whole tensor: an element that cancels to nearly zero carries its neighbours' error.
        finite = right[right.isfinite()]
        scale = finite.abs().mean() if finite.numel() else right.new_ones(())
        apart = (left - right).abs() > relative * (right.abs() + scale) + 1e-9
        same_infinity = (left == right) & left.isinf()
        return (apart | left.isnan() | right.isnan()) & ~same_infinity


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `(dotted name, leaf)` of nested outputs: mappings, sequences, caches, tensors, plain values."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from leaves(item, f"{name}[{index}]")
    elif hasattr(value, "layers") and hasattr(value, "get_seq_length"):
        for index, layer in enumerate(value.layers):
            yield from leaves({key: item for key, item in vars(layer).items() if _tensor(item)}, f"{name}[{index}]")
    elif hasattr(value, "self_attention_cache"):
        yield from leaves(value.self_attention_cache, f"{name}.self_attention_cache")
        yield from leaves(value.cross_attention_cache, f"{name}.cross_attention_cache")
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":  # what image processors make
        yield name, torch.from_numpy(value)
    else:
        yield name, value


def _tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def difference(actual: Any, expected: Any, *, tolerance: Tolerance, what: str, compared: str) -> int:
    """Compare two nested values leaf by leaf; return how many leaves were compared.

    Raises:
        MismatchError: with the first difference: name, index and both values.
    """
    left, right = dict(leaves(actual)), dict(leaves(expected))
    if left.keys() != right.keys():
        odd = sorted(left.keys() ^ right.keys())[0] or "the value"
        side = "first" if odd in left else "second"
        raise MismatchError(problem=what, compared=compared, difference=f"{odd} is in the {side} only")
    for name, value in left.items():
        told = _leaf(value, right[name], tolerance)
        if told:
            raise MismatchError(problem=what, compared=compared, difference=f"{name}{told}")
    return len(left)


def _leaf(actual: Any, expected: Any, tolerance: Tolerance) -> str:
    if not isinstance(actual, torch.Tensor) or not isinstance(expected, torch.Tensor):
        # A cache of the architecture's own has no equality; what it does shows in the next step's outputs.
        opaque = hasattr(actual, "__dict__") and "__eq__" not in vars(type(actual))
        same = type(actual) is type(expected) and (opaque or bool(actual == expected))
        return "" if same else f": {shown(actual)} and {shown(expected)}"
    if actual.shape != expected.shape:
        return f": shapes {tuple(actual.shape)} and {tuple(expected.shape)}"
    if not tolerance.factor and actual.dtype != expected.dtype:
        return f": dtypes {actual.dtype} and {expected.dtype}"
    far = tolerance.far(actual, expected)
    if not far.any():
        return ""
    index = tuple(far.nonzero()[0].tolist())
    share = f"{int(far.sum())} of {far.numel()} numbers differ"
    place = f"[{', '.join(map(str, index))}]" if index else ""
    return f"{place}: {actual[index].item():.8g} and {expected[index].item():.8g} ({share})"


def shown(value: Any) -> str:
    """Return a value as a message can hold it: short, tensors by shape and dtype."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:190]}…"  # noqa: PLR2004 - a line or two of a terminal

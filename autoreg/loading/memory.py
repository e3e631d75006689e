"""Memory that a load hands out: poisoned, so that what nobody wrote to can be told; and copied out of the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["Poison", "copy_out", "holes"]

_MAKERS = frozenset(
    {
        torch.empty,
        torch.empty_like,
        torch.empty_strided,
        torch.empty_permuted,
        torch.Tensor.new_empty,
        torch.Tensor.new_empty_strided,
    }
)
# They fill a tensor with random numbers, and are left out on the meta device, which has no place for them: transformers
# spends a tenth of a load there. No random number is used up either way.
_DRAWS = frozenset(
    {
        torch.nn.init.kaiming_uniform_,
        torch.nn.init.normal_,
        torch.nn.init.uniform_,
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
    }
)
# None of them is a tensor, and a large model has thousands of modules.
_OF_EVERY_MODULE = frozenset(vars(torch.nn.Module()))


def _tensors(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every tensor that the modules hold: parameters, buffers and plain attributes."""
    for path, module in model.named_modules():
        held = vars(module)
        plain = {name: value for name, value in held.items() if name not in _OF_EVERY_MODULE}
        for names in (held["_parameters"], held["_buffers"], plain):
            for name, value in names.items():
                if isinstance(value, torch.Tensor):
                    yield f"{path}.{name}" if path else name, value


def holes(model: Any, filled: set[int], *, meta: bool) -> Iterator[str]:
    """Yield the tensors that nobody wrote to: of the filled memory, and, if asked for, those on the meta device."""
    for name, tensor in _tensors(model):
        if tensor.is_meta:
            if meta:
                yield name
        elif filled and _pointer(tensor) in filled and _unwritten(tensor):
            yield name


def _pointer(tensor: torch.Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):  # a quantized or a distributed tensor has no storage of its own
        return 0


def _poison_of(dtype: torch.dtype) -> float | None:
    """Return the value for memory that nobody has written to; None where every value could be meant."""
    if dtype.is_floating_point or dtype.is_complex:
        return float("nan")
    return None if dtype == torch.bool else torch.iinfo(dtype).max - 90


def _unwritten(tensor: torch.Tensor) -> bool:
    value = _poison_of(tensor.dtype)
    if value is None or not tensor.numel():
        return False
    same = tensor.isnan() if value != value else tensor == value  # noqa: PLR0124 # only a NaN differs from itself
    return bool(same.any() if value != value else same.all())  # noqa: PLR0124


class Poison(TorchFunctionMode):
    """Fills memory that is handed out as it is, so that what nobody writes to afterwards can be told.

    For this thread alone, and in the blocks of `spread` alone: every call of torch's in them takes some microseconds
    more, and reading the weights takes thousands of calls.
    """

    def __init__(self, count: Callable[[int], None]) -> None:
        """Take who is told how many tensors have been made on the meta device."""
        super().__init__()
        self.filled: set[int] = set()
        self._count = count
        self._made = 0
        self._spread = False

    @contextmanager
    def spread(self) -> Iterator[None]:
        """Fill what is handed out in the block; a block inside another one changes nothing."""
        if self._spread:
            yield
            return
        self._spread = True
        try:
            with self:
                yield
        finally:
            self._spread = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if func in _DRAWS and (drawn := args[0] if args else options["tensor"]).is_meta:
            return drawn
        made = func(*args, **options)
        if func in _MAKERS:
            self._note(made)
        return made

    def _note(self, tensor: Any) -> None:
        if tensor.device.type == "meta":
            self._made += 1
            self._count(self._made)
            return
        value = _poison_of(tensor.dtype)
        if value is not None and tensor.numel():
            with torch.no_grad():
                tensor.fill_(value)
            self.filled.add(_pointer(tensor))


def copy_out(model: Any) -> None:
    """Give the model memory of its own: what happens to the files no longer concerns it."""
    copies: dict[Any, torch.Tensor] = {}
    for _, tensor in _tensors(model):
        if tensor.device.type == "cpu" and tensor.layout == torch.strided:
            place = (tensor.data_ptr(), tensor.shape, tensor.stride())  # what was tied stays tied
            copies.setdefault(place, tensor.data.clone())
            tensor.data = copies[place]

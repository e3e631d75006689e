"""A device that is none: tensors that say they are elsewhere and are computed here.

A model with its parameters, buffers and inputs there runs as it would on an accelerator, values included, so that
control flow which depends on data is no obstacle (plain meta tensors stop there, and FakeTensors too). A tensor that
it makes without saying where is an ordinary CPU tensor, and an operation that mixes the two is seen.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["Elsewhere", "outside", "there"]

# The only device besides the CPU whose tensors can be made in every build of torch.
_PLACE = "meta"
_TORCH = str(Path(torch.__file__).parent)
# These take tensors of two devices on every accelerator.
_COPIES = frozenset({"aten::copy_", "aten::_to_copy", "aten::set_"})
_INDEXED = frozenset({"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"})
# These read values in C++, where no mode sees it.
_INDEXING = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)
_WRITTEN = (torch.tensor, torch.as_tensor, torch.asarray)
_NUMBERS = (torch.arange, torch.linspace, torch.full)


class _Away(torch.Tensor):
    """A tensor that says that it is elsewhere."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> _Away:
        made: _Away = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=torch.device(_PLACE),
            requires_grad=inner.requires_grad,
        )
        made.held = inner
        return made

    def tolist(self) -> Any:
        """Return the values; torch refuses to do it for a subclass."""
        return self.held.tolist()

    def item(self) -> Any:
        """Return the value; torch refuses to do it for the device that is claimed."""
        return self.held.item()

    def __format__(self, spec: str) -> str:
        """Write the value as on any other device; torch describes the tensor where the device has no values."""
        return format(self.held, spec)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's own stub is that of a function
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Compute here: reached outside of the mode only."""
        return _compute(func, args, dict(kwargs or {}), away=True)


def there(value: Any) -> Any:
    """Return a nested value with every tensor moved elsewhere."""
    return tree_map(lambda each: _Away(each.detach()) if _plain(each) else each, value)


class Elsewhere(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's modes are not typed
    """Run what is inside as if on another device, and note each operation that mixes tensors of two devices.

    Attributes:
        mixed: `(operation, file, line)` of each.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mixed: list[tuple[str, str, int]] = []
        self._literals = _Literals()

    def __enter__(self) -> Elsewhere:
        self._literals.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *details: Any) -> None:
        super().__exit__(*details)  # type: ignore[no-untyped-call]
        self._literals.__exit__(*details)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Compute one operation here."""
        named = dict(kwargs or {})
        if func is torch.ops.aten._fused_sdp_choice.default:
            # The fused kernels are chosen for the device that is claimed; the plain one runs everywhere.
            return 0
        values = tree_leaves((args, named))
        away = any(isinstance(each, _Away) for each in values)
        if away and any(_plain(each) and each.dim() for each in _bound(func, args, values)):
            self.mixed.append((func.name(), *_caller()))
        device = named.get("device")
        return _compute(func, args, named, away=away if device is None else str(device).startswith(_PLACE))


class _Literals(TorchFunctionMode):
    """Keeps the values of tensors that torch makes or reads without dispatch: written out, or in place of a number."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        named = dict(kwargs or {})
        if func in _INDEXING and isinstance(args[0], _Away):
            return func(args[0], _listed(args[1]), *args[2:])
        if func in _NUMBERS:
            return func(*tree_map(_number, args), **tree_map(_number, named))
        if func is torch.Tensor.new_tensor and isinstance(args[0], _Away):
            source, *args = args
            func, named = torch.tensor, {"dtype": source.dtype, "device": source.device} | named
        if func not in _WRITTEN or isinstance(args[0], torch.Tensor):
            return func(*args, **named)
        values = tree_map(_inner, args)
        if str(named.get("device")).startswith(_PLACE):
            return _Away(func(*values, **{**named, "device": "cpu"}))
        return func(*values, **named)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, _Away) and not value.dim() else value


def _listed(index: Any) -> Any:
    """Return an index with its lists as tensors elsewhere, which is what torch makes of them."""
    if isinstance(index, tuple):
        return tuple(map(_listed, index))
    return _Away(torch.tensor(tree_map(_inner, index))) if isinstance(index, list) else index


def _plain(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not isinstance(value, _Away) and value.device.type == "cpu"


def _bound(func: Any, args: Any, values: list[Any]) -> list[Any]:
    """Return what has to be on one device: everything, but for copies, and for indices, which may be on the CPU."""
    name = func.name().partition(".")[0]
    if name in _COPIES:
        return []
    return [args[0], *args[2:]] if name in _INDEXED else values


def _compute(func: Any, args: Any, named: dict[str, Any], *, away: bool) -> Any:
    here = dict(named)
    if here.get("device") is not None:
        here["device"] = torch.device("cpu")
    inner, named_inner = tree_map(_inner, args), tree_map(_inner, here)
    try:
        made = func(*inner, **named_inner)
    except NotImplementedError:
        # Accelerators have kernels for integers (of histograms, say) where the CPU has those for floats only.
        made = tree_map(_as_int, func(*tree_map(_as_float, inner), **named_inner))
    if not away:
        return made
    # An operation in place returns the tensor that it was given; views share their memory here already.
    given = {id(_inner(each)): each for each in tree_leaves((args, named)) if isinstance(each, _Away)}
    return tree_map(lambda each: given[id(each)] if id(each) in given else _wrapped(each), made)


def _wrapped(value: Any) -> Any:
    return _Away(value) if _plain(value) else value


def _as_float(value: Any) -> Any:
    return value.float() if _plain(value) and not value.is_floating_point() else value


def _as_int(value: Any) -> Any:
    return value.int() if _plain(value) else value


def _inner(value: Any) -> Any:
    return value.held if isinstance(value, _Away) else value


def _caller() -> tuple[str, int]:
    """Return the innermost line outside of torch and of this file."""
    return _outside(traceback.walk_stack(sys._getframe(1)))


def outside(error: Exception) -> tuple[str, int]:
    """Return file and number of the innermost line outside of torch and of this file that the error came through."""
    return _outside(reversed(list(traceback.walk_tb(error.__traceback__))))


def _outside(frames: Iterable[tuple[FrameType, int]]) -> tuple[str, int]:
    named = ((frame.f_code.co_filename, line) for frame, line in frames)
    return next(((file, line) for file, line in named if not file.startswith(_TORCH) and file != __file__), ("", 0))

"""A model spread over two devices that do not exist: shapes and devices are right, numbers there are none."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch

from autoreg.errors import NotApplicableError

__all__ = ["device_maps", "run_spread"]

_NAME = "pretended"
# Each kernel says it in its own words.
_MIXED = re.compile("same device|two devices|different devices", re.IGNORECASE)


def device_maps(model: Any, most: int) -> list[dict[str, str]]:
    """Return maps that divide the model in two, `cpu` and `disk`, as accelerate's `infer_auto_device_map` would.

    It goes through the modules in order, enters those that it may split, and gives a tied weight the place of its
    twin. Asked directly, it would keep so much room free on the first device that a model of two blocks is hardly
    ever divided between them.

    Args:
        model: what to divide.
        most: how many maps; those that divide it nearest to the middle come first.
    """
    units = list(_units(model, "", frozenset(getattr(model, "_no_split_modules", None) or ())))
    step = max(1, len(units) // most)
    cuts = sorted(range(1, len(units), step), key=lambda cut: abs(2 * cut - len(units)))
    found = (_divided(model, units, cut) for cut in cuts[:most])
    return [each for each in found if len(set(each.values())) > 1]


def _units(module: torch.nn.Module, path: str, blocks: frozenset[str]) -> Iterator[str]:
    """Yield the names of what is placed as a whole: blocks, modules without children, and single tensors."""
    children = list(module.named_children())
    if path and (type(module).__name__ in blocks or not children):
        if [*module.parameters(), *module.buffers()]:
            yield path
        return
    inside = f"{path}." if path else ""
    # What the model itself owns stays where the model starts, whatever the map says.
    yield from (f"{inside}{name}" for name, _ in module.named_parameters(recurse=False) if path)
    for name, child in children:
        yield from _units(child, f"{inside}{name}", blocks)
    yield from (f"{inside}{name}" for name, _ in module.named_buffers(recurse=False) if path)


def _divided(model: torch.nn.Module, units: list[str], cut: int) -> dict[str, str]:
    own = [name for name, _ in (*model.named_parameters(recurse=False), *model.named_buffers(recurse=False))]
    places = {name: "cpu" if index < cut else "disk" for index, name in enumerate(units)} | dict.fromkeys(own, "cpu")
    first: dict[int, str] = {}
    ties: list[tuple[str, str]] = []
    for name, parameter in model.named_parameters(remove_duplicate=False):
        unit = next(each for each in places if name == each or name.startswith(f"{each}."))
        ties.append((unit, first.setdefault(id(parameter), unit)))
    # A head may be tied to the embeddings by its weight, and to a parameter beside it by its bias.
    while apart := [pair for pair in ties if places[pair[0]] != places[pair[1]]]:
        places.update({unit: "cpu" for pair in apart for unit in pair})
    return _merged(model, places)


def _merged(model: torch.nn.Module, places: dict[str, str]) -> dict[str, str]:
    """Name the module where everything in it has the same place, as accelerate does."""
    merged = dict(places)
    for name, _ in reversed(list(model.named_modules())):
        inside = [key for key in merged if name and key.startswith(f"{name}.")]
        found = {merged[key] for key in inside}
        if len(found) == 1:
            for key in inside:
                del merged[key]
            merged[name] = found.pop()
    return merged


def run_spread(model: Any, inputs: Mapping[str, Any], device_map: Mapping[str, str]) -> None:
    """Run the model by a map of `device_maps`, moving inputs where accelerate's hooks would. Run it in a child.

    Raises:
        RuntimeError: two devices meet in one operation.
        NotApplicableError: this torch cannot pretend, or the model does what cannot be followed without values.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    _pretend()
    spread = copy.deepcopy(model)
    # The default asks for kernels of the real device, the plain one for values.
    if hasattr(spread, "set_experts_implementation"):
        with suppress(Exception):
            spread.set_experts_implementation("batched_mm")
    first = f"{_NAME}:0"

    class Pretence(FakeTensorMode):  # type: ignore[no-untyped-call]
        # Else small constants are copied to the device for real, on the way there.
        avoid_device_init = True

    with Pretence() as mode, torch.no_grad():
        _place(spread, lambda name: _device(device_map, name))
        _hook(spread, device_map, first)
        moved = {name: _to(_faked(value, mode), first, ()) for name, value in inputs.items()}
        try:
            spread(**moved)
        except Exception as error:
            if _MIXED.search(str(error)):
                raise
            text = str(error).splitlines()[0]
            raise NotApplicableError(reason=f"it cannot be followed without values ({text})") from error


def _pretend() -> None:
    """Give torch a device type that exists in name only; for good, hence in a child of its own."""
    from torch.utils import backend_registration

    # Experimental in torch 2.13, absent before 2.9. CUDA's own device type cannot be pretended to: slicing a
    # tensor switches to its device, for which a torch without CUDA has no code.
    setup = getattr(backend_registration, "_setup_privateuseone_for_python_backend", None)
    lift = getattr(torch._C, "_set_only_lift_cpu_tensors", None)
    if setup is None or lift is None:
        raise NotApplicableError(reason=f"torch {torch.__version__} cannot pretend to have other devices")
    setup(_NAME)
    # `torch.tensor([1.0], device=…)` would make a real tensor there first.
    lift(True)


def _device(device_map: Mapping[str, str], name: str) -> str:
    owners = [key for key in device_map if not key or name == key or name.startswith(f"{key}.")]
    index = 0 if not owners or device_map[max(owners, key=len)] == "cpu" else 1
    return f"{_NAME}:{index}"


def _place(model: torch.nn.Module, device: Callable[[str], str]) -> None:
    made: dict[int, Any] = {}
    for path, module in model.named_modules():
        for table in (module._parameters, module._buffers):
            for key, value in table.items():
                if value is None:
                    continue
                if id(value) not in made:
                    where = device(f"{path}.{key}" if path else key)
                    fake = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=where)
                    learned = isinstance(value, torch.nn.Parameter)
                    made[id(value)] = torch.nn.Parameter(fake, requires_grad=False) if learned else fake
                table[key] = made[id(value)]


def _hook(model: Any, device_map: Mapping[str, str], first: str) -> None:
    """Move the inputs of every module with weights of its own map entry, as `accelerate.dispatch_model` does."""
    skipped = getattr(model, "_skip_keys_device_placement", None) or ()
    kept = (skipped,) if isinstance(skipped, str) else tuple(skipped)

    def mover(device: str) -> Callable[..., Any]:
        def move(module: Any, args: Any, kwargs: Any) -> Any:
            return _to(args, device, ()), _to(kwargs, device, kept)

        return move

    model.register_forward_pre_hook(mover(first), with_kwargs=True)
    for name, module in model.named_modules():
        mapped = any(name == key or name.startswith(f"{key}.") for key in device_map if key)
        if mapped and module.state_dict():
            module.register_forward_pre_hook(mover(_device(device_map, name)), with_kwargs=True)


def _to(value: Any, device: str, skipped: tuple[str, ...]) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, (tuple, list)):
        moved = [_to(each, device, ()) for each in value]
        return type(value)(*moved) if hasattr(value, "_fields") else type(value)(moved)
    if isinstance(value, dict):
        return type(value)({key: each if key in skipped else _to(each, device, ()) for key, each in value.items()})
    return value


def _faked(value: Any, mode: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return mode.from_tensor(value)
    return [_faked(each, mode) for each in value] if isinstance(value, list) else value

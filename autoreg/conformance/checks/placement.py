"""Beyond one device: device maps, offloading, models that are made without memory."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from autoreg.conformance.check import check
from autoreg.conformance.checks.blame import blaming
from autoreg.conformance.checks.devices import device_maps, run_spread
from autoreg.conformance.checks.outputs import named
from autoreg.conformance.checks.processes import side_by_side
from autoreg.conformance.subject import Subject

__all__ = ["device_map", "meta_device", "offload", "split"]

_MOST = 8
"""How many ways to divide a model are tried."""


@check("beyond.device-map", level="scales")
def device_map(subject: Subject) -> None:
    """A checkpoint loads with `device_map="cpu"` and gives the same outputs.

    Hurts: `device_map` is how most examples, and everything that serves models, load one.

    Change: create every parameter and buffer in `__init__` with a plain constructor; compute nothing from
    their values there, for at that time they have none.
    """
    name = subject.model_class.__name__
    _need_accelerate(subject)
    model, inputs = subject.model(), subject.inputs()
    folder = subject.folder("model")
    model.save_pretrained(folder)
    with blaming(subject, f'{name} does not load with `device_map="cpu"`'):
        loaded = subject.model_class.from_pretrained(folder, device_map="cpu").eval()
    subject.close(
        named(subject.outputs(loaded, inputs)),
        named(subject.outputs(model, inputs)),
        what=f'{name} gives other outputs when it is loaded with `device_map="cpu"`',
        compared='the outputs of `from_pretrained(…, device_map="cpu")` with those of the model that was saved',
    )


@check("beyond.offload", level="scales", needs=("device_map",))
def offload(subject: Subject) -> None:
    """With half of its weights left on disk the model gives the same outputs.

    accelerate reads the weights of a module when the module is called, and drops them afterwards.

    Hurts: a model that is larger than the memory of the machine fails, or computes with weights that are not there.

    Change: read a parameter only in the `forward` of the module that owns it, and call modules, not their
    `forward`; name blocks that must stay whole in `_no_split_modules`.
    """
    name = subject.model_class.__name__
    _need_accelerate(subject)
    model, inputs = subject.model(), subject.inputs()
    maps = device_maps(model, 1)
    subject.need(maps, "the tiny model is one block, which cannot be divided between memory and disk")
    folder = subject.folder("model")
    model.save_pretrained(folder)
    with blaming(subject, f"{name} does not load with some of its weights left on disk"):
        loaded = subject.model_class.from_pretrained(
            folder, device_map=maps[0], offload_folder=str(subject.folder("offload"))
        ).eval()
    with blaming(subject, f"{name} does not run with some of its weights left on disk"):
        outputs = named(subject.outputs(loaded, inputs))
    subject.close(
        outputs,
        named(subject.outputs(model, inputs)),
        what=f"{name} gives other outputs when some of its weights are left on disk",
        compared="the outputs under a device map of memory and disk with those of the model that was saved",
    )


@check("beyond.split", level="scales", cost="slow", needs=("device_map",))
def split(subject: Subject) -> None:
    """Wherever `device_map="auto"` divides the model between two devices, no operation meets tensors of both.

    The devices are pretended: shapes and devices are followed, nothing is computed.

    Hurts: the model crashes on a machine with two accelerators ("Expected all tensors to be on the same device"),
    at a size that its author never ran.

    Change: name every block with a residual connection in `_no_split_modules`; create tensors on the device of
    the states that they meet; before adding states of two blocks move one of them with `.to(states.device)`.
    """
    name = subject.model_class.__name__
    model, inputs = subject.model(), subject.inputs()
    maps = device_maps(model, _MOST)
    subject.need(maps, "the tiny model is one block, which cannot be divided between two devices")

    for chosen in maps:
        second = next(key for key, place in chosen.items() if place != "cpu")
        problem = f"{name} does not run on two devices divided at `{second}`"
        with blaming(subject, problem, compared="the devices of the tensors of each operation"):
            side_by_side(lambda _, places=chosen: run_spread(model, inputs, places), count=1)  # type: ignore[misc]


@check("beyond.meta-device", level="scales")
def meta_device(subject: Subject) -> None:
    """A model built without memory, given some, initialised and loaded is the model that was saved.

    This is how FSDP, torchtitan and vLLM build models: `torch.device("meta")`, `to_empty`, `init_weights`,
    `load_state_dict`.

    Hurts: the model needs its full size in memory on every process, or computes with buffers of garbage.

    Change: register buffers that are not saved with `persistent=False` and fill them in `_init_weights`; keep no
    tensor in a plain attribute; ask no tensor for its value in `__init__`.
    """
    name = subject.model_class.__name__
    model, inputs = subject.model(), subject.inputs()
    with blaming(subject, f"{name} cannot be built on the meta device"), torch.device("meta"):
        built = subject.model_class(model.config)
    built = built.to_empty(device="cpu")
    with blaming(subject, f"{name} cannot be initialised after `to_empty`"):
        built.init_weights()
    with blaming(subject, f"The weights of {name} do not fit a {name} that was built on the meta device"):
        built.load_state_dict(model.state_dict())
    stray = ", ".join(_stray(built))
    problem = f"{name} does not run when it was built on the meta device"
    problem += f", where it keeps tensors that `to_empty` does not reach ({stray})" if stray else ""
    with blaming(subject, problem):
        outputs = named(subject.outputs(built.eval(), inputs))
    subject.close(
        outputs,
        named(subject.outputs(model, inputs)),
        what=f"{name} gives other outputs when it is built on the meta device, initialised and loaded",
        compared="the outputs of a model built on the meta device with those of the model whose weights it loaded",
    )


def _stray(model: torch.nn.Module) -> list[str]:
    return [
        f"{name}.{key}" if name else key
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, torch.Tensor) and value.is_meta
    ]


def _need_accelerate(subject: Subject) -> None:
    subject.need(find_spec("accelerate"), "accelerate is not installed, which device maps need")

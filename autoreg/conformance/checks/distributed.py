"""Beyond one process: tensor parallelism, FSDP and distributed checkpoints, on two processes of this machine."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch

from autoreg.conformance.check import check
from autoreg.conformance.checks.blame import blaming
from autoreg.conformance.checks.processes import joined, side_by_side
from autoreg.conformance.compare import Tolerance, difference, leaves
from autoreg.conformance.subject import Subject
from autoreg.errors import MismatchError, NotApplicableError

__all__ = ["distributed_checkpoint", "fsdp", "tensor_parallel"]

_RANKS = 2
_FACTOR = 20.0
"""Gradients are added up in another order: how much further apart they may lie than outputs."""


@check("beyond.tensor-parallel", level="scales", cost="slow", needs=("tensor_parallel",))
def tensor_parallel(subject: Subject) -> None:
    """Sharded by its tensor-parallel plan over two processes, the model computes what it computes in one.

    Hurts: `DistributedConfig(tp_plan="auto")` and the inference servers that follow the plan crash, or serve a
    model that talks nonsense.

    Change: in the plan, let `colwise` be followed by `rowwise` before anything looks at whole states; in the
    code, split heads with `.view(*shape, -1, head_dim)`, since a process has only its share of them.
    """
    name = subject.model_class.__name__
    subject.need(find_spec("accelerate"), "accelerate is not installed, which loading by a plan needs")
    model, inputs = _divisible(subject), subject.inputs()
    expected = _tensors(subject.outputs(model, inputs))
    folder = subject.folder("model")
    model.save_pretrained(folder)

    def work(rank: int) -> tuple[int, dict[str, torch.Tensor]]:
        from transformers.distributed.configuration_utils import DistributedConfig

        distributed = DistributedConfig(tp_size=_RANKS, tp_plan="auto")
        sharded = subject.model_class.from_pretrained(folder, distributed_config=distributed).eval()
        whole = dict(model.named_parameters())
        parts = [key for key, value in sharded.named_parameters() if _local(value).shape != whole[key].shape]
        return len(parts), _tensors(subject.outputs(sharded, inputs))

    compared = "the outputs of two processes, each with its share of the weights, with those of one process"
    with blaming(subject, f"{name} does not run on two processes by its tensor-parallel plan", compared=compared):
        answers = joined(work, count=_RANKS, folder=subject.scratch)
    for rank, (parts, outputs) in enumerate(answers):
        subject.require(parts, f"The tensor-parallel plan of {name} divides none of its weights", compared=compared)
        subject.close(
            outputs,
            {key: expected[key] for key in outputs if key in expected},
            what=f"On two processes, by its tensor-parallel plan, {name} gives other outputs (process {rank})",
            compared=compared,
            factor=10,
        )


def _divisible(subject: Subject) -> Any:
    """Return a model whose heads two processes can share; NotApplicableError if there is none."""
    config = subject.config()
    for each in _configs(config):
        heads = getattr(each, "num_attention_heads", None)
        groups = getattr(each, "num_key_value_heads", None)
        if isinstance(heads, int) and isinstance(groups, int) and groups % _RANKS:
            each.num_key_value_heads = heads
        if isinstance(heads, int) and heads % _RANKS:
            raise NotApplicableError(reason=f"{heads} attention heads of the tiny config cannot be shared by two")
    try:
        return subject.model(config)
    except Exception as error:
        reason = f"it cannot be built with heads that two processes can share ({type(error).__name__}: {error})"
        raise NotApplicableError(reason=reason) from error


def _configs(config: Any) -> Iterator[Any]:
    yield config
    for name in getattr(config, "sub_configs", None) or ():
        nested = getattr(config, name, None)
        if nested is not None:
            yield from _configs(nested)


@check("beyond.fsdp", level="scales", cost="slow")
def fsdp(subject: Subject) -> None:
    """Sharded with FSDP2 over two processes, the model learns what it learns in one.

    Each process has its own batch. Gradients and the weights after one step are held against those of one
    process that sees both batches.

    Hurts: the model cannot be trained on more than one accelerator, or learns something else there.

    Change: read a parameter only in the `forward` of the module that owns it, and call modules, not their
    `forward`: outside of that FSDP has not gathered it; give a parameter at least one dimension.
    """
    name = subject.model_class.__name__
    model = subject.model()
    batches = [_batch(subject, rank) for rank in range(_RANKS)]
    gradients, stepped = _alone(subject, model, batches)

    def work(rank: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        sharded = _sharded(copy.deepcopy(model))
        _loss(subject, sharded, batches[rank]).backward()  # type: ignore[no-untyped-call]
        found = {key: _whole(each.grad) for key, each in sharded.named_parameters() if each.grad is not None}
        _step(sharded)
        return found, {key: _whole(each.detach()) for key, each in sharded.named_parameters()}

    compared = "two processes under `fully_shard`, a batch each, with one process and both batches"
    with blaming(subject, f"{name} does not train under FSDP2 on two processes", compared=compared):
        answers = joined(work, count=_RANKS, folder=subject.scratch)
    _need_stable(subject, model, batches, gradients)
    for what, index, expected in (("gradients", 0, gradients), ("weights after one step", 1, stepped)):
        found = answers[0][index]
        subject.close(
            found,
            expected,
            what=f"Under FSDP2 on two processes {name} has other {what} than in one",
            compared=f"the {what} of {compared}",
            factor=_FACTOR,
        )


@check("beyond.distributed-checkpoint", level="scales", cost="slow")
def distributed_checkpoint(subject: Subject) -> None:
    """A checkpoint written with `torch.distributed.checkpoint` by two processes loads in one, bit by bit.

    Hurts: a run on many accelerators cannot be continued, evaluated or published on fewer.

    Change: let `state_dict()` and `load_state_dict()` be torch's own, with the same keys on both sides; keep what
    is not a tensor out of them.
    """
    name = subject.model_class.__name__
    model = subject.model()
    folder = subject.folder("checkpoint")
    from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict
    from torch.distributed.checkpoint.state_dict_loader import load
    from torch.distributed.checkpoint.state_dict_saver import save

    def write(rank: int) -> None:
        copied = copy.deepcopy(model)
        # FSDP refuses those, which is what `beyond.fsdp` is about.
        sharded = _sharded(copied, ignored={each for each in copied.parameters() if not each.dim()})
        save({"model": get_model_state_dict(sharded)}, checkpoint_id=folder)

    def read(rank: int) -> dict[str, torch.Tensor]:
        fresh = subject.model(seed=subject.seed + 5)
        state = {"model": get_model_state_dict(fresh)}
        load(state, checkpoint_id=folder)
        set_model_state_dict(fresh, state["model"])
        return {key: value.detach() for key, value in fresh.named_parameters(remove_duplicate=False)}

    compared = "the weights that one process loads with those that two processes saved"
    with blaming(subject, f"{name} cannot be saved by `torch.distributed.checkpoint` on two processes"):
        joined(write, count=_RANKS, folder=subject.scratch)
    with blaming(subject, f"A distributed checkpoint of {name} does not load in one process"):
        (found,) = side_by_side(read, count=1)
    subject.same(
        found,
        {key: value.detach() for key, value in model.named_parameters(remove_duplicate=False)},
        what=f"A distributed checkpoint of {name} that one process loads differs from what two saved",
        compared=compared,
    )


# --- what the two have in common -----------------------------------------------------------------


def _sharded(model: Any, *, ignored: set[torch.nn.Parameter] | None = None) -> Any:
    """Shard the model as transformers does with accelerate: each block that may not be split, then the rest."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    blocks = set(getattr(model, "_no_split_modules", None) or ())
    mesh = init_device_mesh("cpu", (_RANKS,))
    owners: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), set()).add(name)
    # A weight that is tied to one elsewhere belongs to the group that holds both: the whole model.
    whole = [
        module
        for name, module in model.named_modules()
        if name
        and type(module).__name__ in blocks
        and all(owner.startswith(f"{name}.") for each in module.parameters() for owner in owners[id(each)])
    ]
    for module in reversed(whole):
        fully_shard(module, mesh=mesh, ignored_params=ignored)
    return fully_shard(model, mesh=mesh, ignored_params=ignored)


def _batch(subject: Subject, rank: int) -> dict[str, Any]:
    return {**subject.inputs(seed=rank), **subject.labels(seed=rank)}


def _loss(subject: Subject, model: Any, batch: dict[str, Any]) -> torch.Tensor:
    torch.manual_seed(subject.seed)
    outputs = model(**copy.deepcopy(batch))
    loss = getattr(outputs, "loss", None)
    if isinstance(loss, torch.Tensor) and loss.requires_grad:
        return loss.mean()
    floats = [each for each in _tensors(outputs, detach=False).values() if each.requires_grad]
    if not floats:
        raise NotApplicableError(reason="nothing that it returns has a gradient")
    # Squares would do for no model that ends in a norm: their sum is a constant, and its gradients are noise.
    weights = torch.randn(floats[0].shape, generator=torch.Generator().manual_seed(subject.seed))
    return (floats[0] * weights).mean()


def _alone(
    subject: Subject, model: Any, batches: list[dict[str, Any]]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    single = copy.deepcopy(model)
    for batch in batches:
        (_loss(subject, single, batch) / _RANKS).backward()  # type: ignore[no-untyped-call]
    gradients = {key: each.grad.clone() for key, each in single.named_parameters() if each.grad is not None}
    _step(single)
    return gradients, {key: each.detach() for key, each in single.named_parameters()}


def _need_stable(
    subject: Subject, model: Any, batches: list[dict[str, Any]], expected: dict[str, torch.Tensor]
) -> None:
    """Raise NotApplicableError where rounding alone moves the gradients as far as the check would see."""
    nudged = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(subject.seed)
    with torch.no_grad():
        for each in nudged.parameters():
            if each.is_floating_point():
                each.mul_(1 + 1e-7 * torch.randn(each.shape, generator=generator).to(each.dtype))
    moved, _ = _alone(subject, nudged, batches)
    try:
        difference(moved, expected, tolerance=Tolerance(_FACTOR / 2), what="", compared="")
    except MismatchError as error:
        reason = f"its gradients in float32 are rounding errors, at {error.difference.partition('[')[0]}"
        raise NotApplicableError(reason=reason) from error


def _step(model: Any) -> None:
    torch.optim.SGD(model.parameters(), lr=0.1).step()


def _tensors(outputs: Any, *, detach: bool = True) -> dict[str, torch.Tensor]:
    """Return the float tensors of the outputs, whole, without the caches, which each process has its share of."""
    found = {}
    for name, value in leaves(outputs):
        if isinstance(value, torch.Tensor) and value.is_floating_point() and "past" not in name:
            found[name] = _whole(value.detach()) if detach else value
    return found


def _whole(value: torch.Tensor) -> torch.Tensor:
    gathered = getattr(value, "full_tensor", None)
    return gathered() if gathered is not None else value


def _local(value: torch.Tensor) -> torch.Tensor:
    part = getattr(value, "to_local", None)
    return part() if part is not None else value

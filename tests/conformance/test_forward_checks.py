"""What is unusual in a forward pass: right all the same, it raises no alarm; wrong, it is seen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from autoreg.conformance.checks import standard
from autoreg.conformance.checks.outputs import exactly
from autoreg.conformance.outcome import Outcome
from autoreg.conformance.worker import Job, Worker
from autoreg.errors import MismatchError
from tests.conformance.twins import Twin, install, target_of

_OUTPUT = "attentions=all_attentions if output_attentions else None"

VARIANTS = (
    Twin(
        name="embeddings-refused",
        defect="It says that it takes no embeddings, as encoder-decoders with a classifier do.",
        check="forward.inputs-embeds",
        message="takes no embeddings",
        patches=(
            (
                "modeling.py",
                "        hidden_states = inputs_embeds * self.stream_scale.to(inputs_embeds)\n",
                "        if input_ids is None:\n            raise NotImplementedError('no embeddings')\n"
                "        hidden_states = inputs_embeds * self.stream_scale.to(inputs_embeds)\n",
            ),
        ),
    ),
    Twin(
        name="attentions-unasked",
        defect="The attentions always come: those of a hidden place follow what stands there.",
        check="forward.mask",
        message="",
        patches=(("modeling.py", _OUTPUT, "attentions=all_attentions"), ("modeling.py", "_supports_sdpa = True", "")),
    ),
    Twin(
        name="rows-in-another-axis",
        defect="An output has its rows in the second axis.",
        check="forward.rows-alone",
        message="",
        patches=(("modeling.py", _OUTPUT, "attentions=(hidden_states.transpose(0, 1),)"),),
    ),
    Twin(
        name="meta-excepted",
        defect="Where the weights are on the meta device, a table is made on the CPU.",
        check="forward.device",
        message='device "meta" on its own',
        patches=(
            (
                "modeling.py",
                "torch.arange(half, device=states.device, dtype",
                'torch.arange(half, device=None if states.device.type == "meta" else states.device, dtype',
            ),
        ),
    ),
    Twin(
        name="small-difference",
        defect="An output is a small difference of two large ones: in half precision it is mostly rounding.",
        check="beyond.half-precision",
        message="",
        patches=(("modeling.py", _OUTPUT, "attentions=(self.norm(hidden_states) - self.norm(hidden_states + 1e-3),)"),),
    ),
    Twin(
        name="empty-codebook",
        defect="All outputs come out of a table that a checkpoint alone fills.",
        check="training.dropout",
        message="do not depend on what it is given",
        patches=(("modeling.py", "last_hidden_state=hidden_states,", "last_hidden_state=hidden_states * 0.0,"),),
    ),
)


def _outcome(variant: Twin, folder: Path) -> Outcome:
    """Return what the variant's check says of it."""
    check = next(each for each in standard() if each.id == variant.check)
    with Worker(target_of(install(folder, variant)), checks=standard()) as worker:
        found = worker.run(Job(check=check, subject="TidyModel"))
    assert isinstance(found, Outcome)
    return found


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_correct_variant_is_not_accused(variant: Twin, tmp_path: Path) -> None:
    """It passes, or the check says why it does not apply."""
    found = _outcome(variant, tmp_path)
    assert found.verdict == ("not applicable" if variant.message else "passed"), f"{found.reason}\n{found.output}"
    assert variant.message in (found.reason or "")


REFUSED_BY_TORCH = Twin(
    name="distances-to-attribute",
    defect="Distances are taken to a table that is a plain attribute, by a function that compares devices itself.",
    check="forward.device",
    message=r"on the CPU, whatever the device of the model \(.*modeling\.py:\d+\)",
    patches=(
        (
            "modeling.py",
            "        self.layers = nn.ModuleList(",
            "        self.centres = torch.ones(3, config.hidden_size)\n        self.layers = nn.ModuleList(",
        ),
        (
            "modeling.py",
            "self.norm(hidden_states)\n        return BaseModel",
            "self.norm(hidden_states) + torch.cdist(hidden_states, self.centres[None]).mean(-1, keepdim=True)\n"
            "        return BaseModel",
        ),
    ),
)


def test_what_torch_itself_refuses_is_named(tmp_path: Path) -> None:
    """A function that compares the devices before any operation is seen is a failure with the author's line."""
    found = _outcome(REFUSED_BY_TORCH, tmp_path)
    assert found.verdict == "failed"
    assert re.search(REFUSED_BY_TORCH.message, found.reason)


def test_rounding_is_told_from_a_defect() -> None:
    """What float64 makes disappear is rounding; what stays in it, or cannot be computed in it, is none."""

    def differs_in_single(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> None:
        if model(**inputs).dtype == torch.float32:
            raise MismatchError(problem="rounded", compared="")

    def differs(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> None:
        raise MismatchError(problem="wrong", compared="")

    model, inputs = torch.nn.Linear(2, 2), {"input": torch.ones(1, 2)}

    assert exactly(model, inputs, differs_in_single)
    assert not exactly(model, inputs, differs)
    assert model.weight.dtype == torch.float32

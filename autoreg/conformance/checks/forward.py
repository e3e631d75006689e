"""The forward pass: what goes in, what comes out, and who influences whom."""

from __future__ import annotations

from autoreg.conformance.check import check
from autoreg.conformance.subject import Subject

__all__ = ["deterministic"]


@check("forward.deterministic", level="runs")
def deterministic(subject: Subject) -> None:
    """In eval mode the same inputs give the same outputs.

    Hurts: predictions change from call to call, and no bug report can be reproduced.

    Change: use `nn.Dropout`, or pass `training=self.training` to the functional form; draw no random numbers
    outside of training.
    """
    model, inputs = subject.model(), subject.inputs()
    first, second = subject.outputs(model, inputs), model(**inputs)
    subject.same(
        dict(second),
        dict(first),
        what="In eval mode two passes over the same inputs differ",
        compared="the outputs of two passes over the same inputs, in eval mode",
    )

"""Weights: what `save_pretrained` writes and `from_pretrained` restores."""

from __future__ import annotations

from autoreg.conformance.check import check
from autoreg.conformance.subject import Subject

__all__ = ["roundtrip"]


@check("weights.roundtrip", level="loads")
def roundtrip(subject: Subject) -> None:
    """Every tensor of a saved model comes back bit by bit.

    Every parameter is moved away from its initial value first, so that one which is initialised again on loading
    shows.

    Hurts: the model that users load is not the one that was trained.

    Change: keep everything that is learned in a parameter or a persistent buffer; let `_init_weights` touch
    only what is missing from the checkpoint (`torch.nn.init` functions respect that, in-place arithmetic does not).
    """
    model = subject.model()
    folder = subject.folder("model")
    model.save_pretrained(folder)
    loaded = subject.model_class.from_pretrained(folder)
    subject.same(
        loaded.state_dict(),
        model.state_dict(),
        what="A tensor of a model that was saved and loaded differs from the original",
        compared="`from_pretrained(save_pretrained(model)).state_dict()` with `model.state_dict()`",
    )

"""What this distribution declares to autoreg: the architecture of the package gliclass, by name."""

from collections.abc import Iterable

from autoreg import Architecture, hookimpl


@hookimpl
def autoreg_architectures() -> Iterable[Architecture]:
    """Declare GLiClass (depth: declaration; imports neither torch nor transformers nor gliclass).

    It is no `AutoModelForSequenceClassification`: the labels are part of the text, and a row has as many logits as
    it names labels, whatever `num_labels` says.
    """
    yield Architecture(
        model_type="GLiClass",
        config="gliclass.config:GLiClassModelConfig",
        models={"AutoModel": "gliclass.model:GLiClassModel"},
        conformance="autoreg_gliclass.conformance:hints",
        summary="GLiClass: zero-shot classification in one pass over text and labels",
        homepage="https://arxiv.org/abs/2508.07662",
    )

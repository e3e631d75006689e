"""What this distribution declares to autoreg: one architecture, its classes by name."""

from collections.abc import Iterable

from autoreg import Architecture, hookimpl


@hookimpl
def autoreg_architectures() -> Iterable[Architecture]:
    """Declare RetNet (depth: declaration; imports neither torch nor transformers)."""
    yield Architecture(
        model_type="retnet",
        config="autoreg_retnet.configuration_retnet:RetNetConfig",
        models={
            "AutoModel": "autoreg_retnet.modeling_retnet:RetNetModel",
            "AutoModelForCausalLM": "autoreg_retnet.modeling_retnet:RetNetForCausalLM",
            "AutoModelForSequenceClassification": "autoreg_retnet.modeling_retnet:RetNetForSequenceClassification",
        },
        tokenizer="autoreg_retnet.tokenization_retnet:RetNetTokenizer",
        summary="Retentive Network: parallel training, constant-memory generation (Sun et al. 2023)",
        homepage="https://arxiv.org/abs/2307.08621",
    )

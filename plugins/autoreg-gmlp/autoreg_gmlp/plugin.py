"""What this distribution declares to autoreg: one architecture, its classes by name."""

from collections.abc import Iterable

from autoreg import Architecture, hookimpl


@hookimpl
def autoreg_architectures() -> Iterable[Architecture]:
    """Declare gMLP (depth: declaration; imports neither torch nor transformers)."""
    yield Architecture(
        model_type="gmlp",
        config="autoreg_gmlp.configuration_gmlp:GMLPConfig",
        models={
            "AutoModel": "autoreg_gmlp.modeling_gmlp:GMLPModel",
            "AutoModelForMaskedLM": "autoreg_gmlp.modeling_gmlp:GMLPForMaskedLM",
            "AutoModelForSequenceClassification": "autoreg_gmlp.modeling_gmlp:GMLPForSequenceClassification",
            "AutoModelForTokenClassification": "autoreg_gmlp.modeling_gmlp:GMLPForTokenClassification",
        },
        tokenizer="autoreg_gmlp.tokenization_gmlp:GMLPTokenizer",
        summary="Gated MLP: an encoder that mixes tokens by a learned matrix over positions (Liu et al. 2021)",
        homepage="https://arxiv.org/abs/2105.08050",
    )

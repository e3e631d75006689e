"""What this distribution declares to autoreg: one architecture, its classes by name."""

from collections.abc import Iterable

from autoreg import Architecture, hookimpl


@hookimpl
def autoreg_architectures() -> Iterable[Architecture]:
    """Declare ConvS2S (depth: declaration; imports neither torch nor transformers)."""
    yield Architecture(
        model_type="convs2s",
        config="autoreg_convs2s.configuration_convs2s:ConvS2SConfig",
        models={
            "AutoModel": "autoreg_convs2s.modeling_convs2s:ConvS2SModel",
            "AutoModelForSeq2SeqLM": "autoreg_convs2s.modeling_convs2s:ConvS2SForConditionalGeneration",
        },
        tokenizer="autoreg_convs2s.tokenization_convs2s:ConvS2STokenizer",
        summary="Convolutional sequence to sequence: attention in every decoder layer (Gehring et al. 2017)",
        homepage="https://arxiv.org/abs/1705.03122",
    )

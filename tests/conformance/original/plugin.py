"""What the correct original declares to autoreg."""

from autoreg import Architecture, hookimpl


@hookimpl
def autoreg_architectures():
    yield Architecture(
        model_type="tidy",
        config=f"{__package__}.configuration:TidyConfig",
        models={
            "AutoModel": f"{__package__}.modeling:TidyModel",
            "AutoModelForCausalLM": f"{__package__}.modeling:TidyForCausalLM",
            "AutoModelForSequenceClassification": f"{__package__}.modeling:TidyForSequenceClassification",
        },
        tokenizer=f"{__package__}.tokenization:TidyTokenizer",
        summary="A decoder with grouped attention that does everything right",
    )

"""What this distribution declares to autoreg: the seven architectures that ibm-fms registers by a function."""

from collections.abc import Iterable

from autoreg import Architecture, hookimpl

MODEL_TYPES = (
    "hf_adapted_gpt_bigcode",
    "hf_adapted_gpt_oss",
    "hf_adapted_granite",
    "hf_adapted_llama",
    "hf_adapted_mixtral",
    "hf_adapted_qwen3",
    "hf_adapted_roberta",
)


@hookimpl
def autoreg_architectures() -> Iterable[Architecture]:
    """Declare them (depth: declaration; imports neither torch nor transformers nor fms).

    The package's function is wrapped and not its classes named: the function is what the package supports, and
    importing any one of its classes imports all of them anyway.
    """
    for model_type in MODEL_TYPES:
        name = model_type.removeprefix("hf_adapted_")
        yield Architecture(
            model_type=model_type,
            registered_by="fms.models.hf.utils:register_fms_models",
            conformance=f"autoreg_fms.conformance:{name}",
            summary=f"Foundation Model Stack's {name.replace('_', ' ')}, as a transformers model",
            homepage="https://github.com/foundation-model-stack/foundation-model-stack",
        )

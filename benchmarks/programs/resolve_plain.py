"""With torch imported, load a custom model whose package the user imports and registers by hand."""

from typing import Any

from clock import until_loaded


def load(folder: str) -> Any:
    """Import the package's classes, register them and load."""
    from autoreg_retnet import RetNetConfig, RetNetForCausalLM
    from transformers import AutoConfig, AutoModelForCausalLM

    AutoConfig.register("retnet", RetNetConfig)
    AutoModelForCausalLM.register(RetNetConfig, RetNetForCausalLM)
    return AutoModelForCausalLM.from_pretrained(folder)


until_loaded(load)

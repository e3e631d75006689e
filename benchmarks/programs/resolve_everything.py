"""With torch imported, import every installed plugin, then load a custom model."""

from typing import Any

from clock import until_loaded


def load(folder: str) -> Any:
    """Register everything and load."""
    from everything import register_everything

    register_everything()
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


until_loaded(load)

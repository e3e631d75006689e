"""With torch imported, find and load a custom model through autoreg."""

from typing import Any

from clock import until_loaded


def load(folder: str) -> Any:
    """Import autoreg and load."""
    from autoreg import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


until_loaded(load)

"""The doors of hosts that have one of their own: vLLM's and SGLang's entry points for plugins.

Each host calls its entry point in every process that it starts, before it looks at a model. Both find the class of an
architecture that they do not know by its name in `transformers`, where an active bridge answers for plugins.

Depth: metadata.
"""

from __future__ import annotations

import logging

__all__ = ["sglang", "vllm"]


def vllm() -> None:
    """Activate the plugins in a process of vLLM (`vllm.general_plugins`). Raises nothing."""
    _activate("vLLM")


def sglang() -> None:
    """Activate the plugins in a process of SGLang (`sglang.srt.plugins`). Raises nothing."""
    _activate("SGLang")


def _activate(host: str) -> None:
    try:
        from autoreg import activate

        activate()
    except Exception:  # a host that calls all plugins in a row would not start
        logging.getLogger("autoreg").exception("plugins are not active in this process of %s", host)

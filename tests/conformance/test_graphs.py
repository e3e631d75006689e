"""What is looked at as one graph."""

from __future__ import annotations

from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

from autoreg.conformance.checks.graphs import uncached


def test_the_cache_is_off_in_the_parts_too() -> None:
    """A composite config says nothing of a cache; its language model does, and exports without one."""
    config = LlavaConfig(vision_config=CLIPVisionConfig(), text_config=LlamaConfig(use_cache=True))
    assert uncached(config) is config
    assert config.text_config.use_cache is False
    assert uncached(LlamaConfig()).use_cache is False

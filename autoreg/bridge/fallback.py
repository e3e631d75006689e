"""Registers one architecture through transformers' public calls, where its mappings are not what we know."""

from __future__ import annotations

import importlib
from typing import Any

from autoreg.architecture import ClassRef
from autoreg.bridge.classes import Classes

__all__ = ["register"]

_PROCESSING = {
    "tokenizer": ("AutoTokenizer", "tokenizer_class"),
    "feature_extractor": ("AutoFeatureExtractor", "feature_extractor_class"),
    "processor": ("AutoProcessor", "processor_class"),
    "image_processor": ("AutoImageProcessor", "image_processor_classes"),
    "video_processor": ("AutoVideoProcessor", "video_processor_classes"),
}


def register(classes: Classes, model_type: str) -> None:
    """Register all classes of one architecture, and read back that transformers kept them. Depth: classes."""
    transformers: Any = importlib.import_module("transformers")  # its `register` functions are not typed
    architecture = classes.architecture(model_type)
    config = classes.config(model_type)
    transformers.AutoConfig.register(model_type, config, exist_ok=True)
    for key in architecture.models:
        auto_class: Any = ClassRef.parse(key).load() if ":" in key else getattr(transformers, key)
        model = classes.models(model_type, key)
        auto_class.register(config, model, exist_ok=True)
        if auto_class._model_mapping[config] is not model:
            problem = f"transformers registered nothing for {key}"
            raise classes.plugins.failure(model_type, f"the model class {model}", LookupError(problem))
    for field, (name, keyword) in _PROCESSING.items():
        if getattr(architecture, field) is not None:
            found = {keyword: classes.processing(model_type, field)}
            getattr(transformers, name).register(config, **found, exist_ok=True)

"""The kinds of models that there is a template for: what each declares and needs.

Depth: metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["KINDS", "Kind"]

_TORCH = "torch>=2.6"  # the bound of transformers itself, which leaves torch to its users


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind: a folder of `templates/`.

    Attributes:
        summary: what such a model is, as the end of a sentence.
        example: the Auto class that most people will load it with.
        models: for each Auto class, what the name of its model class ends with.
        others: for each further field of `Architecture`, the module's first word and what the class name ends with.
        requires: requirements besides autoreg and transformers.
    """

    summary: str
    example: str
    models: Mapping[str, str]
    others: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    requires: tuple[str, ...] = (_TORCH,)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What the names of its classes end with."""
        return ("Config", *self.models.values(), *(suffix for _, suffix in self.others.values()))

    def class_name(self, prefix: str, suffix: str) -> str:
        """Return the name of one class."""
        return prefix + suffix

    def declares(self, prefix: str, package: str) -> dict[str, str]:
        """Return the references by field of `Architecture`; those of models by `models[Auto class]`."""
        module = package.removeprefix("autoreg_")

        def reference(kind: str, suffix: str) -> str:
            return f"{package}.{kind}_{module}:{prefix}{suffix}"

        models = {f"models[{name}]": reference("modeling", suffix) for name, suffix in self.models.items()}
        others = {name: reference(kind, suffix) for name, (kind, suffix) in self.others.items()}
        return {"config": reference("configuration", "Config"), **models, **others}


_TOKENIZER = {"tokenizer": ("tokenization", "Tokenizer")}

KINDS: Mapping[str, Kind] = {
    "decoder": Kind(
        summary="a decoder that generates text",
        example="AutoModelForCausalLM",
        models={
            "AutoModel": "Model",
            "AutoModelForCausalLM": "ForCausalLM",
            "AutoModelForSequenceClassification": "ForSequenceClassification",
        },
        others=_TOKENIZER,
    ),
    "encoder": Kind(
        summary="an encoder that reads text",
        example="AutoModelForMaskedLM",
        models={
            "AutoModel": "Model",
            "AutoModelForMaskedLM": "ForMaskedLM",
            "AutoModelForSequenceClassification": "ForSequenceClassification",
            "AutoModelForTokenClassification": "ForTokenClassification",
        },
        others=_TOKENIZER,
    ),
    "vision": Kind(
        summary="a vision transformer",
        example="AutoModelForImageClassification",
        models={"AutoModel": "Model", "AutoModelForImageClassification": "ForImageClassification"},
        others={"image_processor": ("image_processing", "ImageProcessor")},
        requires=(_TORCH, "pillow>=10"),
    ),
    "encoder-decoder": Kind(
        summary="an encoder and a decoder that rewrites text",
        example="AutoModelForSeq2SeqLM",
        models={"AutoModel": "Model", "AutoModelForSeq2SeqLM": "ForConditionalGeneration"},
        others=_TOKENIZER,
    ),
    "time-series": Kind(
        summary="a transformer that continues time series",
        example="AutoModelForTimeSeriesPrediction",
        models={"AutoModel": "Model", "AutoModelForTimeSeriesPrediction": "ForPrediction"},
    ),
    "composite": Kind(
        summary="a language model that looks at images",
        example="AutoModelForImageTextToText",
        models={"AutoModel": "Model", "AutoModelForImageTextToText": "ForConditionalGeneration"},
        others={
            **_TOKENIZER,
            "image_processor": ("image_processing", "ImageProcessor"),
            "processor": ("processing", "Processor"),
        },
        requires=(_TORCH, "pillow>=10"),
    ),
}

"""Processing: tokenizers, processors and feature extractors, by themselves and beside the models."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any
from unittest import mock

import torch
import transformers

import autoreg
from autoreg import runtime
from autoreg.conformance.check import check
from autoreg.conformance.derive.inputs.facts import read
from autoreg.conformance.fields import plain
from autoreg.conformance.subject import Subject
from autoreg.errors import NotApplicableError

__all__ = ["decoding", "input_names", "padding", "pipeline", "roundtrip", "special_ids"]

_TEXTS = ("Hello, world!", "A longer text: 12.5 % of 1,000 öäü é 漢字 🙂", "x")
_AUTO_CLASSES = MappingProxyType(
    {
        "tokenizer": "AutoTokenizer",
        "image_processor": "AutoImageProcessor",
        "video_processor": "AutoVideoProcessor",
        "feature_extractor": "AutoFeatureExtractor",
        "processor": "AutoProcessor",
    }
)
_TASKS = MappingProxyType(
    {
        "AutoModel": "feature-extraction",
        "AutoModelForCausalLM": "text-generation",
        "AutoModelForSequenceClassification": "text-classification",
        "AutoModelForTokenClassification": "token-classification",
        "AutoModelForMaskedLM": "fill-mask",
    }
)


@check("processing.roundtrip", level="loads", scope="architecture")
def roundtrip(subject: Subject) -> None:
    """Each tokenizer, processor and feature extractor loads as it was saved, by its class and by the Auto class.

    The switches of its `__init__` are turned before, and a tokenizer is given a further token.

    Hurts: texts, images and sounds become other numbers than those that the model was trained on.

    Change: pass every argument of `__init__` on to `super().__init__`, which writes it down; write vocabulary files
    in `save_vocabulary`; declare the class to autoreg.
    """
    for field, plain_tool in _tools(subject):
        tool = _switched(subject, field, plain_tool)
        if field == "tokenizer":
            tool.add_tokens(["<a_further_token>"])
        folder = subject.folder(field)
        subject.config_class().save_pretrained(folder)
        tool.save_pretrained(folder)
        for how, loaded in _loaded(subject, field, tool, folder):
            subject.require(
                type(loaded) is type(tool),
                f"{how} gives {type(loaded).__name__}, not the declared {type(tool).__name__}",
                compared=f"the class of what was saved with that of what {how} loads",
            )
            subject.same(
                _facts(field, loaded),
                _facts(field, tool),
                what=f"The {_words(field)} differs after saving and loading with {how}",
                compared=f"settings and results of {type(tool).__name__} before saving and after loading",
            )


@check("processing.decoding", level="loads", scope="architecture")
def decoding(subject: Subject) -> None:
    """Ids decode to their text, or to a text that gives the same ids.

    Hurts: what a model generates is not what users read.

    Change: make `convert_tokens_to_string` the inverse of `_tokenize`; where text is normalised on purpose (lower
    case, spaces), normalised text has to stay as it is.
    """
    tokenizer = _tokenizer(subject)
    for text in _TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        again = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        unknown = tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids
        repeated = tokenizer(again, add_special_tokens=False)["input_ids"]
        subject.require(
            again == text or repeated == ids or unknown,
            f"The ids of {text!r} decode to another text, {again!r}",
            compared="`tokenizer(tokenizer.decode(ids))` with the ids",
            found=f"{repeated} and {ids}",
        )


@check("processing.special-ids", level="loads", scope="architecture")
def special_ids(subject: Subject) -> None:
    """Every id of the tokenizer is within the default config's vocabulary, and both have the same special tokens.

    Hurts: the embedding raises an IndexError, generation never stops, or padding is attended to.

    Change: set `vocab_size`, `pad_token_id`, `bos_token_id` and `eos_token_id` in the config to what the tokenizer
    has.
    """
    tokenizer, config = _tokenizer(subject), subject.config_class().get_text_config(decoder=True)
    size, largest = read(config, "vocab_size"), max(tokenizer.get_vocab().values(), default=-1)
    if isinstance(size, int):
        subject.require(
            largest < size,
            f"The tokenizer has ids that `{type(config).__name__}().vocab_size` has no room for",
            compared="the largest id of the tokenizer with the `vocab_size` of the default config",
            found=f"the largest id is {largest}, and `vocab_size` is {size}",
        )
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        found, expected = read(config, name), getattr(tokenizer, name, None)
        allowed = found if isinstance(found, (list, tuple)) else (found,)
        if found is not None and expected is not None:
            subject.require(
                expected in allowed,
                f"`{name}` is {found} in the default config and {expected} in the tokenizer",
                compared=f"`{type(config).__name__}().{name}` with that of {type(tokenizer).__name__}",
            )


@check("processing.input-names", level="loads", scope="architecture")
def input_names(subject: Subject) -> None:
    """Each name in `model_input_names` is an argument of `forward`.

    Asked are the models that take the first of the names.

    Hurts: `model(**tokenizer(text))` fails, or drops an input without a word.

    Change: set `model_input_names` in the body of the class to what the models take.
    """
    for field, tool in _tools(subject):
        names = list(getattr(tool, "model_input_names", ()))
        for model_class in subject.target.models:
            parameters = inspect.signature(getattr(model_class, "forward")).parameters  # noqa: B009 - `type` has none
            for name in names if names and names[0] in parameters else ():
                subject.require(
                    name in parameters,
                    f"The {_words(field)} makes {name!r}, which `{model_class.__name__}.forward` does not take",
                    compared=f"`{type(tool).__name__}.model_input_names` with the arguments of `forward`",
                    found=f"{name} is none of {', '.join(parameters)}",
                )


@check("processing.padding", level="loads", scope="architecture")
def padding(subject: Subject) -> None:
    """Each row of a padded batch holds its text's own ids, padding on the side that was asked for, and a mask of it.

    Hurts: the model attends to padding, or the end of the longer texts is lost.

    Change: leave `pad` to transformers, or let the attention mask be 0 exactly where it pads; keep
    `attention_mask` in `model_input_names`.
    """
    tokenizer = _tokenizer(subject)
    subject.need(tokenizer.pad_token_id is not None, "its tokenizer has no token for padding")
    subject.need("attention_mask" in tokenizer.model_input_names, "its tokenizer makes no attention mask")
    alone = [tokenizer(text)["input_ids"] for text in _TEXTS]
    longest = max(map(len, alone))
    for side in ("right", "left"):
        tokenizer.padding_side = side
        batch = tokenizer(list(_TEXTS), padding=True)
        for row, ids in enumerate(alone):
            space = [tokenizer.pad_token_id] * (longest - len(ids))
            ones, zeros = [1] * len(ids), [0] * len(space)
            expected = {
                "input_ids": ids + space if side == "right" else space + ids,
                "attention_mask": ones + zeros if side == "right" else zeros + ones,
            }
            subject.same(
                {name: list(batch[name][row]) for name in expected},
                expected,
                what=f"A batch that is padded on the {side} differs from its texts",
                compared=f"row {row} of the padded batch with the text by itself and padding beside it",
            )


@check("processing.pipeline", level="runs")
def pipeline(subject: Subject) -> None:
    """With the tokenizer and a tiny model, the pipeline for the class's task runs and returns what its task says.

    Hurts: `pipeline(…)`, the first thing that users try, fails.

    Change: read the error: usually `forward` lacks an argument, or the tokenizer makes inputs that it does not take.
    """
    task = next((_TASKS[name] for name in subject.auto_classes if name in _TASKS), None)
    subject.need(task, "no text pipeline is for its Auto classes")
    tokenizer = _tokenizer(subject)
    subject.need(task != "fill-mask" or tokenizer.mask_token, "its tokenizer has no token for masks")
    model = subject.model(_fitting(subject, tokenizer), lively=False)
    text = f"Hello {tokenizer.mask_token}" if task == "fill-mask" else "Hello"
    options = {"max_new_tokens": 2, "do_sample": False} if task == "text-generation" else {}
    make: Any = transformers.pipeline
    # transformers sets an environment variable for its tokenizers when a pipeline runs.
    with mock.patch.dict(os.environ), subject.raising(f"The pipeline {task!r} fails"):
        run = make(task, model=model, tokenizer=tokenizer, device=torch.device("cpu"))
        answer = run([text], **options)
    subject.require(
        _answers(str(task), answer, model),
        f"The pipeline {task!r} returns something else than its task says",
        compared="what the pipeline returns with what its task is documented to return",
        found=repr(answer)[:200],
    )


# --- what the checks share -------------------------------------------------------------------------


def _tools(subject: Subject) -> list[tuple[str, Any]]:
    """Return `(field, tool)` of everything that is declared beside the models and can be made."""
    fields = dict.fromkeys((*subject.target.processing, *subject.hints.processing))
    subject.need(fields, "it declares no tokenizer, processor or feature extractor")
    found, failed = [], []
    for field in fields:
        try:
            found.append((field, _made(subject, field)))
        except NotApplicableError as error:
            failed.append(error.reason)
    if not found:
        raise NotApplicableError(reason="; ".join(failed))
    for reason in failed:
        subject.note(reason)
    return found


def _words(field: str) -> str:
    return field.replace("_", " ")


def _switched(subject: Subject, field: str, tool: Any) -> Any:
    """Return a tool of the same class with every switch of its `__init__` turned, or the tool where that fails."""
    if field in subject.hints.processing:
        return tool
    parameters = inspect.signature(type(tool).__init__).parameters.values()
    turned = {each.name: not each.default for each in parameters if isinstance(each.default, bool)}
    with suppress(Exception):
        return type(tool)(**turned)
    return tool


def _made(subject: Subject, field: str) -> Any:
    given = subject.hints.processing.get(field)
    if given is not None:
        return given()
    if field not in subject.target.processing:
        raise NotApplicableError(reason=f"it declares no {_words(field)}")
    cls = subject.target.processing[field]
    try:
        return cls()
    except Exception as error:  # most need files
        problem = f"{cls.__name__}() cannot be made without files ({type(error).__name__}): give `Hints.processing`"
        raise NotApplicableError(reason=problem) from error


def _tokenizer(subject: Subject) -> Any:
    tokenizer = _made(subject, "tokenizer")
    subject.need(callable(tokenizer), "its tokenizer cannot be called")
    return tokenizer


def _loaded(subject: Subject, field: str, tool: Any, folder: Any) -> Iterator[tuple[str, Any]]:
    name = _AUTO_CLASSES[field]
    with subject.raising(f"A saved {_words(field)} cannot be loaded"):
        loaded = type(tool).from_pretrained(folder)
    yield f"{type(tool).__name__}.from_pretrained", loaded
    if field not in subject.target.processing:
        return
    undo = runtime.activate()
    try:
        for package in (transformers, autoreg):
            with subject.raising(f"{package.__name__}.{name} cannot load the saved {_words(field)}"):
                loaded = getattr(package, name).from_pretrained(folder)
            yield f"{package.__name__}.{name}", loaded
    finally:
        undo()


def _facts(field: str, tool: Any) -> dict[str, Any]:
    """Return the settings of a tool and what it makes of a sample."""
    if field == "tokenizer":
        return {
            "ids": {text: tool(text)["input_ids"] for text in (*_TEXTS, "a<a_further_token>b")},
            "special tokens": {name: str(token) for name, token in tool.special_tokens_map.items()},
            "special ids": sorted(tool.all_special_ids),
            "number of tokens": len(tool),
            **{name: getattr(tool, name) for name in ("padding_side", "truncation_side", "model_max_length")},
            "model_input_names": list(tool.model_input_names),
            "arguments": _own_arguments(tool),
        }
    facts: dict[str, Any] = {"settings": plain(tool.to_dict()) if hasattr(tool, "to_dict") else {}}
    with suppress(Exception):  # a sample that does not suit it shows nothing
        facts["result"] = dict(_sample(field, tool))
    return facts


def _own_arguments(tool: Any) -> dict[str, str]:
    """Return the attributes that are named as an argument of the class's own `__init__`."""
    names = list(inspect.signature(type(tool).__init__).parameters)[1:]
    values = {name: getattr(tool, name) for name in names if hasattr(tool, name)}
    return {name: str(value) for name, value in values.items() if isinstance(value, (bool, int, float, str))}


def _sample(field: str, tool: Any) -> Mapping[str, Any]:
    generator = torch.Generator().manual_seed(0)
    found: Mapping[str, Any]
    if field == "image_processor":
        found = tool(images=torch.randint(0, 256, (3, 48, 64), generator=generator, dtype=torch.uint8))
    elif field == "feature_extractor":
        found = _extracted(tool, generator)
    elif field == "video_processor":
        found = tool(videos=torch.randint(0, 256, (4, 3, 48, 64), generator=generator, dtype=torch.uint8))
    else:
        found = {}
    return found


def _extracted(tool: Any, generator: torch.Generator) -> Mapping[str, Any]:
    """Return the features of a second of noise, or of a long series if it has no second: time series have no rate."""
    parameters = inspect.signature(tool).parameters.values()
    if not any(each.name == "sampling_rate" or each.kind is each.VAR_KEYWORD for each in parameters):
        return tool(torch.randn(16000, generator=generator).numpy())  # type: ignore[no-any-return]
    rate = getattr(tool, "sampling_rate", 16000)
    return tool(torch.randn(rate, generator=generator).numpy(), sampling_rate=rate)  # type: ignore[no-any-return]


def _fitting(subject: Subject, tokenizer: Any) -> Any:
    """Return the tiny config with room for the tokenizer's ids, and its special tokens."""
    config = copy.deepcopy(subject.config())
    text = config.get_text_config(decoder=True)
    if type(text) is type(config):  # of an encoder and decoder in one, transformers returns a copy
        text = config
    text.vocab_size = max([*tokenizer.get_vocab().values(), text.vocab_size - 1]) + 1
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        if hasattr(text, name) and getattr(tokenizer, name, None) is not None:
            setattr(text, name, getattr(tokenizer, name))
    return config


def _answers(task: str, answer: Any, model: Any) -> bool:
    first = answer[0]
    if task == "feature-extraction":
        return isinstance(first, list) and isinstance(first[0][0][0], float)
    if task == "text-generation":
        return str(first[0]["generated_text"]).startswith("Hello")
    if task == "fill-mask":
        return "token_str" in (first[0] if isinstance(first, list) else first)
    rows = first if isinstance(first, list) else [first]
    key = "label" if task == "text-classification" else "entity"
    return all(row[key] in model.config.id2label.values() and 0 <= row["score"] <= 1 for row in rows)

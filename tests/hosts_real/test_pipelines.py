"""transformers' pipelines: every task that a plugin has a class for, from the path of its checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import transformers

import autoreg
from tests.hosts_real.launching import checkpoint

pytestmark = pytest.mark.usefixtures("activated")

TRAINED = ("retnet", "gmlp", "convs2s", "convmixer", "nhits", "captioner")
"""The plugins with a trained checkpoint. transformers has no pipeline for what nhits does."""


def image() -> Any:
    """Return a grey image, for the pipelines that take one."""
    from PIL import Image

    return Image.new("RGB", (8, 8), (90, 90, 90))


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A task of one plugin.

    Attributes:
        given: makes the pipeline's arguments.
        right: says whether the answer is right.
        options: of the call.
        head: the Auto class whose untrained head is put on the checkpoint first, where that was saved with another.
    """

    given: Callable[[], Any]
    right: Callable[[Any], bool]
    options: dict[str, Any]
    head: str = ""


def case(given: Any, right: Callable[[Any], bool], *, head: str = "", **options: Any) -> Case:
    """Return a case; what is given is made when it is needed if it is a function."""
    return Case(given=given if callable(given) else lambda: given, right=right, options=options, head=head)


def states(width: int) -> Callable[[Any], bool]:
    """Return whether features are `(1, length, width)` nested lists."""
    return lambda answer: len(answer) == 1 and len(answer[0]) > 1 and len(answer[0][0]) == width


CASES = {
    ("retnet", "text-generation"): case(
        "And God said", lambda answer: answer[0]["generated_text"].startswith("And God said"), max_new_tokens=8
    ),
    ("retnet", "text-classification"): case(
        "a", lambda answer: {"label", "score"} == set(answer[0]), head="AutoModelForSequenceClassification"
    ),
    ("retnet", "zero-shot-classification"): case(
        "a", lambda answer: sorted(answer["labels"]) == ["b", "c"],
        head="AutoModelForSequenceClassification", candidate_labels=["b", "c"],
    ),
    ("retnet", "feature-extraction"): case("abc", states(128)),
    ("gmlp", "text-classification"): case("überbrückte", lambda answer: answer[0]["label"] == "German"),
    ("gmlp", "zero-shot-classification"): case(
        "a", lambda answer: sorted(answer["labels"]) == ["b", "c"], candidate_labels=["b", "c"]
    ),
    ("gmlp", "token-classification"): case(
        "walking", lambda answer: {"entity", "score"} < set(answer[0]), head="AutoModelForTokenClassification"
    ),
    ("gmlp", "fill-mask"): case(
        "walk<mask>", lambda answer: len(answer) == 5 and answer[0]["score"] >= answer[1]["score"],
        head="AutoModelForMaskedLM",
    ),
    ("gmlp", "feature-extraction"): case("walking", states(96)),
    ("convs2s", "feature-extraction"): case("cat", states(96)),
    ("convmixer", "image-classification"): case(
        image, lambda answer: len(answer) == 5 and answer[0]["score"] >= answer[1]["score"]
    ),
    ("convmixer", "image-feature-extraction"): case(image, lambda answer: len(answer) == 1),
    ("captioner", "image-text-to-text"): case(
        lambda: {"images": image(), "text": "<image>"}, lambda answer: bool(answer[0]["generated_text"]),
        max_new_tokens=8, return_full_text=False,
    ),
}  # fmt: skip
"""What every task of every plugin is given, and what it must answer."""

IN_NAME_ONLY = {
    "zero-shot-audio-classification", "decision", "image-feature-extraction", "feature-extraction",
}  # fmt: skip
"""Tasks whose Auto class is a general one, so that having a class for it does not mean that they apply."""


def declared(name: str) -> set[str]:
    """Return the Auto classes that a plugin declares a model for."""
    import importlib

    (architecture,) = importlib.import_module(f"autoreg_{name}.plugin").autoreg_architectures()
    return set(architecture.models)


@pytest.mark.parametrize("name", TRAINED)
def test_no_task_is_forgotten(name):
    """Every task of transformers whose Auto class the plugin declares has a case here."""
    from transformers.pipelines import SUPPORTED_TASKS

    pytest.importorskip(f"autoreg_{name}")
    models = declared(name)
    tasks = {task for task, about in SUPPORTED_TASKS.items() if models & {cls.__name__ for cls in about["pt"]}}
    assert tasks - IN_NAME_ONLY <= {task for plugin, task in CASES if plugin == name}


@pytest.mark.parametrize(("name", "task"), CASES, ids=lambda word: word)
def test_a_task(name, task, tmp_path, seen):
    """From the path alone, the pipeline finds model and processing, and answers."""
    case, path = CASES[name, task], checkpoint(name)
    if case.head:
        getattr(transformers, case.head).from_pretrained(path).save_pretrained(tmp_path)
        for tokenizer in (transformers.AutoTokenizer.from_pretrained(path),):
            tokenizer.save_pretrained(tmp_path)
        path = tmp_path
    pipe = transformers.pipeline(task, model=str(path), device="cpu")
    given = case.given()
    answer = pipe(**given, **case.options) if isinstance(given, dict) else pipe(given, **case.options)
    assert case.right(answer), answer
    assert type(pipe.model).__module__.startswith(f"autoreg_{name}.")
    seen("transformers", f"pipeline {task}: {type(pipe.model).__name__}")


def test_without_activation_none_of_them_works():
    """Without activate() a pipeline refuses the checkpoint."""
    with autoreg.isolated(), pytest.raises(ValueError, match="`gmlp`"):
        transformers.pipeline("text-classification", model=str(checkpoint("gmlp")))

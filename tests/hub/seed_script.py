"""What autoreg promises of the checkpoints everybody knows, as a program: `python seed_script.py FOLDER`.

Each line that it prints is one promise and what came of it. FOLDER is where it saves models.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import BartConfig, BartModel, BertConfig, BertModel, GPT2Config, GPT2Model

from autoreg import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
)

# name, transformers' own classes, an Auto class with a head, and where the layers are
CHECKPOINTS = (
    ("bert-base-cased", BertConfig, BertModel, AutoModelForMaskedLM, "encoder.layer"),
    ("gpt2", GPT2Config, GPT2Model, AutoModelForCausalLM, "h"),
    ("facebook/bart-base", BartConfig, BartModel, AutoModelForSeq2SeqLM, "encoder.layers"),
)


def promise(what: str, name: str, **result: object) -> None:
    print(json.dumps({"promise": what, "name": name, **result}), flush=True)  # noqa: T201 - a program: it prints


def kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def answer(model: torch.nn.Module, name: str) -> torch.Tensor:
    inputs = AutoTokenizer.from_pretrained(name)("Hello world", return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**inputs).last_hidden_state


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def transformers_own_classes(name: str, head: type) -> None:
    promise("AutoConfig gives", name, kind=kind(AutoConfig.from_pretrained(name)))
    promise("AutoModel gives", name, kind=kind(AutoModel.from_pretrained(name)))
    promise(f"{head.__name__} gives", name, kind=kind(head.from_pretrained(name)))
    promise("AutoTokenizer gives", name, kind=kind(AutoTokenizer.from_pretrained(name)))


def the_same_results_as_transformers(name: str, config_class: type, model_class: type) -> None:
    config, plain_config = AutoConfig.from_pretrained(name), config_class.from_pretrained(name)
    model, plain_model = AutoModel.from_pretrained(name), model_class.from_pretrained(name)
    same_text = config.to_json_string() == plain_config.to_json_string()
    same_answer = torch.equal(answer(model, name), answer(plain_model, name))
    promise("the config equals transformers' own", name, holds=config == plain_config and same_text)
    promise("the weights equal transformers' own", name, holds=same_weights(model, plain_model))
    promise("the outputs equal transformers' own", name, holds=same_answer)


def random_weights_from_a_config(name: str) -> None:
    config, pretrained = AutoConfig.from_pretrained(name), AutoModel.from_pretrained(name)
    first, second = AutoModel.from_config(config), AutoModel.from_config(config)
    promise("from_config gives", name, kind=kind(first), like_the_checkpoint=same_weights(first, pretrained))
    promise("from_config gives new weights each time", name, holds=not same_weights(first, second))


def ten_layers(name: str, layers: str) -> None:
    config = AutoConfig.from_pretrained(name, num_hidden_layers=10)
    model = AutoModel.from_config(config)
    counts = {"config": config.num_hidden_layers, "model": len(model.get_submodule(layers))}
    promise("num_hidden_layers=10 gives", name, **counts)


def saving_and_loading(name: str, folder: Path) -> None:
    model, path = AutoModel.from_pretrained(name), folder / name
    model.save_pretrained(path)
    AutoTokenizer.from_pretrained(name).save_pretrained(path)
    again = AutoModel.from_pretrained(path)
    same_answer = torch.equal(answer(model, name), answer(again, str(path)))
    promise("a local folder gives", name, kind=kind(again), config=kind(AutoConfig.from_pretrained(path)))
    promise("what was saved is loaded bit for bit", name, holds=same_weights(model, again))
    promise("what was loaded answers the same", name, holds=same_answer)


def another_revision(name: str, revision: str) -> None:
    model, other = AutoModel.from_pretrained(name), AutoModel.from_pretrained(name, revision=revision)
    promise(f"revision={revision!r} gives", name, kind=kind(other), differs=not same_weights(model, other))


def a_name_nobody_has(name: str) -> None:
    try:
        AutoModel.from_pretrained(name)
    except OSError as error:
        promise("a repository nobody has is an OSError", name, named=name in str(error))


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name, config_class, model_class, head, layers in CHECKPOINTS:
        transformers_own_classes(name, head)
        the_same_results_as_transformers(name, config_class, model_class)
        random_weights_from_a_config(name)
        ten_layers(name, layers)
        saving_and_loading(name, folder)
    another_revision("bert-base-cased", "v1.0")
    a_name_nobody_has("nobody/has-this-model")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

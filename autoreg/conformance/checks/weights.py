"""Weights: what `save_pretrained` writes and `from_pretrained` restores."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file

from autoreg.conformance import guard
from autoreg.conformance.check import check
from autoreg.conformance.checks.perturbation import (
    buffers,
    has_field,
    perturb,
    plain_tensors,
    set_everywhere,
    snapshot,
    storages,
    tensors,
    ties_switched,
)
from autoreg.conformance.subject import Subject

__all__ = [
    "attributes",
    "auto",
    "buffers_restored",
    "complete",
    "flipped_ties",
    "fresh_process",
    "outputs",
    "requires_grad",
    "roundtrip",
    "saved_keys",
    "saving_twice",
    "sharded",
    "state_dict",
    "ties",
]

_LOADED = "`from_pretrained(save_pretrained(model)).state_dict()` with `model.state_dict()`"


def _saved(subject: Subject, name: str = "model", *, config: Any = None, integers: bool = True) -> tuple[Any, Path]:
    """Return a model of which every tensor was moved, and the folder that it was saved to."""
    model = subject.model(config)
    perturb(model, subject.seed, integers=integers)
    folder = subject.folder(name)
    with subject.raising("`save_pretrained` fails"):
        model.save_pretrained(folder)
    return model, folder


def _load(subject: Subject, folder: Path, **options: Any) -> Any:
    # Another seed than the model was built with: what is drawn again on loading comes out different.
    guard.seed_torch(subject.seed + 1)
    with subject.raising("`from_pretrained` cannot load what `save_pretrained` wrote"):
        return subject.model_class.from_pretrained(folder, **options)


def _in_memory(subject: Subject, model: Any, **options: Any) -> Any:
    """Return the model as `from_pretrained` rebuilds it, without the disk."""
    guard.seed_torch(subject.seed + 1)
    state = snapshot(model.state_dict())
    with subject.raising("`from_pretrained` cannot load the state of the model"):
        return type(model).from_pretrained(None, config=subject.config(), state_dict=state, **options)


@check("weights.roundtrip", level="loads")
def roundtrip(subject: Subject) -> None:
    """Every tensor of a saved model comes back bit by bit.

    Every parameter and persistent buffer is moved away from its initial value first, so that one which is
    initialised again on loading shows.

    Hurts: the model that users load is not the one that was trained.

    Change: keep everything that is learned in a parameter or a persistent buffer; let `_init_weights` touch
    only what is missing from the checkpoint (the functions of `torch.nn.init` respect that, in-place arithmetic and
    `.data` do not).
    """
    model, folder = _saved(subject)
    subject.same(
        _load(subject, folder).state_dict(),
        model.state_dict(),
        what="A tensor of a model that was saved and loaded differs from the original",
        compared=_LOADED,
    )


@check("weights.complete", level="loads")
def complete(subject: Subject) -> None:
    """Loading what was saved reports nothing missing, unexpected or of another shape, and hides nothing.

    Hurts: users are warned of weights that nobody lost, learn to ignore the warning, and miss the real one.

    Change: make the names in the checkpoint those of the model; list in `_keys_to_ignore_on_load_missing` and
    `_keys_to_ignore_on_save` only what tying or the config restores.
    """
    model, folder = _saved(subject)
    _, report = _load(subject, folder, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        found = sorted(map(str, report[kind]))
        subject.require(
            not found,
            f"Loading a saved model reports {kind.replace('_', ' ')}",
            compared="the report of `from_pretrained(folder, output_loading_info=True)` with an empty one",
            found=", ".join(found[:5]),
        )
    saved = _keys(folder)
    ignored = sorted(getattr(model, "_keys_to_ignore_on_save", None) or ())
    lost = [name for name in ignored if name in tensors(model) and not _restored(model, name, saved)]
    subject.require(
        not lost,
        "`_keys_to_ignore_on_save` keeps a tensor out of the checkpoint that nothing restores",
        compared="`_keys_to_ignore_on_save` with the names in the saved file",
        found=", ".join(lost),
    )


def _restored(model: Any, name: str, saved: set[str]) -> bool:
    named = tensors(model)
    return any(each in saved for each in storages(named)[named[name].data_ptr()])


def _keys(folder: Path) -> set[str]:
    """Return the names in the weight files of the folder."""
    found: set[str] = set()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            found.update(opened.keys())
    return found


@check("weights.saved-keys", level="loads")
def saved_keys(subject: Subject) -> None:
    """The file holds the model's tensors under the model's names, tied ones once, and the config names the class.

    Hurts: other tools (PEFT, quantisers, vLLM, safetensors readers) look for the names of the model and do not find
    them; `from_pretrained` of a later version loads nothing and starts from random weights.

    Change: do not rename, add or drop keys in `save_pretrained`, `state_dict` or a state-dict hook; a renaming for
    old checkpoints belongs on the loading side. Let `save_pretrained` call its parent's.
    """
    model = subject.model()
    perturb(model, subject.seed)
    folder = subject.folder("model")
    named = tensors(model)
    with subject.raising("`save_pretrained` fails"):
        # transformers' own classes may keep the names of the paper's checkpoints, and translate on loading.
        model.save_pretrained(folder, **({} if model.is_custom_code() else {"save_original_format": False}))
    held = {key: each for file in sorted(folder.glob("*.safetensors")) for key, each in load_file(file).items()}
    groups = list(storages(named).values())
    strange = sorted(held.keys() - named.keys())
    strange = [key for key in strange if not key.endswith("_extra_state")]
    subject.require(
        not strange, "The saved file has a name that the model has not", compared=_FILE, found=", ".join(strange[:5])
    )
    lost = [names[0] for names in groups if not any(name in held for name in names)]
    subject.require(not lost, "The saved file lacks a tensor of the model", compared=_FILE, found=", ".join(lost[:5]))
    subject.same(
        {key: held[key] for key in sorted(held.keys() & named.keys())},
        {key: named[key].detach() for key in sorted(held.keys() & named.keys())},
        what="The saved file holds another value than the model",
        compared=_FILE,
    )
    written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    subject.require(
        written.get("architectures") == [type(model).__name__],
        "config.json does not name the class that was saved",
        compared="`architectures` in config.json with the class",
        found=f"{written.get('architectures')} and {[type(model).__name__]}",
    )


_FILE = "the names and values in the saved file with the model's parameters and persistent buffers"


@check("weights.state-dict", level="loads")
def state_dict(subject: Subject) -> None:
    """`state_dict()` has every parameter and persistent buffer under its own name, and `load_state_dict` takes it.

    Hurts: checkpoints of the Trainer, FSDP, DeepSpeed and plain torch go through these two; what they lose is lost
    without an error.

    Change: override neither `state_dict` nor `load_state_dict`, and remove state-dict hooks that rename or drop.
    """
    model, other = subject.model(), subject.model(seed=subject.seed + 1)
    perturb(model, subject.seed)
    state, named = model.state_dict(), tensors(model)
    subject.require(named, "The model has no parameters at all")
    odd = sorted(key for key in state.keys() ^ named.keys() if not key.endswith("_extra_state"))
    subject.require(
        not odd,
        "`state_dict()` renames, adds or drops a tensor",
        compared="the names in `state_dict()` with those of the parameters and persistent buffers",
        found=", ".join(f"{key} ({'only in the state' if key in state else 'not in the state'})" for key in odd[:5]),
    )
    with subject.raising("`load_state_dict(strict=True)` refuses the state of another instance"):
        other.load_state_dict(state, strict=True)
    subject.same(
        snapshot(tensors(other)),
        snapshot(named),
        what="A tensor differs after `load_state_dict`",
        compared="the tensors of a second instance after `load_state_dict(model.state_dict())` with the model's",
    )


@check("weights.buffers", level="loads")
def buffers_restored(subject: Subject) -> None:
    """A buffer that is not saved has the same value after loading as after building.

    Hurts: `from_pretrained` builds the model without memory, and then calls `_init_weights` for what the checkpoint
    lacks. A non-persistent buffer that only `__init__` fills is garbage from then on: another garbage in every
    process.

    Change: fill the buffer in `_init_weights` too (`torch.nn.init.constant_`, or `copy_` of the computed value from
    `transformers.initialization`), or register it with `persistent=True`.
    """
    model = subject.model()
    subject.need(buffers(model), "it has no buffer")
    loaded = _in_memory(subject, model)
    subject.same(
        snapshot(buffers(loaded)),
        snapshot(buffers(model)),
        what="A buffer has another value after loading",
        compared="the buffers of the loaded model, persistent and not, with those of the original",
    )


@check("weights.attributes", level="loads")
def attributes(subject: Subject) -> None:
    """No tensor that matters is kept as an ordinary attribute, where loading and `.to()` do not reach it.

    The attribute is looked for on every module; it matters if the outputs change when its value does.

    Hurts: the tensor stays on the CPU when the model moves, stays in float32 when the model is halved, is not saved,
    and after `from_pretrained` is an empty shell on the meta device.

    Change: `register_buffer(name, tensor, persistent=False)` for what the config determines, `nn.Parameter` for what
    is learned.
    """
    model = subject.model()
    found = plain_tensors(model)
    moved = plain_tensors(subject.model().to("meta")) if found else {}
    left = {name: each for name, each in found.items() if name in moved and moved[name].device.type != "meta"}
    subject.require(not plain_parameters(model), "A parameter is hidden from its module", found=_first(model))
    if left:
        inputs = subject.inputs()
        expected = subject.outputs(model, inputs)
        for name, each in left.items():
            subject.require(
                not _matters(subject, model, each, inputs=inputs, expected=expected),
                f"The tensor `{name}` of {type(model).__name__} is an ordinary attribute, and the outputs depend on it",
                compared="the attributes of all modules before and after `model.to('meta')`",
                found=f"{name} stays on {each.device}",
            )


def plain_parameters(model: Any) -> list[str]:
    """Return the parameters that are kept in a list or dict, in which torch does not see them."""
    found = []
    for prefix, module in model.named_modules():
        known = {id(each) for each in model.parameters()}
        for name, value in vars(module).items():
            items = value.values() if type(value) is dict else value if type(value) in (list, tuple) else ()
            if name not in ("_parameters", "_buffers", "_modules"):
                hidden = [each for each in items if isinstance(each, torch.nn.Parameter) and id(each) not in known]
                found += [f"{prefix}.{name}".lstrip(".")] * bool(hidden)
    return found


def _first(model: Any) -> str:
    return ", ".join(plain_parameters(model)[:5])


def _matters(subject: Subject, model: Any, tensor: torch.Tensor, *, inputs: Any, expected: Any) -> bool:
    """Say whether the outputs change with the tensor, which is put back."""
    before = tensor.clone()
    try:
        with torch.no_grad():
            tensor.copy_(tensor.logical_not() if tensor.dtype == torch.bool else tensor * 0.5 + 1)
        changed = subject.outputs(model, inputs)
    except (RuntimeError, IndexError):
        return True  # an index table out of its range matters
    finally:
        with torch.no_grad():
            tensor.copy_(before)
    return subject.differs(changed, expected)


@check("weights.outputs", level="runs")
def outputs(subject: Subject) -> None:
    """A loaded model computes what the saved one did.

    Hurts: whatever is neither in the weights nor in the config is gone, and nobody is told.

    Change: derive everything that `forward` reads from the config or from the weights, none of it from random numbers
    or from what was passed to the constructor besides the config.
    """
    model, folder = _saved(subject, integers=False)
    loaded, inputs = _load(subject, folder), subject.inputs()
    subject.require(
        not loaded.training,
        "`from_pretrained` returns a model in train mode",
        compared="`model.training` with False",
        found=str(loaded.training),
    )
    subject.close(
        _told(subject.outputs(loaded, inputs)),
        _told(subject.outputs(model, inputs)),
        what="The outputs of a model that was saved and loaded differ from the original's",
        compared="the outputs of both for the same inputs",
    )


def _told(outputs: Any) -> Any:
    return dict(outputs) if hasattr(outputs, "items") else outputs


@check("weights.sharded", level="loads")
def sharded(subject: Subject) -> None:
    """A checkpoint that is cut into several files loads as it was.

    Hurts: models of any real size are saved so; a tensor that is lost between the files comes back random.

    Change: let `save_pretrained` pass its arguments on, and do not write the weights yourself.
    """
    model = subject.model()
    perturb(model, subject.seed)
    folder = subject.folder("model")
    size = sum(each.numel() * each.element_size() for each in tensors(model).values())
    with subject.raising("`save_pretrained` with a small `max_shard_size` fails"):
        model.save_pretrained(folder, max_shard_size=max(size // 3, 1000))
    subject.need(len(storages(tensors(model))) > 1, "it has a single tensor, which cannot be divided")
    subject.require(
        len(list(folder.glob("*.safetensors"))) > 1,
        "`save_pretrained` ignores `max_shard_size`",
        compared="the number of weight files with more than 1",
    )
    subject.same(
        _load(subject, folder).state_dict(),
        model.state_dict(),
        what="A tensor of a model that was saved in several files differs from the original",
        compared=_LOADED,
    )


@check("weights.saving-twice", level="loads")
def saving_twice(subject: Subject) -> None:
    """Saving changes nothing: the model is as before, and a second save writes the same bytes.

    Hurts: training goes on with other weights after every checkpoint; checkpoints of one model have different digests,
    so that caches, mirrors and signatures do not recognise them.

    Change: let `save_pretrained` and `state_dict` leave the model alone (no cast, no merge, no `eval()`); write no
    times, random names or unordered sets.
    """
    model = subject.model().train()
    perturb(model, subject.seed)
    before, trained = snapshot(tensors(model)), {name: each.requires_grad for name, each in model.named_parameters()}
    first, second = subject.folder("first"), subject.folder("second")
    with subject.raising("`save_pretrained` fails"):
        model.save_pretrained(first)
        model.save_pretrained(second)
    told = {
        "what": "Saving a model changes it",
        "compared": "the tensors, `requires_grad` and mode before and after `save_pretrained`",
    }
    subject.same(snapshot(tensors(model)), before, **told)
    subject.same({name: each.requires_grad for name, each in model.named_parameters()}, trained, **told)
    subject.same({"training": all(each.training for each in model.modules())}, {"training": True}, **told)
    subject.same(
        {str(file.relative_to(second)): file.read_bytes() for file in sorted(second.rglob("*")) if file.is_file()},
        {str(file.relative_to(first)): file.read_bytes() for file in sorted(first.rglob("*")) if file.is_file()},
        what="Saving one model twice writes different files",
        compared="the bytes of every file of the second save with those of the first",
    )


@check("weights.ties", level="loads")
def ties(subject: Subject) -> None:
    """Parameters share their memory exactly where `_tied_weights_keys` says so, also after loading.

    Looked at with `tie_word_embeddings=True`, whatever the default.

    Hurts: an undeclared tie stops `save_pretrained` or is undone by loading, after which the two halves drift apart;
    a declared one that matches nothing leaves a head random.

    Change: `_tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}` with the full names of parameters,
    `tie_word_embeddings` as a field of the config, and no assignment of one module's weight to another.
    """
    declared = any(getattr(each, "_tied_weights_keys", None) for each in _submodels(subject.model()))
    config = subject.config()
    subject.require(
        not declared or has_field(config, "tie_word_embeddings"),
        "`_tied_weights_keys` is declared, and the config has no field `tie_word_embeddings`, so that nothing is tied",
    )
    with subject.raising("With `tie_word_embeddings=True` the model cannot be built"):
        model = subject.model(set_everywhere(config, "tie_word_embeddings", value=True))
    shared = _shared(model)
    _declared_as_tied(subject, model, shared)
    guard.seed_torch(subject.seed + 1)
    with subject.raising("`from_pretrained` cannot load the state of the model"):
        state = snapshot(model.state_dict())
        loaded = type(model).from_pretrained(None, config=model.config, state_dict=state)
    subject.same(
        {name: sorted(names) for name, names in _shared(loaded).items()},
        {name: sorted(names) for name, names in shared.items()},
        what="After loading other parameters share their memory than before",
        compared="which parameters share their memory in the loaded model and in the original",
    )


def _shared(model: Any) -> dict[str, list[str]]:
    """Return for each tensor that has several names all of them."""
    return {name: names for names in storages(tensors(model)).values() for name in names if len(names) > 1}


def _declared_as_tied(subject: Subject, model: Any, shared: Mapping[str, list[str]]) -> None:
    """Require that what is declared as tied is, and the reverse."""
    pairs = dict(getattr(model, "all_tied_weights_keys", {}))
    for target, source in pairs.items():
        subject.require(
            source in shared.get(target, ()),
            f"`_tied_weights_keys` says that `{target}` is `{source}`, and they do not share their memory",
            compared="`all_tied_weights_keys` with the memory of the parameters",
        )
    for name, names in shared.items():
        loose = [each for each in names if each not in pairs and each not in pairs.values()]
        subject.require(
            not loose or _one_module(model, names),
            f"`{name}` shares its memory with `{', '.join(set(names) - {name})}`, and no `_tied_weights_keys` says so",
            compared="the memory of the parameters with `all_tied_weights_keys`",
            found=", ".join(loose),
        )


def _submodels(model: Any) -> list[Any]:
    return [each for each in model.modules() if isinstance(each, transformers.PreTrainedModel)]


def _one_module(model: Any, names: list[str]) -> bool:
    """Say whether the names are one tensor of one module that is reached by several ways, which torch itself keeps."""
    owners = {id(model.get_submodule(name.rpartition(".")[0])) for name in names}
    return len(owners) == 1


@check("weights.flipped-ties", level="loads")
def flipped_ties(subject: Subject) -> None:
    """With `tie_word_embeddings` the other way round every tensor comes back, too.

    Hurts: a checkpoint with a head of its own loses it, or one without gets a random one.

    Change: tie by `_tied_weights_keys` only, which asks the config; never in `__init__` or `forward`.
    """
    config = subject.config()
    subject.need(has_field(config, "tie_word_embeddings"), "its config has no `tie_word_embeddings`")
    value = not bool(getattr(config, "tie_word_embeddings", False))
    subject.need(ties_switched(config, tie=value) is not None, "the config refuses ties the other way")
    # Not as derived: where a nested config says otherwise than the whole, setting it everywhere may change nothing.
    opposite = set_everywhere(subject.config(), "tie_word_embeddings", not value)
    set_everywhere(config, "tie_word_embeddings", value)
    model, folder = _saved(subject, config=config)
    changed = len(storages(tensors(model))) != len(storages(tensors(subject.model(opposite))))
    declared = any(getattr(each, "_tied_weights_keys", None) for each in _submodels(model))
    subject.need(changed or declared, "`tie_word_embeddings` ties nothing in this class")
    subject.require(
        changed,
        f"`tie_word_embeddings={value}` changes nothing: as many parameters share their memory as without",
        compared="the number of separate parameters with and without `tie_word_embeddings`",
        found=str(len(storages(tensors(model)))),
    )
    subject.same(
        _load(subject, folder).state_dict(),
        model.state_dict(),
        what=f"With `tie_word_embeddings={value}` a tensor that was saved and loaded differs from the original",
        compared=_LOADED,
    )


@check("weights.requires-grad", level="loads")
def requires_grad(subject: Subject) -> None:
    """A parameter that the constructor freezes is frozen after loading, too.

    Hurts: fine-tuning a loaded model trains what the architecture holds fixed (sinusoidal positions, filter banks),
    training from scratch does not.

    Change: `from_pretrained` makes new parameters and forgets `requires_grad`: register a constant as a buffer.
    """
    model = subject.model()
    trained = {name: each.requires_grad for name, each in model.named_parameters()}
    loaded = {name: each.requires_grad for name, each in _in_memory(subject, model).named_parameters()}
    for problem, now in (("freezes is trained", True), ("leaves to be trained is frozen", False)):
        lost = [name for name, value in loaded.items() if value is now and trained.get(name, now) is not now]
        subject.require(
            not lost,
            f"A parameter that the constructor {problem} after loading",
            compared="`requires_grad` of the loaded model with that of the original",
            found=", ".join(lost[:5]),
        )


@check("weights.auto", level="loads")
def auto(subject: Subject) -> None:
    """The Auto classes load the saved model as the class that was saved.

    Hurts: `AutoModel….from_pretrained` is what users, pipelines and hosts call; they get an error or another class.

    Change: declare the class under its Auto classes, with `config_class` naming the config of the declaration.
    """
    names = [name for name in subject.auto_classes if name.rpartition(":")[2] != "AutoBackbone"]
    # transformers' AutoBackbone asks the hub about every name, and refuses a folder.
    subject.need(names, "it is registered under AutoBackbone only, which loads no local folder")
    model, folder = _saved(subject)
    # transformers knows model types alone, and a claimed checkpoint has one of its own.
    default = "autoreg" if subject.target.claim else "transformers"
    for name in names:
        module, _, attribute = name.rpartition(":")
        auto_class = getattr(import_module(module or default), attribute)
        with subject.raising(f"{attribute}.from_pretrained fails"):
            loaded = auto_class.from_pretrained(folder)
        subject.require(
            type(loaded) is type(model),
            f"{attribute}.from_pretrained makes another class of the checkpoint",
            compared="the class of the loaded model with that of the saved one",
            found=f"{type(loaded).__qualname__} and {type(model).__qualname__}",
        )


_SCRIPT = """
import sys
import torch, transformers
import autoreg
autoreg.activate()
torch.use_deterministic_algorithms(True, warn_only=True)
torch.utils.deterministic.fill_uninitialized_memory = True
from importlib import import_module
sys.path[:0] = {path!r}
model = getattr(import_module({module!r}), {name!r}).from_pretrained({folder!r})
tensors = {{**model.state_dict(), **dict(model.named_buffers())}}
torch.save({{key: each for key, each in tensors.items() if isinstance(each, torch.Tensor)}}, {out!r})
"""


@check("weights.fresh-process", level="loads", cost="slow")
def fresh_process(subject: Subject) -> None:
    """Another process loads the same tensors.

    Hurts: what only holds within the process that saved is lost on the way to production: values kept in module
    globals or class attributes, seeds, the order of a set of strings.

    Change: derive every tensor from the checkpoint and the config alone.
    """
    model, folder = _saved(subject)
    out = subject.scratch / "loaded.pt"
    script = _SCRIPT.format(
        path=[entry for entry in sys.path if entry],
        module=subject.model_class.__module__,
        name=subject.model_class.__qualname__,
        folder=str(folder),
        out=str(out),
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600, check=False)
    subject.require(
        not ended.returncode,
        "Loading the saved model in a fresh process fails",
        compared=f"`{subject.model_class.__qualname__}.from_pretrained(folder)` in a new process",
        found=ended.stderr.strip().rpartition("\n")[2],
    )
    expected = {name: each.detach() for name, each in {**model.state_dict(), **buffers(model)}.items()}
    subject.same(
        torch.load(out),
        {name: each for name, each in expected.items() if isinstance(each, torch.Tensor)},
        what="A tensor that another process loads differs from the original",
        compared="the tensors loaded in a fresh process with the original's",
    )

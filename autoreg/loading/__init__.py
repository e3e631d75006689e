"""Loading that leaves no hole: the files looked over first, every weight there, every tensor written.

Depth: classes.
"""

from __future__ import annotations

import copy
import os
import pickle
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from autoreg import bridge, runtime
from autoreg.checkpoint import ConfigFile, Weights, check_files, check_sizes, manifest, read_config, read_weights
from autoreg.checkpoint.hub_cache import compare_with_hub, discard, downloaded
from autoreg.checkpoint.source import fetch_if_there
from autoreg.errors import (
    CheckpointError,
    IncompleteCheckpointError,
    UnsafeCheckpointError,
)
from autoreg.loading.memory import Poison, copy_out, holes

__all__ = ["Load", "Wishes", "built"]

_LOOSE = "To load it all the same, with what is missing drawn at random, pass strict=False."
_GIGABYTE = 1 << 30
_SECOND = 1_000_000_000  # nanoseconds: the clock of a file system may be a little behind
_CHANGED_ON_THE_WAY = (
    "It was taken out of the cache: load again to download it again. If it stays so, the server or a mirror in"
    " HF_ENDPOINT sends something else than it says."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """The keywords that autoreg's `from_pretrained` has beyond transformers'.

    Attributes:
        strict: whether the weights must be exactly the model's. None: as far as the class that saved them had them.
        allow_pickle: whether weights may be read from pickles (`weights_only`, always).
        verify: "full" compares the SHA-256 of every weight file with the manifest, "spot" a sample of it.
        isolate: whether weights are copied out of the files, which are mapped into memory otherwise.
    """

    strict: bool | None = None
    allow_pickle: bool = False
    verify: str = "spot"
    isolate: bool = False

    @classmethod
    def take(cls, options: dict[str, Any]) -> Wishes:
        """Take autoreg's keywords out of those of a call.

        Raises:
            ValueError: `verify` is neither "spot" nor "full".
        """
        wishes = cls(**{name: options.pop(name) for name in cls.__slots__ if name in options})
        if wishes.verify not in ("spot", "full"):
            raise ValueError(f'verify={wishes.verify!r}: it is "spot" or "full"')
        return wishes


class Load:
    """One call of `from_pretrained` for a model: looks on as the bridge's `Observer`, and judges the result."""

    def __init__(
        self,
        source: Any,
        options: dict[str, Any],
        *,
        config: ConfigFile | None,
        saved: Sequence[str],
        wishes: Wishes,
    ) -> None:
        """Take `from_pretrained`'s source and keywords, config.json where it has been read, and the saved classes."""
        self.source = os.fspath(source) if source is not None else ""
        self.saved = tuple(saved)
        self.wishes = wishes
        self.weights: Weights | None = None
        self._options = options
        self._begun = time.time_ns()
        self._given = config
        self._poison = Poison(self._count)
        self._info_asked = bool(options.get("output_loading_info"))
        options["output_loading_info"] = True
        self._settle_pickles()

    def _settle_pickles(self) -> None:
        if self.wishes.allow_pickle:
            if self._options.get("weights_only") is False:
                raise _unsafe(self.source, "weights_only=False runs whatever code a pickle holds.", _PLAIN)
            return
        if self._options.get("use_safetensors") is False:
            raise _unsafe(self.source, "use_safetensors=False asks for pickled weights.", _ALLOW)
        self._options.setdefault("use_safetensors", True)

    def run(self, call: Callable[[], Any]) -> Any:
        """Load by calling; return what transformers' call would.

        Raises:
            CheckpointError: a weight file cannot be what it should be, or the model is not wholly loaded.
        """
        with runtime.observing(self):
            try:
                result = call()
            except CheckpointError:
                raise
            except Exception as error:
                self._explain(error)
                raise
        if not isinstance(result, tuple):
            return result
        model, info = result
        if self.weights is not None:
            self._judge(model, info)
        if self.wishes.isolate:
            copy_out(model)
        return result if self._info_asked else model

    def _explain(self, error: Exception) -> None:
        """Raise what is wrong with the files, where that is behind transformers' error."""
        if self.weights is not None:
            if self.weights.pickles and isinstance(error, pickle.UnpicklingError):
                problem = "it holds more than tensors, and unpickling that would run code; it was not read."
                raise _unsafe(
                    self.weights.pickles[0], problem, "Do not load it before you know who wrote it."
                ) from error
            return
        folder = self._folder()
        if folder is None:
            if not self.wishes.allow_pickle and "use_safetensors=True" in str(error):
                raise _unsafe(self.source, "there are no weights in it but pickles, if any.", _ALLOW) from error
            if isinstance(error.__cause__, Exception) and "Can't load the model" in str(error):
                raise _not_received(self.source, error.__cause__) from error
            return
        try:
            weights = read_weights(folder, variant=self._options.get("variant"))
        except CheckpointError as found:
            raise found from error
        if weights is not None and weights.pickles and not weights.headers and isinstance(error, OSError):
            raise _pickled(weights.pickles) from error

    @cached_property
    def _config(self) -> ConfigFile | None:
        """The checkpoint's config.json, whatever config the caller gave."""
        if self._given is not None or not self.source:
            return self._given
        return read_config(self.source, self._options)

    def _folder(self) -> str | None:
        folder = os.path.join(self.source, self._options.get("subfolder") or "")
        return folder if os.path.isdir(folder) else None

    # --- what the bridge shows -----------------------------------------------------------------------

    def files(self, files: Sequence[str]) -> None:
        """Look the weight files over: headers and index, what the manifest says of them, no pickle."""
        if any(file.endswith(".gguf") for file in files):
            return
        if self._folder() is None:
            self._verify_download(os.path.dirname(files[0]), [os.path.basename(file) for file in files])
        weights = self._read(files)
        if weights.pickles and not self.wishes.allow_pickle:
            raise _pickled(weights.pickles)
        self._verify(weights)
        if self.weights is None:  # the first are the checkpoint's own; a model may load others as it is built
            self.weights = weights
            if self._config is not None and not self._adapted():
                check_sizes(self._config.fields, file=self._config.file, weights=sum(map(os.path.getsize, files)))

    def _read(self, files: Sequence[str]) -> Weights:
        folder = self._folder()
        if folder is not None:
            named = self._config.fields.get("transformers_weights") if self._config else None
            weights = read_weights(folder, variant=self._options.get("variant"), name=str(named or ""))
            known = set() if weights is None else {header.file for header in weights.headers}
            if weights is not None and known == set(files):
                return weights
        variant = f".{variant}" if (variant := self._options.get("variant")) else ""
        index = os.path.join(os.path.dirname(files[0]), f"model.safetensors.index{variant}.json")
        single = [os.path.basename(file) for file in files] == [f"model{variant}.safetensors"]
        return check_files(files, index=index if not single and os.path.isfile(index) else None)

    def _adapted(self) -> bool:
        folder = self._folder()
        return folder is not None and os.path.isfile(os.path.join(folder, "adapter_config.json"))

    def _verify(self, weights: Weights) -> None:
        read = [header.file for header in weights.headers] + [*weights.pickles, weights.index]
        names = [os.path.relpath(file, weights.folder) for file in read if file]
        full = self.wishes.verify == "full"
        if self._folder() is None:
            fetch_if_there(self.source, manifest.NAME, self._options)  # beside the weights in the cache, if it has one
        found = manifest.check(weights.folder, ["config.json", *names], full=full)
        if full and self._folder() is None:  # from the hub, whose cache names each file by its digest
            found += compare_with_hub(weights.folder, ["config.json", *names])[1]
        for difference in found:
            if difference.severe:
                raise difference.error(weights.folder)
            if difference.kind == "mild":
                runtime.current().warn(f"{weights.folder}: {difference}")

    def _verify_download(self, folder: str, names: Sequence[str]) -> None:
        """Compare what this very load has downloaded with the SHA-256 that the hub gave; later loads believe the cache.

        The hub's client looks at the size only. What is wrong is taken out of the cache, which would vouch for it.
        """
        fresh = downloaded(folder, names, since=self._begun - _SECOND)
        for difference in compare_with_hub(folder, fresh)[1] if fresh else ():
            discard(os.path.join(folder, difference.file))
            raise difference.error(folder, advice=_CHANGED_ON_THE_WAY)

    def model(
        self, model: Any, files: Sequence[str], *, converted: bool, resized: bool, renamed: Callable[[str], str]
    ) -> None:
        """Compare the headers of the files with the model on the meta device, before its memory is allocated."""
        if converted or self.weights is None:
            return
        stored = self.weights.tensors
        wanted, prefix = model.state_dict(keep_vars=True), getattr(model, "base_model_prefix", "")
        mismatched = []
        self._each_once({name: renamed(name) for name in stored}, wanted, prefix)
        for name, (file, tensor) in stored.items():
            here = _counterpart(name, wanted, prefix)
            if here is None:
                continue
            if not _same_kind(tensor.dtype, wanted[here].dtype):
                raise CheckpointError(
                    file=file,
                    part=name,
                    problem="the numbers are of another kind than the model's, and would be reinterpreted.",
                    expected=str(wanted[here].dtype),
                    found=tensor.dtype,
                    advice="The file was written by a broken conversion: save the checkpoint again from its source.",
                )
            if tuple(tensor.shape) != tuple(wanted[here].shape):
                mismatched.append((name, str(tensor.shape), str(tuple(wanted[here].shape))))
        if mismatched and not (resized and self.wishes.strict is not True):
            raise self._incomplete(type(model).__name__, mismatched=tuple(mismatched))
        self._affordable(model, wanted)

    def allocating(self) -> AbstractContextManager[None]:
        """Fill the memory that is handed out: what the load leaves like that is a hole."""
        return self._poison.spread()

    def _each_once(self, names: Mapping[str, str], wanted: Mapping[str, Any], prefix: str) -> None:
        """Refuse two tensors for one weight: by an old name and a new one, or with and without the base model's prefix.

        Args:
            names: what each tensor of the files is called now, by its name there.
            wanted: the model's weights.
            prefix: that of its base model.
        """
        assert self.weights is not None  # `model` looked
        found: dict[str, str] = {}
        for name, now in names.items() if self.wishes.strict is not False else ():
            here = _counterpart(now, wanted, prefix)
            if here is not None and here in found:
                raise CheckpointError(
                    file=self.weights.tensors[name][0],
                    part=name,
                    problem=f"{found[here]} is the same weight of the model, {here}, and nothing says which counts.",
                    advice="Save the checkpoint again from its source, or pass strict=False to take either.",
                )
            if here is not None:
                found[here] = name

    def _affordable(self, model: Any, wanted: Mapping[str, Any]) -> None:
        """Refuse a config by which far more memory would be allocated than the files have weights for."""
        assert self.weights is not None  # `model` looked
        prefix = getattr(model, "base_model_prefix", "")
        stored = self.weights.tensors
        absent = {name: wanted[name] for name in wanted if _counterpart(name, stored, prefix) is None}
        for name in bridge.ties_of(model) if absent else ():
            absent.pop(name, None)
        size = sum(tensor.numel() * tensor.element_size() for tensor in absent.values())
        there = sum(tensor.end - tensor.start for _, tensor in stored.values())
        if size > max(_GIGABYTE, 4 * there):
            largest = max(absent, key=lambda name: absent[name].numel())
            raise CheckpointError(
                file=os.path.join(self.weights.folder, "config.json"),
                part=largest,
                problem=f"by this config, {size / _GIGABYTE:.1f} GiB of weights are missing from files that hold"
                f" {there / _GIGABYTE:.3f} GiB; a size in it cannot be right.",
                advice="Compare the sizes in config.json with those of the checkpoint you meant to load.",
            )

    def _count(self, made: int) -> None:
        """Refuse a model of so many tensors that it cannot be what the files hold."""
        if self.overgrown(made):
            raise CheckpointError(
                file=os.path.join(self.source, "config.json"),
                problem=f"by this config the model has more than {made:,} tensors, and the files hold"
                f" {len(self.weights.tensors) if self.weights else 0:,}.",
                advice="Compare the number of layers in config.json with that of the checkpoint you meant to load.",
            )

    def overgrown(self, tensors: int) -> bool:
        """Say whether a model of so many tensors cannot be what the files hold."""
        return self.weights is not None and tensors > 50 * len(self.weights.tensors) + 10_000

    # --- the result ------------------------------------------------------------------------------------

    def _judge(self, model: Any, info: Mapping[str, Any]) -> None:
        self._complete(model, info)
        offloaded = {"disk", "cpu"} & set(map(str, (getattr(model, "hf_device_map", None) or {}).values()))
        empty = tuple(holes(model, self._poison.filled, meta=not offloaded))
        if empty:
            names = ", ".join(empty)
            raise CheckpointError(
                file=self.source,
                part=empty[0],
                problem=_unwritten(model, names),
                advice="Its author has to set it: a buffer that is not saved (`persistent=False`) is built anew after"
                " loading by `_init_weights`, and other tensors belong into `register_buffer`.",
            )

    def _complete(self, model: Any, info: Mapping[str, Any]) -> None:
        strict, name = self.wishes.strict, type(model).__name__
        if strict is False or getattr(model, "hf_quantizer", None) is not None or _has_adapter(model):
            return
        missing, unexpected = set(info["missing_keys"]), set(info["unexpected_keys"])
        if strict is None and (missing or unexpected):
            config = self._saved_config(model)
            missing = self._had(model, config, missing)
            unexpected -= _of_relatives(model, config, unexpected)
        untied = tuple(_untied(model))
        mismatched = [(each[0], str(tuple(each[1])), str(tuple(each[2]))) for each in info["mismatched_keys"]]
        if missing or unexpected or untied or (strict and mismatched):
            raise self._incomplete(
                name,
                missing=tuple(sorted(missing)),
                unexpected=tuple(sorted(unexpected)),
                mismatched=tuple(mismatched) if strict else (),
                untied=untied,
            )

    def _saved_config(self, model: Any) -> Any:
        """Return the config as the checkpoint has it: the caller may have changed fields, the number of layers say."""
        return type(model.config).from_dict(dict(self._config.fields)) if self._config else model.config

    def _had(self, model: Any, config: Any, missing: set[str]) -> set[str]:
        """Return those of the missing that the class has which saved the checkpoint: they were there once."""
        names = [name for name in self.saved if name != type(model).__name__]
        classes = [type(model)] if len(names) < len(self.saved) else []
        classes += [found for name in names if (found := bridge.model_class(name)) is not None]
        known = {name for one in classes for name in _names(one, config)}
        prefix = getattr(model, "base_model_prefix", "")
        return {name for name in missing if _counterpart(name, known, prefix) is not None}

    def _incomplete(self, name: str, **found: Any) -> IncompleteCheckpointError:
        assert self.weights is not None  # nothing is judged without
        saved = f" (saved by {', '.join(self.saved)})" if self.saved and name not in self.saved else ""
        return IncompleteCheckpointError(
            file=self.weights.folder,
            problem=f"the weights in its files are not those of {name}{saved}.",
            advice=_LOOSE if self.wishes.strict is None else "strict=True was asked for.",
            **found,
        )


def built(call: Callable[[], Any]) -> Any:
    """Return the model with random weights that the call builds; warn of the tensors to which it wrote nothing.

    No error: who asked for the model may be about to fill it.
    """
    poison = Poison(lambda made: None)
    with poison.spread():
        model = call()
    empty = ", ".join(holes(model, poison.filled, meta=False))
    if empty:
        runtime.current().warn(
            f"{_unwritten(model, empty)} They are NaN until you fill them; its author has to draw them in"
            " `_init_weights`."
        )
    return model


def _unwritten(model: Any, names: str) -> str:
    return f"{type(model).__name__} was built with memory that nothing was ever written to: {names}."


_ALLOW = "Convert it to safetensors, or, if you trust where it comes from, pass allow_pickle=True."
_PLAIN = "Leave it out, or load with transformers itself, which does not promise that no code runs."


def _unsafe(file: str, problem: str, advice: str) -> UnsafeCheckpointError:
    return UnsafeCheckpointError(file=file, problem=problem, advice=advice)


def _not_received(source: str, cause: Exception) -> CheckpointError:
    """Return the error for a download of which transformers says that there is no such file."""
    return CheckpointError(
        file=source,
        problem=f"a weight file could not be downloaded ({type(cause).__name__}: {str(cause).rstrip('.')}).",
        advice="Try again. If it stays so, the server is at fault, or a mirror in HF_ENDPOINT.",
    )


def _pickled(files: Sequence[str]) -> UnsafeCheckpointError:
    return _unsafe(files[0], "the weights are pickled, and unpickling can run code.", _ALLOW)


def _same_kind(stored: str, wanted: torch.dtype) -> bool:
    """Say whether both are floats, or complex, or neither: a float is never read from an integer."""
    kind = "complex" if stored.startswith("C") else "float" if stored.startswith(("F", "BF")) else "integer"
    if wanted.is_complex:
        return kind == "complex"
    return kind == ("float" if wanted.is_floating_point else "integer")


def _counterpart(name: str, names: Container[str], prefix: str) -> str | None:
    """Return what a tensor is called on the other side: a head's names begin with the base model's prefix."""
    if name in names:
        return name
    return next((each for each in (f"{prefix}.{name}", name.removeprefix(f"{prefix}.")) if each in names), None)


def _names(model_class: Any, config: Any) -> set[str]:
    """Return the names of the weights that a class has with this config; none where it cannot be built."""
    try:
        # A constructor may draw numbers off the meta device: they are not the load's.
        with torch.random.fork_rng(devices=()), torch.device("meta"):
            return set(model_class(copy.deepcopy(config)).state_dict())
    except Exception:  # it is only asked for what it could explain
        return set()


def _of_relatives(model: Any, config: Any, unexpected: set[str]) -> set[str]:
    """Return those that another class of the architecture has: a pooler, or the head of a pretraining task."""
    prefix, known = getattr(model, "base_model_prefix", ""), _names(type(model), config) if unexpected else set()
    for relative in bridge.classes_of(config) if unexpected else ():
        if all(_counterpart(name, known, prefix) for name in unexpected):
            break
        known |= _names(relative, config)
    return {name for name in unexpected if _counterpart(name, known, prefix) is not None}


def _has_adapter(model: Any) -> bool:
    return bool(getattr(model, "peft_config", None))


def _untied(model: Any) -> Iterator[tuple[str, str]]:
    ties = bridge.ties_of(model)
    tensors = dict(model.named_parameters(remove_duplicate=False)) if ties else {}
    for name, other in ties.items():
        one, two = tensors.get(name), tensors.get(other)
        if one is not None and two is not None and one is not two and one.device.type != "meta":
            yield name, other

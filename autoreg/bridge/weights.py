"""Stands where transformers opens the weight files and fills a model, so that both can be looked over first.

Nothing public tells which files a load will read, and nothing public comes between building the model on the
meta device and allocating its memory.
"""

from __future__ import annotations

import copy
import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import Any, Protocol

from autoreg.bridge.plugins import Plugins

__all__ = [
    "BUILD",
    "FILL",
    "MOVE",
    "RESOLVE",
    "WRITE",
    "Observer",
    "Originals",
    "Witness",
    "building",
    "filling",
    "moving",
    "resolving",
    "ties_of",
    "writing",
]

RESOLVE, FILL = "_get_resolved_checkpoint_files", "_load_pretrained_model"
"""What finds the weight files (a function of `modeling_utils`), and what reads them (of `PreTrainedModel`)."""
BUILD, MOVE = "get_init_context", "_move_missing_keys_from_meta_to_device"
"""What says in which contexts a model is built, and what gives memory to tensors of which the files have nothing."""
WRITE = "safe_save_file"
"""What a model's `save_pretrained` writes a weight file with, under its name in `modeling_utils`."""


class Observer(Protocol):
    """Who looks a load over; raising ends it."""

    def files(self, files: Sequence[str]) -> None:
        """Take note of the weight files that will be read, before anything is built."""

    def model(
        self, model: Any, files: Sequence[str], *, converted: bool, resized: bool, renamed: Callable[[str], str]
    ) -> None:
        """Look at the model, on the meta device still, before anything is allocated.

        Args:
            model: the model that is to be filled.
            files: the weight files it is to be filled from.
            converted: whether weights are merged, split or quantized on the way, so that shapes differ.
            resized: whether the caller accepts other shapes (`ignore_mismatched_sizes`).
            renamed: what transformers calls a tensor of the files that has a name of former days.
        """

    def allocating(self) -> AbstractContextManager[None]:
        """Return the block in which a model is built, or memory is given to what the files do not have."""


class Witness(Protocol):
    """Who looks on while a model's weights are written."""

    def writing(
        self, tensors: Mapping[str, Any], file: str, metadata: Mapping[str, str] | None
    ) -> AbstractContextManager[None]:
        """Return the block in which these tensors are written into this file."""


def writing(write: Callable[..., Any], plugins: Plugins) -> Callable[..., Any]:
    """Return what writes a weight file, in the presence of the witness of this thread's save."""

    @functools.wraps(write)
    def written(tensors: Any, filename: Any, metadata: Any = None) -> Any:
        witness = plugins.witness()
        with witness.writing(tensors, os.fspath(filename), metadata) if witness else nullcontext():
            return write(tensors, filename, metadata=metadata)

    return written


def resolving(resolve: Callable[..., Any], plugins: Plugins) -> Callable[..., Any]:
    """Return what finds the weight files, and shows them to the observer of this thread's load."""

    @functools.wraps(resolve)
    def found(*inputs: Any, **options: Any) -> Any:
        files, index = resolve(*inputs, **options)
        observer = plugins.observer()
        if observer is not None and files:
            observer.files(tuple(files))
        return files, index

    return found


def filling(fill: Callable[..., Any], plugins: Plugins) -> Callable[..., Any]:
    """Return what reads weights into a model, after the observer of this thread's load has seen the model."""

    @functools.wraps(fill)
    def filled(model: Any, state_dict: Any, checkpoint_files: Any, load_config: Any, *rest: Any, **more: Any) -> Any:
        observer = plugins.observer()
        if observer is not None and state_dict is None and checkpoint_files:
            steps = getattr(load_config, "weight_mapping", None) or ()
            # A renaming leaves the tensors as they are; what else there is makes others of them.
            plain = all(type(step).__name__ == "WeightRenaming" for step in steps)
            observer.model(
                model,
                tuple(checkpoint_files),
                converted=not plain or getattr(load_config, "hf_quantizer", None) is not None,
                resized=bool(getattr(load_config, "ignore_mismatched_sizes", False)),
                renamed=functools.partial(_renamed, [copy.copy(step) for step in steps] if plain else []),
            )
        return fill(model, state_dict, checkpoint_files, load_config, *rest, **more)

    return filled


def building(contexts: Callable[..., list[Any]], plugins: Plugins) -> Callable[..., list[Any]]:
    """Return what says in which contexts a model is built: the observer's is the innermost."""

    @functools.wraps(contexts)
    def extended(model_class: Any, *inputs: Any, **options: Any) -> list[Any]:
        observer = plugins.observer()
        return [*contexts(model_class, *inputs, **options), *([observer.allocating()] if observer else [])]

    return extended


def moving(move: Callable[..., None], plugins: Plugins) -> Callable[..., None]:
    """Return what gives memory to tensors of which the files have nothing, in the observer's block."""

    @functools.wraps(move)
    def moved(model: Any, *inputs: Any, **options: Any) -> None:
        observer = plugins.observer()
        with observer.allocating() if observer else nullcontext():
            move(model, *inputs, **options)

    return moved


def _renamed(steps: Sequence[Any], name: str) -> str:
    """Return the name after these steps; copies, since a step remembers that it was used, for a later save."""
    for step in steps:
        name = step.rename_source_key(name)[0]
    return name


def ties_of(model: Any) -> dict[str, str]:
    """Return the parameters that the config ties, as `{name: the name it shares its storage with}`."""
    found: dict[str, str] = model.get_expanded_tied_weights_keys(all_submodels=True)
    return found


class Originals:
    """What transformers swaps in classes and modules while it loads, as it was before.

    Two loads at once in plain transformers can each take the other's stub for the original and put it back:
    from then on every model of the process is built without initialisation, or without ties.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, str], Any] = {}
        self._dtype: Any = None

    def begin(self) -> None:
        """Note torch's default dtype, which a load sets for its time."""
        self._dtype = sys.modules["torch"].get_default_dtype() if "torch" in sys.modules else None

    def end(self) -> None:
        """Forget the default dtype: what is set from now on is the user's."""
        self._dtype = None

    def remember(self) -> None:
        """Note what is in place now, stubs aside."""
        for holder, name in _places():
            value = vars(holder).get(name)
            if value is not None and not _is_stub(value):
                self._known.setdefault((holder, name), value)

    def heal(self) -> list[str]:
        """Put back what a load left behind, if none is running in any thread; return the names of what was."""
        left = [(holder, name) for holder, name in _places() if _is_stub(vars(holder).get(name))]
        mine = [place for place in left if place in self._known]
        if not (mine or self._dtype) or any(map(_loads, sys._current_frames().values())):
            return []
        for holder, name in mine:
            setattr(holder, name, self._known[holder, name])
        if self._dtype is not None:  # a load that did not end: its thread is not in this process, which was forked
            sys.modules["torch"].set_default_dtype(self._dtype)
            self._dtype = None
        return [f"{holder.__name__}.{name}" for holder, name in mine]


def _places() -> Iterator[tuple[Any, str]]:
    """Yield what transformers' context managers for loading replace."""
    modeling = sys.modules.get("transformers.modeling_utils")
    initialization = sys.modules.get("transformers.initialization")
    if modeling is None or initialization is None:
        return
    for name in ("tie_weights", "init_weights"):
        yield modeling.PreTrainedModel, name
    for module in getattr(initialization, "TORCH_MODULES_TO_PATCH", ()):
        for name in getattr(initialization, "TORCH_INIT_FUNCTIONS", ()) if module in sys.modules else ():
            if hasattr(sys.modules[module], name):
                yield sys.modules[module], name


def _is_stub(value: Any) -> bool:
    """Say whether it is transformers' stand-in, whose name or module gives it away."""
    local = "<locals>.empty_func" in getattr(value, "__qualname__", "")
    return getattr(value, "__module__", "") == "transformers.initialization" or local


def _loads(frame: FrameType | None) -> bool:
    """Say whether a thread is inside transformers' code for building and loading models."""
    names = {"from_pretrained", "_from_config", "from_config"}
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if frame.f_code.co_name in names and module == "transformers.modeling_utils":
            return True
        frame = frame.f_back
    return False

"""The guarantees of autoreg, each with what switches it off: its cases must then end otherwise than rightly.

A switch replaces, in the child alone, the one function that keeps the guarantee by one that does nothing, or by what
plain transformers does in its place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["GUARANTEES", "switch_off"]


def switch_off(guarantee: str) -> None:
    """Switch a guarantee off in this process, for good; several are joined by "+"."""
    for name in guarantee.split(" + "):
        GUARANTEES[name][1]()


def _put(holder: Any, name: str, value: Any) -> None:
    setattr(holder, name, value)


def _config_preflight() -> None:
    from autoreg.checkpoint import config

    def read(file: str) -> Any:
        with open(file, encoding="utf-8") as stream:
            return json.load(stream)

    _put(config, "_fields", read)


def _plugin_fields() -> None:
    from autoreg import auto

    _put(auto, "check_fields", lambda *_, **__: ())
    _put(auto, "check_names", lambda *_, **__: None)


def _weights_preflight() -> None:
    """Read the headers as they are, and no index at all."""
    from autoreg import loading
    from autoreg.checkpoint.header import Header, Tensor
    from autoreg.checkpoint.weights import Weights

    def header(file: str) -> Any:
        tensors: dict[str, Any] = {}
        with contextlib.suppress(Exception), open(file, "rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            for name, entry in json.loads(stream.read(size)).items():
                if name != "__metadata__":
                    start, end = entry["data_offsets"]
                    shape = tuple(entry["shape"])
                    tensors[name] = Tensor(name=name, dtype=entry["dtype"], shape=shape, start=start, end=end)
        return Header(file=file, tensors=tensors, metadata={}, begin=0)

    def check_files(files: Any, *, index: Any) -> Any:
        pickles = tuple(file for file in files if not file.endswith(".safetensors"))
        headers = tuple(header(file) for file in files if file not in pickles)
        return Weights(folder=".", index="", headers=headers, pickles=pickles)

    _put(loading, "read_weights", lambda *_, **__: None)
    _put(loading, "check_files", check_files)


def _kinds_and_shapes() -> None:
    from autoreg.loading import Load

    _put(Load, "model", lambda *_, **__: None)


def _sizes() -> None:
    from autoreg import loading
    from autoreg.loading import Load

    _put(Load, "overgrown", lambda *_: False)
    _put(Load, "_affordable", lambda *_: None)
    _put(loading, "check_sizes", lambda *_, **__: None)


def _complete() -> None:
    from autoreg.loading import Load

    _put(Load, "_complete", lambda *_: None)


def _no_holes() -> None:
    from autoreg import loading

    _put(loading, "holes", lambda *_, **__: ())


def _no_pickles() -> None:
    from autoreg import loading

    def settle(load: Any) -> None:
        load.wishes = loading.Wishes(strict=load.wishes.strict, allow_pickle=True)

    _put(loading.Load, "_settle_pickles", settle)


def _no_trust() -> None:
    from autoreg.auto import _Request

    _put(_Request, "settle_trust", lambda _: None)
    _put(_Request, "check_known", lambda _: None)
    _trust_everybody()


def _trust_everybody() -> None:
    from autoreg.runtime import Runtime

    _put(Runtime, "trusts", lambda _: True)


def _own_code_only() -> None:
    from autoreg.bridge import remote_code

    _put(remote_code, "_OWN", re.compile(".*"))


def _plugin_before_code() -> None:
    from autoreg.runtime import Runtime

    _put(Runtime, "owner_of", lambda *_: None)
    from autoreg.auto import _Request

    _put(_Request, "settle_trust", lambda _: None)
    _trust_everybody()


def _one_at_a_time() -> None:
    from autoreg import runtime

    @contextlib.contextmanager
    def turn() -> Iterator[None]:
        yield

    _put(runtime, "turn", turn)


def _healing() -> None:
    from autoreg.bridge.weights import Originals

    _put(Originals, "heal", lambda _: [])


def _manifest() -> None:
    from autoreg.checkpoint import manifest

    _put(manifest, "check", lambda *_, **__: ())


def _hub_digests() -> None:
    from autoreg import loading

    _put(loading, "compare_with_hub", lambda *_, **__: (0, ()))


def _isolation() -> None:
    from autoreg import loading

    _put(loading, "copy_out", lambda _: None)


def _atomic() -> None:
    from autoreg import saving

    def save(obj: Any, folder: str, options: Mapping[str, Any]) -> Any:
        result = obj.save_pretrained(folder, **options)
        return saving._Saved(result=result, names=(), removed=(), model=True)

    _put(saving, "_save", save)


def _roll_forward() -> None:
    from autoreg import auto

    _put(auto, "reading", lambda _: contextlib.nullcontext())


def _finite() -> None:
    from autoreg import saving

    _put(saving, "_infinite", lambda *_: iter(()))


def _save_errors() -> None:
    from autoreg import saving

    @contextlib.contextmanager
    def explained(*_: Any) -> Iterator[None]:
        yield

    _put(saving, "_explained", explained)
    _put(saving, "_refuse", lambda *_: None)


def _provenance() -> None:
    from autoreg import saving
    from autoreg.checkpoint import provenance

    _put(saving, "_annotated", lambda _, fields: dict(fields))
    _put(provenance, "read", lambda _: None)


def _ownership() -> None:
    from autoreg.registry import Registry

    chosen = Registry.choose

    def choose(registry: Any, name: str) -> Any:
        choice = chosen(registry, name)
        if choice.conflict is None:
            return choice
        offer, _ = choice.candidates[0]
        return dataclasses.replace(choice, conflict=None, winner=offer)

    _put(Registry, "choose", choose)


GUARANTEES: Mapping[str, tuple[str, Callable[[], None]]] = {
    "config preflight": ("config.json is looked over before a class is built", _config_preflight),
    "plugin fields": ("a plugin's config is compared with the annotations of its class", _plugin_fields),
    "weights preflight": ("headers, index and shards are looked over before the model is built", _weights_preflight),
    "kinds and shapes": ("dtype class and shapes are compared on the meta device", _kinds_and_shapes),
    "sizes": ("a config that asks for far more than the files have ends early", _sizes),
    "complete": ("every weight is there, none is left over, ties agree", _complete),
    "no hole": ("no memory is left that nobody has written to", _no_holes),
    "no pickle": ("no pickle is opened unless it is allowed, and then without code", _no_pickles),
    "no trust": ("`trust_remote_code` is never None: nobody is asked, and no code runs", _no_trust),
    "own code only": ("trusted code is the checkpoint's own", _own_code_only),
    "plugin before code": ("where a plugin owns the model type, no code of the checkpoint runs", _plugin_before_code),
    "one at a time": ("loads and saves of a process wait for one another", _one_at_a_time),
    "healing": ("a process that others have poisoned is put right", _healing),
    "manifest": ("with a manifest, a changed file is noticed", _manifest),
    "hub digests": (
        'a file from the hub is compared with the digest that the hub gave, once it is there, and with `verify="full"`',
        _hub_digests,
    ),
    "isolation": ("`isolate=True` copies the weights out of the files", _isolation),
    "atomic save": ("a save is wholly there, or not at all", _atomic),
    "roll forward": ("an interrupted commit is finished by the next load", _roll_forward),
    "finite on disk": ("no number is saved that JSON has no word for", _finite),
    "save errors": ("what keeps a save from being done is said with the folder's name", _save_errors),
    "provenance": ("a checkpoint says which package it needs", _provenance),
    "ownership": ("two plugins that claim one model type are an error", _ownership),
}
"""By name: what is promised, and what switches it off."""

"""The process: environment variables, the lock, `activate()`, `isolated()`, warnings.

Here the registry, discovery and the bridge meet. Everything that a process remembers is in one
`Runtime`; the module-level functions act on the current one.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autoreg import discovery, natives, verdicts
from autoreg.bridge import Bridge, Observer, Witness, register, snapshot
from autoreg.checkpoint import read_config
from autoreg.checkpoint.provenance import Provenance, made
from autoreg.discovery import Broken, Declared, Offer
from autoreg.errors import (
    AutoregWarning,
    PluginError,
    RemoteCodeError,
    StrictError,
    UnknownArchitectureError,
)
from autoreg.registry import NATIVE, Choice, Registry, Switches, unknown_switches

if TYPE_CHECKING:
    from autoreg.architecture import Architecture, ClassRef

__all__ = ["Runtime", "activate", "current", "isolated", "provenance"]

# By-name look-ups of these kinds reach plugins that nobody has used yet; any other name only those in use, since
# many libraries probe `transformers` for names, and that must not load every plugin's declaration.
_KINDS = re.compile(
    r"(Tokenizer|TokenizerFast|Processor|ImageProcessorPil|FeatureExtractor|Config|Model|Backbone|For[A-Z]\w*)$"
)


class Runtime:
    """What this process knows: the offers, the declarations loaded so far, the bridge."""

    def __init__(self) -> None:
        self.bridge = Bridge(self)
        self.active = 0
        self.used = False
        self._declared: dict[Offer, Declared | Broken] = {}
        self._warned: set[str] = set()
        self._registered: set[str] = set()

    # --- the registries ----------------------------------------------------------------------------

    @cached_property
    def switches(self) -> Switches:
        """The user's environment variables, as they were at the first look-up."""
        return Switches(
            prefer=dict(self._preferences()),
            disable=frozenset(_listed("AUTOREG_DISABLE")),
            only=frozenset(_listed("AUTOREG_ONLY")),
            handovers=tuple(self._handovers()),
        )

    def _preferences(self) -> Iterator[tuple[str, str]]:
        for item in _listed("AUTOREG_PREFER"):
            name, equals, distribution = map(str.strip, item.partition("="))
            if name and equals and distribution:
                yield name, distribution
            else:
                self.warn(f'AUTOREG_PREFER holds {item!r}, which is not of the form "model_type=distribution"')

    def _handovers(self) -> Iterator[verdicts.Verdict]:
        for file in _listed("AUTOREG_HANDOVER"):
            try:
                yield verdicts.read(file)
            except (OSError, ValueError) as error:
                self.warn(f"AUTOREG_HANDOVER names {file!r}, which cannot be used: {error}")

    @cached_property
    def _registries(self) -> tuple[Registry, Registry]:
        offers = discovery.scan()
        claims = [offer for offer in offers if offer.group == discovery.CLAIMS]
        types = [offer for offer in offers if offer.group == discovery.MODEL_TYPES]
        registries = (
            self._registry(types, natives.model_types()),
            self._registry(claims, natives.class_names() if claims else frozenset()),
        )
        for variable, name in unknown_switches(self.switches, registries):
            self.warn(f"{variable} names {name!r}, and nothing installed answers to it (see `autoreg list`)")
        return registries

    @cached_property
    def transformers_version(self) -> str:
        """The installed release of transformers; "0" where there is none."""
        return discovery.installed_version("transformers") or "0"

    def _registry(self, offers: list[Offer], native: frozenset[str]) -> Registry:
        return Registry(
            offers,
            native=native,
            switches=self.switches,
            version=self.transformers_version,
            declare=self.declare,
        )

    @property
    def types(self) -> Registry:
        """Who owns which model type."""
        return self._registries[0]

    @property
    def claims(self) -> Registry:
        """Who claims which class name in a checkpoint's `architectures`."""
        return self._registries[1]

    def rescan(self) -> bool:
        """Look at the installed distributions again; say whether there are other offers than before."""
        before = {*self.types.offers, *self.claims.offers}
        self.__dict__.pop("_registries", None)  # not `del`: another thread may be rescanning too
        return {*self.types.offers, *self.claims.offers} != before

    def declare(self, offer: Offer) -> Declared | Broken:
        """Return what the offer's plugin declares, loaded once. Depth: declaration."""
        if offer not in self._declared:
            declared = discovery.declare(offer)
            self._declared.setdefault(offer, declared)
            for remark in self._declared[offer].remarks:
                self.warn(f"{offer.owner}: {remark}; every process that looks it up pays for that")
        return self._declared[offer]

    def declaration(self, choice: Choice) -> Architecture:
        """Return the winner's architecture; raise what stands against it."""
        if choice.conflict is not None:
            raise choice.conflict.again()
        if choice.offer is None:
            raise LookupError(f"{choice.name} belongs to {choice.winner}")
        declared = self.declare(choice.offer)
        if isinstance(declared, Broken):
            raise declared.error.again() from declared.error.__cause__
        return declared.architecture

    # --- what the bridge asks (`bridge.Plugins`) -----------------------------------------------------

    def owns(self, model_type: str) -> bool:
        """Say whether a look-up of the model type is a plugin's to answer (be it with an error)."""
        if model_type not in self.types or model_type in _importing.get() or _recording.get():
            return False
        choice = self.types.choose(model_type)
        if choice.winner == NATIVE and choice.native:
            self._warn_of_losers(choice)
        return choice.offer is not None or choice.conflict is not None

    @contextmanager
    def importing(self, model_type: str) -> Iterator[None]:
        """Let transformers answer for the model type inside the block, in which its plugin is being imported.

        Importing a model of transformers' looks its own model type up (for a docstring), and a plugin that
        overrides the type is often a subclass of that model.
        """
        token = _importing.set((*_importing.get(), model_type))
        try:
            yield
        finally:
            _importing.reset(token)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Let transformers answer for every model type inside the block, in which a package registers its classes.

        It may look first whether its types are registered already, and they are not.
        """
        with turn():
            token = _recording.set(True)
            try:
                yield
            finally:
                _recording.reset(token)

    def preferred(self, model_type: str) -> bool:
        """Say whether AUTOREG_PREFER names the owner of the model type: transformers, or a plugin that has it."""
        wanted, offer = self.switches.prefer.get(model_type), self.types.choose(model_type).offer
        return wanted == NATIVE or (wanted is not None and offer is not None and offer.is_by(wanted))

    def architecture(self, model_type: str) -> Architecture:
        """Return the winner's declaration; raise `ConflictError` or `PluginError`."""
        return self.declaration(self.types.choose(model_type))

    def resolved(self, choice: Choice) -> Architecture:
        """Return the winner's architecture as `declaration` does, with what a register function registers.

        Depth: classes where it declares such a function, declaration otherwise.
        """
        return self.bridge.classes.complete(self.declaration(choice))

    def failure(self, model_type: str, declared: str, error: BaseException) -> PluginError:
        """Return the error that blames the plugin for a class that cannot be used."""
        offer = self._offer(model_type)
        problem = str(error) if isinstance(error, (TypeError, LookupError)) else f"{type(error).__name__}: {error}"
        return offer.error(problem, declared=declared)

    def _offer(self, name: str) -> Offer:
        offer = self.types.choose(name).offer
        if offer is not None:
            return offer
        # A claim's model type is transformers' own; the offer is that of the class name.
        return next(
            offer
            for offer, declared in self._declared.items()
            if isinstance(declared, Declared) and declared.architecture.model_type == name
        )

    def named(self, class_name: str) -> tuple[str, ClassRef] | None:
        """Return the model type and reference that declare a class of this name; raise `ConflictError`."""
        own = self._own(class_name)
        if own is not None:
            return own
        found = self._declaring(class_name)  # not remembered: a plugin of the same name may come into use
        if not found:
            return None
        if len({reference for _, reference in found}) > 1:
            winner = self.types.settle(class_name, [offer for offer, _ in found])
            found = tuple(match for match in found if match[0] == winner)
        return found[0][0].name, found[0][1]

    def _own(self, class_name: str) -> tuple[str, ClassRef] | None:
        """Return the class of that name of the very architecture that is being loaded, if it has one."""
        choice = _loading.get()
        if choice is None or choice.offer is None:
            return None
        found = next(self._matches(choice.offer, class_name), None)
        return None if found is None else (found[0].name, found[1])

    def _declaring(self, class_name: str) -> tuple[tuple[Offer, ClassRef], ...]:
        """Find who declares the name: among the plugins in use first, then those with a like model type, then all."""
        names = dict.fromkeys(offer.name for offer in self.types.offers)
        usable = [offer for choice in map(self.types.choose, names) if (offer := choice.offer)]
        letters = _letters(class_name)
        in_use = [offer for offer in usable if offer in self._declared]
        alike = [offer for offer in usable if letters.startswith(_letters(offer.name))]
        for group in (in_use, alike, usable) if _KINDS.search(class_name) else (in_use,):
            found = tuple(match for offer in group for match in self._matches(offer, class_name))
            if found:
                return found
        return ()

    def _matches(self, offer: Offer, class_name: str) -> Iterator[tuple[Offer, ClassRef]]:
        declared = self.declare(offer)
        if isinstance(declared, Declared):
            for _, reference in self.bridge.classes.completed_already(declared.architecture).references():
                if reference.name == class_name:
                    yield offer, reference

    def imported(self) -> Iterator[str]:
        """Yield the model types whose plugin's package this process has imported already."""
        for offer in self.types.offers:
            if offer.module.partition(".")[0] in sys.modules and self.owns(offer.name):
                yield offer.name

    def owner_of(self, source: Any, options: Mapping[str, Any]) -> Architecture | None:
        """Return the architecture of the plugin that owns the checkpoint, if one does."""
        config = read_config(source, options)
        choice = None if config is None else self.owner(config.model_type, config.architectures)
        return None if choice is None else self.resolved(choice)

    def refusal(self, source: Any, options: Mapping[str, Any], reference: str, auto_class: str) -> RemoteCodeError:
        """Return the error for code of a checkpoint that a plugin owns; the Auto class may be unknown (empty)."""
        config = read_config(source, options)
        choice = self.owner(config.model_type, config.architectures) if config else None
        owner = choice.offer.owner if choice and choice.offer else ""
        named = auto_class or (config.auto_class_of(reference) if config else "")
        return RemoteCodeError(source=str(source), auto_class=named, reference=reference, owner=owner)

    def loads(self) -> bool:
        """Say whether this thread is inside a `from_pretrained` of autoreg's own."""
        return _inside.get()

    def trusts(self) -> bool:
        """Say whether the caller of the load that this thread is in said `trust_remote_code=True`."""
        return _trusting.get()

    def observer(self) -> Observer | None:
        """Return who looks over the load that this thread is in, if it is one of autoreg's."""
        return _observer.get()

    def witness(self) -> Witness | None:
        """Return who looks on while this thread saves, if it saves through autoreg."""
        return _witness.get()

    def owner(self, model_type: str | None, architectures: Iterable[str]) -> Choice | None:
        """Return the choice of the plugin that owns a checkpoint with these two fields, if one does."""
        for name in architectures:
            if name in self.claims:
                choice = self.claims.choose(name)
                if choice.conflict is not None or choice.offer is not None:
                    return choice
        return self.types.choose(model_type) if model_type is not None and self.owns(model_type) else None

    def unknown(self, model_type: str, *, file: str = "", requires: str = "") -> UnknownArchitectureError:
        """Return the error for a model type that nobody has."""
        causes = {"disabled": "AUTOREG_DISABLE or AUTOREG_ONLY", "loses": "AUTOREG_PREFER"}
        candidates = self.types.choose(model_type).candidates
        notes = tuple(
            f"{offer.owner} declares it and is switched off by {causes[fate]}."
            for offer, fate in candidates
            if fate in causes
        )
        problem = (
            f"the model type {model_type!r} is neither one of transformers {self.transformers_version}'s own"
            " nor declared by an installed plugin."
        )
        return UnknownArchitectureError(
            name=model_type,
            source=file,
            problem=problem,
            requires=requires,
            notes=notes,
            suggestions=self.types.near(model_type),
        )

    def prepare(self, model_type: str) -> None:
        """Register one architecture by hand, where this transformers is not one that the bridge knows."""
        if self.bridge.unknown and model_type not in self._registered:
            self._registered.add(model_type)
            register(self.bridge.classes, model_type)

    # --- warnings ----------------------------------------------------------------------------------

    def warn(self, message: str) -> None:
        """Warn once for each message, at the line of the caller outside autoreg and transformers.

        Raises:
            StrictError: with AUTOREG_STRICT=1, which makes every warning an error.
        """
        if self.strict:
            raise StrictError(message=message)
        if message in self._warned:
            return
        self._warned.add(message)
        warnings.warn(message, AutoregWarning, stacklevel=_depth_of_caller())

    @cached_property
    def strict(self) -> bool:
        """AUTOREG_STRICT: every warning is an error."""
        text = os.environ.get("AUTOREG_STRICT", "").strip().lower()
        if text not in ("", "0", "1", "false", "true", "no", "yes"):
            message = f"AUTOREG_STRICT is {text!r}; it is 0 or 1, and 1 is assumed"
            warnings.warn(message, AutoregWarning, stacklevel=_depth_of_caller())
        return text not in ("", "0", "false", "no")

    def warn_of_override(self, winner: type | None, model_type: str | None) -> None:
        """Warn where a class outside transformers was put in the place of one of transformers' own."""
        if winner is not None:
            self.warn(
                f"{model_type!r} is one of transformers' own, and {winner.__module__}.{winner.__name__} was registered"
                f' in its place by some package. To load the native class, set AUTOREG_PREFER="{model_type}={NATIVE}".'
            )

    def replaced(self, model_type: str, winner: type) -> Offer | None:
        """Return the plugin in whose place some package registered this config class; None where there is none.

        A program's own registration, and a plugin's of its own classes, is as it should be. Depth: declaration.
        """
        offer = self.types.choose(model_type).offer if model_type in self.types else None
        if offer is None:
            return None
        declared = self.declare(offer)
        references = declared.architecture.references() if isinstance(declared, Declared) else ()
        own = {reference.module.partition(".")[0] for _, reference in references} | {"__main__"}
        return None if winner.__module__.partition(".")[0] in own else offer

    def warn_of_replacement(self, model_type: str, winner: type) -> None:
        """Warn where a package registered a config class in the place of an installed plugin's."""
        offer = self.replaced(model_type, winner)
        if offer is not None:
            self.warn(
                f"{model_type!r} belongs to the plugin {offer.owner}, and {winner.__module__}.{winner.__name__} was"
                f" registered in its place. To load the plugin's class, set"
                f' AUTOREG_PREFER="{model_type}={offer.distribution}".'
            )

    def _warn_of_losers(self, choice: Choice) -> None:
        for offer, state in choice.candidates:
            if state == "loses" and self.switches.prefer.get(choice.name) is None:
                self.warn(
                    f"{offer.owner} declares {choice.name!r}, which transformers has too: transformers' own is used."
                    f' To use the plugin, set AUTOREG_PREFER="{choice.name}={offer.distribution}".'
                )

    # --- on and off --------------------------------------------------------------------------------

    def hold(self) -> None:
        """Install the bridge, if it is not."""
        with _LOCK:
            self.active += 1
            if self.active == 1:
                self.bridge.install()

    def release(self) -> None:
        """Uninstall the bridge, if nobody else holds it."""
        with _LOCK:
            self.active -= 1
            if self.active == 0:
                self.bridge.uninstall()

    def suspend(self) -> None:
        """Take the bridge out of transformers for a while."""
        if self.active:
            self.bridge.uninstall()

    def resume(self) -> None:
        """Put the bridge back, if somebody holds it."""
        if self.active:
            self.bridge.install()


_LOG = logging.getLogger("autoreg")
_OURS = {"autoreg", "transformers", "contextlib", "functools"}
_LOCK = threading.RLock()
_importing: ContextVar[tuple[str, ...]] = ContextVar("the model types whose plugins are being imported", default=())
_recording: ContextVar[bool] = ContextVar("whether this thread calls a package's own register function", default=False)
_loading: ContextVar[Choice | None] = ContextVar("the owner of the checkpoint that is being loaded", default=None)
_inside: ContextVar[bool] = ContextVar("whether this thread loads through autoreg", default=False)
_trusting: ContextVar[bool] = ContextVar("whether the caller of this load trusts code from checkpoints", default=False)
_observer: ContextVar[Observer | None] = ContextVar("who looks over the load of this thread", default=None)
_witness: ContextVar[Witness | None] = ContextVar("who looks on while this thread saves", default=None)


class _Process:
    """What is global to the process: the current runtime, and whose turn it is to load."""

    def __init__(self) -> None:
        self.runtime = Runtime()
        self.turn = threading.RLock()
        self.depth = 0

    def forked(self) -> None:
        """Let nobody have the turn in a child, and undo what the load of a thread that it lacks had swapped."""
        interrupted = not self.turn.acquire(blocking=False)
        self.turn = threading.RLock()
        self.depth = 0
        if interrupted:
            self.runtime.bridge.originals.heal()


_PROCESS = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_PROCESS.forked)


def current() -> Runtime:
    """Return what this process knows."""
    return _PROCESS.runtime


def activate() -> Callable[[], None]:
    """Make plain `transformers.Auto*`, and all that is built on them, see the installed plugins.

    Imports nothing: where transformers is not imported yet, its mappings are prepared when it is.
    Depth: metadata, at the first look-up.

    Returns:
        A function that undoes it. What users registered with `.register()` stays.
    """
    runtime = current()
    runtime.hold()
    undone = threading.Event()

    def undo() -> None:
        with _LOCK:
            if not undone.is_set():
                undone.set()
                runtime.release()

    return undo


def provenance(model_type: str) -> Provenance:
    """Return which package a model type needs here: what `save_pretrained` writes into its config.json.

    Depth: declaration.

    Raises:
        LookupError: it is one of transformers' own, which need no package.
        UnknownArchitectureError: nobody has the model type.
        ConflictError, PluginError: as for loading it.
    """
    known = current()
    choice = known.types.choose(model_type)
    if choice.conflict is None and choice.offer is None:
        if model_type in natives.model_types():
            raise LookupError(f"{model_type!r} is one of transformers' own and needs no package beside it")
        raise known.unknown(model_type)
    known.declaration(choice)
    assert choice.offer is not None  # a conflict has been raised
    return made(
        model_type=model_type,
        distribution=choice.offer.distribution,
        version=choice.offer.version,
        transformers=known.transformers_version,
    )


def use() -> Runtime:
    """Return the current runtime, activated for good: what autoreg's own Auto classes stand on."""
    runtime = current()
    if not runtime.used:
        with _LOCK:
            if not runtime.used:
                runtime.hold()
                runtime.used = True
    runtime.bridge.catch_up()
    return runtime


@contextmanager
def turn() -> Iterator[None]:
    """Wait for this process's other loads and saves to end, and keep new ones waiting during the block.

    transformers swaps attributes of classes and torch's default dtype while it loads. What a load outside
    autoreg left swapped for good is put back first, if none is running.
    """
    with _PROCESS.turn:
        _PROCESS.depth += 1
        try:
            if _PROCESS.depth == 1 and (healed := current().bridge.originals.heal()):
                left = ", ".join(healed)
                _LOG.warning("put back what two loads at once in plain transformers had left replaced: %s", left)
            if _PROCESS.depth == 1:
                current().bridge.originals.begin()
            yield
        finally:
            _PROCESS.depth -= 1
            if not _PROCESS.depth:
                current().bridge.originals.end()


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Show this thread's load to the observer inside the block."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


@contextmanager
def witnessed(witness: Witness) -> Iterator[None]:
    """Have this thread's save take place in the presence of the witness inside the block."""
    runtime = current()
    runtime.hold()
    runtime.bridge.catch_up()
    token = _witness.set(witness)
    try:
        yield
    finally:
        _witness.reset(token)
        runtime.release()


def lock() -> threading.RLock:
    """Return the process's lock, for what must be made once; never to be held while a plugin is imported."""
    return _LOCK


@contextmanager
def isolated() -> Iterator[Runtime]:
    """Begin afresh inside the block, as a new process would, and put everything back after it.

    Inside, the installed distributions and the environment variables are read again, and nothing is
    activated until somebody does. Afterwards transformers' tables of registered classes are as they were,
    whatever was activated, resolved or registered inside. For tests and notebooks; not for several threads
    at once. Depth: metadata.
    """
    with _LOCK:
        outer = current()
        outer.suspend()
        put_back = snapshot()
        _PROCESS.runtime = inner = Runtime()
    try:
        yield inner
    finally:
        with _LOCK:
            inner.suspend()
            put_back()
            _PROCESS.runtime = outer
            outer.resume()


@contextmanager
def loading(choice: Choice | None, *, trusting: bool) -> Iterator[None]:
    """Let by-name look-ups inside the block prefer the classes of this owner.

    Args:
        choice: whose checkpoint is being loaded.
        trusting: whether the caller allowed code from checkpoints; what a package passes on inside does not count.
    """
    trust = _trusting.set(trusting and (_trusting.get() or not _inside.get()))
    token, inside = _loading.set(choice), _inside.set(True)
    try:
        yield
    finally:
        _trusting.reset(trust)
        _inside.reset(inside)
        _loading.reset(token)


def _listed(variable: str) -> list[str]:
    return [item.strip() for item in os.environ.get(variable, "").split(",") if item.strip()]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _depth_of_caller() -> int:
    """Return the `stacklevel` of the first frame outside autoreg and transformers, counted from `warn`."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        frame, depth = frame.f_back, depth + 1
    return depth

"""What can go wrong, as fields and sentences.

Every error keeps its facts as attributes, is a `ValueError` or an `ImportError` so that code written
for plain transformers still catches it, survives pickling (worker processes send errors home), and
composes its sentence without loading anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = [
    "AutoregError",
    "AutoregWarning",
    "CheckpointError",
    "CheckpointNotFoundError",
    "ConflictError",
    "DeclarationError",
    "DerivationError",
    "IncompleteCheckpointError",
    "IntegrityError",
    "MismatchError",
    "NotApplicableError",
    "PluginError",
    "RemoteCodeError",
    "SaveError",
    "StrictError",
    "UnknownArchitectureError",
    "UnsafeCheckpointError",
]


_Error = TypeVar("_Error", bound="AutoregError")


class AutoregWarning(UserWarning):
    """Something that works today and will surprise someone: shown once for each plugin or name."""


class AutoregError(Exception):
    """The family of all errors that autoreg raises on purpose."""

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        self.__dict__.update(fields)

    def again(self: _Error) -> _Error:
        """Return a copy to raise, with the same cause: one raised twice would collect both tracebacks."""
        copy = _rebuild(type(self), self.__dict__)
        copy.__cause__ = self.__cause__
        return copy

    def __reduce__(self) -> tuple[Callable[..., AutoregError], tuple[type[AutoregError], dict[str, Any]]]:
        return _rebuild, (type(self), self.__dict__)


def _rebuild(kind: type[_Error], fields: dict[str, Any]) -> _Error:
    error = kind.__new__(kind)
    error.__dict__.update(fields)
    return error


def _lines(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


def _named(what: str, names: tuple[str, ...]) -> str:
    """Return a line with the names, in full: the reader has to find each of them."""
    return f"  {len(names)} {what}: {', '.join(names)}" if names else ""


def sentence(text: str) -> str:
    """Return the text with a full stop, unless it ends as a sentence does."""
    return text if text.endswith((".", "?")) else f"{text}."


def _did_you_mean(names: tuple[str, ...]) -> str:
    return f"Did you mean {' or '.join(repr(name) for name in names)}?" if names else ""


class DeclarationError(AutoregError, ValueError):
    """An `Architecture` or a class reference that says something impossible.

    Attributes:
        field: the field of `Architecture` at fault, for example `models["AutoModelForCausalML"]`.
        value: what was declared there, as `repr`.
        problem: what is wrong with it, as the end of a sentence.
        suggestions: near matches, best first.
    """

    field: str
    value: str
    problem: str
    suggestions: tuple[str, ...]

    def __init__(self, *, field: str, value: object, problem: str, suggestions: tuple[str, ...] = ()) -> None:
        super().__init__(field=field, value=repr(value), problem=problem, suggestions=suggestions)

    def __str__(self) -> str:
        sentence = f"Architecture field `{self.field}` is {self.value}: {self.problem}."
        return " ".join(part for part in (sentence, _did_you_mean(self.suggestions)) if part)


class PluginError(AutoregError, ImportError):
    """A plugin owns the model type and cannot be used: it is broken or its requirements are not met.

    Attributes:
        model_type: what was looked up.
        distribution, version, location: who declares it.
        declared: what it declared that failed (an entry point, a class reference, a requirement).
        problem: what happened.
        advice: what to run or change next.
    """

    model_type: str
    distribution: str
    version: str
    location: str
    declared: str
    problem: str
    advice: str

    def __init__(
        self,
        *,
        model_type: str,
        distribution: str,
        version: str,
        location: str,
        declared: str,
        problem: str,
        advice: str,
    ) -> None:
        super().__init__(
            model_type=model_type,
            distribution=distribution,
            version=version,
            location=location,
            declared=declared,
            problem=problem,
            advice=advice,
        )

    def __str__(self) -> str:
        return _lines(
            f"{self.model_type!r} belongs to the plugin {self.distribution} {self.version} ({self.location}),"
            f" which cannot be used.",
            sentence(f"It declares {self.declared}: {self.problem}"),
            self.advice,
        )


class ConflictError(AutoregError, ValueError):
    """Two or more installed plugins claim one model type, and nothing says which to use.

    Attributes:
        name: the model type (or the class name from `architectures`) that was looked up.
        claimants: `(distribution, version, location)` of each plugin; a single one declares a class name twice.
    """

    name: str
    claimants: tuple[tuple[str, str, str], ...]

    def __init__(self, *, name: str, claimants: tuple[tuple[str, str, str], ...]) -> None:
        super().__init__(name=name, claimants=claimants)

    def __str__(self) -> str:
        owners = "\n".join(f"  - {name} {version} ({where})" for name, version, where in self.claimants)
        if len(self.claimants) == 1:
            return _lines(
                f"One installed plugin declares {self.name!r} more than once, for different classes:",
                owners,
                "transformers looks classes up by name: its author has to give each a name of its own.",
            )
        first, second = self.claimants[0][0], self.claimants[1][0]
        return _lines(
            f"{len(self.claimants)} installed plugins claim {self.name!r}:",
            owners,
            f'Choose one by setting the environment variable AUTOREG_PREFER="{self.name}={first}"'
            f' (or "{self.name}={second}"), or uninstall the other with `pip uninstall`.',
        )


class UnknownArchitectureError(AutoregError, ValueError):
    """Neither transformers nor an installed plugin has what the checkpoint needs.

    Attributes:
        name: the model type, or the Auto class where the architecture lacks that head.
        source: the file or hub id that asked for it; empty for a direct look-up.
        problem: what nobody has, as a sentence.
        requires: the requirement that the checkpoint itself carries, word for word; empty if none.
        notes: what is disabled, broken or has other heads, one sentence each.
        suggestions: near matches, best first.
    """

    name: str
    source: str
    problem: str
    requires: str
    notes: tuple[str, ...]
    suggestions: tuple[str, ...]

    def __init__(
        self,
        *,
        name: str,
        problem: str,
        source: str = "",
        requires: str = "",
        notes: tuple[str, ...] = (),
        suggestions: tuple[str, ...] = (),
    ) -> None:
        super().__init__(
            name=name, problem=problem, source=source, requires=requires, notes=notes, suggestions=suggestions
        )

    def __str__(self) -> str:
        advice = (
            f"The checkpoint says which package it needs. If you trust it: pip install {self.requires!r}"
            if self.requires
            else "See what is installed with `autoreg list`, and how this was decided with "
            f"`autoreg why {self.source or self.name}`."
        )
        return _lines(
            f"{self.source}: {self.problem}" if self.source else self.problem,
            *self.notes,
            _did_you_mean(self.suggestions),
            advice,
        )


class RemoteCodeError(AutoregError, ValueError):
    """Only code that lies beside the checkpoint could load it, and that code is not run.

    Attributes:
        source: the folder or hub id.
        auto_class: the Auto class that was asked for.
        reference: the checkpoint's `auto_map` entry.
        owner: the plugin that owns the model type and so forbids the code; empty if none does.
    """

    source: str
    auto_class: str
    reference: str
    owner: str

    def __init__(self, *, source: str, auto_class: str, reference: str, owner: str = "") -> None:
        super().__init__(source=source, auto_class=auto_class, reference=reference, owner=owner)

    def __str__(self) -> str:
        what = f"{self.source} carries its own Python code for {self.auto_class} ({self.reference}); it was not run."
        if self.owner:
            return _lines(
                what,
                f"The plugin {self.owner} owns this model type, so no code from the checkpoint runs,"
                f" and the plugin declares no class for {self.auto_class}.",
                "Ask the plugin's author for one, or take the plugin out of the way for this process with"
                f' AUTOREG_DISABLE="{self.owner.split()[0]}".',
            )
        return _lines(
            what,
            "Install a plugin that has this architecture, make one of the code to read it first"
            f" (`autoreg adopt {self.source}`), or, if you have read it and trust it, pass trust_remote_code=True.",
        )


class CheckpointError(AutoregError, ValueError):
    """A checkpoint file that cannot be what it should be.

    Attributes:
        file: the file at fault, or the path or hub id where there is no file.
        problem: what is wrong, as a sentence.
        advice: what to do next.
        part: the tensor or the config field at fault; empty where it is the whole file.
        expected, found: what should be there and what is; empty where the problem says it.
    """

    file: str
    problem: str
    advice: str
    part: str
    expected: str
    found: str

    def __init__(
        self, *, file: str, problem: str, advice: str, part: str = "", expected: str = "", found: str = ""
    ) -> None:
        super().__init__(file=file, problem=problem, advice=advice, part=part, expected=expected, found=found)

    def __str__(self) -> str:
        place = f"{self.file}, {self.part}" if self.part else self.file
        compared = f"Expected {self.expected}, found {self.found}." if self.expected else ""
        return _lines(f"{place}: {self.problem}", compared, self.advice)


class CheckpointNotFoundError(CheckpointError, OSError):
    """Nothing is there: a path that does not exist, or a folder without the file that is needed."""

    def __new__(cls, **fields: Any) -> CheckpointNotFoundError:
        """Make an OSError: of the two parents in C, Python would find ValueError's way, which cannot."""
        return OSError.__new__(cls)


class IncompleteCheckpointError(CheckpointError):
    """The weights in the files are not the weights of the class that is being loaded.

    Attributes:
        missing: names of the model that no file has.
        unexpected: names in the files that the model does not have.
        mismatched: `(name, shape in the file, shape in the model)` of those that do not fit.
        untied: names that the config ties and the files tell apart.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, str, str], ...]
    untied: tuple[tuple[str, str], ...]

    def __init__(
        self,
        *,
        file: str,
        problem: str,
        advice: str,
        missing: tuple[str, ...] = (),
        unexpected: tuple[str, ...] = (),
        mismatched: tuple[tuple[str, str, str], ...] = (),
        untied: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(file=file, problem=problem, advice=advice)
        self.missing, self.unexpected, self.mismatched, self.untied = missing, unexpected, mismatched, untied

    def __str__(self) -> str:
        sizes = (f"{name}: {stored} in the file, {wanted} in the model" for name, stored, wanted in self.mismatched)
        ties = (f"{one} and {other}" for one, other in self.untied)
        return _lines(
            f"{self.file}: {self.problem}",
            _named("in the model and in no file", self.missing),
            _named("in the files and not in the model", self.unexpected),
            _named("of another shape", tuple(sizes)),
            _named("tied by the config and different in the files", tuple(ties)),
            self.advice,
        )


class IntegrityError(CheckpointError):
    """A file is not the file that the manifest describes: changed, cut short or replaced since it was saved."""


class UnsafeCheckpointError(CheckpointError):
    """Loading the checkpoint would run code, or read files that are not its own."""


class SaveError(CheckpointError, OSError):
    """Nothing was saved; what was in the folder before is there as it was.

    Where the disk fails while files are put in place, the text says so: the next load or save finishes that.
    """

    def __new__(cls, **fields: Any) -> SaveError:
        """Make an OSError: of the two parents in C, Python would find ValueError's way, which cannot."""
        return OSError.__new__(cls)


class StrictError(AutoregError, ValueError):
    """A warning, where AUTOREG_STRICT makes every warning an error.

    Attributes:
        message: what the warning would have said.
    """

    message: str

    def __init__(self, *, message: str) -> None:
        super().__init__(message=message)

    def __str__(self) -> str:
        return _lines(self.message, "(AUTOREG_STRICT is set, which makes this warning an error.)")


class DerivationError(AutoregError, ValueError):
    """The conformance suite found no tiny config, or no inputs, with which a class runs.

    Attributes:
        subject: the class.
        tried: what was tried, as a sentence.
        problem: what went wrong in the end, with the error's own words.
        advice: which hint to give.
    """

    subject: str
    tried: str
    problem: str
    advice: str

    def __init__(self, *, subject: str, tried: str, problem: str, advice: str) -> None:
        super().__init__(subject=subject, tried=tried, problem=problem, advice=advice)

    def __str__(self) -> str:
        return _lines(f"{self.subject}: {sentence(self.problem)}", sentence(self.tried), self.advice)


class MismatchError(AutoregError, AssertionError):
    """A conformance check compared two things, and they differ.

    Attributes:
        problem: what does not hold, as a sentence.
        compared: what was compared with what; empty where nothing was.
        difference: the first difference (name, index, both values); empty where there is no single one.
    """

    problem: str
    compared: str
    difference: str

    def __init__(self, *, problem: str, compared: str = "", difference: str = "") -> None:
        super().__init__(problem=problem, compared=compared, difference=difference)

    def __str__(self) -> str:
        compared = f"Compared: {self.compared}." if self.compared else ""
        difference = f"First difference: {self.difference}." if self.difference else ""
        return _lines(sentence(self.problem), compared, difference)


class NotApplicableError(AutoregError):
    """A conformance check has nothing to say about this subject.

    Attributes:
        reason: why, as the end of a sentence ("it returns no cache").
    """

    reason: str

    def __init__(self, *, reason: str) -> None:
        super().__init__(reason=reason)

    def __str__(self) -> str:
        return sentence(self.reason)

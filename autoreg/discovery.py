"""Installed distributions → offers → declarations, with provenance; broken ones set aside as values.

An *offer* is one entry-point line: a name, a module, and who says so (depth: metadata, one pass over
the distributions, no plugin code). A *declaration* is what the module then yields (depth: declaration).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from autoreg import natives
from autoreg.errors import PluginError

if TYPE_CHECKING:
    from autoreg.architecture import Architecture

__all__ = [
    "CHECKS",
    "CLAIMS",
    "MODEL_TYPES",
    "Broken",
    "Contributed",
    "Declared",
    "Offer",
    "contributed_checks",
    "declare",
    "installed_version",
    "metadata_file",
    "missing_classes",
    "scan",
    "trusted_path",
]

MODEL_TYPES = "autoreg"
CLAIMS = "autoreg.architectures"
CHECKS = "autoreg.checks"

_HEAVY = ("torch", "transformers")
_HEADER = re.compile(r"^(Name|Version|Requires-Dist): *(.+?) *$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """One entry-point line of one distribution.

    Attributes:
        group: `MODEL_TYPES` (name is a model type), `CLAIMS` (name is a class name) or `CHECKS` (any name).
        name: the entry point's name.
        module: the light declaration module that it names.
        distribution, version, location: who says so, and where its metadata lies.
        unmet: the requirements of the distribution that this environment does not meet.
        shadowed: the same distribution is installed a second time, and the other one counts.
    """

    group: str
    name: str
    module: str
    distribution: str
    version: str
    location: str
    unmet: tuple[str, ...] = ()
    shadowed: bool = False

    @property
    def owner(self) -> str:
        """The distribution and its version, as people write them."""
        return f"{self.distribution} {self.version}"

    @property
    def entry_point(self) -> str:
        """The line in the distribution's metadata."""
        return f"the entry point {self.name} = {self.module!r} in the group {self.group!r}"

    def is_by(self, distribution: str) -> bool:
        """Say whether this is the distribution's, however its name is spelt."""
        return _normal(self.distribution) == _normal(distribution)

    def answers_to(self, name: str) -> bool:
        """Say whether a name that a user wrote means this offer or its distribution."""
        return name == self.name or self.is_by(name)

    def error(self, problem: str, *, declared: str = "", advice: str = "") -> PluginError:
        """Return the error that says why this offer cannot be used."""
        upgrade = f"See `autoreg doctor`; a newer version may mend it: pip install --upgrade {self.distribution}"
        return PluginError(
            model_type=self.name,
            distribution=self.distribution,
            version=self.version,
            location=self.location,
            declared=declared or self.entry_point,
            problem=problem.rstrip("."),
            advice=advice or upgrade,
        )

    def __repr__(self) -> str:
        return f"<Offer {self.name} by {self.owner}>"


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """An offer whose declaration module was imported and yielded this architecture.

    Attributes:
        offer: who declares it.
        architecture: what is declared.
        remarks: what is not wrong but unwelcome (a declaration that imports torch).
    """

    offer: Offer
    architecture: Architecture
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """An offer that cannot be used, with the error that a look-up of it raises."""

    offer: Offer
    error: PluginError

    @property
    def remarks(self) -> tuple[str, ...]:
        """Nothing beyond the error."""
        return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Contributed:
    """An offer in the group `CHECKS` and what its hook yielded, which the suite makes checks of.

    Attributes:
        offer: who offers it.
        values: functions of a subject.
    """

    offer: Offer
    values: tuple[object, ...]


# --- the pass over the distributions -------------------------------------------------------------


def trusted_path() -> list[str]:
    """Return `sys.path` without the current directory that Python itself puts first.

    A folder is trusted when somebody put it there on purpose: site-packages, `.pth` files and editable
    installs, PYTHONPATH. `python -m` and `python -c` put the current directory first whatever lies in it.
    """
    here = os.path.realpath(os.curdir)
    implicit = not getattr(sys.flags, "safe_path", False)
    return [
        entry
        for position, entry in enumerate(sys.path)
        if entry and not (implicit and position == 0 and os.path.realpath(entry) == here)
    ]


def scan(path: Sequence[str] | None = None, *, groups: Sequence[str] = (MODEL_TYPES, CLAIMS)) -> tuple[Offer, ...]:
    """Return the offers in these groups of what is installed, sorted by name and distribution. Depth: metadata."""
    importlib.invalidate_caches()  # what pip installed a second ago, in a notebook, counts
    installed = _Installed()
    offers: list[Offer] = []
    for distribution in importlib.metadata.distributions(path=list(path if path is not None else trusted_path())):
        text = _text(distribution, "entry_points.txt")
        # Parsing is the expensive part: of a thousand distributions only those that name the group pay it.
        if text and f"[{MODEL_TYPES}" in text:
            offers.extend(_offers(distribution, text, installed, groups))
    return tuple(sorted(_without_doubles(offers), key=lambda offer: (offer.name, offer.distribution, offer.location)))


def installed_version(name: str) -> str:
    """Return the installed version of a distribution, empty where there is none. Depth: metadata."""
    try:
        return _metadata(importlib.metadata.distribution(name))[1]
    except importlib.metadata.PackageNotFoundError:
        return ""


def metadata_file(offer: Offer, name: str) -> str:
    """Return a file of the metadata of the offer's distribution, empty where it has none. Depth: metadata."""
    found = importlib.metadata.distributions(name=offer.distribution, path=[offer.location])
    # Of several (what an interrupted install left) the one that the offer came from.
    return next((_text(each, name) for each in found if _metadata(each)[1] == offer.version), "")


def _offers(
    distribution: importlib.metadata.Distribution, text: str, installed: _Installed, groups: Sequence[str]
) -> Iterator[Offer]:
    lines = [line for line in _entry_points(text) if line[0] in groups]
    if not lines:
        return
    name, version, requires = _metadata(distribution)
    unmet = tuple(problem for text in requires if (problem := installed.unmet(text)))
    location = str(distribution.locate_file(""))
    for group, entry, module in lines:
        yield Offer(
            group=group,
            name=entry,
            module=module,
            distribution=name,
            version=version,
            location=location,
            unmet=unmet,
        )


def _entry_points(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield `(group, name, value)` of each line: importlib.metadata's own parser builds and sorts far more."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            group = line.strip("[]").strip()
        elif line and not line.startswith("#") and "=" in line:
            name, _, value = line.partition("=")
            yield group, name.strip(), value.strip()


def _text(distribution: importlib.metadata.Distribution, name: str) -> str:
    """Return a file of the metadata, empty where it is missing or no text: one damaged package stops no other."""
    try:
        return distribution.read_text(name) or ""
    except UnicodeDecodeError:
        return ""


def _metadata(distribution: importlib.metadata.Distribution) -> tuple[str, str, list[str]]:
    """Return name, version and requirements: `distribution.metadata` parses the whole long description."""
    text = _text(distribution, "METADATA") or _text(distribution, "PKG-INFO")
    headers, _, _ = text.partition("\n\n")
    fields: dict[str, list[str]] = {"Name": [], "Version": [], "Requires-Dist": []}
    for key, value in _HEADER.findall(headers):
        fields[key].append(value)
    name = fields["Name"][0] if fields["Name"] else "unknown"
    return name, fields["Version"][0] if fields["Version"] else "unknown", fields["Requires-Dist"]


class _Installed:
    """The versions in this environment, each asked for once a pass: plugins share their requirements."""

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}
        self._versions: dict[str, str] = {}

    def unmet(self, text: str) -> str:
        """Return what is wrong with this requirement here, or nothing."""
        if text not in self._problems:
            self._problems[text] = self._look_up(text)
        return self._problems[text]

    def _look_up(self, text: str) -> str:
        from packaging.requirements import InvalidRequirement, Requirement

        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            return f"{text} (not a valid requirement)"
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            return ""
        wanted = f"{requirement.name}{requirement.specifier}"
        if requirement.name not in self._versions:
            self._versions[requirement.name] = installed_version(requirement.name)
        version = self._versions[requirement.name]
        if not version:
            return f"{wanted} (not installed)"
        met = requirement.specifier.contains(version, prereleases=True)
        return "" if met else f"{wanted} ({version} is installed)"


def _without_doubles(offers: Iterable[Offer]) -> list[Offer]:
    """Mark all but one of the offers that one distribution makes twice (editable install and stale metadata)."""
    seen: dict[tuple[str, str, str], list[Offer]] = {}
    for offer in offers:
        seen.setdefault((offer.group, offer.name, _normal(offer.distribution)), []).append(offer)
    return [marked for same in seen.values() for marked in (_shadow(same) if len(same) > 1 else same)]


def _shadow(same: list[Offer]) -> list[Offer]:
    chosen = next((offer for offer in same if _findable(offer.module)), same[0])
    return [offer if offer is chosen else replace(offer, shadowed=True) for offer in same]


def _findable(module: str) -> bool:
    """Say whether the module's file can be found, importing none of the plugin's packages."""
    package, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return False
    if spec is None or not rest:
        return spec is not None
    folders = [os.path.join(folder, *rest) for folder in spec.submodule_search_locations or ()]
    return any(os.path.isdir(folder) or os.path.isfile(f"{folder}.py") for folder in folders)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# --- from an offer to its declaration -------------------------------------------------------------


def declare(offer: Offer) -> Declared | Broken:
    """Import the offer's declaration module and return what it declares under that name. Depth: declaration.

    Nothing that the plugin does (an import error, `SystemExit`, a hook that raises or returns nonsense)
    gets out of here other than as a `Broken` value; only `KeyboardInterrupt` does.
    """
    if offer.unmet:
        return _unusable(offer)
    heavy = [name for name in _HEAVY if name not in sys.modules]
    try:
        architectures = _architectures(_import(offer.module), offer.module)
    except _NonsenseError as nonsense:
        return _broken(offer, str(nonsense), nonsense.__cause__)
    matching = [item for item in architectures if _answers(item, offer)]
    if not matching:
        return _broken(offer, _wrong_name(offer, architectures))
    if len(matching) > 1:
        return _broken(offer, f"its hook yields {len(matching)} architectures for {offer.name!r}")
    taken = _taken_names(matching[0])
    if taken:
        return _broken(offer, taken)
    imported = " and ".join(name for name in heavy if name in sys.modules)
    remarks = (f"its declaration module {offer.module!r} imports {imported}",) if imported else ()
    return Declared(offer=offer, architecture=matching[0], remarks=remarks)


def _taken_names(architecture: Architecture) -> str:
    """Return which class name is already one of transformers' own: it looks classes up by `__name__`."""
    if architecture.meets_native:
        return ""
    for field, reference in architecture.references():
        if reference.name in natives.class_names() and not reference.module.startswith("transformers"):
            return (
                f"`{field}` is {reference}, and transformers has a class {reference.name!r} of its own, which it would"
                " confuse with this one; rename it, or declare `overrides_native`"
            )
    return ""


class _NonsenseError(Exception):
    """What a declaration module did instead of declaring, as the end of a sentence."""


def _answers(architecture: Architecture, offer: Offer) -> bool:
    if offer.group == CLAIMS:
        return offer.name in architecture.architectures
    return architecture.model_type == offer.name and not architecture.architectures


def _unusable(offer: Offer) -> Broken:
    missing = ", ".join(offer.unmet)
    wanted = " ".join(f'"{item.partition(" (")[0]}"' for item in offer.unmet)
    error = offer.error(
        f"its requirements are not met: {missing}",
        advice=f"Install what it needs: pip install {wanted}",
    )
    return Broken(offer=offer, error=error)


def _broken(offer: Offer, problem: str, cause: BaseException | None = None) -> Broken:
    error = offer.error(problem)
    error.__cause__ = cause
    return Broken(offer=offer, error=error)


def _wrong_name(offer: Offer, given: tuple[Architecture, ...]) -> str:
    names = sorted({name for item in given for name in (item.architectures or (item.model_type,))})
    if not names:
        return "its hook `autoreg_architectures` yields nothing"
    return f"its hook declares {', '.join(map(repr, names))} and not {offer.name!r}"


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin must not end the program
        raise _NonsenseError(f"importing {name!r} {_raised(error)}") from error


def _raised(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"tried to end the program with SystemExit({error.code!r})"
    return f"raised {type(error).__name__}: {error}"


def _architectures(module: ModuleType, name: str) -> tuple[Architecture, ...]:
    from autoreg.architecture import Architecture

    found = _call_hook(module, name, "autoreg_architectures", kind="Architecture")
    for item in found:
        if not isinstance(item, Architecture):
            raise _NonsenseError(f"its hook `autoreg_architectures` yields {item!r}, which is no Architecture")
    return found  # type: ignore[return-value]  # each was looked at


def _call_hook(module: ModuleType, name: str, hook: str, *, kind: str) -> tuple[object, ...]:
    """Return what the module's implementation of the hook yields, which should be items of that kind."""
    import pluggy

    from autoreg import hookspecs

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name=name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise _NonsenseError(_misspelt(manager, error)) from error
    caller = getattr(manager.hook, hook)
    if not caller.get_hookimpls():
        raise _NonsenseError(f"it has no function named `{hook}` and marked @hookimpl")
    try:
        return tuple(item for answer in caller() for item in _iterable(answer, hook, kind))
    except (KeyboardInterrupt, _NonsenseError):
        raise
    except BaseException as error:
        raise _NonsenseError(f"its hook `{hook}` {_raised(error)}") from error


def _iterable(answer: object, hook: str, kind: str) -> Iterable[object]:
    if isinstance(answer, (str, Mapping)) or not isinstance(answer, Iterable):
        raise _NonsenseError(f"its hook `{hook}` returns {answer!r}, not an iterable of {kind}")
    return answer


def _misspelt(manager: Any, error: Exception) -> str:
    unknown = re.search(r"unknown hook '(\w+)'", str(error))
    if unknown is None:  # a hook with arguments that the specification does not have
        return str(error).replace("\n", " ")
    import difflib

    known = sorted(name for name, caller in vars(manager.hook).items() if caller.has_spec())
    near = difflib.get_close_matches(unknown[1], known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the hooks are {', '.join(known)}"
    return f"it implements the unknown hook {unknown[1]!r}; {hint}"


# --- checks that plugins bring --------------------------------------------------------------------


def contributed_checks(path: Sequence[str] | None = None) -> tuple[Contributed | Broken, ...]:
    """Return what the plugins in the group `CHECKS` yield, by name; broken ones as values. Depth: declaration.

    For the conformance suite alone: nothing else imports these modules.
    """
    return tuple(_contributed(offer) for offer in scan(path, groups=(CHECKS,)) if not offer.shadowed)


def _contributed(offer: Offer) -> Contributed | Broken:
    if offer.unmet:
        return _unusable(offer)
    try:
        values = _call_hook(_import(offer.module), offer.module, "autoreg_checks", kind="functions of a subject")
    except _NonsenseError as nonsense:
        return _broken(offer, str(nonsense), nonsense.__cause__)
    if not values:
        return _broken(offer, "its hook `autoreg_checks` yields nothing")
    return Contributed(offer=offer, values=values)


# --- what can be told of the classes without importing them ----------------------------------------


def missing_classes(architecture: Architecture) -> Iterator[tuple[str, str]]:
    """Yield `(field, problem)` for each declared class whose module or name is not in the source files.

    Depth: declaration. A module that is compiled, star-imports or defines `__getattr__` is given the
    benefit of the doubt.
    """
    for field, reference in architecture.references():
        source = _source_of(reference.module)
        if source is None and not _findable(reference.module):
            yield field, f"{reference}: there is no module {reference.module!r}"
        elif source is not None and not _defines(source, reference.name):
            yield field, f"{reference}: {reference.module!r} has no {reference.name!r}"


def _source_of(module: str) -> str | None:
    package, *rest = module.split(".")
    spec = importlib.util.find_spec(package) if _findable(package) else None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    candidates = [os.path.join(folder, *rest) for folder in folders] if rest else folders
    files = [name for path in candidates for name in (f"{path}.py", os.path.join(path, "__init__.py"))]
    found = next((name for name in [*files, spec.origin if not rest else None] if name and os.path.isfile(name)), None)
    if found is None:
        return None
    with open(found, encoding="utf-8", errors="replace") as file:
        return file.read()


def _defines(source: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b|\b__getattr__\b|import \*", source) is not None

"""One check of one class outside of the suite: as a script to step through, and the functions that it calls."""

from __future__ import annotations

import ast
import atexit
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import transformers

from autoreg.conformance import guard
from autoreg.conformance.catalogue import catalogue
from autoreg.conformance.check import Check
from autoreg.conformance.compare import shown
from autoreg.conformance.derive import derive
from autoreg.conformance.derive.inputs.facts import configs_in
from autoreg.conformance.fields import tree
from autoreg.conformance.run import versions
from autoreg.conformance.subject import Subject
from autoreg.conformance.target import from_name, where_is
from autoreg.errors import MismatchError

__all__ = ["examine", "script", "subject_of"]


def subject_of(name: str, model_class: Any, config: Any, *, native: bool = False, seed: int = 0) -> Subject:
    """Return the subject of a model class with this tiny config, in this process.

    Args:
        name: the model type.
        model_class: the class; None for an architecture without models.
        config: the config; its inputs are derived.
        native: the architecture is one of transformers' own.
        seed: what every random number is drawn from.

    Raises:
        DerivationError: no inputs were found with which the class runs.
    """
    guard.strict()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    target = from_name(name, native=native)
    folder = tempfile.mkdtemp(prefix="autoreg-check-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if model_class is None:
        return Subject(target, None, scratch=Path(folder), seed=seed)
    derivation = derive(
        model_class,
        config_class=target.config_class,
        auto_classes=target.models[model_class],
        config_hints={path: value for path, value in _changed(config) if _literal(value)},
        input_hints=target.hints.inputs,
    )
    derivation = replace(derivation, config=config)
    return Subject(target, model_class, scratch=Path(folder), seed=seed, derivation=derivation)


def examine(check: str, subject: Subject) -> None:
    """Run one check as the suite does, but in this process and with nothing caught.

    Raises:
        AssertionError: the property does not hold; a `MismatchError` says where.
        NotApplicableError: the subject lacks what the check needs.
    """
    found = next((each for each in catalogue().checks if each.id == check), None)
    if found is None:
        raise LookupError(f"there is no check {check!r}; see `autoreg check --list`")
    subject.prepare(found)
    before = guard.state()
    guard.reseed(subject.seed)
    found(subject)
    changed = guard.changed(before)
    if changed:
        raise MismatchError(problem=f"Running it changed {', '.join(changed)} of the process")


# --- the script ------------------------------------------------------------------------------------

_MOST_LETTERS = 90

_SCRIPT = '''\
"""{id} as `autoreg check` runs it, to be stepped through.

{facts}.
"""

{imports}

{config}
subject = subject_of({subject})
{at_hand}
# Set a breakpoint here and step in, or in the check: `{function}` in {file}:{line}
examine("{check}", subject)
'''

_AT_HAND = """
# To try things with; the check makes its own.
model = subject.model()
inputs = subject.inputs()  # {inputs}
"""


def script(check: Check, subject: Subject, *, native: bool = False) -> str:
    """Return a script that runs one check of the subject's class with the same tiny config, inputs and seed."""
    target = subject.target
    model_class = subject.model_class if target.models else None
    named = f"{check.id} of {model_class.__name__}" if model_class else check.id
    found = ", ".join(dict.fromkeys([target.owner, *(f"{name} {version}" for name, version in versions().items())]))
    inputs = {} if model_class is None else subject.inputs()
    file, line = where_is(check.function)
    details = [f'"{target.name}"', model_class.__name__ if model_class else "None", "config"]
    details += ["native=True"] if native else []
    return _SCRIPT.format(
        id=named,
        facts=found,
        imports="\n".join(_imports([target.config_class, *([model_class] if model_class else [])])),
        config=_config(subject) if model_class else "config = None",
        subject=", ".join([*details, f"seed={subject.seed}"]),
        at_hand=_AT_HAND.format(inputs=", ".join(f"{name}: {shown(value)}" for name, value in inputs.items()))
        if model_class
        else "",
        function=getattr(check.function, "__name__", "it"),
        file=file,
        line=line,
        check=check.id,
    )


def _imports(classes: Iterable[Any]) -> list[str]:
    found = {"autoreg.conformance.reproduce": {"examine", "subject_of"}}
    for each in classes:
        # Of transformers' own only: through autoreg the module answers to the names of plugins' classes too.
        own = each.__module__.startswith("transformers.") and getattr(transformers, each.__name__, None) is each
        found.setdefault("transformers" if own else each.__module__, set()).add(each.__name__)
    return [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(found.items())]


def _config(subject: Subject) -> str:
    """Return the statement that makes the tiny config: what was changed, or everything where that is not enough."""
    kind, config = subject.config_class, subject.config()
    changes = tree({row.path: row.value for row in subject.derivation.fields})
    if all(_literal(value) for value in changes.values()):
        try:
            enough = kind(**changes).to_dict() == config.to_dict()
        except Exception:  # the class may not take what was set on an instance
            enough = False
        if enough:
            lines = [f"    {name}={_written(value)}," for name, value in changes.items()]
            return "\n".join([f"config = {kind.__name__}(", *lines, ")"])
    lines = [f"        {name!r}: {value!r}," for name, value in config.to_dict().items() if _literal(value)]
    return "\n".join([f"config = {kind.__name__}.from_dict(", "    {", *lines, "    }", ")"])


def _written(value: Any) -> str:
    """Return the value as source, on several lines if it is a long dictionary."""
    text = repr(value)
    if not isinstance(value, dict) or len(text) <= _MOST_LETTERS:
        return text
    return "\n".join(["{", *(f"        {key!r}: {_written(item)}," for key, item in value.items()), "    }"])


def _changed(config: Any) -> Iterable[tuple[str, Any]]:
    """Yield the dotted path and value of each field that differs from the default config."""
    for node, each in configs_in(config):
        default = vars(type(each)())
        for name, value in vars(each).items():
            nested = isinstance(value, transformers.PreTrainedConfig)
            if not nested and not name.startswith("_") and default.get(name, config) != value:
                yield f"{node}.{name}" if node else name, value


def _literal(value: Any) -> bool:
    """Say whether the value can be written down."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False

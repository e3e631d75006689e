"""The files of the plugin project: what is declared, where the code came from, what to look at, how to go on.

Every word from the checkpoint that gets into a file here is an identifier, a checked name, or quoted as JSON.

Depth: metadata.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from string import Template

from autoreg.adopt.references import Checkpoint
from autoreg.adopt.review import Finding, Requirement
from autoreg.adopt.sources import Source, within
from autoreg.scaffold import distribution_name, package_name

__all__ = ["CODE", "Plan", "licences", "render", "unknown_requirements"]

CODE = "adopted"
"""The sub-package with the copied files: nothing else is in it, so that no name of theirs meets one of ours."""

# Import name → distribution, of packages that everybody knows. Anything else is left to a person: the name that a
# stranger's import statement happens to have may be registered by another stranger, and pip would run its code.
_DISTRIBUTIONS: Mapping[str, str] = {
    **{name: name for name in ("accelerate", "einops", "librosa", "nltk", "numpy", "packaging", "pandas", "peft")},
    **{name: name for name in ("regex", "requests", "safetensors", "scipy", "sentencepiece", "soundfile", "tiktoken")},
    **{name: name for name in ("timm", "tokenizers", "torchaudio", "torchvision", "tqdm", "triton", "xformers")},
    "PIL": "pillow",
    "causal_conv1d": "causal-conv1d",
    "cv2": "opencv-python",
    "flash_attn": "flash-attn",
    "huggingface_hub": "huggingface_hub",
    "mamba_ssm": "mamba-ssm",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
_LICENCE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE)([._-][\w.-]{1,40})?", re.IGNORECASE)
_LARGEST_LICENCE = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All that the project's files are made of.

    Attributes:
        checkpoint: where the code comes from.
        model_type: what is declared.
        fields: of `Architecture`, as `(name, value)`: a reference `"module.Class"`, or several by key.
        sources: the files that are copied.
        requirements, findings: what a reviewer should know.
        mend: what does not work until somebody changes it, as sentences.
        notes: what else to know, as sentences.
    """

    checkpoint: Checkpoint
    model_type: str
    fields: tuple[tuple[str, str | Mapping[str, str]], ...]
    sources: tuple[Source, ...]
    requirements: tuple[Requirement, ...]
    findings: tuple[Finding, ...]
    mend: tuple[str, ...]
    notes: tuple[str, ...]


def unknown_requirements(requirements: tuple[Requirement, ...]) -> tuple[Requirement, ...]:
    """Return those that the code cannot do without and whose distribution nobody can be sure of."""
    third = [each for each in requirements if each.origin == "third party" and each.needed]
    return tuple(each for each in third if each.module not in _DISTRIBUTIONS)


def licences(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield the names of the checkpoint's licence files; a link to a file elsewhere is none of its."""
    for name in sorted(filter(_LICENCE.fullmatch, os.listdir(checkpoint.folder))):
        file = os.path.join(checkpoint.folder, name)
        own = within(checkpoint.folder, name, cached=checkpoint.cached)
        if own and os.path.isfile(file) and os.path.getsize(file) <= _LARGEST_LICENCE:
            yield name


def render(plan: Plan, *, version: str) -> dict[str, bytes]:
    """Return the project's files by path; `version` is autoreg's own."""
    package = package_name(plan.model_type)
    words = {
        "distribution": distribution_name(plan.model_type),
        "package": package,
        "model_type": plan.model_type,
        "key": json.dumps(plan.model_type),
        "origin": plan.checkpoint.origin,
        "summary": json.dumps(f"{plan.model_type}, adopted from {plan.checkpoint.origin}"),
        "auto_class": _auto_class(plan),
        "source": plan.checkpoint.repository or "CHECKPOINT",
    }
    kept = list(licences(plan.checkpoint))
    texts = {
        "pyproject.toml": _PYPROJECT.substitute(words, dependencies=_dependencies(plan), licences=json.dumps(kept)),
        "README.md": _README.substitute(words),
        "REVIEW.md": _REVIEW.substitute(words, **_review(plan, kept)),
        "ORIGIN.json": _origin(plan, version),
        "tests/test_conformance.py": _TEST.substitute(words),
        f"{package}/__init__.py": _INIT.substitute(words),
        f"{package}/plugin.py": _PLUGIN.substitute(words, fields=_declaration(plan, package)),
    }
    files = {path: text.encode() for path, text in texts.items()}
    files |= {f"{package}/{CODE}/{source.path}": source.content for source in plan.sources}
    files.setdefault(f"{package}/{CODE}/__init__.py", b"")
    for name in kept:
        with open(os.path.join(plan.checkpoint.folder, name), "rb") as stream:
            files[name] = stream.read()
    return files


def _auto_class(plan: Plan) -> str:
    """Return the Auto class that loads the checkpoint as what it was saved."""
    models = next((value for name, value in plan.fields if name == "models" and not isinstance(value, str)), {})
    saved = plan.checkpoint.config.architectures
    return next(
        (name for name, value in models.items() if value.rpartition(".")[2] in saved), next(iter(models), "AutoConfig")
    )


# --- pyproject.toml, plugin.py, ORIGIN.json --------------------------------------------------------


def _dependencies(plan: Plan) -> str:
    needed = {each.module for each in plan.requirements if each.needed and each.origin != "Python"}
    lines = ['"autoreg>=0.1",', '"transformers>=5.20,<6",  # the range that you test']
    lines += ['"torch>=2.6",'] if "torch" in needed else []
    lines += [f'"{_DISTRIBUTIONS[name]}",' for name in sorted(needed & set(_DISTRIBUTIONS))]
    for each in unknown_requirements(plan.requirements):
        lines.append(f"# which distribution provides {_safe(each.module)}? It is imported in {each.places[0]}")
    return "\n".join(f"    {line}" for line in lines)


def _declaration(plan: Plan, package: str) -> str:
    lines = []
    for name, value in plan.fields:
        if isinstance(value, str):
            lines.append(f'{name}="{_qualified(value, package)}",')
        else:
            entries = "".join(f'    "{key}": "{_qualified(item, package)}",\n' for key, item in value.items())
            lines.append(f"{name}={{\n{entries}}},")
    lines.append(f"summary={json.dumps(f'Adopted from {plan.checkpoint.origin}')},")
    if plan.checkpoint.repository:
        lines.append(f'homepage="https://huggingface.co/{plan.checkpoint.repository}",')
    return "\n".join(" " * 8 + line for text in lines for line in text.split("\n"))


def _qualified(reference: str, package: str) -> str:
    module, _, name = reference.rpartition(".")
    return f"{package}.{CODE}.{module}:{name}"


def _origin(plan: Plan, version: str) -> str:
    content = {
        "repository": plan.checkpoint.repository or None,
        "revision": plan.checkpoint.revision or None,
        "model_type": plan.model_type,
        "adopted_with": f"autoreg {version}",
        "classes": {
            auto_class: [f"{each.module}.{each.name}" if each else None for each in references]
            for auto_class, references in plan.checkpoint.classes.items()
        },
        "files": {source.path: {"sha256": source.sha256, "size": len(source.content)} for source in plan.sources},
    }
    return json.dumps(content, indent=2) + "\n"


# --- REVIEW.md -------------------------------------------------------------------------------------


def _review(plan: Plan, kept: list[str]) -> dict[str, str]:
    package = package_name(plan.model_type)
    mend = [f"- [ ] {text}" for text in plan.mend]
    licence = f"Copied beside this file: {', '.join(kept)}." if kept else _NO_LICENCE
    return {
        "mend": "\n".join(mend) or "Nothing that could be told from the source.",
        "notes": "\n".join(f"- {text}" for text in plan.notes) or "None.",
        "whence": plan.checkpoint.repository or "not known: a folder; say it with `--repository` and `--revision`",
        "revision": plan.checkpoint.revision or "not known",
        "files": _table(
            ("file", "bytes", "SHA-256"),
            [(f"`{package}/{CODE}/{each.path}`", str(len(each.content)), f"`{each.sha256}`") for each in plan.sources],
        ),
        "imports": _table(
            ("module", "part of", "needed", "found here", "imported in"), map(_imported, plan.requirements)
        ),
        "findings": _findings(plan.findings),
        "licence": licence,
    }


def _imported(each: Requirement) -> tuple[str, ...]:
    known = _DISTRIBUTIONS.get(each.module, "**find out**" if each.origin == "third party" else "")
    part = f"third party: {known}" if each.origin == "third party" else each.origin
    needed = "yes" if each.needed else "where it is there"
    shown = 4
    places = ", ".join(each.places[:shown]) + (", …" if len(each.places) > shown else "")
    return f"`{_safe(each.module)}`", part, needed, "yes" if each.installed else "**no**", places


def _findings(findings: tuple[Finding, ...]) -> str:
    if not findings:
        return "Nothing of what is looked for was found."
    kinds: dict[str, list[Finding]] = {}
    for each in findings:
        kinds.setdefault(each.kind, []).append(each)
    parts = []
    for kind, places in sorted(kinds.items()):
        rows = [(f"{e.path}:{e.line}", "on import" if e.at_import else "when called", f"`{e.what}`") for e in places]
        parts.append(f"### It {kind}\n\n{_table(('where', 'runs', 'what'), rows)}")
    return "\n\n".join(parts)


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _safe(name: str) -> str:
    """Return an identifier in ASCII: letters of another script that look like ours are shown as what they are."""
    return ascii(name)[1:-1]


_NO_LICENCE = (
    "**None was found beside the checkpoint.** Without a licence nobody may pass the code on: ask its author, and see"
    " the model card. For your own use on your own machine the plugin works all the same."
)

_PYPROJECT = Template("""\
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "$distribution"
version = "0.1.0"
description = $summary
readme = "README.md"
license-files = $licences
requires-python = ">=3.10"
dependencies = [
$dependencies
]

[project.entry-points.autoreg]
$key = "$package.plugin"

[project.optional-dependencies]
test = ["autoreg[conformance]", "pytest>=8"]

[tool.hatch.build.targets.wheel]
packages = ["$package"]

[tool.hatch.build.targets.sdist]
include = ["/$package", "/tests", "/README.md", "/REVIEW.md", "/ORIGIN.json", "/LICEN*", "/COPYING*", "/NOTICE*"]
""")

_INIT = Template('''\
"""$model_type for transformers; its code was adopted from $origin."""
''')

_PLUGIN = Template('''\
"""What this distribution declares to autoreg: $model_type, whose code was adopted from $origin."""

from collections.abc import Iterable

from autoreg import Architecture, hookimpl


@hookimpl
def autoreg_architectures() -> Iterable[Architecture]:
    """Declare $model_type (depth: declaration; imports neither torch nor transformers)."""
    yield Architecture(
        model_type=$key,
$fields
    )
''')

_TEST = Template('''\
"""Does it behave as its users may expect? See `autoreg check --list`."""

from autoreg.pytest_plugin import conformance

test_conformance = conformance($key)
''')

_README = Template("""\
# $distribution

The architecture `$model_type` as a plugin for transformers. `autoreg adopt` made this project from the Python files
that lie beside the checkpoint ($origin).
The files were copied as they are and not run; `ORIGIN.json` has the SHA-256 of each.

1. Read `REVIEW.md`, and the code. Once this package is installed, the code runs as any package's does.
2. `pip install --editable .`
3. `autoreg check $model_type`, or `pytest`.
4. Load the checkpoint, without `trust_remote_code`; the files beside it are not run any more:

```python
import autoreg

autoreg.$auto_class.from_pretrained("$source")
```

A later revision of the checkpoint changes nothing here: to follow it, adopt it again into another folder and compare.
""")

_REVIEW = Template("""\
# Review of $distribution

Made by `autoreg adopt` from the source alone. It names what is written plainly; code that means to hide something can.
It says where to begin reading, not that there is nothing else.

## To mend before it works

$mend

## Origin

| | |
| --- | --- |
| repository | $whence |
| revision | $revision |

$files

## Licence

$licence

## What it imports

$imports

## What to look at

$findings

## Notes

$notes
""")

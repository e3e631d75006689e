"""Installed plugins without pip: packages and real `.dist-info` folders in a temporary folder."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["REGISTRARS", "RETNET", "install_forks", "install_light", "install_retnet"]

RETNET = Path(__file__).parents[1] / "plugins" / "autoreg-retnet"
REGISTRARS = "benchmarks.registrars"
"""The entry-point group of the plugin system that imports everything: each value is a function to call."""

_FORKED = (
    *("bloom", "cohere", "falcon", "gemma", "gemma2", "gpt_neox", "gptj", "llama", "mistral", "mixtral"),
    *("olmo", "olmo2", "opt", "phi", "phi3", "qwen2", "qwen3", "stablelm", "starcoder2"),
)
_METADATA = """\
Metadata-Version: 2.4
Name: {name}
Version: {version}
Summary: A model architecture for transformers
Author-email: Some Body <some.body@example.org>
License-Expression: Apache-2.0
Project-URL: Homepage, https://example.org/{name}
Project-URL: Issues, https://example.org/{name}/issues
Keywords: autoreg,deep-learning,transformers
Classifier: Development Status :: 4 - Beta
Classifier: Intended Audience :: Science/Research
Classifier: Programming Language :: Python :: 3 :: Only
Classifier: Topic :: Scientific/Engineering :: Artificial Intelligence
Requires-Python: >=3.10
Description-Content-Type: text/markdown
{requirements}

{description}
"""

_DECLARATION = '''\
"""What this distribution declares to autoreg."""

from autoreg import Architecture, hookimpl


@hookimpl
def autoreg_architectures():
    yield Architecture(
        model_type="{name}",
        config="{config}",
        models={{"AutoModel": "{model}"}},
    )
'''

_REGISTRAR = '''\
"""What a plugin of a system that imports everything runs at start."""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from {package}.configuration_{name} import {prefix}Config
from {package}.modeling_{name} import {prefix}ForCausalLM, {prefix}Model


def register():
    AutoConfig.register("{name}", {prefix}Config)
    AutoModel.register({prefix}Config, {prefix}Model)
    AutoModelForCausalLM.register({prefix}Config, {prefix}ForCausalLM)
'''


@dataclass(frozen=True, kw_only=True, slots=True)
class _Distribution:
    name: str
    version: str
    requirements: tuple[str, ...]
    entry_points: str

    def write(self, folder: Path) -> None:
        """Write the `.dist-info` as pip leaves it."""
        info = folder / f"{self.name.replace('-', '_')}-{self.version}.dist-info"
        info.mkdir(parents=True)
        metadata = _METADATA.format(
            name=self.name,
            version=self.version,
            requirements="\n".join(f"Requires-Dist: {line}" for line in self.requirements),
            description=(RETNET / "README.md").read_text(encoding="utf-8"),
        )
        files = {
            "METADATA": metadata,
            "entry_points.txt": self.entry_points,
            "INSTALLER": "pip\n",
            "WHEEL": "Wheel-Version: 1.0\nGenerator: hatchling 1.26.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "".join(f"{info.name}/{name},,\n" for name in ("METADATA", "RECORD", "WHEEL")),
        }
        for name, text in files.items():
            (info / name).write_text(text, encoding="utf-8")


def _requirements(number: int) -> tuple[str, ...]:
    """Return requirements that are met, in wordings that differ from one plugin to the next as authors' do."""
    return (
        "autoreg<1,>=0.1",
        f"transformers<6,>=5.{number % 20}",
        f"torch>=2.{number % 7}",
        f"numpy>=1.{20 + number % 6}",
        'pytest>=8; extra == "test"',
        f"einops>=0.{number % 8}; extra == 'fast'",
    )


def install_light(folder: Path, count: int) -> Path:
    """Write `count` plugins for the cases in which their metadata alone is read.

    Each has the metadata of a real one (six requirements, classifiers, a README of three kilobytes) and a
    declaration; its classes are named and do not exist, because nothing may ever import them.
    """
    folder.mkdir(parents=True)
    for number in range(count):
        name, package = f"light{number:04}", f"autoreg_light{number:04}"
        entry_points = f"[autoreg]\n{name} = {package}.plugin\n"
        _Distribution(
            name=f"autoreg-{name}",
            version=f"1.{number % 10}.0",
            requirements=_requirements(number),
            entry_points=entry_points,
        ).write(folder)
        (folder / package).mkdir()
        (folder / package / "__init__.py").touch()
        declaration = _DECLARATION.format(name=name, config=f"{package}.code:Config", model=f"{package}.code:Model")
        (folder / package / "plugin.py").write_text(declaration, encoding="utf-8")
    return folder


def install_retnet(folder: Path) -> tuple[Path, ...]:
    """Return the folders that make autoreg-retnet an installed plugin: none where pip has installed it."""
    try:
        importlib.metadata.version("autoreg-retnet")
    except importlib.metadata.PackageNotFoundError:
        entry_points = "[autoreg]\nretnet = autoreg_retnet.plugin\n"
        _Distribution(
            name="autoreg-retnet", version="0.1.0", requirements=_requirements(0), entry_points=entry_points
        ).write(folder)
        return (folder, RETNET)
    return ()


def install_forks(folder: Path, count: int) -> Path:
    """Write `count` plugins that are forks of transformers' own models, for the cases in which they are imported.

    Most architectures that live outside transformers began as a copy of one inside it. Each fork is that
    model's real configuration and modelling modules under other names, importing from transformers what
    they import there, and nothing else: real plugins bring einops, timm or scipy along, and would make
    importing all of them dearer than it is here. Each fork, and autoreg-retnet itself, also has an entry
    point for the system that imports everything.
    """
    folder.mkdir(parents=True)
    for number, native in enumerate(_FORKED[:count]):
        name = f"forked_{native}"
        prefix = _fork(folder / f"autoreg_{name}", native, name)
        entry_points = f"[autoreg]\n{name} = autoreg_{name}.plugin\n{_registrar(folder, name, prefix)}"
        _Distribution(
            name=f"autoreg-forked-{native}",
            version="0.1.0",
            requirements=_requirements(number),
            entry_points=entry_points,
        ).write(folder)
    _Distribution(
        name="retnet-registrar",
        version="0.1.0",
        requirements=("autoreg-retnet",),
        entry_points=_registrar(folder, "retnet", "RetNet"),
    ).write(folder)
    return folder


def _registrar(folder: Path, name: str, prefix: str) -> str:
    """Write the module that registers one plugin; return the entry-point lines that name it."""
    source = _REGISTRAR.format(package=f"autoreg_{name}", name=name, prefix=prefix)
    (folder / f"register_{name}.py").write_text(source, encoding="utf-8")
    return f"[{REGISTRARS}]\n{name} = register_{name}:register\n"


def _fork(target: Path, native: str, name: str) -> str:
    """Write the package of one fork; return what its class names begin with."""
    target.mkdir()
    (target / "__init__.py").touch()
    source = _models_folder() / native
    modeling = (source / f"modeling_{native}.py").read_text(encoding="utf-8")
    prefix = re.findall(r"^class (\w+)ForCausalLM\(", modeling, re.MULTILINE)[0]
    for kind in ("configuration", "modeling"):
        text = (source / f"{kind}_{native}.py").read_text(encoding="utf-8")
        text = re.sub(r"^(\s*)from \.\.\. import", r"\1from transformers import", text, flags=re.MULTILINE)
        text = re.sub(r"^(\s*)from \.\.\.(?=\w)", r"\1from transformers.", text, flags=re.MULTILINE)
        text = re.sub(r"^(\s*)from \.\.(?=\w)", r"\1from transformers.models.", text, flags=re.MULTILINE)
        text = text.replace(f"from .configuration_{native}", f"from .configuration_{name}")
        text = re.sub(rf"\b{prefix}(?=[A-Z])", f"Forked{prefix}", text)
        text = text.replace(f'model_type = "{native}"', f'model_type = "{name}"')
        (target / f"{kind}_{name}.py").write_text(text, encoding="utf-8")
    declaration = _DECLARATION.format(
        name=name,
        config=f"autoreg_{name}.configuration_{name}:Forked{prefix}Config",
        model=f"autoreg_{name}.modeling_{name}:Forked{prefix}Model",
    )
    (target / "plugin.py").write_text(declaration, encoding="utf-8")
    return f"Forked{prefix}"


def _models_folder() -> Path:
    found = importlib.util.find_spec("transformers")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("transformers is not installed")
    return Path(found.origin).parent / "models"

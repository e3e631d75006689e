"""The declaration against the installed chronos-forecasting: a new release shows up here as a difference."""

import importlib
import importlib.metadata
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from autoreg import natives
from transformers import PreTrainedConfig, PreTrainedModel

from autoreg_chronos.plugin import autoreg_architectures

chronos = pytest.importorskip("chronos", reason="pip install --no-deps chronos-forecasting, and pandas and einops")

SNAPSHOT = Path(__file__).with_name("chronos_snapshot.json")


def classes() -> dict[str, dict[str, object]]:
    """Return every config and model class that the package defines, with its model type and what says its config."""
    found: dict[str, dict[str, object]] = {}
    for module in pkgutil.walk_packages(chronos.__path__, "chronos."):
        for value in vars(importlib.import_module(module.name)).values():
            own = isinstance(value, type) and value.__module__.partition(".")[0] == "chronos"
            if own and issubclass(value, PreTrainedConfig):
                found[f"{value.__module__}:{value.__qualname__}"] = {"model_type": value.model_type}
            elif own and issubclass(value, PreTrainedModel):
                config = value.config_class
                found[f"{value.__module__}:{value.__qualname__}"] = {"config": f"{config.__module__}:{config.__name__}"}
    return dict(sorted(found.items()))


def test_the_package_has_the_classes_that_it_had():
    """Its config and model classes are those of the snapshot; otherwise the message says what to edit."""
    known, now = json.loads(SNAPSHOT.read_text()), classes()
    version = importlib.metadata.version("chronos-forecasting")
    new, gone = sorted(now.keys() - known["classes"].keys()), sorted(known["classes"].keys() - now.keys())
    changed = [name for name, facts in now.items() if name in known["classes"] and known["classes"][name] != facts]
    assert [*new, *gone, *changed] == [], (
        f"chronos-forecasting {version} is not as {known['version']} was.\n"
        f"new: {new}\ngone: {gone}\nchanged: {[(name, known['classes'][name], now[name]) for name in changed]}\n"
        "Declare what is new in autoreg_chronos/plugin.py (and as an entry point in pyproject.toml), take out what"
        f" is gone, and write the snapshot again: {sys.executable} {__file__}"
    )


def test_every_model_is_declared_or_a_parent():
    """Each model class of the package is declared, and each declared class is one of the package's."""
    declared = {
        str(reference) for architecture in autoreg_architectures() for _, reference in architecture.references()
    }
    assert declared == set(json.loads(SNAPSHOT.read_text())["classes"])


def test_the_claimed_names_are_the_classes_that_save():
    """Each claimed name is that of the class it leads to, no name of transformers' own, and has its entry point."""
    entry_points = importlib.metadata.entry_points(group="autoreg.architectures")
    for architecture in autoreg_architectures():
        (name,) = architecture.architectures
        assert {reference.name for reference in architecture.models.values()} == {name}
        assert name not in natives.class_names()
        assert entry_points[name].value == "autoreg_chronos.plugin"
        assert architecture.model_type in natives.model_types()


def test_the_declaration_is_light():
    """Importing it and asking the hook loads neither torch nor transformers nor chronos."""
    script = (
        "import sys; from autoreg_chronos.plugin import autoreg_architectures; list(autoreg_architectures());"
        "print([name for name in ('torch', 'transformers', 'chronos', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_readme_runs(tmp_path: Path):
    """The block of the README prints what it says it does."""
    (block,) = re.findall(
        r"```python\n(.*?)```", Path(__file__).parents[1].joinpath("README.md").read_text(), re.DOTALL
    )
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "torch.Size([2, 3, 4])"


if __name__ == "__main__":
    text = {"version": importlib.metadata.version("chronos-forecasting"), "classes": classes()}
    SNAPSHOT.write_text(json.dumps(text, indent=2) + "\n")

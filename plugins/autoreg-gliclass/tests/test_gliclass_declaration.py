"""The declaration against the installed gliclass: a new release shows up here as a difference."""

import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import PreTrainedConfig, PreTrainedModel

from autoreg_gliclass.plugin import autoreg_architectures

gliclass = pytest.importorskip("gliclass", reason="pip install --no-deps gliclass")

SNAPSHOT = Path(__file__).with_name("gliclass_snapshot.json")


def classes() -> dict[str, dict[str, object]]:
    """Return every config and model class that the package defines, with its model type and what says its config."""
    found: dict[str, dict[str, object]] = {}
    for name in ("gliclass.config", "gliclass.model"):  # the others need a web server, Ray or scikit-learn
        for value in vars(importlib.import_module(name)).values():
            own = isinstance(value, type) and value.__module__.partition(".")[0] == "gliclass"
            if own and issubclass(value, PreTrainedConfig):
                found[f"{value.__module__}:{value.__qualname__}"] = {"model_type": value.model_type}
            elif own and issubclass(value, PreTrainedModel):
                config = value.config_class
                found[f"{value.__module__}:{value.__qualname__}"] = {"config": f"{config.__module__}:{config.__name__}"}
    return dict(sorted(found.items()))


def test_the_package_has_the_classes_that_it_had():
    """Its config and model classes are those of the snapshot; otherwise the message says what to edit."""
    known, now = json.loads(SNAPSHOT.read_text()), classes()
    version = importlib.metadata.version("gliclass")
    new, gone = sorted(now.keys() - known["classes"].keys()), sorted(known["classes"].keys() - now.keys())
    changed = [name for name, facts in now.items() if name in known["classes"] and known["classes"][name] != facts]
    assert [*new, *gone, *changed] == [], (
        f"gliclass {version} is not as {known['version']} was.\n"
        f"new: {new}\ngone: {gone}\nchanged: {[(name, known['classes'][name], now[name]) for name in changed]}\n"
        "Declare what is new in autoreg_gliclass/plugin.py (and as an entry point in pyproject.toml), take out what"
        f" is gone, and write the snapshot again: {sys.executable} {__file__}"
    )


def test_the_declared_classes_are_the_packages():
    """Each declared class is in the snapshot, and the model type is that of the config and of the entry point."""
    known = json.loads(SNAPSHOT.read_text())["classes"]
    (architecture,) = autoreg_architectures()
    assert {str(reference) for _, reference in architecture.references()} <= known.keys()
    assert known[str(architecture.config)] == {"model_type": architecture.model_type}
    entry_points = importlib.metadata.entry_points(group="autoreg")
    assert entry_points[architecture.model_type].value == "autoreg_gliclass.plugin"


def test_the_declaration_is_light():
    """Importing it and asking the hook loads neither torch nor transformers nor gliclass."""
    script = (
        "import sys; from autoreg_gliclass.plugin import autoreg_architectures; list(autoreg_architectures());"
        "print([name for name in ('torch', 'transformers', 'gliclass') if name in sys.modules])"
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
    assert done.stdout.strip() == "GLiClassModel torch.Size([1, 2])"


if __name__ == "__main__":
    text = {"version": importlib.metadata.version("gliclass"), "classes": classes()}
    SNAPSHOT.write_text(json.dumps(text, indent=2) + "\n")

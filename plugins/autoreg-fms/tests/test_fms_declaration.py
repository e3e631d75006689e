"""The declaration against the installed ibm-fms: a new release shows up here as a difference."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import autoreg
import pytest
from autoreg import natives

from autoreg_fms.plugin import autoreg_architectures

fms = pytest.importorskip("fms", reason="pip install --no-deps ibm-fms")

SNAPSHOT = Path(__file__).with_name("fms_snapshot.json")


_REGISTRATIONS = """
import json, logging
logging.disable()
from fms.models.hf.utils import register_fms_models
import transformers
from transformers.models.auto.auto_factory import _BaseAutoModelClass
register_fms_models()
found = {}
for auto_class in _BaseAutoModelClass.__subclasses__():
    mapping = getattr(auto_class, "_model_mapping", None)
    for config, model in getattr(mapping, "_extra_content", {}).items():
        facts = found.setdefault(config.model_type, {"AutoConfig": f"{config.__module__}:{config.__name__}"})
        facts[auto_class.__name__] = f"{model.__module__}:{model.__name__}"
print(json.dumps(found))
"""


def classes() -> dict[str, dict[str, str]]:
    """Return what the package's function registers with plain transformers: model type, Auto class, class."""
    done = subprocess.run([sys.executable, "-c", _REGISTRATIONS], capture_output=True, text=True, check=True)
    return dict(sorted(json.loads(done.stdout.splitlines()[-1]).items()))


def test_the_package_has_the_classes_that_it_had():
    """Its function registers what the snapshot says; otherwise the message says what to edit."""
    known, now = json.loads(SNAPSHOT.read_text()), classes()
    version = importlib.metadata.version("ibm-fms")
    new, gone = sorted(now.keys() - known["classes"].keys()), sorted(known["classes"].keys() - now.keys())
    changed = [name for name, facts in now.items() if name in known["classes"] and known["classes"][name] != facts]
    assert [*new, *gone, *changed] == [], (
        f"ibm-fms {version} is not as {known['version']} was.\n"
        f"new: {new}\ngone: {gone}\nchanged: {[(name, known['classes'][name], now[name]) for name in changed]}\n"
        "Put what is new into autoreg_fms/plugin.py (and as an entry point into pyproject.toml), take out what"
        f" is gone, and write the snapshot again: {sys.executable} {__file__}"
    )


def test_each_type_is_declared_and_has_its_entry_point():
    """The declared model types, the entry points and what the function registers are the same seven."""
    entry_points = importlib.metadata.entry_points(group="autoreg")
    ours = {each.name for each in entry_points if each.value == "autoreg_fms.plugin"}
    declared = {architecture.model_type for architecture in autoreg_architectures()}
    assert declared == ours == json.loads(SNAPSHOT.read_text())["classes"].keys()
    assert len(declared) == 7


def test_the_eighth_is_transformers_own():
    """What the package registers by itself and swallows the error of is native, and nobody here takes it over."""
    if "granite_swa" not in natives.model_types():
        pytest.skip("this transformers has no granite_swa of its own yet")
    config = autoreg.AutoConfig.for_model("granite_swa")
    assert type(config).__module__.startswith("transformers.")


def test_what_is_read_back_is_what_it_registers():
    """For each model type autoreg's Auto classes give the classes that the function registers, and none beside them."""
    with autoreg.isolated() as runtime:
        for model_type, registered in json.loads(SNAPSHOT.read_text())["classes"].items():
            architecture = runtime.resolved(runtime.types.choose(model_type))
            models = {auto_class: str(reference) for auto_class, reference in architecture.models.items()}
            assert {"AutoConfig": str(architecture.config), **models} == registered


def test_the_declaration_is_light():
    """Importing it and asking the hook loads neither torch nor transformers nor fms."""
    script = (
        "import sys; from autoreg_fms.plugin import autoreg_architectures; list(autoreg_architectures());"
        "print([name for name in ('torch', 'transformers', 'fms') if name in sys.modules])"
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
    assert done.stdout.strip() == "HFAdaptedLLaMAForCausalLM torch.Size([1, 4, 32])"


if __name__ == "__main__":
    text = {"version": importlib.metadata.version("ibm-fms"), "classes": classes()}
    SNAPSHOT.write_text(json.dumps(text, indent=2) + "\n")

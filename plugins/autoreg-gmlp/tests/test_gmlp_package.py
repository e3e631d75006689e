"""What importing the package costs, and what it offers."""

import subprocess
import sys

import pytest

import autoreg_gmlp


def _modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_import_is_light():
    """Importing the package and its declaration imports neither torch nor transformers."""
    assert not {"torch", "transformers", "numpy"} & _modules_after("import autoreg_gmlp.plugin")


def test_config_does_not_import_the_model():
    """Reaching for the configuration imports no modelling code."""
    modules = _modules_after("from autoreg_gmlp import GMLPConfig")
    assert "autoreg_gmlp.configuration_gmlp" in modules
    assert not {"autoreg_gmlp.modeling_gmlp", "autoreg_gmlp.tokenization_gmlp"} & modules


def test_every_public_name_resolves():
    """Each name of `__all__` is a class of that name, shown by `dir`."""
    for name in autoreg_gmlp.__all__:
        assert getattr(autoreg_gmlp, name).__name__ == name
        assert name in dir(autoreg_gmlp)


def test_unknown_name_raises():
    """An unknown attribute raises AttributeError that names it."""
    with pytest.raises(AttributeError, match="GMLPForVision"):
        getattr(autoreg_gmlp, "GMLPForVision")  # noqa: B009 - a bare attribute reads as a mistake

"""What importing the package costs, and what it offers."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

import autoreg_convmixer


def _modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_import_is_light():
    """Importing the package imports neither torch nor transformers."""
    assert not {"torch", "transformers", "numpy", "PIL"} & _modules_after("import autoreg_convmixer")


def test_config_does_not_import_the_model():
    """Reaching for the configuration imports no modelling code."""
    modules = _modules_after("from autoreg_convmixer import ConvMixerConfig")
    assert "autoreg_convmixer.configuration_convmixer" in modules
    assert "autoreg_convmixer.modeling_convmixer" not in modules


def test_every_public_name_resolves():
    """Each name of `__all__` is a class of that name, shown by `dir`, save the one that torchvision is missing for."""
    missing = set() if find_spec("torchvision") else {"ConvMixerImageProcessor"}
    for name in autoreg_convmixer.__all__:
        assert name in dir(autoreg_convmixer)
        if name not in missing:
            assert getattr(autoreg_convmixer, name).__name__ == name


def test_unknown_name_raises():
    """An unknown attribute raises AttributeError that names it."""
    with pytest.raises(AttributeError, match="ConvMixerForVideo"):
        getattr(autoreg_convmixer, "ConvMixerForVideo")  # noqa: B009 - a bare attribute reads as a mistake

"""What importing the package costs, and what it offers."""

import subprocess
import sys

import pytest

import autoreg_convs2s


def _modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_import_is_light():
    """Importing the package imports neither torch nor transformers."""
    assert not {"torch", "transformers", "numpy"} & _modules_after("import autoreg_convs2s")


def test_config_does_not_import_the_model():
    """Reaching for the configuration imports no modelling code."""
    modules = _modules_after("from autoreg_convs2s import ConvS2SConfig")
    assert "autoreg_convs2s.configuration_convs2s" in modules
    assert not {"autoreg_convs2s.modeling_convs2s", "autoreg_convs2s.cache_convs2s"} & modules


def test_every_public_name_resolves():
    """Each name of `__all__` is a class of that name, shown by `dir`."""
    for name in autoreg_convs2s.__all__:
        assert getattr(autoreg_convs2s, name).__name__ == name
        assert name in dir(autoreg_convs2s)


def test_unknown_name_raises():
    """An unknown attribute raises AttributeError that names it."""
    with pytest.raises(AttributeError, match="ConvS2SForVision"):
        getattr(autoreg_convs2s, "ConvS2SForVision")  # noqa: B009 - a bare attribute reads as a mistake

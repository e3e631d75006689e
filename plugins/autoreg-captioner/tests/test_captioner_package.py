"""What importing the package costs, and what it offers."""

import subprocess
import sys

import pytest

import autoreg_captioner


def _modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_import_is_light():
    """Importing the package imports neither torch nor transformers."""
    assert not {"torch", "transformers", "numpy", "PIL"} & _modules_after("import autoreg_captioner")


def test_config_does_not_import_the_model():
    """Reaching for the configuration imports no modelling code."""
    modules = _modules_after("from autoreg_captioner import CaptionerConfig")
    assert "autoreg_captioner.configuration_captioner" in modules
    assert not {"autoreg_captioner.modeling_captioner", "autoreg_retnet.modeling_retnet"} & modules


def test_every_public_name_resolves():
    """Each name of `__all__` is a class of that name, shown by `dir`."""
    for name in autoreg_captioner.__all__:
        assert getattr(autoreg_captioner, name).__name__ == name
        assert name in dir(autoreg_captioner)


def test_unknown_name_raises():
    """An unknown attribute raises AttributeError that names it."""
    with pytest.raises(AttributeError, match="CaptionerForVideo"):
        getattr(autoreg_captioner, "CaptionerForVideo")  # noqa: B009 - a bare attribute reads as a mistake

"""The distribution, built and installed: every Python of the environment is armed, and none is harmed."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

DISTRIBUTION = Path(__file__).resolve().parents[1]
NAMES = "[type(finder).__name__ for finder in sys.meta_path]"
IS_ACTIVE = f"import sys, transformers; print('Watch' in {NAMES})"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-q"]
    subprocess.run([sys.executable, *build, "-w", folder, DISTRIBUTION], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """Return a virtual environment in which the wheel is installed, beside all that is installed here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib*/python*/site-packages"))
    here = sysconfig.get_path("purelib")
    (site / "_everything_else.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    zipfile.ZipFile(wheel).extractall(site)
    return folder


def run(environment: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "AUTOREG_AUTOLOAD")}
    return subprocess.run(
        [environment / "bin" / "python", *arguments],
        env={**inherited, **variables},
        cwd=environment,  # without anything that could be imported
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_has_both_files_where_python_looks(wheel):
    """The two start-up files lie at the top of the wheel, one line each, and name the same function."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        pth, start = (archive.read(f"autoreg-autoload.{kind}").decode() for kind in ("pth", "start"))
    assert names == {"autoreg_autoload.py", "autoreg-autoload.pth", "autoreg-autoload.start"}
    assert pth == "import autoreg_autoload; autoreg_autoload.arm()\n"  # executed only if it begins with "import "
    assert start == "autoreg_autoload:arm\n"  # PEP 829: pkg.mod:callable, no arguments


@pytest.mark.parametrize("flags", [(), ("-I",), ("-E",)], ids=str)
def test_a_process_is_armed_and_then_active(environment, flags):
    """Plugins are active once transformers is imported, also with -I and -E; before, nothing is imported."""
    done = run(environment, *flags, "-c", f"import sys; print('Armed' in {NAMES}); {IS_ACTIVE}")
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")
    heavy = "{'torch', 'transformers', 'pluggy', 'importlib.metadata'} & set(sys.modules)"
    assert run(environment, *flags, "-c", f"import sys; print({heavy})").stdout == "set()\n"


def test_a_variable_and_a_flag_keep_it_away(environment):
    """AUTOREG_AUTOLOAD=0 leaves transformers plain, and -S starts without."""
    assert run(environment, "-c", IS_ACTIVE, AUTOREG_AUTOLOAD="0").stdout == "False\n"
    done = run(environment, "-S", "-c", f"import sys; print('Armed' in {NAMES})")
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.parametrize("source", ["raise RuntimeError('oh')", "import", "import no_such_module"])
def test_a_broken_autoreg_is_silent_at_the_start(environment, tmp_path, source):
    """Where autoreg cannot be imported, Python starts without a word: pip, which mends it, starts so too."""
    (tmp_path / "autoreg").mkdir()
    (tmp_path / "autoreg" / "__init__.py").write_text(source)
    done = run(environment, "-c", f"import sys; print({NAMES})", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Armed" not in done.stdout


def test_run_and_autoload_go_together(environment):
    """Under `autoreg run` an environment with autoload arms a process once."""
    source = f"import sys; print({NAMES}.count('Armed')); {IS_ACTIVE}"
    done = run(environment, "-m", "autoreg", "run", "--", str(environment / "bin" / "python"), "-c", source)
    assert (done.stdout, done.stderr) == ("1\nTrue\n", "")

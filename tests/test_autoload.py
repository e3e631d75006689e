"""`autoreg run`: programs that never mention autoreg, and the processes they start, see the plugins."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from autoreg.autoload import environment, folder
from tests.plugin_maker import REPOSITORY, Plugin, in_new_process, write_plugin

ACTIVE = "any(type(finder).__name__ == 'Watch' for finder in sys.meta_path)"
IS_ACTIVE = f"import sys, transformers; print({ACTIVE})"
"""A program that says whether plugins are active in it; transformers alone is imported, torch is not."""


def started(
    *command: str | Path,
    path: tuple[Path, ...] = (),
    variables: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command under `autoreg run` and return what became of it."""
    return subprocess.run(
        under(*command),
        env=surroundings(*path, **(variables or {})),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def under(*command: str | Path) -> list[str]:
    return [sys.executable, "-m", "autoreg", "run", "--", *map(str, command)]


def surroundings(*path: Path, **variables: str) -> dict[str, str]:
    folders = os.pathsep.join(map(str, [*path, REPOSITORY]))
    return {**os.environ, "PYTHONPATH": folders, "HF_HUB_OFFLINE": "1", **variables}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plugin, Path]:
    """Return a plugin that is installed in a folder, and a checkpoint of its model."""
    folder = tmp_path_factory.mktemp("autoload")
    plugin = write_plugin(folder / "site")
    script = """
    import autoreg, json, sys
    autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag")).save_pretrained(sys.argv[1])
    print(json.dumps(None))
    """
    in_new_process(script, path=[plugin.site], arguments=[str(folder / "checkpoint")])
    return plugin, folder / "checkpoint"


def written(folder: Path, source: str, name: str = "program.py") -> Path:
    file = folder / name
    file.write_text(source)
    return file


LOADS = """
import sys
from transformers import AutoModel

def load(path):
    return type(AutoModel.from_pretrained(path)).__name__

"""


# --- it works ------------------------------------------------------------------------------------


def test_a_program_and_its_spawned_worker_load_a_plugins_checkpoint(installed, tmp_path: Path) -> None:
    """A program that knows transformers alone loads a plugin's checkpoint, and so does a process it spawns."""
    plugin, checkpoint = installed
    program = written(
        tmp_path,
        LOADS
        + """
if __name__ == "__main__":
    import multiprocessing
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(load(sys.argv[1]), *pool.map(load, sys.argv[1:]))
""",
    )
    done = started(sys.executable, program, checkpoint, path=(plugin.site,))
    assert (done.returncode, done.stdout) == (0, "ZigzagModel ZigzagModel\n"), done.stderr
    source = f"from transformers import AutoConfig; AutoConfig.from_pretrained({str(checkpoint)!r})"
    without = subprocess.run(
        [sys.executable, "-c", source], env=surroundings(plugin.site), capture_output=True, text=True, check=False
    )
    assert without.returncode == 1
    assert "does not recognize this architecture" in without.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        print(*pool.map(load, [sys.argv[1]] * 2))
""",
        """
    from torch.utils.data import DataLoader
    loader = DataLoader([sys.argv[1]] * 2, batch_size=None, collate_fn=load, num_workers=2,
                        multiprocessing_context="spawn")
    print(*loader)
""",
        """
    import subprocess
    print(*[subprocess.run([sys.executable, "-c", "from program import load, sys; print(load(sys.argv[1]))",
                            sys.argv[1]], check=True, capture_output=True, text=True).stdout.strip()] * 2)
""",
    ],
    ids=["process pool", "DataLoader", "subprocess"],
)
def test_workers_load_a_plugins_checkpoint(installed, tmp_path: Path, source: str) -> None:
    """The workers of a process pool and of a DataLoader, spawned, and a Python that is started by hand do."""
    plugin, checkpoint = installed
    program = written(tmp_path, f'{LOADS}\nif __name__ == "__main__":\n{source}')
    done = started(sys.executable, program, checkpoint, path=(plugin.site, tmp_path))
    assert (done.returncode, done.stdout) == (0, "ZigzagModel ZigzagModel\n"), done.stderr


@pytest.mark.slow
def test_both_ranks_of_torchrun_load_a_plugins_checkpoint(installed, tmp_path: Path) -> None:
    """Two ranks that torchrun starts load a plugin's checkpoint and see each other's answer."""
    plugin, checkpoint = installed
    program = written(
        tmp_path,
        LOADS
        + """
import torch.distributed as dist
dist.init_process_group("gloo")
answers = [None, None]
dist.all_gather_object(answers, f"{dist.get_rank()} {load(sys.argv[1])}")
if dist.get_rank() == 0:
    print(*answers)
dist.destroy_process_group()
""",
    )
    torchrun = ["torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--rdzv-backend=c10d"]
    done = started(
        sys.executable, "-m", *torchrun, "--rdzv-endpoint=127.0.0.1:0", program, checkpoint, path=(plugin.site,)
    )
    assert (done.returncode, done.stdout) == (0, "0 ZigzagModel 1 ZigzagModel\n"), done.stderr


def test_a_program_that_activates_by_itself_is_none_the_worse(installed) -> None:
    """activate() in the program, before transformers is imported, and its undo, go together with `autoreg run`."""
    plugin, checkpoint = installed
    source = f"""
import sys, autoreg
undo = autoreg.activate()
import transformers
transformers.AutoConfig.from_pretrained({str(checkpoint)!r})
undo()
print(type(transformers.AutoConfig.from_pretrained({str(checkpoint)!r})).__name__)
"""
    done = started(sys.executable, "-c", source, path=(plugin.site,))
    assert (done.returncode, done.stdout) == (0, "ZigzagConfig\n"), done.stderr


# --- and costs nothing before ----------------------------------------------------------------------


def test_nothing_is_imported_before_transformers(tmp_path: Path) -> None:
    """At the start neither autoreg nor what it needs is imported; nor when somebody asks whether transformers is."""
    source = """
import json, sys
import importlib.util
found = importlib.util.find_spec("transformers").name
print(json.dumps([found, [name for name in sys.argv[1:] if name in sys.modules], len(sys.path)]))
"""
    names = ["autoreg", "pluggy", "importlib.metadata", "transformers", "torch"]
    done = started(sys.executable, "-c", source, *names)
    bare = subprocess.run([sys.executable, "-c", source, *names], env=surroundings(), capture_output=True, check=True)
    assert json.loads(done.stdout) == json.loads(bare.stdout)
    assert json.loads(done.stdout)[:2] == ["transformers", []]


# --- the command is what it would be without ---------------------------------------------------------


def test_the_command_takes_the_place_of_the_process() -> None:
    """The command has the process id of `autoreg run`, its standard streams, and default signals."""
    command = under("sh", "-c", "echo $$; grep SigIgn /proc/self/status; cat; exit 7")
    with subprocess.Popen(command, env=surroundings(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        said, _ = it.communicate("through\n", timeout=60)
    assert it.returncode == 7
    pid, ignored, through = said.splitlines()
    assert (int(pid), through) == (it.pid, "through")
    assert int(ignored.split()[1], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0


def test_a_signal_ends_the_command() -> None:
    """A process that is terminated from outside ends by that signal, as without `autoreg run`."""
    source = "import time; print('here', flush=True); time.sleep(60)"
    command = under(sys.executable, "-c", source)
    with subprocess.Popen(command, env=surroundings(), stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == "here\n"
        it.terminate()
        assert it.wait(timeout=60) == -signal.SIGTERM


def test_arguments_arrive_as_they_were_typed(tmp_path: Path) -> None:
    """-c, -m and a script with a shebang get their arguments, `--` and `--help` among them; `--` may be left out."""
    source = "import sys; print(sys.argv[1:])"
    module = written(tmp_path, source, "says.py")
    script = written(tmp_path, f"#!{sys.executable}\n{source}\n", "says")
    script.chmod(0o755)
    rest = ["-x", "--", "--help", "two words", ""]
    for command in (["-c", source], ["-m", "says"], [str(module)]):
        assert started(sys.executable, *command, *rest, path=(tmp_path,)).stdout == f"{rest}\n"
    assert started(script, *rest).stdout == f"{rest}\n"
    assert (
        started("says", *rest, variables={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}).stdout == f"{rest}\n"
    )
    short = [sys.executable, "-m", "autoreg", "run", sys.executable, "-c", source, *rest]
    assert subprocess.check_output(short, env=surroundings(), text=True) == f"{rest}\n"


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ([], 2, "autoreg: run needs a COMMAND, such as: autoreg run -- python program.py"),
        (["no-such-program"], 127, "autoreg: cannot run no-such-program: No such file or directory"),
        ([os.curdir + "/README.md"], 126, "autoreg: cannot run ./README.md: Permission denied"),
    ],
)
def test_what_cannot_be_run_is_said_as_a_shell_does(command: list[str], code: int, text: str) -> None:
    """Without a command 2, without such a file 127, with one that is no program 126."""
    done = started(*command)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr


def test_the_folder_is_first_and_once_on_the_path() -> None:
    """PYTHONPATH keeps its folders behind ours, gets no empty item, and does not grow when run within run."""
    assert environment({"A": "b"}) == {"A": "b", "PYTHONPATH": folder()}
    once = environment({"PYTHONPATH": f"x{os.pathsep}"})
    assert once == {"PYTHONPATH": f"{folder()}{os.pathsep}x"} == environment(once)


def test_an_existing_sitecustomize_runs_as_before(tmp_path: Path) -> None:
    """Another `sitecustomize` on the path runs, is the module of that name, and what it raises is said as ever."""
    written(tmp_path, "import sys\nsys.mark = 'theirs'\n", "sitecustomize.py")
    source = f"import sys, sitecustomize; print(sys.mark, sitecustomize.__file__); {IS_ACTIVE}"
    done = started(sys.executable, "-c", source, path=(tmp_path,))
    assert done.stdout == f"theirs {tmp_path}/sitecustomize.py\nTrue\n", done.stderr
    written(tmp_path, "import no_such_module\n", "sitecustomize.py")
    broken = started(sys.executable, "-c", IS_ACTIVE, path=(tmp_path,))
    assert broken.stdout == "True\n"
    assert "Error in sitecustomize" in broken.stderr
    assert "no_such_module" in broken.stderr


# --- nothing that goes wrong reaches the program -----------------------------------------------------


@pytest.mark.parametrize("source", ["raise RuntimeError('oh')", "import", "raise SystemExit(3)", "import no_such"])
def test_a_broken_autoreg_is_one_line(tmp_path: Path, source: str) -> None:
    """An autoreg that cannot be imported leaves the program alone: one line on standard error, plain transformers."""
    (tmp_path / "autoreg").mkdir()
    written(tmp_path / "autoreg", source, "__init__.py")
    variables = environment(surroundings(tmp_path))
    command = [sys.executable, "-c", IS_ACTIVE]  # in a folder without an autoreg: -c puts it first on the path
    done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False\n")
    (line,) = (line for line in done.stderr.splitlines() if "autoreg" in line)
    assert line.startswith(f"autoreg: plugins are not active in {sys.executable} (")
    silent = subprocess.run([sys.executable, "-c", "pass"], env=variables, capture_output=True, check=True)
    assert silent.stderr == b""


def test_a_broken_plugin_harms_nobody_else(installed, tmp_path: Path) -> None:
    """With a plugin that cannot be imported, the others load and so do transformers' own."""
    plugin, checkpoint = installed
    write_plugin(tmp_path, "broken", modules={"plugin": "raise RuntimeError('oh')"})
    source = """
import sys
from transformers import AutoConfig
print(type(AutoConfig.from_pretrained(sys.argv[1])).__name__, type(AutoConfig.for_model("bert")).__name__)
"""
    done = started(sys.executable, "-c", source, checkpoint, path=(plugin.site, tmp_path))
    assert (done.returncode, done.stdout) == (0, "ZigzagConfig BertConfig\n"), done.stderr


@pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
def test_flags_that_shut_the_environment_out_do(flag: str) -> None:
    """Python with -I, -E or -S runs as without us: the first two do not read PYTHONPATH, -S no sitecustomize."""
    source = f"import sys; print({ACTIVE}, sys.flags.isolated, [type(each).__name__ for each in sys.meta_path])"
    done = started(sys.executable, flag, "-c", source)
    bare = subprocess.run(
        [sys.executable, flag, "-c", source], env=surroundings(), capture_output=True, text=True, check=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, bare.stdout, bare.stderr)
    assert "Armed" not in done.stdout


@pytest.mark.parametrize("value", ["0", "false", " No "])
def test_a_variable_switches_it_off(value: str) -> None:
    """AUTOREG_AUTOLOAD=0 leaves transformers plain."""
    assert started(sys.executable, "-c", IS_ACTIVE, variables={"AUTOREG_AUTOLOAD": value}).stdout == "False\n"


def other_pythons() -> list[str]:
    """Return interpreters of other versions of Python 3 that this machine has."""
    own = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    names = [f"python3.{minor}" for minor in range(6, 20)]
    found = [path for name in names if name != own and (path := shutil.which(name))]
    found += map(str, Path.home().glob(".pyenv/versions/3.*/bin/python"))
    asks = [path for path in found if _version(path) not in ("", own)]
    return list({_version(path): path for path in asks}.values())


def _version(path: str) -> str:
    source = "import sys; print('python%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", source], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def test_another_version_of_python_runs_its_program(tmp_path: Path) -> None:
    """An interpreter without autoreg runs as ever, and says so in one line if it comes to transformers."""
    pythons = other_pythons()
    if not pythons:
        pytest.skip("this machine has no other version of Python 3")
    (tmp_path / "transformers").mkdir()
    written(tmp_path / "transformers", "here = 'theirs'\n", "__init__.py")
    variables = environment({**os.environ, "PYTHONPATH": str(tmp_path)})
    for python in pythons:
        quiet, done = (
            subprocess.run(
                [python, "-c", source], env=variables, cwd=tmp_path, capture_output=True, text=True, check=False
            )
            for source in ("print(1)", "import transformers; print(transformers.here)")
        )
        assert (quiet.stdout, quiet.stderr) == ("1\n", ""), python
        assert done.stdout == "theirs\n", python
        assert done.stderr.endswith("(ModuleNotFoundError: No module named 'autoreg')\n")
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_an_environment_within_has_its_own_packages(tmp_path: Path) -> None:
    """A virtual environment that the command starts, without transformers, fails as it would without us."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "inner"], check=True)
    inner = tmp_path / "inner" / "bin" / "python"
    done = subprocess.run(
        [inner, "-c", "import transformers"],
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'transformers'"


def test_a_start_takes_milliseconds_more() -> None:
    """Python under `autoreg run` starts at most 25 ms later than bare, the lesser of many starts in turns."""

    def start(variables: dict[str, str]) -> float:
        before = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], env=variables, check=True)
        return time.perf_counter() - before

    bare = {name: value for name, value in surroundings().items() if name != "PYTHONDONTWRITEBYTECODE"}
    armed = environment(bare)
    pairs = [(start(bare), start(armed)) for _ in range(12)]
    assert min(it for _, it in pairs) - min(it for it, _ in pairs) < 0.025

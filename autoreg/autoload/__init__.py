"""Plugins in processes that never mention autoreg: armed at Python's start, active with transformers.

`launch` puts the folder `path/` on PYTHONPATH, whose `sitecustomize` every Python runs as it starts; the distribution
autoreg-autoload calls the same `arm` from a `.pth` or `.start` file.

Depth: metadata.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as in `autoreg`: every process of an environment with autoreg-autoload imports this
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["environment", "folder", "launch"]


def folder() -> str:
    """Return what `environment` puts on PYTHONPATH: a `sitecustomize` and nothing that a mistake could import."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "path")


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables with which every Python process arms itself."""
    # An empty item would be the current directory: there is none where the variable is empty.
    others = [item for item in variables.get("PYTHONPATH", "").split(os.pathsep) if item and item != folder()]
    return {**variables, "PYTHONPATH": os.pathsep.join([folder(), *others])}


def launch(command: Sequence[str]) -> int:
    """Become the command, with plugins active in every Python process that it is or starts.

    The process keeps its id, its open files and its signals, as with `env COMMAND`. Where the system cannot replace
    a process (Windows), the command is a child and its exit code is returned.

    Raises:
        OSError: it is not there, or cannot be run.
    """
    variables = environment(os.environ)
    if os.name != "nt":
        import signal

        # Python ignores these two; the command would inherit that, and `yes | head` in it would complain.
        for name in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(name, signal.SIG_DFL)
        os.execvpe(command[0], [*command], variables)
    import subprocess

    return subprocess.run(command, env=variables, check=False).returncode

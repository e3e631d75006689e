"""Arms a Python process as it starts: the plugins are active once transformers is imported.

Any Python that sees the folder on PYTHONPATH runs this, also one of another version or environment, without autoreg.
So the syntax is old, nothing is imported before it is needed, and nothing that goes wrong reaches the program.
"""

import os
import sys
from _thread import get_ident

__all__ = ["Armed", "arm"]

_OFF = ("0", "false", "no", "off")


def arm() -> None:
    """Have the plugins activated when this process imports transformers, unless AUTOREG_AUTOLOAD=0.

    Imports nothing. Depth: metadata, when it comes to that.
    """
    if os.environ.get("AUTOREG_AUTOLOAD", "").strip().lower() in _OFF:
        return
    # By name: the module may have been run twice, as `sitecustomize` and from autoreg's package.
    if any(type(finder).__name__ == "Armed" for finder in sys.meta_path):
        return
    if "transformers" in sys.modules:
        _activate()
    else:
        sys.meta_path.insert(0, Armed())  # type: ignore[arg-type]  # it takes and returns what a finder does


class Armed:
    """A finder that finds nothing itself and steps in when transformers is run.

    Not when it is looked for: many libraries ask whether there is one, and never import it.
    """

    def __init__(self) -> None:
        self._asking = set()  # type: ignore[var-annotated]  # which threads; the syntax of any Python
        self._done = False

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> object:
        """Return what the other finders find, and have the plugins activated before it is run."""
        if fullname != "transformers" or get_ident() in self._asking:  # another finder that asks all the others
            return None
        self._asking.add(get_ident())
        try:
            spec = _found(self, path, target)
        finally:
            self._asking.discard(get_ident())
        if getattr(spec, "loader", None) is not None:
            spec.loader.exec_module = self._run  # type: ignore[attr-defined]  # on the instance, for this one import
        return spec

    def _run(self, module: object) -> None:
        if not self._done:
            self._done = True
            sys.meta_path.remove(self)  # type: ignore[arg-type]  # as where it was put in
            _activate()
        # Found again: the bridge looks on from another finder since.
        spec = _found(self, None, None)
        spec.loader.exec_module(module)  # type: ignore[attr-defined]


def _found(asking: object, path: object, target: object) -> object:
    for finder in list(sys.meta_path):
        if finder is not asking and hasattr(finder, "find_spec"):
            spec = finder.find_spec("transformers", path, target)  # type: ignore[arg-type]
            if spec is not None:
                return spec
    return None


def _activate() -> None:
    try:
        from autoreg import activate

        activate()
    except (Exception, SystemExit) as error:
        reason = "%s: %s" % (type(error).__name__, error)  # noqa: UP031  # for any Python there may be
        if sys.stderr is not None:
            sys.stderr.write("autoreg: plugins are not active in %s (%s)\n" % (sys.executable, reason))  # noqa: UP031


def _pass_on() -> None:
    """Run the `sitecustomize` that would have been run without this one, and leave the search path without us."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != here]
    ours = sys.modules.pop(__name__)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401  # the next one on the path; what it raises is its own affair
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        sys.modules[__name__] = ours


if __name__ == "sitecustomize":
    try:
        arm()
    finally:
        _pass_on()

"""Several loads in one process, and what a process is left in by those before."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.trial.case import Act, Case, Wanted
from tests.trial.cases.common import Make, load, zigzag
from tests.trial.child import in_fresh_interpreter
from tests.trial.describe import described
from tests.trial.face import Face
from tests.trial.material import OTHER, ZIGZAG, Checkpoint, Place, write
from tests.trial.oracle import clean, difference, truth, value

__all__ = ["CASES", "first_loads"]

TURN = "one at a time"


def case(key: str, what: str, make: Make, wanted: Wanted, *names: str, act: Act, **more: Any) -> Case:
    """Return a case of this group."""
    return Case(id=f"threads-{key}", group="threads", what=what, make=make, act=act, wanted=wanted, names=names, **more)


def paused(place: Place) -> None:
    """Lay out two checkpoints that stop while they are built, and one that does not."""
    zigzag(place)
    for name in ("a", "b"):
        config = {**ZIGZAG.config, "pause": str(place.root / name)}
        write(place, ZIGZAG.but(config), folder=place.root / f"paused-{name}")
    write(place, OTHER, folder=place.root / "new")


def wrong_with(model: Any, dtype: str, checkpoint: Checkpoint = ZIGZAG) -> str:
    """Return what is wrong with a model that was loaded in this dtype."""
    import torch

    if dtype == "float32":
        return difference(described(model), checkpoint, fields=False)
    for name, array in checkpoint.truth.items():
        tensors = {**model.state_dict(), **dict(model.named_buffers())}
        wanted = torch.from_numpy(array.copy())
        wanted = wanted.to(torch.bfloat16) if wanted.is_floating_point() else wanted
        if name not in tensors or tensors[name].dtype != wanted.dtype or not torch.equal(tensors[name], wanted):
            return f"{name} in {dtype} is not what was written"
    return ""


def noted(problems: list[str], act: Callable[[], str]) -> None:
    try:
        found = act()
    except Exception as failure:
        found = f"raised {type(failure).__name__}: {failure}"[:300]
    if found:
        problems.append(found)


def afterwards(face: Face, place: Place) -> Iterator[str]:
    """Yield what is wrong with the process when all loads have ended."""
    import torch

    if torch.get_default_dtype() != torch.float32:
        yield f"torch's default dtype is {torch.get_default_dtype()} for good"
    found = wrong_with(face.load(place.folder), "float32")
    if found:
        yield f"a load later: {found}"


def thread(problems: list[str], face: Face, folder: Any, dtype: str) -> threading.Thread:
    """Start a thread that loads in this dtype and notes what is wrong."""
    run = threading.Thread(
        target=noted, args=(problems, lambda: wrong_with(face.load(folder, dtype=dtype), dtype)), daemon=True
    )
    run.start()
    return run


def inside(place: Place, name: str, seconds: float) -> bool:
    """Wait until a paused checkpoint is being built; say whether it is."""
    until = time.monotonic() + seconds
    while not (place.root / f"{name}.inside").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return (place.root / f"{name}.inside").exists()


def go_on(place: Place, name: str) -> None:
    (place.root / name).touch()


def interleaved(face: Face, place: Place) -> list[str]:
    """Begin a load, begin a second one, end the first, end the second; return what is wrong with any, or later."""
    problems: list[str] = []
    first = thread(problems, face, place.root / "paused-a", "bfloat16")
    assert inside(place, "a", 30)
    second = thread(problems, face, place.root / "paused-b", "float32")
    inside(place, "b", 1.5)  # never, where loads wait for one another
    go_on(place, "a")
    first.join(20)
    go_on(place, "b")
    second.join(20)
    return [*problems, *afterwards(face, place)]


def eight(face: Face, place: Place) -> list[str]:
    """Load in eight threads at once, four times each, in two dtypes."""
    problems: list[str] = []

    def loads(dtype: str) -> None:
        for _ in range(4):
            noted(problems, lambda: wrong_with(face.load(place.folder, dtype=dtype), dtype))

    runs = [threading.Thread(target=loads, args=(("float32", "bfloat16")[number % 2],)) for number in range(8)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    return [*problems, *afterwards(face, place)]


def saving_meanwhile(face: Face, place: Place) -> list[str]:
    """Save and load other models while a load is under way."""
    problems: list[str] = []
    other = face.load(place.root / "new")
    first = thread(problems, face, place.root / "paused-a", "bfloat16")
    assert inside(place, "a", 30)
    saving = threading.Thread(target=noted, args=(problems, lambda: face.save(other, place.root / "saved") or ""))
    saving.start()
    saving.join(1.5)
    go_on(place, "a")
    first.join(20)
    saving.join(20)
    noted(problems, lambda: wrong_with(face.load(place.root / "saved"), "float32", OTHER))
    return [*problems, *afterwards(face, place)]


def building_meanwhile(face: Face, place: Place) -> list[str]:
    """Build a model from a config while a load is under way, and look whether its weights were drawn."""
    import torch

    problems: list[str] = []
    config = face.load(place.folder, "AutoConfig")
    first = thread(problems, face, place.root / "paused-a", "bfloat16")
    assert inside(place, "a", 30)
    made: list[Any] = []

    def building() -> str:
        made.append(_built(face, config))
        return ""

    build = threading.Thread(target=noted, args=(problems, building))
    build.start()
    build.join(1.5)
    go_on(place, "a")
    first.join(20)
    build.join(20)
    if made and made[0].head.weight.dtype != torch.float32:
        problems.append(f"the model built meanwhile is {made[0].head.weight.dtype}")
    if made and made[0].head.weight is not made[0].model.embed.weight:
        problems.append("the model built meanwhile is not tied")
    return problems


def _built(face: Face, config: Any) -> Any:
    import transformers

    import autoreg

    module: Any = transformers if face.name == "plain" else autoreg
    return module.AutoModelForCausalLM.from_config(config)


def bystander(face: Face, place: Place) -> str:
    """Make a tensor while another thread loads in bfloat16, and return its dtype."""
    import torch

    problems: list[str] = []
    first = thread(problems, face, place.root / "paused-a", "bfloat16")
    assert inside(place, "a", 30)
    found = str(torch.ones(2).dtype)
    go_on(place, "a")
    first.join(20)
    return found


@contextmanager
def poison() -> Iterator[None]:
    """Leave what two loads at once in plain transformers leave: a stub that was taken for the original."""
    from transformers.initialization import no_init_weights, no_tie_weights

    for context in (no_tie_weights, no_init_weights):
        first, second = context(), context()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
    yield


def in_a_poisoned_process(face: Face, place: Place) -> Any:
    with poison():
        return load(face, place)


def after_an_error(face: Face, place: Place) -> list[str]:
    """Load what cannot be loaded, in bfloat16, and then what can."""
    held = place.root / "broken"
    write(place, ZIGZAG.but({"hidden_size": 6}), folder=held)
    with suppress(Exception):
        face.load(held, dtype="bfloat16")
    return list(afterwards(face, place))


def forked_meanwhile(face: Face, place: Place) -> list[str]:
    """Fork while another thread loads, as a DataLoader does, and load in the new process."""
    problems: list[str] = []
    first = thread(problems, face, place.root / "paused-a", "bfloat16")
    assert inside(place, "a", 30)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 3 if list(afterwards(face, place)) else 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    go_on(place, "a")
    first.join(20)
    code = os.waitstatus_to_exitcode(status)
    told = {1: "raised an error in the new process", 3: "the new process is poisoned for good"}
    return [*problems, *([told.get(code, f"the new process ended with {code}")] if code else [])]


def first_loads(face: Face, place: Place) -> list[str]:
    """Load in two threads as the very first thing that a process does."""
    problems: list[str] = []
    if face.name == "plain":
        from tests.trial.face import register

        register(os.environ["TRIAL_PACKAGE"])
    runs = [thread(problems, face, place.folder, dtype) for dtype in ("float32", "bfloat16")]
    for run in runs:
        run.join()
    return [*problems, *afterwards(face, place)]


def in_a_new_process(face: Face, place: Place) -> Any:
    return in_fresh_interpreter(first_loads, face.name, place)


CASES: tuple[Case, ...] = (
    case(
        "interleaved",
        "a load begins in another, and ends after it",
        paused,
        clean(),
        act=interleaved,
        guarantee=TURN,
        everyday=True,
    ),
    case("eight", "8 threads, 4 loads each, in two dtypes", zigzag, clean(), act=eight, guarantee=TURN),
    case("first", "the first two loads of a process, at once", zigzag, clean(), act=in_a_new_process, fresh=True),
    case("saving", "a save while another thread loads", paused, clean(), act=saving_meanwhile),
    case(
        "building",
        "a model built from a config while another thread loads",
        paused,
        clean(),
        act=building_meanwhile,
        guarantee=TURN,
    ),
    case(
        "bystander",
        "a tensor made by a thread that has nothing to do with it",
        paused,
        value("torch.float32"),
        act=bystander,
        cannot="torch's default dtype is one for the process, and transformers sets it while it builds a model",
    ),
    case(
        "poisoned",
        "in a process that two loads before have left poisoned",
        zigzag,
        truth(or_error=False),
        act=in_a_poisoned_process,
        guarantee="healing",
        everyday=True,
    ),
    case("error", "after a load that failed", zigzag, clean(), act=after_an_error),
    case(
        "forked",
        "in a process that was forked while a thread was loading",
        paused,
        clean(),
        act=forked_meanwhile,
        guarantee="healing",
        everyday=True,
    ),
)

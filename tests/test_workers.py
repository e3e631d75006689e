"""Worker processes: the plugins are simply there, because the entry points are."""

import os
import sys
from typing import Any

import pytest

import autoreg
from tests.plugin_maker import in_new_process, write_plugin

# Imported by the workers by name; it knows of no plugin.
WORK = """
import os
import sys

def look(folder):
    import autoreg
    before = sorted(name for name in sys.modules if name.startswith("autoreg_test_"))
    model = autoreg.AutoModel.from_pretrained(folder)
    return [os.getpid(), before, type(model).__name__, type(model).__module__, model.scale.tolist()]

def fail(folder):
    import autoreg
    return autoreg.AutoModel.from_pretrained(folder)

class Data:
    def __init__(self, folder):
        self.folder = folder

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return look(self.folder)

def same(batch):
    return batch

def main():
    import json, multiprocessing
    from torch.utils.data import DataLoader
    import autoreg
    folder, broken = sys.argv[1:3]
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        in_pool = pool.apply(look, (folder,))
        try:
            pool.apply(fail, (broken,))
        except autoreg.UnknownArchitectureError as error:
            came_home = str(error)
        model = autoreg.AutoModel.from_pretrained(folder)
        doubled = pool.apply(double, (model,))
    loader = DataLoader(Data(folder), num_workers=1, batch_size=2, collate_fn=same, multiprocessing_context="spawn")
    (batch,) = list(loader)
    seen = {"here": os.getpid(), "pool": in_pool, "loader": batch[0], "error": came_home, "doubled": doubled}
    print(json.dumps(seen))

def double(model):
    return [type(model).__name__, (2 * model.scale).tolist()]

if __name__ == "__main__":
    import work
    work.main()
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run a pool and a DataLoader of spawned workers in a process of its own; return what they saw."""
    from tests.plugin_maker import write_checkpoint

    site = tmp_path_factory.mktemp("site")
    plugin = write_plugin(site)
    (site / "work.py").write_text(WORK)
    folder = site / "checkpoint"
    sys.path.insert(0, str(site))
    try:
        with autoreg.isolated():
            model = autoreg.AutoModel.from_config(autoreg.AutoConfig.for_model("zigzag"))
            model.scale.data.mul_(3)
            model.save_pretrained(folder)
    finally:
        sys.path.remove(str(site))
    unknown = write_checkpoint(site / "unknown", {"model_type": "qqqqq"})
    script = "import runpy, sys; sys.argv[0] = 'work'; import work; work.main()"
    found = in_new_process(script, path=[site], arguments=[str(folder), str(unknown)])
    return {**found, "package": plugin.package}


@pytest.mark.parametrize("where", ["pool", "loader"])
def test_a_spawned_worker_loads_a_plugins_checkpoint(seen: dict[str, Any], where: str) -> None:
    """A spawned worker, of a pool or of a DataLoader, loads the checkpoint with no import of the plugin."""
    process, before, name, module, scale = seen[where]
    assert process not in (seen["here"], os.getpid())
    assert before == []
    assert (name, module, scale) == ("ZigzagModel", f"{seen['package']}.modeling", [3, 3, 3, 3])


def test_an_error_comes_home(seen: dict[str, Any]) -> None:
    """An error of a worker reaches the parent process with its class and sentence."""
    assert "the model type 'qqqqq' is neither one of transformers" in seen["error"]


def test_a_model_travels(seen: dict[str, Any]) -> None:
    """A plugin's model is pickled by reference and works in the worker it is sent to."""
    assert seen["doubled"] == ["ZigzagModel", [6, 6, 6, 6]]

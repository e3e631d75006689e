"""What the hub sends is what it said that it would send, or an error says what is the matter."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import transformers

from autoreg.checkpoint import manifest
from tests.hub.server import Hub, serve
from tests.plugin_maker import in_new_process

FILE = "model.safetensors"
LOADS: dict[str, dict[str, Any]] = {
    "me/fine": {"verify": "full"},
    "me/larger": {},
    "me/smaller": {},
    "me/dropped": {},
    "me/changed": {"verify": "full"},
    "me/recorded": {"subfolder": "inner"},
    "me/nowhere": {},
}
SCRIPT = """
    import json, os, sys
    from pathlib import Path
    import autoreg

    def load(repository, **options):
        try:
            autoreg.AutoModel.from_pretrained(repository, **options)
            return ""
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def flip(file):
        before, data = file.stat(), bytearray(file.read_bytes())
        data[-3] ^= 64
        file.write_bytes(data)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    loads, served, home = json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    said = {repository: load(repository, **options) for repository, options in loads.items()}
    for repository, inside in (("me/changed", ""), ("me/recorded", "inner")):
        flip(served / repository / inside / "model.safetensors")
        said[f"{repository}, mended"] = load(repository, **loads[repository])
        owner, name = repository.split("/")
        (cached,) = home.glob(f"hub/models--{owner}--{name}/snapshots/*/{inside}/model.safetensors")
        os.utime(cached, ns=(0, 0))
        flip(cached)
        said[f"{repository}, changed in the cache"] = load(repository, **loads[repository])
    print(json.dumps(said))
    """


def change(hub: Hub, repository: str, file: Path) -> None:
    """Change a number after the hub has said what the file's digest is, and leave size and times."""
    hub.repositories.snapshot(repository, "main")
    before, data = file.stat(), bytearray(file.read_bytes())
    data[-3] ^= 64
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def disturbed(root: Path) -> Iterator[Hub]:
    """Serve a tiny BERT in every repository, each disturbed in its own way."""
    tiny = {"num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    model = transformers.BertModel(transformers.BertConfig(vocab_size=9, **tiny))
    for repository, options in LOADS.items():
        if repository != "me/nowhere":
            model.save_pretrained(root / repository / options.get("subfolder", ""))
    manifest.write(str(root / "me/recorded/inner"))
    size = (root / "me/fine" / FILE).stat().st_size
    with serve(root) as hub:
        hub.announce("me/larger", FILE, size=size + 100)
        hub.announce("me/smaller", FILE, size=size - 100)
        hub.cut("me/dropped", FILE, after=300)
        change(hub, "me/changed", root / "me/changed" / FILE)
        change(hub, "me/recorded", root / "me/recorded/inner" / FILE)
        yield hub


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return how each load ended: with nothing said, or an error."""
    root = tmp_path_factory.mktemp("hub")
    for hub in disturbed(root / "served"):
        surroundings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(root / "home"), "HF_HUB_OFFLINE": "0"}
        arguments = [json.dumps(LOADS), str(root / "served"), str(root / "home")]
        found: dict[str, str] = in_new_process(SCRIPT, arguments=arguments, environment=surroundings)
    return found


@pytest.mark.parametrize("repository", ["me/fine", "me/dropped"])
def test_what_arrives_in_the_end_is_loaded(said: dict[str, str], repository: str) -> None:
    """A download whose connection is dropped is resumed, and every digest agrees with what the hub said."""
    assert said[repository] == ""


def test_a_size_that_is_too_large(said: dict[str, str]) -> None:
    """Where less comes than was announced, the error says so, and not that there is no such file."""
    assert said["me/larger"].startswith("CheckpointError: me/larger: a weight file could not be downloaded (")
    assert "If it stays so, the server is at fault, or a mirror in HF_ENDPOINT." in said["me/larger"]


def test_a_size_that_is_too_small(said: dict[str, str]) -> None:
    """Where less was announced than there is, what came is not what the hub has, and does not stay in the cache."""
    assert said["me/smaller"].startswith("IntegrityError: ")
    assert "model.safetensors: its content is not what the hub sent." in said["me/smaller"]
    assert "It was taken out of the cache: load again" in said["me/smaller"]


def test_other_bytes_of_the_same_size(said: dict[str, str]) -> None:
    """Bytes changed on the way are noticed when they were downloaded, and are downloaded again by the next load."""
    for repository in ("me/changed", "me/recorded"):
        assert said[repository].startswith("IntegrityError: ")
        assert "its content is not what the hub sent." in said[repository]
        assert said[f"{repository}, mended"] == ""


def test_bytes_that_change_in_the_cache(said: dict[str, str]) -> None:
    """What changes in the cache later is noticed by a manifest beside it, and in full by the hub's digest."""
    recorded, full = (said[f"me/{name}, changed in the cache"] for name in ("recorded", "changed"))
    assert "its content changed since the manifest was written." in recorded
    assert "its content is not what the hub sent." in full
    assert "taken out of the cache" not in recorded + full


def test_a_repository_that_nobody_has(said: dict[str, str]) -> None:
    """A repository that is not there is an error with its name."""
    assert "me/nowhere" in said["me/nowhere"]

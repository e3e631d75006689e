# ruff: noqa: E501 # tables of whole messages, one case a line
"""`save_pretrained` does what the object's own does, in one step, and says why when it does not."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import BertConfig, BertModel, GenerationConfig

import autoreg
from autoreg.checkpoint import manifest
from autoreg.saving import save_pretrained
from tests.conftest import MakePlugin
from tests.plugin_maker import PROCESSING, in_new_process

UNTOUCHED = "What was in the folder is there as it was."
NAME = "autoreg.manifest.json"


def bert(seed: int = 0, **fields: Any) -> BertModel:
    torch.manual_seed(seed)
    sizes = {
        "num_hidden_layers": 1,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_attention_heads": 2,
        "vocab_size": 9,
    }
    return BertModel(BertConfig(**{**sizes, "max_position_embeddings": 8, **fields}))


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class Writer:
    """An object with a `save_pretrained` of its own."""

    def __init__(self, write: Callable[..., Any]) -> None:
        self.write = write

    def save_pretrained(self, folder: str, **options: Any) -> Any:
        return self.write(Path(folder), **options)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a folder that holds a checkpoint, and files of others."""
    folder = tmp_path / "it"
    save_pretrained(bert(), folder)
    (folder / "README.md").write_text("# mine\n")
    (folder / "optimizer.pt").write_text("state")
    return folder


# --- what is refused, with the old checkpoint as it was ------------------------------------------------


def unwritable(field: str, value: object) -> BertModel:
    model = bert(1)
    setattr(model.config, field, value)
    return model


def sharing() -> BertModel:
    model = bert(1)
    model.encoder.layer[0].attention.self.key.weight = model.encoder.layer[0].attention.self.query.weight
    return model


def writing(fields: dict[str, Any]) -> Writer:
    return Writer(lambda folder: (folder / "config.json").write_text(json.dumps(fields)))


def failing(error: Exception) -> Writer:
    def write(folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise error

    return Writer(write)


REFUSED = [
    (lambda: unwritable("note", {"a": [1, {2}]}), "{0}/config.json, note.a.1: nothing was saved: a set cannot be written to JSON.\n"
     f"Set the field to numbers, strings, booleans, None, lists or dicts of them. {UNTOUCHED}"),
    (lambda: writing({"a": 1, "eps": float("nan")}), "{0}/config.json, eps: nothing was saved: the value is nan, and JSON has finite numbers only.\n"
     f"Set it to a number or None. {UNTOUCHED}"),
    (lambda: writing({"note": [0, -float("inf")]}), "{0}/config.json, note.1: nothing was saved: the value is -inf, and JSON has finite numbers only.\n"
     f"Set it to a number or None. {UNTOUCHED}"),
    (lambda: Writer(lambda folder: None), "{0}: nothing was saved: Writer.save_pretrained returned without writing a file.\nLook at what transformers has logged."),
    (lambda: failing(OSError(28, "No space left on device", "x")), "{0}: nothing was saved: no space left on device.\n"
     "Free some space: until a save is done, the old files and the new ones are both there."),
    (lambda: failing(RuntimeError("Error: I/O error: File too large (os error 27)")), "{0}: nothing was saved: file too large.\n"
     "The file is larger than this process or file system allows (`ulimit -f`); max_shard_size makes smaller files."),
    (lambda: failing(KeyError("odd")), f"{{0}}: nothing was saved: KeyError: 'odd'\n{UNTOUCHED}"),
    (object, "{0}: nothing was saved: a object has no `save_pretrained`.\nGive a model, config, tokenizer or processor."),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_saved(old: Path, make: Callable[[], Any], said: str) -> None:
    """What cannot be saved is a SaveError that names the field or the reason, and the old checkpoint is untouched."""
    before = content(old)
    with pytest.raises(autoreg.SaveError) as caught:
        save_pretrained(make(), old)
    assert str(caught.value) == said.format(old)
    assert isinstance(caught.value, (ValueError, OSError))
    assert content(old) == before


def test_shared_tensors(old: Path) -> None:
    """Weights that share memory and are not tied are a SaveError with transformers' list, and nothing is touched."""
    before = content(old)
    with pytest.raises(autoreg.SaveError) as caught:
        save_pretrained(sharing(), old)
    assert str(caught.value).startswith(f"{old}: nothing was saved: RuntimeError: ")
    assert "encoder.layer.0.attention.self.key.weight" in str(caught.value)
    assert str(caught.value).endswith(
        "Weights that are one tensor on purpose are declared as tied (`_tied_weights_keys`); others get a copy of their"
        f" own (`.clone()`). {UNTOUCHED}"
    )
    assert content(old) == before


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    """A file in the place of the folder is a SaveError, where transformers logs a line and returns."""
    file = tmp_path / "model.safetensors"
    file.write_text("mine")
    for path in (file, file / "below"):
        with pytest.raises(autoreg.SaveError, match=r"nothing was saved: (this is a file|not a directory)"):
            save_pretrained(bert(), path)
    assert file.read_text() == "mine"


def test_a_distributed_checkpoint(old: Path) -> None:
    """Files that each process writes by itself cannot be committed together, and that is said."""
    with pytest.raises(autoreg.SaveError, match="with distributed_checkpoint=True each process writes its own files"):
        save_pretrained(bert(), old, distributed_checkpoint=True)


# --- what is written -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_shard_size": "1KB"},
        {"variant": "fp16"},
        {"variant": "fp16", "max_shard_size": 900},
        {"save_original_format": False},
    ],
    ids=str,
)
def test_the_same_files_as_transformers(tmp_path: Path, options: dict[str, Any]) -> None:
    """Byte for byte what the object's own `save_pretrained` writes, and the manifest; plain transformers loads it."""
    model = bert()
    model.save_pretrained(tmp_path / "plain", **options)
    assert save_pretrained(model, tmp_path / "ours", **options) is None
    plain, ours = content(tmp_path / "plain"), content(tmp_path / "ours")
    assert ours.pop(NAME)
    assert ours == plain
    assert same(BertModel.from_pretrained(tmp_path / "ours", variant=options.get("variant")), model)
    assert manifest.check(str(tmp_path / "ours"), full=True) == ()


def test_a_state_dict_of_ones_own(tmp_path: Path) -> None:
    """`state_dict` is what is saved, as in transformers."""
    model, other = bert(0), bert(1)
    save_pretrained(model, tmp_path, state_dict=other.state_dict())
    assert same(BertModel.from_pretrained(tmp_path), other)


def test_configs_tokenizers_and_processors(tmp_path: Path, make_plugin: MakePlugin) -> None:
    """Configs, generation configs, tokenizers and processors are saved alike; returned paths lead to the folder."""
    plugin = make_plugin(**PROCESSING)
    folder = str(tmp_path / "it")
    save_pretrained(BertConfig(), folder)
    save_pretrained(GenerationConfig(max_new_tokens=3), folder, config_file_name="mine.json")
    tokenizer = plugin.cls("processing:Tokenizer")()
    paths = save_pretrained(tokenizer, folder)
    assert paths == tuple(path.replace("plain", "it") for path in tokenizer.save_pretrained(str(tmp_path / "plain")))
    processor = plugin.cls("processing:Processor")(tokenizer)
    assert save_pretrained(processor, Path(folder)) == [os.path.join(folder, "processor_config.json")]
    names = set(content(Path(folder)))
    assert {"config.json", "mine.json", "tokenizer_config.json", "processor_config.json", NAME} <= names
    assert set(json.loads((tmp_path / "it" / NAME).read_text())["files"]) == names - {NAME}


def test_what_is_read_and_added_to(old: Path) -> None:
    """A save that adds to the folder's README, as PEFT's does, finds it; one that does not leaves it alone."""

    def add(folder: Path) -> None:
        card = folder / "README.md"
        card.write_text(card.read_text() + "more\n")

    stamp = (old / "README.md").stat().st_mtime_ns
    save_pretrained(bert(1), old)
    assert (old / "README.md").stat().st_mtime_ns == stamp
    save_pretrained(Writer(add), old)
    assert (old / "README.md").read_text() == "# mine\nmore\n"


# --- what belonged to the old weights --------------------------------------------------------------------


def test_one_file_and_shards_in_turn(old: Path) -> None:
    """One file gives way to shards, these to others and to one file again; what is not theirs stays."""
    others = {"config.json", NAME, "README.md", "optimizer.pt"}
    for seed, size, count in [(1, "2KB", None), (2, "1KB", None), (3, "1GB", 1)]:
        model = bert(seed)
        save_pretrained(model, old, max_shard_size=size)
        weights = set(content(old)) - others
        assert (weights == {"model.safetensors"}) == (count == 1)
        if count is None:
            table = json.loads((old / "model.safetensors.index.json").read_text())["weight_map"]
            assert weights == {"model.safetensors.index.json", *table.values()}
        assert same(BertModel.from_pretrained(old), model)
        assert manifest.check(str(old), full=True) == ()


def index(*shards: str) -> str:
    return json.dumps({"weight_map": {str(number): name for number, name in enumerate(shards)}})


STALE = [
    # what is there; how the new weights are saved; what goes
    (["model-00001-of-00002.safetensors", "model-00003-of-00003.safetensors", "model.safetensors.index.json"], {}, 3),
    (["model.safetensors"], {"max_shard_size": 900}, 1),
    (["model.fp16.safetensors"], {"variant": "fp16", "max_shard_size": 900}, 1),
    (["model.fp16-00001-of-00002.safetensors", "model.safetensors.index.fp16.json"], {"variant": "fp16"}, 2),
    # another variant, another family, other formats, folders, files that nobody can place
    (["model.fp16.safetensors", "model.fp16-00001-of-00002.safetensors", "model.safetensors.index.fp16.json"], {}, 0),
    (["model.safetensors", "model.safetensors.index.json"], {"variant": "fp16"}, 0),
    (["adapter_model.safetensors", "optimizer.safetensors", "vae.safetensors", "consolidated.safetensors"], {}, 0),
    (["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "tf_model.h5", "model.onnx", "model.safetensors.bak"], {}, 0),
    (["tokenizer.json", "training_args.bin", "rng_state_0.pth", "trainer_state.json", "model-card.md"], {}, 0),
    (["sub/model-00001-of-00002.safetensors", "sub/model.safetensors"], {"max_shard_size": 900}, 0),
    (["model-1-of-2.safetensors", "my-model-00001-of-00002.safetensors", "model_00001.safetensors"], {}, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "options", "gone"), STALE, ids=lambda value: value[0] if isinstance(value, list) else None
)
def test_only_what_belonged_to_the_old_weights_goes(
    tmp_path: Path, names: list[str], options: dict[str, Any], gone: int
) -> None:
    """Weight files of the same name and variant go; whatever else is in the folder stays."""
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    save_pretrained(bert(), tmp_path, **options)
    left = [name for name in names if (tmp_path / name).exists() and (tmp_path / name).read_text() == "old"]
    assert len(left) == len(names) - gone
    assert same(BertModel.from_pretrained(tmp_path, variant=options.get("variant")), bert())


def test_what_the_old_index_lists_goes_and_what_another_lists_stays(tmp_path: Path) -> None:
    """Shards of any name go with the index that lists them, unless they are another's too or lie elsewhere."""
    mine, shared, outside = "weights_a.safetensors", "embeddings.safetensors", tmp_path / "outside.safetensors"
    folder = tmp_path / "it"
    folder.mkdir()
    for path in (folder / mine, folder / shared, folder / "notes.txt", outside):
        path.write_text("old")
    listed = index(mine, shared, "../outside.safetensors", "notes.txt", str(outside))
    (folder / "model.safetensors.index.json").write_text(listed)
    (folder / "model.safetensors.index.fp16.json").write_text(index(shared))
    save_pretrained(bert(), folder)
    assert set(content(folder)) == {"config.json", "model.safetensors", NAME, shared, "notes.txt", "model.safetensors.index.fp16.json"}  # fmt: skip
    assert outside.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', "[" * 9999])
def test_an_old_index_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    """An index that cannot be read lists nothing, and goes."""
    (tmp_path / "model.safetensors.index.json").write_text(text)
    (tmp_path / "other.safetensors").write_text("mine")
    save_pretrained(bert(), tmp_path)
    assert set(content(tmp_path)) == {"config.json", "model.safetensors", "other.safetensors", NAME}


# --- what config.json says ---------------------------------------------------------------------------------


def test_a_plugins_checkpoint_says_what_it_needs(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """A model and a config of a plugin say which distribution and version they need, and load again."""
    plugin = make_plugin(version="1.2.3")
    config = plugin.cls("configuration:Config")()
    model = plugin.cls("modeling:Model")(config)
    for name, saved in {"model": model, "config": config}.items():
        save_pretrained(saved, tmp_path / name)
        assert json.loads((tmp_path / name / "config.json").read_text())["autoreg"] == {
            "requires": "autoreg-zigzag>=1.2.3,<2",
            "distribution": "autoreg-zigzag",
            "version": "1.2.3",
            "model_type": "zigzag",
            "transformers": transformers.__version__,
        }
    assert same(autoreg.AutoModel.from_pretrained(tmp_path / "model"), model)


def test_of_two_plugins_that_claim_the_type(make_plugin: MakePlugin, tmp_path: Path) -> None:
    """Where two plugins claim the model type, the note names the one whose class was saved."""
    make_plugin(distribution="first")
    second = make_plugin(distribution="second", version="2.5")
    save_pretrained(second.cls("configuration:Config")(), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["autoreg"]["requires"] == "second>=2.5,<3"


def test_a_native_checkpoint_carries_no_note(tmp_path: Path) -> None:
    """One of transformers' own needs no package; a note that was there is another checkpoint's, and goes."""
    config = BertConfig(autoreg={"requires": "something>=1"})
    save_pretrained(config, tmp_path)
    assert "autoreg" not in json.loads((tmp_path / "config.json").read_text())


def test_a_type_that_nobody_has_here_keeps_its_note(isolated: object, tmp_path: Path) -> None:
    """The note of a class that no installed plugin declares stays as it was."""
    kind = type("ElsewhereConfig", (transformers.PreTrainedConfig,), {"model_type": "elsewhere"})
    save_pretrained(kind(autoreg={"requires": "autoreg-elsewhere>=1,<2"}), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["autoreg"] == {"requires": "autoreg-elsewhere>=1,<2"}


# --- several processes and threads -------------------------------------------------------------------------


def test_only_the_main_process_writes(tmp_path: Path) -> None:
    """With `is_main_process=False` nothing is written, not even a folder, and the old checkpoint stays."""
    assert save_pretrained(bert(), tmp_path / "it", is_main_process=False) is None
    assert save_pretrained(BertConfig(), tmp_path / "it", is_main_process=False) is None
    assert list(tmp_path.iterdir()) == []


def test_only_rank_zero_writes(tmp_path: Path) -> None:
    """In a job of torch.distributed the process of rank 1 takes part and writes nothing, without being told to."""
    script = """
        import json, os, sys, torch, transformers
        from torch.testing._internal.distributed.fake_pg import FakeStore
        from autoreg.saving import save_pretrained
        found = []
        for rank in (1, 0):
            torch.distributed.init_process_group("fake", store=FakeStore(), rank=rank, world_size=2)
            config = transformers.BertConfig(num_hidden_layers=1, hidden_size=8, intermediate_size=8, num_attention_heads=2)
            save_pretrained(transformers.BertModel(config), sys.argv[1])
            found.append(sorted(os.listdir(sys.argv[1])) if os.path.exists(sys.argv[1]) else None)
            torch.distributed.destroy_process_group()
        print(json.dumps(found))
    """
    assert in_new_process(script, arguments=[str(tmp_path / "it")]) == [
        None,
        [NAME, "config.json", "model.safetensors"],
    ]


def test_threads_save_one_after_the_other(tmp_path: Path) -> None:
    """Whatever threads save into one folder at once, it holds what one of them saved, and nothing else."""
    models = [bert(seed, layer_norm_eps=seed + 1.0) for seed in range(4)]
    threads = [
        threading.Thread(target=save_pretrained, args=(model, tmp_path), kwargs={"max_shard_size": size})
        for model, size in zip(models, ["1GB", "2KB", "1KB", "1GB"], strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loaded = BertModel.from_pretrained(tmp_path)
    assert same(loaded, models[int(loaded.config.layer_norm_eps) - 1])
    assert manifest.check(str(tmp_path), full=True) == ()
    assert not [name for name in content(tmp_path) if name.startswith(".")]


# --- to the hub ----------------------------------------------------------------------------------------------


@contextmanager
def hub(there: list[str]) -> Iterator[tuple[str, list[Any]]]:
    """Run a hub that takes commits, and yield its address and what it was asked for."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "/tree/" in self.path:
                return self._answer([{"type": "file", "path": name, "size": 1, "oid": "0" * 40} for name in there])
            return self._answer({"id": "me/it", "sha": "0" * 40, "siblings": [{"rfilename": name} for name in there]})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith("/repos/create"):
                asked.append(json.loads(body))
                return self._answer({"url": f"{address}/me/it", "name": "me/it", "id": "me/it"})
            if "/preupload/" in self.path:
                files = json.loads(body)["files"]
                return self._answer(
                    {
                        "files": [
                            {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files
                        ]
                    }
                )
            if "/commit/" in self.path:
                asked.extend(json.loads(line) for line in body.splitlines())
            return self._answer(
                {"commitUrl": f"{address}/me/it/commit/1", "commitOid": "1" * 40, "pullRequestUrl": None}
            )

        def _answer(self, value: object) -> None:
            content = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # http.server's own name
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield address, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_push_to_hub(old: Path) -> None:
    """`push_to_hub=True` commits here first, then uploads what was written, in one commit that removes what went."""
    script = """
        import json, sys, transformers
        from autoreg.saving import save_pretrained
        config = transformers.BertConfig(num_hidden_layers=1, hidden_size=8, intermediate_size=8, num_attention_heads=2)
        save_pretrained(
            transformers.BertModel(config), sys.argv[1], max_shard_size="20KB", push_to_hub=True, repo_id="me/it",
            token="secret", private=True, commit_message="Mine",
        )
        print("true")
    """
    with hub(["model.safetensors", "tokenizer.json"]) as (address, asked):
        environment = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        assert in_new_process(script, arguments=[str(old)], environment=environment)
    created, header, *operations = asked
    assert created["name"] == "it"
    assert "private" in (created.get("visibility"), *(["private"] if created.get("private") else []))
    assert header["value"]["summary"] == "Mine"
    files = {each["value"]["path"]: each["value"]["content"] for each in operations if each["key"] == "file"}
    assert files.keys() == content(old).keys() - {"optimizer.pt"}
    assert all(base64.b64decode(text) == content(old)[name] for name, text in files.items())
    assert [each["value"]["path"] for each in operations if each["key"] == "deletedFile"] == ["model.safetensors"]

"""torchrun: two gloo ranks train data-parallel, share a model by its plan, and shard it with FSDP2."""

import os
import shutil
from pathlib import Path

import pytest
import torch

import autoreg
from tests.hosts_real.launching import checkpoint, torchrun
from tests.plugin_maker import Plugin, in_new_process, metadata

pytestmark = pytest.mark.slow

TEXTS = ("And God said, Let there be light", "The LORD is my shepherd; I shall not")


def trained(path: Path) -> torch.nn.Module:
    """Return the model with the gradients of both texts, as one process computes them."""
    model = autoreg.AutoModelForCausalLM.from_pretrained(path)
    tokenizer = autoreg.AutoTokenizer.from_pretrained(path)
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt").input_ids
        (model(input_ids=ids, labels=ids).loss / len(TEXTS)).backward()
    return model


def test_data_parallel(tmp_path, seen):
    """Both ranks have the same gradients after one step, and they are those of one process with both batches."""
    torchrun("data_parallel", checkpoint("retnet"), tmp_path, cwd=tmp_path)
    one, other = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2))
    expected = {name: each.grad for name, each in trained(checkpoint("retnet")).named_parameters()}
    assert set(one) == set(other) == set(expected)
    assert all(one[name].equal(other[name]) for name in one)
    for name, gradient in expected.items():
        torch.testing.assert_close(one[name], gradient, rtol=1e-4, atol=1e-6)
    seen("torch", f"DDP: {len(one)} gradients equal on both ranks, and to one process with both batches")


def test_fsdp_and_distributed_checkpoint(tmp_path, seen):
    """Each rank holds half of the weights; what they save loads into ranks, and into one process, bit by bit."""
    import torch.distributed.checkpoint as dcp

    torchrun("fully_shard", checkpoint("retnet"), tmp_path, cwd=tmp_path)
    found = torch.load(tmp_path / "found.pt")
    model = trained(checkpoint("retnet"))
    total = sum(each.numel() for each in model.parameters())
    assert 0.45 < found["local"] / total < 0.55
    assert found["moments"] > 10
    assert set(found["saved"]) == set(found["loaded"])
    assert all(found["loaded"][name].equal(value) for name, value in found["saved"].items())

    torch.optim.AdamW(model.parameters(), lr=1e-3).step()
    for name, value in model.named_parameters():
        # Adam's first step has the size of the learning rate wherever the gradient is not almost nothing.
        away = (found["saved"][name] - value).abs()
        assert (away > 1e-4).float().mean() < 0.01, name

    alone = autoreg.AutoModelForCausalLM.from_config(model.config)
    state = {"model": alone.state_dict()}
    dcp.load(state, checkpoint_id=tmp_path / "sharded")
    alone.load_state_dict(state["model"])
    assert all(alone.state_dict()[name].equal(value) for name, value in found["saved"].items())
    seen("torch", f"FSDP2: {found['local']:,} of {total:,} weights on rank 0; saved and loaded bit by bit")


@pytest.fixture
def decoder(tmp_path) -> tuple[Path, Path]:
    """Return a folder with an installed plugin, the decoder that `autoreg new` writes, and a checkpoint of it."""
    scaffold = pytest.importorskip("autoreg.scaffold")
    made = scaffold.new("lattice", kind="decoder", folder=str(tmp_path / "project"))
    site, path = tmp_path / "site", tmp_path / "lattice"
    shutil.copytree(Path(made.folder) / made.package, site / made.package)
    plugin = Plugin(
        model_type="lattice",
        distribution="autoreg-lattice",
        version="0.1.0",
        package=made.package,
        prefix="",
        site=site,
    )
    metadata(plugin, entry_points=f"[autoreg]\nlattice = {made.package}.plugin\n")
    script = """
        import json, sys, torch, autoreg
        torch.manual_seed(0)
        config = autoreg.AutoConfig.for_model("lattice", initializer_range=0.2)
        model = autoreg.AutoModelForCausalLM.from_config(config).eval()
        autoreg.save_pretrained(model, sys.argv[1])
        with torch.no_grad():
            logits = model(input_ids=torch.arange(2, 34).view(2, 16)).logits
        torch.save({"logits": logits, "shapes": {name: tuple(it.shape) for name, it in model.named_parameters()}},
                   sys.argv[1] + "/expected.pt")
        print(json.dumps("saved"))
        """
    in_new_process(script, path=[site, *map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))],
                   arguments=[str(path)])  # fmt: skip
    return site, path


def test_tensor_parallel(decoder, tmp_path, seen):
    """By its plan two ranks share the decoder of `autoreg new`: half of each divided weight, and the same logits."""
    site, path = decoder
    torchrun("tensor_parallel", path, tmp_path, cwd=tmp_path, site=site)
    expected = torch.load(path / "expected.pt")
    ranks = [torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2)]
    for rank in ranks:
        torch.testing.assert_close(rank["logits"], expected["logits"], rtol=1e-4, atol=1e-4)
    divided = {name for name, shape in ranks[0]["shapes"].items() if shape != expected["shapes"][name]}
    assert any(name.endswith("q_proj.weight") for name in divided)
    for name in divided:
        parts = [torch.Size(rank["shapes"][name]).numel() for rank in ranks]
        assert sum(parts) == torch.Size(expected["shapes"][name]).numel(), name
    share = sum(torch.Size(shape).numel() for shape in ranks[0]["shapes"].values())
    whole = sum(torch.Size(shape).numel() for shape in expected["shapes"].values())
    assert share < 0.6 * whole
    seen("torch", f"tensor parallel: {share:,} of {whole:,} weights on rank 0; logits equal to 1e-4")

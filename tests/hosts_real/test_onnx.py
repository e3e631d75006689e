"""ONNX: what torch.onnx exports of a plugin's model, onnxruntime computes."""

import pytest
import torch
import transformers

from tests.hosts_real.launching import checkpoint

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = [pytest.mark.usefixtures("activated"), pytest.mark.slow]


class Logits(torch.nn.Module):
    """A model whose one output is its logits."""

    def __init__(self, model, names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *values):
        return self.model(**dict(zip(self.names, values, strict=True))).logits


def exported(model, inputs, shapes, folder):
    """Export a model with dynamic shapes; return an onnxruntime session of it."""
    torch.onnx.export(
        Logits(model, list(inputs)).eval(), tuple(inputs.values()), folder / "model.onnx", dynamo=True,
        input_names=list(inputs), output_names=["logits"], dynamic_shapes=(tuple(shapes),), verbose=False,
    )  # fmt: skip
    return onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


def agree(model, session, inputs):
    """Return how far apart the logits are."""
    with torch.no_grad():
        expected = model(**inputs).logits
    (found,) = session.run(["logits"], {name: value.numpy() for name, value in inputs.items()})
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-4)
    return (torch.from_numpy(found) - expected).abs().max().item()


def padded(ids):
    """Return inputs whose first row is padded on the left, the second within, and the last on the right."""
    mask = torch.ones_like(ids)
    mask[0, :3] = mask[1, 1:3] = mask[-1, -2:] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("given", [lambda ids: {"input_ids": ids}, padded], ids=["bare", "padded"])
def test_gmlp(given, tmp_path, seen, request):
    """The classifier of words, exported at one shape, gives the same logits at other batch sizes and lengths."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint("gmlp")).eval()
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=model.config.max_position_embeddings)
    inputs, others = given(torch.arange(32, 48).view(2, 8)), given(torch.arange(90, 105).view(3, 5))
    session = exported(model, inputs, [{0: batch, 1: length}] * len(inputs), tmp_path)
    apart = max(agree(model, session, each) for each in (inputs, others))
    kind = request.node.callspec.id
    seen("onnxruntime", f"gMLP, {kind}: logits within {apart:.0e}, at other batch sizes and lengths too")


def test_convmixer(tmp_path, seen):
    """The classifier of images gives the same logits, at another batch size too."""
    model = transformers.AutoModelForImageClassification.from_pretrained(checkpoint("convmixer")).eval()
    torch.manual_seed(0)
    inputs = {"pixel_values": torch.randn(2, 3, 8, 8)}
    session = exported(model, inputs, [{0: torch.export.Dim("batch")}], tmp_path)
    apart = max(agree(model, session, each) for each in (inputs, {"pixel_values": torch.randn(5, 3, 8, 8)}))
    seen("onnxruntime", f"ConvMixer: logits within {apart:.0e}, at another batch size too")

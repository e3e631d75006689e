"""The models: the paper's equations, shapes, batch norms, backbone, saving, errors."""

import math
import pickle
import re
import subprocess
import sys

import autoreg
import pytest
import torch

from autoreg_convmixer import ConvMixerBackbone, ConvMixerConfig, ConvMixerForImageClassification, ConvMixerModel

CLASSES = (ConvMixerModel, ConvMixerForImageClassification, ConvMixerBackbone)


def _pixels(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _close(actual, expected, *, atol=1e-12):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("kernel_size", [3, 4])
def test_model_is_the_papers(make_classifier, kernel_size):
    """The logits equal equations 1 to 3 and global pooling, written with scalars, for odd and even kernels."""
    model = make_classifier(kernel_size=kernel_size)
    image, weights = _pixels(3, 7, 9), {name: tensor.tolist() for name, tensor in model.state_dict().items()}
    rows, columns, width = 3, 4, 6  # a row and a column of pixels that fill no patch are left out

    def block(name, channel, value):
        value = value + weights[f"{name}.convolution.bias"][channel]
        value = value * (1 + math.erf(value / math.sqrt(2))) / 2
        norm = {key: weights[f"{name}.normalization.{key}"][channel] for key in ("weight", "bias")}
        mean, variance = (weights[f"{name}.normalization.running_{key}"][channel] for key in ("mean", "var"))
        return (value - mean) / math.sqrt(variance + 1e-5) * norm["weight"] + norm["bias"]

    places = [(row, column) for row in range(rows) for column in range(columns)]
    stem = "convmixer.embeddings.block"
    kernel = weights[f"{stem}.convolution.weight"]
    z = {}
    for c in range(width):
        for row, column in places:
            patch = [(k, i, j) for k in range(3) for i in range(2) for j in range(2)]
            total = sum(kernel[c][k][i][j] * image[k, 2 * row + i, 2 * column + j].item() for k, i, j in patch)
            z[c, row, column] = block(stem, c, total)
    before = (kernel_size - 1) // 2  # padding "same": the larger half of an even kernel's lies behind
    for layer in range(2):
        name = f"convmixer.layers.{layer}"
        kernel = weights[f"{name}.depthwise.convolution.weight"]
        mixed = {}
        for (c, row, column), value in z.items():
            reach = [(i, j) for i in range(kernel_size) for j in range(kernel_size)]
            total = sum(kernel[c][0][i][j] * z.get((c, row + i - before, column + j - before), 0.0) for i, j in reach)
            mixed[c, row, column] = block(f"{name}.depthwise", c, total) + value
        kernel = weights[f"{name}.pointwise.convolution.weight"]
        z = {
            (c, row, column): block(
                f"{name}.pointwise", c, sum(kernel[c][k][0][0] * mixed[k, row, column] for k in range(width))
            )
            for c, row, column in mixed
        }
    pooled = [sum(z[c, row, column] for row, column in places) / len(places) for c in range(width)]
    logits = [
        sum(w * p for w, p in zip(line, pooled, strict=True)) + bias
        for line, bias in zip(weights["classifier.weight"], weights["classifier.bias"], strict=True)
    ]
    _close(model(image[None]).logits[0], torch.tensor(logits, dtype=torch.float64))


def test_outputs_follow_transformers(make_classifier):
    """Features, pooled features, hidden states, the loss and tuples come as from any image model."""
    model, pixels = make_classifier(), _pixels(4, 3, 12, 8)
    base = model.convmixer(pixels, output_hidden_states=True)
    assert base.last_hidden_state.shape == (4, 6, 6, 4)
    assert [tuple(states.shape) for states in base.hidden_states] == [(4, 6, 6, 4)] * 3
    _close(base.pooler_output, base.last_hidden_state.mean((2, 3)))
    labels = torch.tensor([0, 4, 2, 2])
    outputs = model(pixels, labels=labels)
    _close(outputs.loss, torch.nn.functional.cross_entropy(outputs.logits, labels), atol=1e-6)
    loss, logits = model(pixels, labels=labels, return_dict=False)
    assert loss.equal(outputs.loss)
    assert logits.equal(outputs.logits)
    assert outputs.hidden_states is None


def test_no_labels_leave_the_features(make_classifier):
    """With `num_labels=0` the classifier returns the pooled features."""
    model, pixels = make_classifier(num_labels=0), _pixels(2, 3, 12, 12)
    assert model(pixels).logits.equal(model.convmixer(pixels).pooler_output)


def test_backbone_returns_the_stages_asked_for(make_classifier):
    """The feature maps are those of the stages in `out_features`, equal to the base model's hidden states."""
    model, pixels = make_classifier(), _pixels(2, 3, 12, 12)
    config = ConvMixerConfig(**{**model.config.to_dict(), "out_features": ["stem", "stage2"]})
    backbone = ConvMixerBackbone(config).double().eval()
    backbone.load_state_dict(model.convmixer.state_dict())
    expected = model.convmixer(pixels, output_hidden_states=True).hidden_states
    outputs = backbone(pixels)
    assert outputs.hidden_states is None
    assert len(outputs.feature_maps) == 2
    assert outputs.feature_maps[0].equal(expected[0])
    assert outputs.feature_maps[1].equal(expected[2])
    assert backbone.channels == [6, 6]
    backbone.out_indices = [1]
    assert backbone(pixels).feature_maps[0].equal(expected[1])
    with pytest.raises(ValueError, match="must be a subset of stage_names"):
        backbone.out_features = ["stage3"]


def test_backbone_pickles(make_classifier):
    """A backbone comes through pickle, also after it ran: it carries no hooks, which cannot."""
    backbone, pixels = ConvMixerBackbone(make_classifier().config).double().eval(), _pixels(1, 3, 12, 12)
    expected = backbone(pixels, output_hidden_states=True).feature_maps[0]
    assert pickle.loads(pickle.dumps(backbone))(pixels).feature_maps[0].equal(expected)


def test_batch_norms_learn_and_are_saved(make_classifier, tmp_path):
    """Training moves the running statistics, and what is saved and loaded has them to the last bit."""
    model = make_classifier().float().train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    assert len(before) == 3 * 5  # mean, variance and count of the stem's and both layers' norms
    model(_pixels(8, 3, 12, 12).float(), labels=torch.arange(8) % 5).loss.backward()
    assert all(not buffer.equal(before[name]) for name, buffer in model.named_buffers())
    autoreg.save_pretrained(model, tmp_path)
    loaded = dict(ConvMixerForImageClassification.from_pretrained(tmp_path).named_buffers())
    assert loaded.keys() == before.keys()
    assert all(
        loaded[name].equal(buffer) and loaded[name].dtype == buffer.dtype for name, buffer in model.named_buffers()
    )


def test_an_images_result_does_not_depend_on_its_batch(make_classifier):
    """In evaluation mode each image of a batch has the logits that it has alone."""
    model, pixels = make_classifier(), _pixels(3, 3, 12, 12)
    batch = model(pixels).logits
    for row in range(3):
        _close(batch[row], model(pixels[row : row + 1]).logits[0])


SCRIPT = """
import sys, torch, autoreg
classes = ("AutoModel", "AutoModelForImageClassification", "AutoBackbone")
for name in classes:
    folder = f"{sys.argv[1]}/{name}"
    model = getattr(autoreg, name).from_pretrained(folder)
    expected = torch.load(f"{folder}/expected.pt")
    actual = model.state_dict()
    assert actual.keys() == expected.keys(), name
    assert all(actual[key].equal(expected[key]) for key in actual), name
    print(type(model).__name__)
"""


def test_every_head_is_restored_in_a_fresh_process(tmp_path):
    """What `autoreg.save_pretrained` wrote, the Auto class reads back bit for bit in a process of its own."""
    names = ("AutoModel", "AutoModelForImageClassification", "AutoBackbone")
    for name, cls in zip(names, CLASSES, strict=True):
        config = ConvMixerConfig(hidden_size=6, num_hidden_layers=2, patch_size=2, kernel_size=3, image_size=8)
        model = cls(config).train()
        model(_pixels(4, 3, 8, 8).float())
        autoreg.save_pretrained(model, tmp_path / name)
        torch.save(model.state_dict(), tmp_path / name / "expected.pt")
    run = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert run.stdout.split() == [cls.__name__ for cls in CLASSES], run.stderr


def test_base_model_and_backbone_load_from_a_classifier(make_classifier, tmp_path):
    """The base model and the backbone take their stack from a classifier's checkpoint."""
    model, pixels = make_classifier().float(), _pixels(1, 3, 12, 12).float()
    model.save_pretrained(tmp_path)
    expected = model.convmixer(pixels).last_hidden_state
    assert ConvMixerModel.from_pretrained(tmp_path)(pixels).last_hidden_state.equal(expected)
    assert ConvMixerBackbone.from_pretrained(tmp_path)(pixels).feature_maps[0].equal(expected)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 12, 12), "must have the shape (batch_size, 3, height, width)"),
        ((2, 1, 12, 12), "have (2, 1, 12, 12)"),
        ((2, 3, 12, 1), "do not hold one patch of 2 x 2 pixels"),
    ],
)
def test_unfit_images_are_refused(make_classifier, shape, message):
    """Images with other channels or dimensions, or smaller than a patch, raise with their shape."""
    with pytest.raises(ValueError, match=re.escape(message)):
        make_classifier()(_pixels(*shape))


def test_images_are_needed(make_classifier):
    """A call without images raises."""
    with pytest.raises(ValueError, match="You have to specify pixel_values"):
        make_classifier()()


def test_gradient_checkpointing_is_refused(make_classifier):
    """Gradient checkpointing, which would count batches twice, raises."""
    with pytest.raises(ValueError, match=r"does not support (gradient|activation) checkpointing"):
        make_classifier().gradient_checkpointing_enable()


def test_loss_decreases(make_classifier):
    """Thirty steps on one batch bring the loss under a third of where it began."""
    model, pixels, labels = make_classifier().train(), _pixels(10, 3, 12, 12), torch.arange(10) % 5
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=2e-2), []
    for _ in range(30):
        loss = model(pixels, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3

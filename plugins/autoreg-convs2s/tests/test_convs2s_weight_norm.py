"""Weight normalization: the layers, their beginning, folding."""

import pickle

import pytest
import torch
from torch import nn

from autoreg_convs2s import ConvS2SConfig, ConvS2SForConditionalGeneration
from autoreg_convs2s.weight_norm import WeightNorm, WeightNormConv1d, WeightNormLinear


def _filled(layer):
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return layer


@pytest.mark.parametrize(
    ("layer", "plain", "shape"),
    [
        (WeightNormLinear(5, 3), nn.Linear(5, 3), (4, 5)),
        (WeightNormConv1d(5, 6, 3), nn.Conv1d(5, 6, 3), (2, 5, 7)),
    ],
    ids=["linear", "convolution"],
)
def test_equals_torchs_own(layer, plain, shape):
    """Outputs and gradients equal those of torch's parametrization with the same direction and lengths."""
    layer, plain = _filled(layer), nn.utils.parametrizations.weight_norm(plain.double())
    originals = plain.parametrizations.weight
    originals.original0.data, originals.original1.data = layer.gain.data.clone(), layer.direction.data.clone()
    plain.bias.data = layer.bias.data.clone()
    states = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(layer(states), plain(states), rtol=0, atol=1e-12)
    for each in (layer, plain):
        each(states).square().sum().backward()
    torch.testing.assert_close(layer.gain.grad, originals.original0.grad, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(layer.direction.grad, originals.original1.grad, rtol=1e-10, atol=1e-12)


def test_length_of_the_direction_does_not_matter():
    """A direction ten times as long gives the same weight, and one of zero gives zeros and not NaN."""
    layer = _filled(WeightNormLinear(5, 3))
    before = layer.weight.detach().clone()
    layer.direction.data *= 10
    torch.testing.assert_close(layer.weight.detach(), before, rtol=1e-12, atol=0)
    layer.direction.data[1] = 0
    assert layer.weight[1].eq(0).all()


def test_begins_as_the_drawn_weight(make_model):
    """A new layer's lengths are those of its directions, so that its weight is what was drawn."""
    torch.manual_seed(0)
    model = ConvS2SForConditionalGeneration(make_model().config)
    layers = [module for module in model.modules() if isinstance(module, WeightNorm)]
    # Two projections on each side, a convolution in each layer, and two projections in each attention.
    assert len(layers) == 4 + 3 + 2 + 2 * 2
    for layer in layers:
        torch.testing.assert_close(layer.weight, layer.direction, rtol=1e-6, atol=1e-8)


def test_loading_half_a_layer_keeps_the_half(tmp_path, make_model):
    """Lengths that a checkpoint lacks are made from the directions that it has."""
    model = make_model().float()
    name = "model.encoder.in_proj.gain"
    state = {key: value for key, value in model.state_dict().items() if key != name}
    model.save_pretrained(tmp_path, state_dict=state)
    loaded, report = ConvS2SForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert report["missing_keys"] == {name}
    layer = loaded.model.encoder.in_proj
    assert layer.direction.equal(model.model.encoder.in_proj.direction)
    torch.testing.assert_close(layer.weight, layer.direction, rtol=1e-6, atol=1e-8)


def test_folding_changes_no_output(make_model, tmp_path):
    """A folded model has plain layers, the same logits, and a checkpoint that says so and loads bit for bit."""
    model = make_model()
    ids = torch.arange(4, 10)[None]
    expected = model(ids, decoder_input_ids=ids).logits
    model.fold_weight_norm()
    assert not [module for module in model.modules() if isinstance(module, WeightNorm)]
    assert not [name for name in model.state_dict() if name.endswith(("gain", "direction"))]
    torch.testing.assert_close(model(ids, decoder_input_ids=ids).logits, expected, rtol=0, atol=1e-12)

    model.float().save_pretrained(tmp_path)
    loaded, report = ConvS2SForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert loaded.config.weight_norm is False
    assert all(loaded.state_dict()[name].equal(tensor) for name, tensor in model.state_dict().items())


def test_a_folded_model_trains(make_model):
    """Every parameter of a folded model gets a gradient, and a frozen layer stays frozen."""
    model = make_model()
    model.model.encoder.requires_grad_(False)
    model.fold_weight_norm()
    ids = torch.arange(4, 10)[None]
    model(ids, labels=ids).loss.backward()
    assert not any(parameter.requires_grad for parameter in model.model.encoder.parameters())
    trained = [*model.model.decoder.parameters(), *model.lm_head.parameters()]
    assert all(parameter.grad is not None for parameter in trained)


def test_models_pickle(make_model):
    """A pickled weight-normalized model gives the same logits."""
    model, ids = make_model(), torch.arange(4, 10)[None]
    copy = pickle.loads(pickle.dumps(model))
    assert copy(ids, decoder_input_ids=ids).logits.equal(model(ids, decoder_input_ids=ids).logits)


def test_meta_device_has_the_same_names():
    """On the meta device the parameters have the names and shapes of a real model, and no memory."""
    config = ConvS2SConfig(vocab_size=9, hidden_size=4, conv_channels=4, encoder_layers=1, decoder_layers=1)
    with torch.device("meta"):
        model = ConvS2SForConditionalGeneration(config)
    real = ConvS2SForConditionalGeneration(config)
    assert {name: each.shape for name, each in model.state_dict().items()} == {
        name: each.shape for name, each in real.state_dict().items()
    }
    assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_norms(dtype):
    """In 16 bits a direction whose squares overflow still has its weight."""
    layer = _filled(WeightNormLinear(512, 2)).to(dtype)
    layer.direction.data.fill_(200.0)
    layer.gain.data.fill_(1.0)
    torch.testing.assert_close(layer.weight.float(), torch.full((2, 512), 512**-0.5), rtol=1e-2, atol=0)

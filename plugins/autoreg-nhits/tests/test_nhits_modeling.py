"""The models: the paper's equations, masks, scaling, losses, gradients, saving."""

import itertools
import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg_nhits import NHitsForPrediction, NHitsModel
from autoreg_nhits.modeling_nhits import max_pool, window_statistics


def _close(actual, expected, *, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def _line(theta, length):
    """Interpolate linearly over knots from the first step to the last, step by step (eq. 4)."""
    if len(theta) == 1:
        return theta.expand(length)
    spacing = (length - 1) / (len(theta) - 1)
    curve = []
    for tau in range(length):
        first = min(int(tau / spacing + 1e-9), len(theta) - 2)
        curve.append(theta[first] + (theta[first + 1] - theta[first]) / spacing * (tau - first * spacing))
    return torch.stack(curve)


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("quantiles", [None, [0.2, 0.5, 0.7]])
def test_forecast_is_the_papers(make_model, make_windows, blocks, quantiles):
    """Residuals, shares and forecast equal equations 1 to 5, written for one window with loops."""
    model = make_model(num_blocks_per_stack=blocks, quantiles=quantiles)
    config, windows = model.config, make_windows()
    outputs = model(windows)
    for row, window in enumerate(windows):
        loc, scale = window.mean(), window.std(correction=0)
        residual, shares = (window - loc) / scale, []
        for index, (block, head) in enumerate(zip(model.model.blocks, model.forecast_heads, strict=True)):
            stack = index // blocks
            _close(outputs.residuals[row, index], residual)
            kernel = config.pooling_kernel_sizes[stack]
            states = torch.stack([max(residual[at : at + kernel]) for at in range(0, 24, kernel)])
            for layer in block.layers:
                states = (layer.weight @ states + layer.bias).relu()
            theta = (head.weight @ states + head.bias).unflatten(0, (model.num_outputs, -1))
            assert theta.shape[1] == math.ceil(10 / config.frequency_downsampling[stack])
            shares.append(torch.stack([_line(each, 10) for each in theta], dim=-1))
            if block.backcast is not None:
                residual = residual - _line(block.backcast.weight @ states + block.backcast.bias, 24)
        forecast = sum(shares) * scale + loc
        middle = quantiles.index(0.5) if quantiles else 0
        _close(outputs.mean_predictions[row], forecast[:, middle])
        if quantiles:
            _close(outputs.full_predictions[row], forecast)
        by_stack = torch.stack(shares).unflatten(0, (3, blocks)).sum(1)[..., middle] * scale
        _close(outputs.stack_predictions[row], by_stack)
    assert (outputs.full_predictions is None) == (quantiles is None)
    assert outputs.mean_predictions.std() > 0.1


def test_shares_and_loc_are_the_forecast(make_model, make_windows):
    """The shares of the stacks and `loc` sum to the forecast, in every mode and scaling."""
    for mode, scaling in itertools.product(("nearest", "linear", "cubic"), ("std", "mean", None)):
        outputs = make_model(interpolation_mode=mode, scaling=scaling)(make_windows())
        _close(outputs.stack_predictions.sum(1) + outputs.loc, outputs.mean_predictions, atol=1e-8)


def test_last_block_has_no_backcast(make_model):
    """Every block but the last has a backcast, and so every parameter has a gradient."""
    model = make_model(num_blocks_per_stack=2)
    assert [block.backcast is None for block in model.model.blocks] == [False] * 5 + [True]
    model(
        torch.randn(4, 24, dtype=torch.float64), future_values=torch.randn(4, 10, dtype=torch.float64)
    ).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@settings(deadline=None, max_examples=20)
@given(kernel=st.integers(1, 7), pattern=st.lists(st.booleans(), min_size=7, max_size=20))
def test_pooling_sees_the_observed_only(kernel, pattern):
    """A pool is the maximum of its observed values, 0 without any, and pools are counted from the end."""
    mask = torch.tensor([pattern])
    values = torch.randn(1, len(pattern), generator=torch.Generator().manual_seed(0)) - 3
    pools = []
    for end in range(len(pattern), 0, -kernel):
        steps = range(max(end - kernel, 0), end)
        pools.insert(0, max((values[0, step].item() for step in steps if pattern[step]), default=0.0))
    assert max_pool(values, mask, kernel_size=kernel)[0].tolist() == pools


@settings(deadline=None, max_examples=15)
@given(
    pattern=st.lists(st.booleans(), min_size=24, max_size=24).filter(any),
    filler=st.sampled_from([0.0, 1e30, math.nan, math.inf]),
)
def test_unobserved_values_have_no_influence(pattern, filler):
    """What stands where nothing was observed changes neither forecast, residuals nor gradients, NaN included."""
    model, windows, future = _model(), _windows(), torch.ones(2, 10, dtype=torch.float64)
    mask = torch.tensor([pattern, [True] * 24])
    results = []
    for values in (windows, torch.where(mask, windows, filler)):
        values.requires_grad_()
        outputs = model(values, mask, future_values=future)
        gradients = torch.autograd.grad(outputs.loss, [values, *model.parameters()])
        results.append(
            (outputs.mean_predictions, outputs.residuals, outputs.last_hidden_state, outputs.loss, *gradients)
        )
    for actual, expected in zip(*results, strict=True):
        assert expected.isfinite().all()
        assert actual.equal(expected)


def _model(**options):
    from autoreg_nhits import NHitsConfig

    torch.manual_seed(0)
    config = NHitsConfig(
        context_length=24,
        prediction_length=10,
        pooling_kernel_sizes=[6, 2, 1],
        frequency_downsampling=[5, 3, 1],
        hidden_size=16,
        initializer_range=0.3,
        **options,
    )
    return NHitsForPrediction(config).double().eval()


def _windows():
    return torch.randn(2, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 5


def test_every_observed_value_has_influence(make_model, make_windows):
    """Each observed step moves the forecast, and a mask that hides one moves it too."""
    model, windows = make_model(), make_windows(1)
    forecast = model(windows).mean_predictions
    for step in range(24):
        nudged, mask = windows.clone(), torch.ones(1, 24)
        nudged[0, step] += 1
        mask[0, step] = 0
        assert not model(nudged).mean_predictions.allclose(forecast)
        assert not model(windows, mask).mean_predictions.allclose(forecast)


def test_short_window_is_a_padded_one(make_model, make_windows):
    """A past shorter than the context is what it is with unobserved steps before it, in a batch or alone."""
    model, windows = make_model(), make_windows(2)
    mask = torch.ones(2, 24)
    mask[0, :9] = 0
    batch = model(windows, mask).mean_predictions
    _close(model(windows[:1, 9:]).mean_predictions, batch[:1])


def test_long_window_is_cut(make_model, make_windows):
    """Of a past longer than the context the last steps count."""
    model, windows = make_model(), make_windows(2, 40)
    assert model(windows).mean_predictions.equal(model(windows[:, -24:]).mean_predictions)


@pytest.mark.parametrize("scaling", ["std", "mean"])
def test_forecast_does_not_depend_on_the_unit(make_model, make_windows, scaling):
    """Thousandfold values have the thousandfold forecast and the same loss; with `"std"` the zero is free, too."""
    model, windows, future = make_model(scaling=scaling), make_windows(), make_windows(3, 10, seed=1)
    shift = 70 if scaling == "std" else 0
    outputs = model(windows, future_values=future)
    moved = model(windows * 1000 + shift, future_values=future * 1000 + shift)
    _close(moved.mean_predictions, outputs.mean_predictions * 1000 + shift, atol=1e-7)
    _close(moved.loss, outputs.loss)


def test_without_scaling_the_unit_counts(make_model, make_windows):
    """With `scaling=None` the blocks read the values themselves."""
    model, windows = make_model(scaling=None), make_windows()
    outputs = model(windows)
    _close(outputs.residuals[:, 0], windows)
    assert outputs.loc.eq(0).all()
    assert outputs.scale.eq(1).all()


def test_statistics_are_of_the_observed():
    """Location and scale are mean and deviation, or mean absolute value, of the observed values."""
    values = torch.tensor([[1.0, 3.0, 0.0, 8.0], [5.0, 5.0, 5.0, 5.0], [0.0, 0.0, 0.0, 0.0]])
    mask = torch.tensor([[1, 1, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]]).bool()
    loc, scale = window_statistics(values, mask, scaling="std", minimum_scale=0.5)
    observed = torch.tensor([1.0, 3.0, 8.0])
    _close(loc[:, 0], torch.tensor([4.0, 5.0, 0.0]), atol=1e-6)
    _close(scale[:, 0], torch.tensor([observed.std(correction=0), 0.5, 0.5]), atol=1e-6)
    loc, scale = window_statistics(values, mask, scaling="mean", minimum_scale=0.5)
    assert (loc[:, 0].tolist(), scale[:, 0].tolist()) == ([0, 0, 0], [4.0, 5.0, 0.5])


def test_constant_window_is_continued(make_model):
    """A window without any change is forecast to stay, within the smallest scale."""
    forecast = make_model()(torch.full((1, 24), 42.0, dtype=torch.float64)).mean_predictions
    _close(forecast, torch.full_like(forecast, 42.0), atol=1e-3)


@pytest.mark.parametrize("loss", ["mae", "mse"])
def test_loss_is_the_mean_of_what_was_observed(make_model, make_windows, loss):
    """The loss is the mean error in units of the scale over the observed part of a future of any length."""
    model, windows, future = make_model(loss=loss), make_windows(), make_windows(3, 7, seed=1)
    mask = torch.ones(3, 7)
    mask[0] = mask[1, 2] = 0
    outputs = model(windows, future_values=future.masked_fill(mask == 0, math.nan), future_observed_mask=mask)
    errors = ((outputs.mean_predictions[:, :7] - future) / outputs.scale)[mask.bool()]
    _close(outputs.loss, errors.abs().mean() if loss == "mae" else errors.square().mean())
    nothing = model(windows, future_values=future, future_observed_mask=torch.zeros(3, 7)).loss
    assert nothing.item() == 0


def test_loss_of_quantiles_is_the_pinball_loss(make_model, make_windows):
    """With quantiles the loss is twice the mean pinball loss; that of the median alone is the mean absolute error."""
    levels = [0.1, 0.5, 0.8]
    model, windows, future = make_model(quantiles=levels), make_windows(), make_windows(3, 10, seed=1)
    outputs = model(windows, future_values=future)
    pinball = []
    for index, level in enumerate(levels):
        errors = ((future - outputs.full_predictions[..., index]) / outputs.scale).flatten()
        pinball += [level * error if error > 0 else (level - 1) * error for error in errors]
    _close(outputs.loss, 2 * torch.stack(pinball).mean())
    assert outputs.mean_predictions.equal(outputs.full_predictions[..., 1])
    median = make_model(quantiles=[0.5])(windows, future_values=future)
    _close(median.loss, ((future - median.mean_predictions) / median.scale).abs().mean())


def test_loss_can_be_left_out(make_model, make_windows):
    """There is no loss without `future_values`, nor with `return_loss=False`."""
    model, windows = make_model(), make_windows()
    assert model(windows).loss is None
    assert model(windows, future_values=windows[:, :10], return_loss=False).loss is None


def test_wrong_shapes_are_refused(make_model):
    """Arguments of a wrong shape raise ValueError, with the shape in the text."""
    model, windows, future = make_model(), torch.ones(2, 24).double(), torch.ones(2, 10).double()
    with pytest.raises(ValueError, match=r"shape \(batch_size, length\).* have \(2, 24, 1\)"):
        model(windows[..., None])
    with pytest.raises(ValueError, match=r"`past_observed_mask` must have the shape .*\(2, 24\), and it has \(2, 23\)"):
        model(windows, torch.ones(2, 23))
    with pytest.raises(ValueError, match=r"`future_values` has 11 steps, more than `config.prediction_length`, 10"):
        model(windows, future_values=torch.ones(2, 11))
    with pytest.raises(ValueError, match=r"`future_observed_mask` must have the shape .*\(2, 10\), and it has \(10,\)"):
        model(windows, future_values=future, future_observed_mask=torch.ones(10))


def test_half_precision_forecasts_in_the_unit_of_the_series(make_model, make_windows):
    """A bfloat16 model scales in float32: its forecast is off by a part of the scale, not of the level."""
    model, windows = make_model(initializer_range=0.1), make_windows() + 100_000
    exact = model(windows).mean_predictions
    outputs = model.to(torch.bfloat16)(windows.float())
    assert outputs.mean_predictions.dtype == torch.float32
    assert outputs.last_hidden_state.dtype == torch.bfloat16
    assert ((outputs.mean_predictions - exact).abs() / outputs.scale).max() < 0.05


def test_trunk_serves_another_horizon(make_model, make_windows, tmp_path):
    """A trained trunk loads under heads for another number of steps, and reads windows as before."""
    model, windows = make_model(), make_windows()
    model.save_pretrained(tmp_path)
    trunk = NHitsModel.from_pretrained(tmp_path)
    longer = NHitsForPrediction.from_pretrained(tmp_path, prediction_length=30, ignore_mismatched_sizes=True)
    assert longer(windows).mean_predictions.shape == (3, 30)
    for reader in (trunk, longer.model):
        assert reader(windows).last_hidden_state.equal(model(windows).last_hidden_state)


def test_fresh_process_loads_the_same_tensors(make_model, tmp_path):
    """What one process saved, another loads through both Auto classes bit by bit, with no import of the plugin."""
    model = make_model(quantiles=[0.1, 0.5]).float()
    model.save_pretrained(tmp_path / "saved")
    torch.save(model.state_dict(), tmp_path / "expected.pt")
    code = f"""
import torch
from autoreg import AutoModel, AutoModelForTimeSeriesPrediction
expected = torch.load({str(tmp_path / "expected.pt")!r})
for auto, prefix in ((AutoModel, "model."), (AutoModelForTimeSeriesPrediction, "")):
    model = auto.from_pretrained({str(tmp_path / "saved")!r})
    state = {{prefix + name: tensor for name, tensor in model.state_dict().items()}}
    assert set(state) == {{name for name in expected if name.startswith(prefix)}}
    assert all(tensor.equal(expected[name]) for name, tensor in state.items())
    print(type(model).__name__, len(state))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    trunk = sum(name.startswith("model.") for name in model.state_dict())
    assert done.stdout.split("\n")[:2] == [f"NHitsModel {trunk}", f"NHitsForPrediction {trunk + 6}"]

import numpy as np
import pytest
import torch

from distill.compress import Quantizer, lsq_round, mse_step

CASES = [(b, s, c) for b in (2, 4, 8) for s in (True, False) for c in (0, 3)]


def lsq_loop(x, steps, low, high, upstream):
    """Value, dx and ds by the paper's equations 1 to 3, one number at a time, in float64."""
    value, dx, ds = np.zeros_like(x), np.zeros_like(x), np.zeros_like(steps)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            at = i if steps.size > 1 else 0
            v = x[i, j] / steps[at]
            value[i, j] = np.round(min(max(v, low), high)) * steps[at]
            if low <= v <= high:
                dx[i, j] = upstream[i, j]
                ds[at] += upstream[i, j] * (np.round(v) - v)
            else:
                ds[at] += upstream[i, j] * (low if v < low else high)
    return value, dx, ds


@pytest.mark.parametrize(("bits", "signed", "channels"), CASES)
def test_value_and_gradients_are_those_of_the_paper(bits, signed, channels):
    random = np.random.default_rng(0)
    x, upstream = random.normal(size=(3, 40)), random.normal(size=(3, 40))
    steps = random.uniform(0.5, 1.5, size=channels or 1) * 2 / 2**bits
    quantizer = Quantizer(bits, signed, channels, "lsq").double()
    quantizer.load_state_dict({"step": torch.tensor(steps).reshape(quantizer.step.shape)})
    inputs = torch.tensor(x, requires_grad=True)
    output = quantizer(inputs)
    output.backward(torch.tensor(upstream))
    value, dx, ds = lsq_loop(x, steps, quantizer.low, quantizer.high, upstream)
    scale = 1 / np.sqrt(40 * quantizer.high)
    assert np.array_equal(output.detach().numpy(), value)
    np.testing.assert_allclose(inputs.grad.numpy(), dx, rtol=1e-14)
    np.testing.assert_allclose(quantizer.step.grad.numpy().reshape(-1), ds * scale, rtol=1e-11)
    assert len(np.unique(np.round(value / steps.reshape(-1, 1)))) <= 2**bits


def test_halves_go_to_the_even_integer():
    halves = torch.tensor([-1.5, -0.5, 0.5, 1.5, 2.5])
    assert lsq_round(halves, torch.tensor(1.0), -8, 7).tolist() == [-2, 0, 0, 2, 2]


def test_the_gradient_of_the_step_is_not_scaled_in_evaluation():
    gradients = []
    for training in (True, False):
        quantizer = Quantizer(4, True, init="lsq").train(training)
        quantizer.load_state_dict({"step": torch.tensor(0.3)})
        quantizer(torch.arange(8.0).reshape(2, 4)).sum().backward()
        gradients.append(quantizer.step.grad.item())
    assert gradients[0] == pytest.approx(gradients[1] / np.sqrt(4 * 7))


@pytest.mark.parametrize(("bits", "signed"), [(2, True), (4, True), (8, True), (4, False)])
def test_a_smaller_beginning_has_a_smaller_gradient(bits, signed):
    x = np.random.default_rng(0).normal(size=200_000)
    x = x if signed else np.abs(x)
    gradients, steps = {}, {}
    for init in ("mse", "lsq"):
        quantizer = Quantizer(bits, signed, init=init)
        quantizer(torch.tensor(x, dtype=torch.float32)[None])
        steps[init] = quantizer.step.item()
        quantizer.load_state_dict({"step": torch.tensor(0.3)})
        quantizer(torch.arange(8.0).reshape(2, 4)).sum().backward()
        gradients[init] = quantizer.step.grad.item()
    share = gradients["mse"] / gradients["lsq"]
    assert share == pytest.approx(steps["mse"] / steps["lsq"], rel=0.15)


@pytest.mark.parametrize(("init", "wanders"), [("mse", False), ("lsq", True)])
def test_the_steps_of_8_bit_do_not_wander_off(init, wanders):
    """Under gradients of chance alone, in which weights change by a tenth of themselves."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(32, 144, generator=generator))
    quantizer = Quantizer(8, True, 32)
    quantizer(weight)
    before, first = weight.detach().clone(), quantizer.step.detach().clone()
    quantizer._share = Quantizer(8, True, 32, init)._share
    optimizer = torch.optim.SGD([weight, *quantizer.parameters()], lr=0.006)
    for _ in range(300):
        optimizer.zero_grad()
        quantizer(weight).backward(torch.randn(32, 144, generator=generator))
        optimizer.step()
    changed = (weight.detach() - before).norm() / before.norm()
    assert changed.item() == pytest.approx(0.1, abs=0.02)
    grown = (quantizer.step.detach() / first - 1).abs()
    assert (grown.median() > 0.3) == wanders


@pytest.mark.parametrize(("low", "high"), [(-2, 1), (-8, 7), (-128, 127), (0, 3), (0, 255)])
def test_the_best_step_of_the_grid_by_a_loop(low, high):
    x = np.random.default_rng(1).normal(size=(2, 300))
    for row, found in zip(x, mse_step(torch.tensor(x), low, high).tolist(), strict=True):
        grid = np.abs(row).max() / high * np.linspace(0.05, 1, 39)
        errors = [((row - np.clip(row / s, low, high).round() * s) ** 2).sum() for s in grid]
        assert found == pytest.approx(grid[int(np.argmin(errors))], rel=1e-6)


def test_the_step_of_the_paper_by_name():
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    quantizer = Quantizer(4, True, init="lsq")
    quantizer(x)
    assert quantizer.step.item() == pytest.approx(2 * x.abs().mean().item() / 7**0.5)


def test_the_first_training_forward_sets_the_step_and_evaluation_does_not():
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    quantizer = Quantizer(4, True).eval()
    first = quantizer(x)
    assert quantizer.step.item() == 0
    assert torch.equal(quantizer.train()(x), first)
    step = quantizer.step.item()
    quantizer(10 * x)
    assert quantizer.step.item() == step > 0


def test_a_loaded_step_of_zero_is_not_calibrated():
    quantizer = Quantizer(4, True)
    quantizer(torch.ones(2, 2))
    quantizer.load_state_dict({"step": torch.tensor(0.0)})
    assert not quantizer.calibrated


def test_a_step_below_zero_rounds_as_its_size():
    x = torch.linspace(-1, 1, 21)[None]
    outputs = []
    for step in (0.1, -0.1):
        quantizer = Quantizer(4, True)
        quantizer.load_state_dict({"step": torch.tensor(step)})
        assert quantizer.size() > 0
        outputs.append(quantizer(x))
    assert torch.equal(*outputs)


def test_zeros_have_a_step_above_zero():
    quantizer = Quantizer(2, True, channels=2)
    assert torch.equal(quantizer(torch.zeros(2, 3)), torch.zeros(2, 3))
    assert (quantizer.step > 0).all()


def test_autocast_changes_no_level():
    x = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    quantizer = Quantizer(8, True)
    expected = quantizer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantizer(x), expected)
        assert quantizer(x.bfloat16()).dtype == torch.float32

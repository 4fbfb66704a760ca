import math

import numpy as np
import pytest
import torch

from distill.compress.conventions import (
    PACT,
    DoReFaActivations,
    DoReFaWeights,
    dorefa_weights,
    pact_round,
)

RANDOM = np.random.default_rng(0)


def dorefa_loop(weight, bits, upstream):
    """Equation 9 of DoReFa-Net with its chain rule, one number at a time, in float64."""
    n, flat = 2**bits - 1, weight.ravel()
    tanh = [math.tanh(w) for w in flat]
    at = max(range(len(tanh)), key=lambda i: abs(tanh[i]))
    top = abs(tanh[at])
    value = [2 * round(n * (t / (2 * top) + 0.5)) / n - 1 for t in tanh]
    gradient = [u / top * (1 - t * t) for u, t in zip(upstream.ravel(), tanh, strict=True)]
    to_top = -sum(u * t for u, t in zip(upstream.ravel(), tanh, strict=True)) / top**2
    gradient[at] += to_top * math.copysign(1 - tanh[at] ** 2, tanh[at])
    return np.array(value).reshape(weight.shape), np.array(gradient).reshape(weight.shape)


@pytest.mark.parametrize("bits", [2, 4, 7])
def test_dorefa_weights_and_their_gradient_are_the_paper_s(bits):
    weight, upstream = RANDOM.normal(size=(3, 5, 2)), RANDOM.normal(size=(3, 5, 2))
    given = torch.tensor(weight, requires_grad=True)
    found = dorefa_weights(given, bits)
    found.backward(torch.tensor(upstream))
    value, gradient = dorefa_loop(weight, bits, upstream)
    np.testing.assert_allclose(found.detach().numpy(), value, atol=1e-15)
    np.testing.assert_allclose(given.grad.numpy(), gradient, rtol=1e-12)


@pytest.mark.parametrize("bits", [2, 4, 7])
def test_dorefa_codes_are_odd_and_give_the_weights_bit_for_bit(bits):
    weight = torch.tensor(RANDOM.normal(size=(4, 30)), dtype=torch.float32)
    quantizer = DoReFaWeights(bits, 4)
    codes = quantizer.codes(weight)
    assert (codes % 2 == 1).all()
    assert codes.abs().max() == 2**bits - 1
    assert codes.unique().numel() <= 2**bits
    assert torch.equal(codes * quantizer.size()[:, None], quantizer(weight))
    assert not list(quantizer.parameters())


def test_dorefa_of_zeros_is_finite():
    assert dorefa_weights(torch.zeros(2, 2), 2).isfinite().all()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_dorefa_activations_are_clipped_to_one(bits):
    x = RANDOM.uniform(-0.5, 1.5, size=(2, 40))
    given = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    found = DoReFaActivations(bits)(given)
    found.sum().backward()
    n = 2**bits - 1
    expected = [[round(n * min(max(v, 0), 1)) / n for v in row] for row in x]
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-6)
    assert np.array_equal(given.grad.numpy(), ((x >= 0) & (x <= 1)).astype(np.float32))


def pact_loop(x, clip, bits, upstream):
    """Equations 1 to 3 of PACT, one number at a time, in float64."""
    n = 2**bits - 1
    value, dx, to_clip = np.zeros_like(x), np.zeros_like(x), 0.0
    for i, v in enumerate(x):
        y = 0.5 * (abs(v) - abs(v - clip) + clip)
        value[i] = round(y * n / clip) * clip / n
        dx[i] = upstream[i] if 0 <= v < clip else 0
        to_clip += upstream[i] if v >= clip else 0
    return value, dx, to_clip


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_pact_and_its_gradients_are_the_paper_s(bits):
    x, upstream = np.append(RANDOM.normal(size=50) * 2, 1.3), RANDOM.normal(size=51)
    given = torch.tensor(x, requires_grad=True)
    clip = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    found = pact_round(given, clip, bits)
    found.backward(torch.tensor(upstream))
    value, dx, to_clip = pact_loop(x, 1.3, bits, upstream)
    np.testing.assert_allclose(found.detach().numpy(), value, atol=1e-15)
    assert np.array_equal(given.grad.numpy(), dx)
    assert clip.grad.item() == pytest.approx(to_clip, rel=1e-12)


def test_descent_on_the_step_moves_the_clip_as_descent_on_the_clip_does():
    x = torch.tensor(RANDOM.normal(size=(2, 30)))
    quantizer = PACT(4, False).double()
    quantizer(x)
    before = quantizer.size().item() * 15
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=0.1, weight_decay=0.01)
    quantizer(x).sum().backward()
    optimizer.step()
    moved = before - 0.1 * ((x >= before).sum().item() + 0.01 * before)
    assert (x >= before).any()
    assert quantizer.size().item() * 15 == pytest.approx(moved, rel=1e-9)

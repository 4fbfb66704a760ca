import numpy as np
import pytest
import torch

from distill.modules import PeerKL


def test_the_value_is_that_of_the_definition() -> None:
    peer, other = np.random.default_rng(0).normal(0, 2, (2, 3, 5))
    expected = 0.0
    for row in range(3):
        p = np.exp(peer[row]) / np.exp(peer[row]).sum()
        q = np.exp(other[row]) / np.exp(other[row]).sum()
        expected += sum(q[k] * (np.log(q[k]) - np.log(p[k])) for k in range(5)) / 3
    value = PeerKL()(torch.from_numpy(peer), torch.from_numpy(other))
    np.testing.assert_allclose(value.item(), expected, rtol=1e-12)


def test_of_time_steps_it_is_the_mean_over_them() -> None:
    peer, other = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    each = [PeerKL()(peer[:, step], other[:, step]) for step in range(4)]
    torch.testing.assert_close(PeerKL()(peer, other), torch.stack(each).mean())


def test_zero_when_equal() -> None:
    logits = torch.randn(4, 3)
    assert PeerKL()(logits, logits) == 0


def test_both_gradients_are_those_of_finite_differences() -> None:
    pair = [torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(PeerKL(), pair)


def test_shapes_must_be_equal() -> None:
    with pytest.raises(ValueError, match=r"^peer and other need .* \(2, 3\) and \(2, 4\)$"):
        PeerKL()(torch.zeros(2, 3), torch.zeros(2, 4))

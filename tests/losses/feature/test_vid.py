import math

import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import VIDLoss, vid_loss
from tests.losses.contract import LossContract
from tests.losses.feature.numpy_layers import run

MAPS = torch.ones(2, 3, 2, 2)


class TestVIDLoss(LossContract):
    shape = (3, 2, 2, 2)
    teacher_shape = (3, 2, 2)
    zero_when_equal = False  # a likelihood, behind a regressor
    refusals = {
        "student": (lambda: VIDLoss(0, 2), "student_channels must be at least 1"),
        "variance": (lambda: VIDLoss(2, 2, -1.0), "initial_variance must be positive"),
        "floor": (lambda: VIDLoss(2, 2, 1e-6), "initial_variance must be above 1e-5"),
        "size": (lambda: VIDLoss(3, 3)(MAPS, MAPS[..., :1]), r"same b, h, w.*\(2, 3, 2, 1\)"),
        "channels": (lambda: vid_loss(MAPS, MAPS[:, :1], torch.ones(3)), "same shape"),
        "spread": (lambda: vid_loss(MAPS, MAPS, torch.ones(2)), r"shape \(3,\), got \(2,\)"),
    }

    def make(self) -> nn.Module:
        return VIDLoss(2, 3)

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        mean, total = run(loss.regressor, student), 0.0
        raw = loss.raw_variance.detach().numpy()
        for b, c, h, w in np.ndindex(mean.shape):
            variance = math.log1p(math.exp(raw[c])) + 1e-5
            squared = (mean[b, c, h, w] - teacher[b, c, h, w]) ** 2
            total += 0.5 * (squared / variance + math.log(variance))
        return total / mean.size

    def test_the_variances_start_where_they_should(self) -> None:
        loss = VIDLoss(2, 3)
        assert loss.raw_variance.tolist() == pytest.approx([4.99323] * 3, abs=1e-4)
        assert loss.variance.tolist() == pytest.approx([5.0] * 3)
        assert VIDLoss(2, 1, 0.01).variance.item() == pytest.approx(0.01, rel=1e-5)

    def test_the_variances_are_trained_and_saved(self) -> None:
        loss = self.loss()
        assert "raw_variance" in dict(loss.named_parameters())
        assert "raw_variance" in loss.state_dict()

    def test_the_best_variance_is_the_mean_squared_gap(self) -> None:
        gap = torch.tensor([3.0]).sqrt().view(1, 1, 1, 1)
        values = {v: vid_loss(gap, 0 * gap, torch.tensor([v])).item() for v in (2.9, 3.0, 3.1)}
        assert min(values, key=values.__getitem__) == 3.0

    def test_a_perfect_mean_leaves_the_logarithm(self) -> None:
        found = vid_loss(MAPS, MAPS, torch.full((3,), 5.0)).item()
        assert found == pytest.approx(0.8047, abs=5e-5)

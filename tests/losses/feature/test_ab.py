import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import ABLoss, ab_loss
from tests.losses.contract import LossContract
from tests.losses.feature.numpy_layers import run

MAPS = torch.ones(2, 3, 2, 2)


class TestABLoss(LossContract):
    shape = (3, 2, 2, 2)
    teacher_shape = (3, 2, 2)
    zero_when_equal = False  # a hinge, behind a connector
    refusals = {
        "student": (lambda: ABLoss(0, 2), "student_channels must be at least 1"),
        "margin": (lambda: ABLoss(2, 2, margin=0), "margin must be positive"),
        "size": (lambda: ABLoss(3, 3)(MAPS, MAPS[..., :1]), r"same b, h, w.*\(2, 3, 2, 1\)"),
        "channels": (lambda: ab_loss(MAPS, MAPS[:, :1]), "same shape"),
    }

    def make(self) -> nn.Module:
        return ABLoss(2, 3, margin=0.7)

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        connected, total = run(loss.connector, student), 0.0
        for place in np.ndindex(connected.shape):
            value = connected[place]
            if teacher[place] > 0 and value < 0.7:
                total += (0.7 - value) ** 2
            if teacher[place] <= 0 and value > -0.7:
                total += (value + 0.7) ** 2
        return total / len(student)

    @pytest.mark.parametrize("value", [1.0, 5.0, 1e4])
    def test_what_fires_alike_beyond_the_margin_costs_nothing(self, value: float) -> None:
        assert ab_loss(value * MAPS, MAPS).item() == 0
        assert ab_loss(-value * MAPS, -MAPS).item() == 0

    def test_how_strongly_the_teacher_fires_does_not_matter(self) -> None:
        student, teacher = torch.randn(2, 3, 2, 2, 2)
        expected = ab_loss(student, teacher)
        torch.testing.assert_close(ab_loss(student, 1e3 * teacher), expected)

    def test_a_teacher_at_zero_does_not_fire(self) -> None:
        assert ab_loss(-MAPS, 0 * MAPS).item() == 0

import math

import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import CWDLoss, cwd_loss
from tests.losses.contract import LossContract

MAPS = torch.ones(2, 3, 2, 2)


class TestCWDLoss(LossContract):
    shape = (2, 3, 2, 2)
    refusals = {
        "temperature": (lambda: CWDLoss(temperature=0), "temperature must be positive"),
        "channels": (lambda: cwd_loss(MAPS, MAPS[:, :1]), r"same shape.*\(2, 1, 2, 2\)"),
        "rank": (lambda: cwd_loss(MAPS[0], MAPS[0]), r"\(b, c, h, w\)"),
    }

    def make(self) -> nn.Module:
        return CWDLoss(temperature=2.0)

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        total = 0.0
        for b, c in np.ndindex(student.shape[:2]):
            p, q = (np.exp(x[b, c].flatten() / 2) for x in (teacher, student))
            p, q = p / p.sum(), q / q.sum()
            total += sum(p[i] * math.log(p[i] / q[i]) for i in range(len(p)))
        return 4 * total / (student.shape[0] * student.shape[1])

    def test_a_constant_on_a_channel_does_not_matter(self) -> None:
        student, teacher = self.inputs().values()
        offset = torch.tensor([1.0, -50.0, 300.0], dtype=torch.float64).view(1, 3, 1, 1)
        expected = cwd_loss(student, teacher)
        torch.testing.assert_close(cwd_loss(student + offset, teacher), expected)

    def test_the_order_of_channels_does_not_matter(self) -> None:
        student, teacher = self.inputs().values()
        flipped = cwd_loss(student.flip(1), teacher.flip(1))
        torch.testing.assert_close(flipped, cwd_loss(student, teacher))

    @pytest.mark.parametrize("gap", [200.0, 1e4])
    def test_a_pixel_that_the_softmax_calls_impossible_is_finite(self, gap: float) -> None:
        """The logarithm of a softmax would be minus infinity here."""
        student = torch.tensor([gap, 0.0]).view(1, 1, 1, 2)
        assert cwd_loss(student, -student, 1.0).item() == pytest.approx(gap)

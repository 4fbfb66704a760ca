import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import PKDLoss, pkd_loss
from tests.losses.contract import LossContract

MAPS = torch.ones(2, 3, 2, 2)


class TestPKDLoss(LossContract):
    shape = (2, 3, 2, 2)
    refusals = {
        "channels": (lambda: pkd_loss(MAPS, MAPS[:, :1]), r"same shape.*\(2, 1, 2, 2\)"),
        "rank": (lambda: pkd_loss(MAPS[0], MAPS[0]), r"\(b, c, h, w\)"),
    }

    def make(self) -> nn.Module:
        return PKDLoss()

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        correlations = [
            np.corrcoef(student[:, c].flatten(), teacher[:, c].flatten())[0, 1] for c in range(3)
        ]
        return 1 - float(np.mean(correlations))

    def test_scale_and_offset_of_a_channel_do_not_matter(self) -> None:
        student, teacher = self.inputs().values()
        scale = torch.tensor([1e-6, 1.0, 1e6], dtype=torch.float64).view(1, 3, 1, 1)
        expected = pkd_loss(student, teacher)
        torch.testing.assert_close(pkd_loss(scale * (student + 4), teacher), expected)

    def test_opposite_maps_are_the_maximum(self) -> None:
        maps = self.inputs()["teacher"]
        assert pkd_loss(-maps, maps).item() == pytest.approx(2)

    def test_a_channel_that_does_not_vary_has_no_gradient(self) -> None:
        flat = torch.full((2, 1, 2, 2), 0.7, requires_grad=True)
        value = pkd_loss(flat, self.inputs()["teacher"][:, :1].float())
        value.backward()
        assert value.item() == pytest.approx(0.5)
        assert flat.grad.eq(0).all()

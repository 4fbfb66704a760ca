import math

import numpy as np
import torch
from scipy import stats
from torch import nn

from distill.losses import DISTLoss, dist_loss
from tests.losses.contract import LossContract, softmax


class TestDISTLoss(LossContract):
    shape = (4, 6)
    refusals = {
        "inter": (lambda: DISTLoss(inter_weight=-1), "inter_weight must be finite"),
        "intra": (lambda: DISTLoss(intra_weight=math.inf), "intra_weight must be finite"),
        "temperature": (lambda: DISTLoss(temperature=0), "temperature must be positive"),
        "classes": (lambda: dist_loss(torch.ones(2, 3), torch.ones(2, 4)), "same shape"),
    }

    def make(self) -> nn.Module:
        return DISTLoss(inter_weight=2.0, intra_weight=0.5, temperature=3.0)

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        q = np.array([softmax(row / 3) for row in student])
        p = np.array([softmax(row / 3) for row in teacher])
        rows = [stats.pearsonr(q[b], p[b]).statistic for b in range(len(q))]
        columns = [stats.pearsonr(q[:, k], p[:, k]).statistic for k in range(q.shape[1])]
        return 9 * (2 * (1 - np.mean(rows)) + 0.5 * (1 - np.mean(columns)))

    def test_a_linear_relation_of_the_probabilities_costs_nothing(self) -> None:
        teacher = self.inputs()["teacher"]
        p = teacher.softmax(1)
        student = (0.5 * p + 0.5 / 6).log()
        found = dist_loss(student, teacher, intra_weight=0)
        torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-12)
        found = dist_loss(student, teacher, inter_weight=0)
        torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-12)

    def test_one_image_has_no_relation_between_images(self) -> None:
        inputs = self.fed(self.inputs(shape=(1, 6)))
        value = dist_loss(**inputs, inter_weight=0)
        value.backward()
        assert value.item() == 1
        assert inputs["student"].grad.abs().sum() == 0

    def test_the_opposite_relation_costs_most(self) -> None:
        student = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
        torch.testing.assert_close(dist_loss(student, student.flip(0)).item(), 4.0)

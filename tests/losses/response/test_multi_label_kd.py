import math

import numpy as np
import torch
from torch import nn

from distill.losses import MultiLabelKDLoss, kd_loss, multi_label_kd_loss
from tests.losses.contract import LossContract


class TestMultiLabelKDLoss(LossContract):
    shape = (4, 6)
    refusals = {
        "temperature": (lambda: MultiLabelKDLoss(0.0), "temperature must be positive"),
        "labels": (lambda: multi_label_kd_loss(torch.ones(2, 3), torch.ones(2, 4)), "same shape"),
    }

    def make(self) -> nn.Module:
        return MultiLabelKDLoss(temperature=2.0)

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        total = 0.0
        for b, k in np.ndindex(student.shape):
            q, p = (1 / (1 + math.exp(-z[b, k] / 2)) for z in (student, teacher))
            total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        return 4 * total / len(student)

    def test_the_gradient_is_the_temperature_times_the_gap_of_probabilities(self) -> None:
        inputs = self.inputs()
        student, teacher = inputs["student"].requires_grad_(), inputs["teacher"]
        multi_label_kd_loss(student, teacher, temperature=5.0).backward()
        gap = (student.detach() / 5).sigmoid() - (teacher / 5).sigmoid()
        torch.testing.assert_close(student.grad, 5 * gap / 4)

    def test_one_label_is_kd_of_yes_and_no(self) -> None:
        student, teacher = (z[:, :1] for z in self.inputs().values())
        expected = kd_loss(*(torch.cat([z, torch.zeros_like(z)], 1) for z in (student, teacher)))
        torch.testing.assert_close(multi_label_kd_loss(student, teacher, 4.0), expected)

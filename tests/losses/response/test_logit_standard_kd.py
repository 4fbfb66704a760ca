import math

import numpy as np
import torch
from torch import nn

from distill.losses import LogitStandardKDLoss, kd_loss, logit_standard_kd_loss
from tests.losses.contract import LossContract, softmax


class TestLogitStandardKDLoss(LossContract):
    shape = (4, 6)
    refusals = {
        "temperature": (lambda: LogitStandardKDLoss(-1.0), "temperature must be positive"),
        "classes": (
            lambda: logit_standard_kd_loss(torch.ones(2, 3), torch.ones(2, 4)),
            "same shape",
        ),
        "one class": (
            lambda: logit_standard_kd_loss(torch.ones(2, 1), torch.ones(2, 1)),
            "need 2 classes",
        ),
    }

    def make(self) -> nn.Module:
        return LogitStandardKDLoss(temperature=2.0)

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        total = 0.0
        for b in range(len(student)):
            q, p = (softmax(z / (z.std(ddof=1) + 1e-7) / 2) for z in (student[b], teacher[b]))
            total += sum(p[k] * math.log(p[k] / q[k]) for k in range(len(p)))
        return 4 * total / len(student)

    def test_scale_and_shift_of_an_image_change_nothing(self) -> None:
        inputs, loss = self.inputs(), self.loss()
        scale = torch.tensor([[0.5], [1.0], [3.0], [20.0]], dtype=torch.float64)
        expected = loss(**inputs)
        found = loss(scale * inputs["student"] + scale, inputs["teacher"])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
        found = loss(inputs["student"], scale * inputs["teacher"] - scale)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)

    def test_it_is_kd_where_logits_are_standard_already(self) -> None:
        student, teacher = (z / z.std(1, keepdim=True) for z in self.inputs().values())
        expected = kd_loss(student, teacher, temperature=2.0)
        found = logit_standard_kd_loss(student, teacher)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)

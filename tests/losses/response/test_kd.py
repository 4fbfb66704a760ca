import math

import numpy as np
import torch
from torch import nn

from distill.losses import KDLoss, kd_loss
from tests.losses.contract import LossContract, softmax


class TestKDLoss(LossContract):
    shape = (4, 6)
    refusals = {
        "temperature": (lambda: KDLoss(temperature=-4.0), "temperature must be positive"),
        "infinite": (lambda: KDLoss(temperature=math.inf), "temperature must be positive"),
        "rank": (lambda: kd_loss(torch.ones(6), torch.ones(6)), r"same shape \(b, k\)"),
        "classes": (lambda: kd_loss(torch.ones(2, 3), torch.ones(2, 4)), r"\(2, 3\) and \(2, 4\)"),
        "broadcast": (lambda: kd_loss(torch.ones(4, 3), torch.ones(1, 3)), "same shape"),
        "no class": (lambda: kd_loss(torch.ones(2, 0), torch.ones(2, 0)), "at least one element"),
    }

    def make(self) -> nn.Module:
        return KDLoss(temperature=3.0)

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        total = 0.0
        for b in range(len(student)):
            q, p = softmax(student[b] / 3.0), softmax(teacher[b] / 3.0)
            for k in range(len(p)):
                total += p[k] * math.log(p[k] / q[k])
        return 9.0 * total / len(student)

    def test_the_hand_value(self) -> None:
        teacher = torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64)
        expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
        found = kd_loss(torch.zeros_like(teacher), teacher, temperature=1.0)
        assert math.isclose(found.item(), expected, rel_tol=1e-12)

    def test_the_literatures_temperature_is_the_default(self) -> None:
        inputs = self.inputs()
        assert torch.equal(KDLoss()(**inputs), kd_loss(**inputs, temperature=4.0))

    def test_a_constant_added_to_a_row_changes_nothing(self) -> None:
        inputs, shift = self.inputs(), torch.arange(4.0, dtype=torch.float64)[:, None]
        expected = kd_loss(**inputs)
        torch.testing.assert_close(kd_loss(inputs["student"] + shift, inputs["teacher"]), expected)
        torch.testing.assert_close(kd_loss(inputs["student"], inputs["teacher"] - shift), expected)

    def test_the_gradient_is_the_temperature_times_the_gap_of_soft_targets(self) -> None:
        inputs = self.inputs()
        student, teacher = inputs["student"].requires_grad_(), inputs["teacher"]
        kd_loss(student, teacher, temperature=5.0).backward()
        gap = (student.detach() / 5).softmax(1) - (teacher / 5).softmax(1)
        torch.testing.assert_close(student.grad, 5 * gap / 4)

    def test_of_time_steps_it_is_the_mean_over_them(self) -> None:
        student, teacher = self.inputs(shape=(2, 5, 6)).values()
        each = [kd_loss(student[:, step], teacher[:, step]) for step in range(5)]
        torch.testing.assert_close(kd_loss(student, teacher), torch.stack(each).mean())

    def test_at_a_high_temperature_it_matches_centred_logits(self) -> None:
        inputs = self.inputs()
        student, teacher = (value - value.mean(1, keepdim=True) for value in inputs.values())
        expected = (student - teacher).square().sum(1).mean() / (2 * 6)
        found = kd_loss(**inputs, temperature=1e4)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)

import math

import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import SSLDLoss, ssld_loss
from tests.losses.contract import LossContract, softmax


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    return sum(p[k] * math.log(p[k] / q[k]) for k in range(len(p)))


class TestSSLDLoss(LossContract):
    shape = (4, 6)
    refusals = {
        "divergence": (lambda: SSLDLoss("kl"), "divergence must be 'jeffreys' or 'js', got 'kl'"),
        "function": (
            lambda: ssld_loss(torch.ones(2, 3), torch.ones(2, 3), "JS"),  # type: ignore[arg-type]
            "divergence must be",
        ),
        "rank": (lambda: ssld_loss(torch.ones(6), torch.ones(6)), r"same shape \(b, k\)"),
        "classes": (lambda: ssld_loss(torch.ones(2, 3), torch.ones(2, 4)), "same shape"),
    }

    def make(self) -> nn.Module:
        return SSLDLoss()

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        total = 0.0
        for b in range(len(student)):
            q, p = softmax(student[b]), softmax(teacher[b])
            total += (divergence(p, q) + divergence(q, p)) / 2
        return total / len(student)

    def test_it_is_symmetric(self) -> None:
        student, teacher = self.inputs().values()
        torch.testing.assert_close(self.loss()(student, teacher), self.loss()(teacher, student))

    def test_of_time_steps_it_is_the_mean_over_them(self) -> None:
        student, teacher = self.inputs(shape=(2, 5, 6)).values()
        each = [self.loss()(student[:, step], teacher[:, step]) for step in range(5)]
        torch.testing.assert_close(self.loss()(student, teacher), torch.stack(each).mean())


class TestJensenShannon(TestSSLDLoss):
    def make(self) -> nn.Module:
        return SSLDLoss("js")

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        total = 0.0
        for b in range(len(student)):
            q, p = softmax(student[b]), softmax(teacher[b])
            total += (divergence(p, (p + q) / 2) + divergence(q, (p + q) / 2)) / 2
        return total / len(student)

    def test_it_is_at_most_ln_2(self) -> None:
        student = torch.tensor([[500.0, -500.0]])
        assert ssld_loss(student, -student, "js").item() == pytest.approx(math.log(2))


def test_the_two_divergences_are_different_losses() -> None:
    teacher = torch.tensor([[9.0, 1.0]], dtype=torch.float64).log()
    student = teacher.flip(1)
    assert ssld_loss(student, teacher).item() == pytest.approx(0.8 * math.log(9), rel=1e-12)
    mixture = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert ssld_loss(student, teacher, "js").item() == pytest.approx(mixture, rel=1e-12)

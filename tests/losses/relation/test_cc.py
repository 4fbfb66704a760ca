import math

import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import CCLoss, cc_loss
from tests.losses.contract import LossContract

ROWS = torch.ones(3, 2)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    flat = rows.reshape(len(rows), -1)
    return np.array([row / math.sqrt((row**2).sum()) for row in flat])


def taylor(rows: np.ndarray, gamma: float, order: int) -> np.ndarray:
    units = unit_rows(rows)
    found = np.zeros((len(rows), len(rows)))
    for i, j in np.ndindex(found.shape):
        for power in range(order + 1):
            term = (2 * gamma * float(units[i] @ units[j])) ** power / math.factorial(power)
            found[i, j] += math.exp(-2 * gamma) * term
    return found


class TestCCLoss(LossContract):
    shape = (5, 3, 2)
    refusals = {
        "gamma": (lambda: CCLoss(gamma=0), "gamma must be positive"),
        "order": (lambda: CCLoss(order=0), "order must be at least 1"),
        "convention": (lambda: CCLoss(convention="rd"), "'paper' or 'code', got 'rd'"),
        "rank": (lambda: cc_loss(torch.ones(3), torch.ones(3)), "one row per image"),
        "rows": (lambda: cc_loss(ROWS, torch.ones(4, 2)), r"\(3, 2\) and \(4, 2\)"),
    }

    def make(self) -> nn.Module:
        return CCLoss(gamma=0.7, order=3)

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        gap = taylor(student, 0.7, 3) - taylor(teacher, 0.7, 3)
        return float((gap**2).sum() / len(student) ** 2)

    def test_many_terms_make_the_gaussian_kernel(self) -> None:
        student, teacher = self.inputs().values()
        kernels = []
        for rows in (student, teacher):
            units = unit_rows(rows.numpy())
            squared = ((units[:, None] - units[None]) ** 2).sum(2)
            kernels.append(np.exp(-0.4 * squared))
        expected = ((kernels[0] - kernels[1]) ** 2).mean()
        assert cc_loss(student, teacher, order=12).item() == pytest.approx(expected, rel=1e-9)


class TestCCLossOfTheCode(TestCCLoss):
    refusals = {"width": (lambda: cc_loss(ROWS, ROWS[:, :1], convention="code"), "same shape")}

    def make(self) -> nn.Module:
        return CCLoss(convention="code")

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        gap = abs(student - teacher).reshape(len(student), -1)
        products = [(gap[i] * gap[i + 1]).sum() for i in range(len(gap) - 1)]
        return float(np.mean(products))

    def test_one_image_gives_a_zero(self) -> None:
        assert self.loss()(**self.inputs(shape=(1, 3, 2))).item() == 0

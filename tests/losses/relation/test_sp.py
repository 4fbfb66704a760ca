import numpy as np
import torch
from torch import nn

from distill.losses import SPLoss, sp_loss
from tests.losses.contract import LossContract


def similarity(rows: np.ndarray) -> np.ndarray:
    n = len(rows)
    flat = rows.reshape(n, -1)
    found = np.array([[sum(flat[i] * flat[j]) for j in range(n)] for i in range(n)])
    return np.array([row / np.sqrt((row**2).sum()) for row in found])


class TestSPLoss(LossContract):
    shape = (5, 3, 2)
    refusals = {
        "rank": (lambda: sp_loss(torch.ones(3), torch.ones(3)), "one row per image"),
        "rows": (lambda: sp_loss(torch.ones(3, 2), torch.ones(4, 2)), r"\(3, 2\) and \(4, 2\)"),
    }

    def make(self) -> nn.Module:
        return SPLoss()

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        return float(((similarity(student) - similarity(teacher)) ** 2).sum() / len(student) ** 2)

    def test_scale_rotation_and_width_change_nothing(self) -> None:
        student, teacher = (value.flatten(1) for value in self.inputs().values())
        turn, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
        expected = sp_loss(student, teacher)
        torch.testing.assert_close(sp_loss(1e-9 * student @ turn, teacher), expected)
        wide = torch.cat([1e9 * teacher, torch.zeros_like(teacher)], 1)
        torch.testing.assert_close(sp_loss(student, wide), expected)

    def test_it_is_at_most_four_over_b(self) -> None:
        rows = torch.tensor([[1.0], [-1.0], [1.0]])
        opposite = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        assert 0 < sp_loss(rows, opposite).item() <= 4 / 3

    def test_a_row_of_zeros_is_like_nothing(self) -> None:
        rows = torch.eye(3, requires_grad=True)
        dark = torch.diag(torch.tensor([1.0, 1.0, 0.0]))
        value = sp_loss(rows, dark)
        assert value.item() == torch.tensor(1 / 9).item()

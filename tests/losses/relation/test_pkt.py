import math

import numpy as np
import torch
from torch import nn

from distill.losses import PKTLoss, pkt_loss
from tests.losses.contract import LossContract


def probabilities(rows: np.ndarray) -> np.ndarray:
    n = len(rows)
    flat = rows.reshape(n, -1)
    length = [math.sqrt((row**2).sum()) for row in flat]
    found = np.empty((n, n))
    for i, j in np.ndindex(n, n):
        found[i, j] = (flat[i] @ flat[j] / length[i] / length[j] + 1) / 2
    return found / found.sum(1, keepdims=True)


class TestPKTLoss(LossContract):
    shape = (5, 3, 2)
    refusals = {
        "rank": (lambda: pkt_loss(torch.ones(3), torch.ones(3)), "one row per image"),
        "rows": (lambda: pkt_loss(torch.ones(3, 2), torch.ones(4, 2)), r"\(3, 2\) and \(4, 2\)"),
    }

    def make(self) -> nn.Module:
        return PKTLoss()

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        q, p = probabilities(student), probabilities(teacher)
        total = sum(
            p[i, j] * math.log((p[i, j] + 1e-7) / (q[i, j] + 1e-7)) for i, j in np.ndindex(p.shape)
        )
        return total / len(p) ** 2

    def test_rotation_and_the_scale_of_each_row_change_nothing(self) -> None:
        student, teacher = (value.flatten(1) for value in self.inputs().values())
        turn, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
        scale = torch.tensor([[0.01], [1.0], [5.0], [100.0], [2.0]], dtype=torch.float64)
        torch.testing.assert_close(
            pkt_loss(scale * student @ turn, scale.flip(0) * teacher), pkt_loss(student, teacher)
        )

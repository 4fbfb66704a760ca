import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss as of_torchvision

from distill.losses import SigmoidFocalLoss, sigmoid_focal_loss
from tests.losses.task.contract import TaskLossContract

ROWS, TARGET = torch.zeros(2, 3), torch.tensor([0, -1])


class TestSigmoidFocalLoss(TaskLossContract):
    shape = (6, 5, 3)
    refusals = {
        "gamma": (lambda: SigmoidFocalLoss(gamma=-1), "^gamma must be finite"),
        "alpha": (lambda: SigmoidFocalLoss(alpha=1.5), r"^alpha must be in 0\.\.1, got 1.5"),
        "its": (lambda: sigmoid_focal_loss(ROWS, TARGET, alpha=-1), r"^alpha must be in 0\.\.1"),
        "rows": (
            lambda: sigmoid_focal_loss(ROWS, TARGET[:1]),
            r"logits \(2, 3\) and target \(1,\)",
        ),
        "shares": (lambda: sigmoid_focal_loss(ROWS, ROWS[:, 0]), "torch.float32$"),
        "high": (lambda: sigmoid_focal_loss(ROWS, TARGET + 3), r"in -1\.\.2, got 2\.\.3"),
        "low": (lambda: sigmoid_focal_loss(ROWS, TARGET - 1), r"in -1\.\.2, got -2\.\.-1"),
    }

    def make(self) -> nn.Module:
        return SigmoidFocalLoss(gamma=1.5, alpha=0.3)

    def target(self, predicted: Tensor, generator: torch.Generator) -> Tensor:
        shape = predicted.shape[:-1]
        numbers = torch.randint(-2, predicted.shape[-1], shape, generator=generator)
        return torch.where(numbers == -2, -100, numbers)

    def oracle(self, loss: nn.Module, predicted: np.ndarray, target: np.ndarray) -> float:
        total, objects = 0.0, 0
        for row, y in zip(predicted.reshape(-1, 3), target.ravel(), strict=True):
            objects += y >= 0
            for k, z in enumerate(row):
                p = 1 / (1 + math.exp(-z))
                if y == k:
                    total -= 0.3 * (1 - p) ** 1.5 * math.log(p)
                elif y != -100:
                    total -= 0.7 * p**1.5 * math.log(1 - p)
        return total / max(objects, 1)

    def test_it_is_torchvisions_by_the_count(self) -> None:
        logits = self.inputs()["input"].flatten(0, 1)
        target = torch.arange(30) % 4 - 1
        wanted = torch.stack([target == k for k in range(3)], 1).double()
        expected = of_torchvision(logits, wanted, 0.25, 2, "sum") / 7
        found = sigmoid_focal_loss(logits, target, torch.tensor(7.0))
        torch.testing.assert_close(found, expected)

    def test_a_point_that_is_even_has_the_papers_value(self) -> None:
        value = sigmoid_focal_loss(torch.zeros(1, 1), torch.tensor([0])).item()
        assert value == pytest.approx(0.25 * 0.25 * math.log(2), rel=1e-6)

    def test_what_is_ignored_has_no_gradient(self) -> None:
        logits = torch.randn(2, 3, requires_grad=True)
        sigmoid_focal_loss(logits, torch.tensor([-100, 1])).backward()
        assert logits.grad is not None
        assert not logits.grad[0].any()
        assert logits.grad[1].all()

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import sigmoid_focal_loss

from distill.losses import FocalLoss, focal_loss
from tests.losses.contract import softmax
from tests.losses.task.contract import LabelLossContract

ROWS, TARGET = torch.zeros(2, 3), torch.tensor([0, 1])
NEGATIVE = torch.tensor([[1.5, -0.5, 0.0]] * 2)


class TestFocalLoss(LabelLossContract):
    shape = (6, 5)
    alpha = [0.5, 1.0, 2.0, 0.0, 1.5]
    refusals = {
        "gamma": (lambda: FocalLoss(gamma=-1), "^gamma must be finite"),
        "alpha": (lambda: FocalLoss(alpha=math.nan), "^alpha must be finite"),
        "a class's alpha": (lambda: FocalLoss(alpha=[1.0, -1.0]), "^alpha must be finite"),
        "length": (lambda: FocalLoss(alpha=[1.0])(ROWS, TARGET), r"class, 3, got shape \(1,\)"),
        "number": (lambda: focal_loss(ROWS, TARGET, alpha=-1), "^alpha must be finite"),
        "a tuple's": (lambda: FocalLoss(alpha=(1.0, -1.0, 1.0)), "^alpha must be finite"),
        "tensor": (
            lambda: focal_loss(ROWS, TARGET, alpha=torch.tensor([1.0, -1.0, 1.0])),
            "^alpha must be at least 0, got",
        ),
        "no shares": (lambda: focal_loss(ROWS, 2 * ROWS.softmax(1)), "with sum 1, got sum 2"),
        "negative": (lambda: focal_loss(ROWS, NEGATIVE), "at least 0 with sum 1, got sum 1"),
        "rank": (lambda: focal_loss(ROWS[None], TARGET), r"shape \(b, k\) with at least one class"),
        "no class": (lambda: focal_loss(ROWS[:, :0], TARGET), r"class, got \(2, 0\)"),
        "column": (lambda: focal_loss(ROWS, TARGET[:, None]), r"\(2,\), got \(2, 1\)"),
        "range": (lambda: focal_loss(ROWS, TARGET + 2), r"in 0\.\.2 or -100, got 3"),
        "shares": (lambda: focal_loss(ROWS, ROWS[:, :1]), r"\(2,\), got \(2, 1\) torch.float32"),
    }

    def make(self) -> nn.Module:
        return FocalLoss(gamma=1.5, alpha=self.alpha)

    def oracle(self, loss: nn.Module, predicted: np.ndarray, target: np.ndarray) -> float:
        total, n = 0.0, 0
        for row, y in zip(predicted, target, strict=True):
            if y != -100:
                p = softmax(row)[y]
                total -= self.alpha[y] * (1 - p) ** 1.5 * math.log(p)
                n += 1
        return total / n

    def test_gamma_0_is_cross_entropy(self) -> None:
        inputs = self.inputs()
        torch.testing.assert_close(focal_loss(**inputs, gamma=0), F.cross_entropy(**inputs))
        shares = inputs["input"].flip(0).softmax(1)
        expected = F.cross_entropy(inputs["input"], shares)
        torch.testing.assert_close(focal_loss(inputs["input"], shares, gamma=0), expected)

    def test_a_class_that_is_masked_out_adds_nothing(self) -> None:
        logits = torch.tensor([[0.0, 1.0, -math.inf]], requires_grad=True)
        target = torch.tensor([0])
        for gamma in (0.0, 2.0):
            focal_loss(logits, target, gamma=gamma).backward()
            assert logits.grad.isfinite().all()
        torch.testing.assert_close(
            focal_loss(logits, target, gamma=0), F.cross_entropy(logits, target)
        )

    def test_two_classes_are_the_sigmoid_form(self) -> None:
        z, target = self.inputs()["input"][:, 0], torch.tensor([0, 1, 1, 0, 1, 0])
        logits = torch.stack([torch.zeros_like(z), z], dim=1)
        found = focal_loss(logits, target, gamma=2, alpha=torch.tensor([0.75, 0.25]))
        expected = sigmoid_focal_loss(z, target.double(), 0.25, 2, "mean")
        torch.testing.assert_close(found, expected)

    def test_shares_are_weighted_class_by_class(self) -> None:
        logits = self.inputs()["input"]
        shares = logits.roll(1, 0).softmax(1)
        expected = 0.0
        for row, share in zip(logits.numpy(), shares.numpy(), strict=True):
            p = softmax(row)
            for k in range(5):
                expected -= share[k] * (1 - p[k]) ** 2 * math.log(p[k]) / 6
        assert focal_loss(logits, shares).item() == pytest.approx(expected)

    def test_shares_get_no_gradient(self) -> None:
        logits, shares = ROWS.clone().requires_grad_(), ROWS.softmax(1).requires_grad_()
        focal_loss(logits, shares).backward()
        assert shares.grad is None

    def test_one_alpha_for_all_is_a_factor(self) -> None:
        inputs = self.inputs()
        expected = 0.25 * focal_loss(**inputs)
        torch.testing.assert_close(focal_loss(**inputs, alpha=0.25), expected)
        torch.testing.assert_close(FocalLoss(alpha=0.25)(**inputs), expected)

    @pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
    @pytest.mark.parametrize("gap", [20.0, 1e4])
    def test_a_certain_prediction_has_a_finite_gradient(self, gamma: float, gap: float) -> None:
        right = torch.tensor([[gap, 0.0, 0.0]], requires_grad=True)
        wrong = torch.tensor([[0.0, gap, 0.0]], requires_grad=True)
        target = torch.tensor([0])
        (focal_loss(right, target, gamma) + focal_loss(wrong, target, gamma)).backward()
        assert right.grad.abs().max() < 1e-6
        assert wrong.grad.abs().max().item() == pytest.approx(1)

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses import QualityFocalLoss, quality_focal_loss
from tests.losses.task.contract import TaskLossContract

ROWS = torch.zeros(2, 3)


class TestQualityFocalLoss(TaskLossContract):
    shape = (6, 5, 3)
    refusals = {
        "beta": (lambda: QualityFocalLoss(beta=-1), "^beta must be finite"),
        "shape": (lambda: quality_focal_loss(ROWS, ROWS[:1]), r"got \(2, 3\) and \(1, 3\)"),
        "numbers": (lambda: quality_focal_loss(ROWS, ROWS.long()), "torch.int64"),
        "range": (lambda: quality_focal_loss(ROWS, ROWS + 2), r"scores in 0\.\.1, got 2\.\.2"),
    }

    def make(self) -> nn.Module:
        return QualityFocalLoss(beta=1.5)

    def target(self, predicted: Tensor, generator: torch.Generator) -> Tensor:
        return torch.rand(predicted.shape, generator=generator, dtype=torch.float64)

    def oracle(self, loss: nn.Module, predicted: np.ndarray, target: np.ndarray) -> float:
        total = 0.0
        for z, y in zip(predicted.ravel(), target.ravel(), strict=True):
            p = 1 / (1 + math.exp(-z))
            entropy = -y * math.log(p) - (1 - y) * math.log(1 - p)
            total += abs(y - p) ** 1.5 * entropy
        return total / target.shape[0] / target.shape[1]

    def _is_finite(
        self, batch: int, kind: str, exponent: int, dtype: torch.dtype, seed: int
    ) -> None:
        """Logits of any size; scores stay in 0..1."""
        inputs = self.inputs(seed, batch)
        logits = (inputs["input"] * 10.0**exponent).clamp(-6e4, 6e4).to(dtype)
        fed = self.fed({"input": logits, "target": inputs["target"].to(dtype)}, dtype)
        value = self.loss(torch.float32)(**fed)
        value.backward()
        assert torch.isfinite(value)
        assert not torch.isnan(fed["input"].grad).any()

    def test_beta_0_is_cross_entropy(self) -> None:
        inputs = self.inputs()
        expected = F.binary_cross_entropy_with_logits(**inputs, reduction="sum") / 30
        torch.testing.assert_close(quality_focal_loss(**inputs, beta=0), expected)

    def test_the_count_divides_the_sum(self) -> None:
        inputs = self.inputs()
        whole = 30 * quality_focal_loss(**inputs)
        torch.testing.assert_close(quality_focal_loss(**inputs, count=torch.tensor(4.0)), whole / 4)

    def test_equal_scores_are_zero_with_a_finite_slope(self) -> None:
        logits = torch.zeros(1, 2, requires_grad=True)
        value = quality_focal_loss(logits, torch.full((1, 2), 0.5), beta=0.5)
        value.backward()
        assert value.item() < 1e-5
        assert logits.grad is not None
        assert logits.grad.isfinite().all()

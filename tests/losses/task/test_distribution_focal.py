import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distill.losses import DistributionFocalLoss, KDLoss, distribution_focal_loss
from tests.losses.contract import softmax
from tests.losses.task.contract import TaskLossContract

ROWS = torch.zeros(2, 4, 3)


class TestDistributionFocalLoss(TaskLossContract):
    shape = (6, 4, 5)
    refusals = {
        "rows": (lambda: distribution_focal_loss(ROWS, ROWS[:1, :, 0]), r"target \(1, 4\)$"),
        "a bin": (lambda: distribution_focal_loss(ROWS[..., :1], ROWS[..., 0]), "or more bins"),
    }

    def make(self) -> nn.Module:
        return DistributionFocalLoss()

    def target(self, predicted: Tensor, generator: torch.Generator) -> Tensor:
        """Some beyond the last bin, some whole."""
        shape = predicted.shape[:-1]
        draws = 5.5 * torch.rand(shape, generator=generator, dtype=torch.float64) - 0.5
        return torch.where(draws > 3, draws.round(), draws)

    def oracle(self, loss: nn.Module, predicted: np.ndarray, target: np.ndarray) -> float:
        total = 0.0
        for row, y in zip(predicted.reshape(-1, 5), target.ravel(), strict=True):
            place = min(max(y, 0), 4)
            for number, p in enumerate(softmax(row)):
                total -= max(0, 1 - abs(place - number)) * math.log(p)
        return total / target.size

    def test_even_logits_give_the_logarithm_of_the_bins(self) -> None:
        value = distribution_focal_loss(torch.zeros(3, 4, 8), torch.rand(3, 4) * 7)
        assert value.item() == pytest.approx(math.log(8), rel=1e-6)

    def test_ld_is_kd_on_the_edges(self) -> None:
        """LD's authors take the mean over bins and write T squared: ours is theirs times bins."""
        draws = torch.Generator().manual_seed(0)
        student, teacher = torch.randn(2, 6, 4, 8, generator=draws, dtype=torch.float64)
        p = (teacher / 10).softmax(-1)
        gap = p * (p.log() - (student / 10).log_softmax(-1))
        assert KDLoss(10.0)(student, teacher).item() == pytest.approx(
            8 * 100 * gap.mean().item(), rel=1e-9
        )

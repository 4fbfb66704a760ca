import math

import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import PairwiseLoss, pairwise_loss
from tests.losses.contract import LossContract

MAPS = torch.ones(1, 2, 4, 4)


def cosines(maps: np.ndarray, pool: int) -> np.ndarray:
    """Of one image's places after max pooling; a last square may be smaller."""
    c, height, width = maps.shape
    places = [
        maps[:, y : y + pool, x : x + pool].reshape(c, -1).max(1)
        for y in range(0, height, pool)
        for x in range(0, width, pool)
    ]
    return np.array([[a @ b / math.sqrt(a @ a) / math.sqrt(b @ b) for b in places] for a in places])


class TestPairwiseLoss(LossContract):
    shape = (3, 4, 5, 4)
    teacher_shape = (6, 5, 4)
    refusals = {
        "pool": (lambda: PairwiseLoss(pool=0), "^pool must be a whole number .* got 0$"),
        "part": (lambda: PairwiseLoss(pool=1.5), "got 1.5$"),
        "its": (lambda: pairwise_loss(MAPS, MAPS, pool=-1), "got -1$"),
        "size": (lambda: pairwise_loss(MAPS, MAPS[..., :2]), "same b, h, w"),
        "many": (
            lambda: pairwise_loss(torch.ones(1, 1, 65, 65), torch.ones(1, 1, 65, 65), pool=1),
            "at most 4096 places are compared, 65 x 65 cells and pool 1 leave 4225",
        ),
    }

    def make(self) -> nn.Module:
        return PairwiseLoss(pool=2)

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        gaps = [
            ((cosines(one, 2) - cosines(other, 2)) ** 2).mean()
            for one, other in zip(student, teacher, strict=True)
        ]
        return float(np.mean(gaps))

    def test_it_is_zero_when_equal_and_positive_otherwise(self) -> None:
        student = self.inputs()["student"]
        assert pairwise_loss(student, student).item() == pytest.approx(0, abs=1e-12)
        assert self.loss()(**self.inputs()).item() > 1e-6

    def test_orthogonal_places_against_equal_ones(self) -> None:
        apart, same = torch.eye(2).view(1, 2, 1, 2), torch.ones(1, 2, 1, 2)
        assert pairwise_loss(apart, same, pool=1).item() == pytest.approx(0.5)

    def test_scale_changes_nothing_and_is_not_pushed(self) -> None:
        inputs = self.inputs()
        student = inputs["student"].requires_grad_()
        value = pairwise_loss(student, inputs["teacher"])
        (gradient,) = torch.autograd.grad(value, student)
        assert (gradient * student).sum().abs().item() < 1e-12
        torch.testing.assert_close(pairwise_loss(9 * student, inputs["teacher"]), value)

    def test_a_share_leaves_as_many_places_of_any_map(self) -> None:
        maps = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(
            pairwise_loss(maps, maps.flip(1), pool=0.5), pairwise_loss(maps, maps.flip(1), pool=4)
        )

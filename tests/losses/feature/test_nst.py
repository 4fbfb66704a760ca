import math

import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import NSTLoss, nst_loss
from tests.losses.contract import LossContract

MAPS = torch.ones(2, 3, 2, 2)


def kernel(one: np.ndarray, other: np.ndarray) -> float:
    """Mean over pairs of channels (c, h, w) of their squared cosine."""
    found = []
    for x in one:
        for y in other:
            lengths = math.sqrt((x**2).sum()) * math.sqrt((y**2).sum())
            found.append(((x * y).sum() / lengths) ** 2)
    return float(np.mean(found))


class TestNSTLoss(LossContract):
    shape = (3, 2, 2, 3)
    teacher_shape = (4, 2, 3)
    refusals = {
        "size": (lambda: nst_loss(MAPS, MAPS[..., :1]), r"same b, h, w.*\(2, 3, 2, 1\)"),
        "rank": (lambda: nst_loss(MAPS[0], MAPS[0]), r"\(b, c, h, w\)"),
    }

    def make(self) -> nn.Module:
        return NSTLoss()

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        images = zip(student, teacher, strict=True)
        return float(np.mean([kernel(s, s) + kernel(t, t) - 2 * kernel(s, t) for s, t in images]))

    def test_order_and_scale_of_channels_do_not_matter(self) -> None:
        maps = self.inputs()["teacher"]
        scale = torch.rand(1, maps.shape[1], 1, 1, dtype=torch.float64) + 0.5
        assert nst_loss(maps.flip(1) * scale, maps).item() == pytest.approx(0, abs=1e-12)

    def test_the_number_of_channels_may_differ(self) -> None:
        student, teacher = self.inputs().values()
        doubled = torch.cat([student, 3 * student], 1)
        torch.testing.assert_close(nst_loss(doubled, teacher), nst_loss(student, teacher))


class TestNSTLossOfManyChannels(TestNSTLoss):
    """More channels than pixels take the other of two ways."""

    shape = (2, 8, 1, 3)
    teacher_shape = (5, 1, 3)


def test_zero_does_not_mean_equal() -> None:
    maps = torch.randn(1, 2, 3, 3)
    assert nst_loss(-maps, maps).item() == pytest.approx(0, abs=1e-6)

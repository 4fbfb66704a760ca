import math

import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import ATLoss, at_loss
from tests.losses.contract import LossContract

MAPS = torch.ones(2, 3, 2, 2)


def attention(maps: np.ndarray, p: float) -> np.ndarray:
    """Of one image (c, h, w)."""
    _, height, width = maps.shape
    found = [sum(abs(maps[:, y, x]) ** p) for y in range(height) for x in range(width)]
    return np.array(found) / math.sqrt(sum(value**2 for value in found))


class TestATLoss(LossContract):
    shape = (3, 4, 2, 3)
    teacher_shape = (5, 2, 3)
    convention = "code"
    p: float = 2
    refusals = {
        "p": (lambda: ATLoss(p=0.5), "p must be finite and at least 1, got 0.5"),
        "convention": (lambda: ATLoss("official"), "'code' or 'paper', got 'official'"),
        "size": (lambda: at_loss(MAPS, MAPS[..., :1]), r"same b, h, w.*\(2, 3, 2, 1\)"),
        "rank": (lambda: at_loss(MAPS[0], MAPS[0]), r"\(b, c, h, w\)"),
    }

    def make(self) -> nn.Module:
        return ATLoss(self.convention, self.p)

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        gaps = [
            attention(s, self.p) - attention(t, self.p)
            for s, t in zip(student, teacher, strict=True)
        ]
        if self.convention == "paper":
            return float(np.mean([math.sqrt((gap**2).sum()) for gap in gaps]))
        return float(np.mean([gap**2 for gap in gaps]))

    def test_a_scale_per_image_and_the_number_of_channels_do_not_matter(self) -> None:
        student, teacher = self.inputs().values()
        loss, scale = self.loss(), torch.tensor([1e-9, 1.0, 1e9]).double().view(3, 1, 1, 1)
        expected = loss(student, teacher)
        torch.testing.assert_close(loss(student * scale, teacher), expected)
        torch.testing.assert_close(loss(torch.cat([student, student], 1), teacher), expected)


class TestATLossOfThePaper(TestATLoss):
    convention = "paper"

    def test_it_is_the_root_of_the_code_times_pixels_for_one_image(self) -> None:
        inputs = self.inputs(shape=(1, 4, 2, 3))
        paper, code = at_loss(**inputs, convention="paper"), at_loss(**inputs)
        torch.testing.assert_close(paper, (code * 6).sqrt())


class TestATLossOfOddPower(TestATLoss):
    """Negative activations attract as much attention as positive ones."""

    p = 3


@pytest.mark.parametrize("size", [2, 4])
def test_disjoint_attention_is_the_maximum(size: int) -> None:
    student, teacher = torch.zeros(2, 1, 3, size, size)
    student[..., 0, 0], teacher[..., 1, 1] = 5, 7
    assert at_loss(student, teacher).item() == pytest.approx(2 / size**2)


def test_an_image_without_activations_has_no_attention() -> None:
    dark = torch.zeros(1, 1, 2, 2, requires_grad=True)
    value = at_loss(dark, torch.ones(1, 1, 2, 2))
    value.backward()
    assert value.item() == pytest.approx(0.25)
    assert dark.grad.eq(0).all()

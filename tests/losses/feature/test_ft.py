import math

import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import FTLoss, ft_loss
from tests.losses.contract import LossContract
from tests.losses.feature.numpy_layers import run

MAPS = torch.ones(2, 3, 2, 2)


class TestFTLoss(LossContract):
    shape = (3, 2, 2, 2)
    teacher_shape = (3, 2, 2)
    zero_when_equal = False  # paraphraser and translator stand between
    convention = "paper"
    refusals = {
        "student": (lambda: FTLoss(0, 2), "student_channels must be at least 1"),
        "rate": (lambda: FTLoss(2, 2, rate=0), r"rate must be in 0\.\.1, got 0"),
        "convention": (lambda: FTLoss(2, 2, convention="rd"), "'paper' or 'code', got 'rd'"),
        "size": (lambda: FTLoss(3, 3)(MAPS, MAPS[..., :1]), r"same b, h, w.*\(2, 3, 2, 1\)"),
        "channels": (lambda: ft_loss(MAPS, MAPS[:, :1]), "same shape"),
    }

    def make(self) -> nn.Module:
        return FTLoss(2, 3, rate=0.5, convention=self.convention)

    def compared(self, factors: np.ndarray) -> np.ndarray:
        """Of one image."""
        if self.convention == "code":
            factors = (factors**2).mean(0)
        return factors.flatten() / math.sqrt((factors**2).sum())

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        factors, translated = run(loss.paraphraser, teacher), run(loss.translator, student)
        gaps = [
            abs(self.compared(s) - self.compared(t))
            for s, t in zip(translated, factors, strict=True)
        ]
        return float(np.mean(gaps) + ((run(loss.decoder, factors) - teacher) ** 2).mean())

    def test_a_scale_per_image_does_not_matter(self) -> None:
        student, teacher = torch.randn(2, 3, 2, 2, 2, dtype=torch.float64)
        scale = torch.tensor([1e-9, 1.0, 1e9]).double().view(3, 1, 1, 1)
        expected = ft_loss(student, teacher, self.convention)
        torch.testing.assert_close(ft_loss(scale * student, teacher, self.convention), expected)

    def test_the_paraphraser_learns_from_its_reconstruction_alone(self) -> None:
        """Else factors would come to suit the student."""
        gradients = []
        for seed in (0, 1):
            loss, inputs = self.loss(), self.inputs()
            inputs["student"] = self.inputs(seed)["student"]
            loss(**inputs).backward()
            gradients.append(loss.paraphraser[0].weight.grad)
        assert gradients[0].abs().sum() > 0
        assert torch.equal(*gradients)


class TestFTLossOfTheCode(TestFTLoss):
    convention = "code"


@pytest.mark.parametrize(("rate", "factors"), [(0.5, 4), (0.01, 1), (1.0, 8)])
def test_the_rate_sets_the_number_of_factors(rate: float, factors: int) -> None:
    loss = FTLoss(5, 8, rate=rate)
    assert loss.paraphraser[-1].out_channels == loss.translator[-1].out_channels == factors
    assert loss.decoder[-1].out_channels == 8

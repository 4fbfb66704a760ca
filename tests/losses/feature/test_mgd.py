import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distill.losses import MGDLoss, mgd_loss
from tests.losses.contract import LossContract
from tests.losses.feature.numpy_layers import convolved, run

MAPS = torch.ones(2, 3, 2, 2)


class SameMask(nn.Module):
    """Draws the same mask at each call."""

    def __init__(self, loss: MGDLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        torch.manual_seed(0)
        return self.loss(student, teacher)


class TestMGDLoss(LossContract):
    shape = (3, 2, 2, 2)
    teacher_shape = (3, 2, 2)
    zero_when_equal = False  # a generator stands between
    mask = "pixel"
    refusals = {
        "student": (lambda: MGDLoss(0, 2), "student_channels must be at least 1"),
        "ratio": (lambda: MGDLoss(2, 2, ratio=1.0), "ratio must be at least 0 and below 1"),
        "mask": (lambda: MGDLoss(2, 2, mask="row"), "'pixel' or 'channel', got 'row'"),
        "size": (lambda: MGDLoss(3, 3)(MAPS, MAPS[..., :1]), r"same b, h, w.*\(2, 3, 2, 1\)"),
        "channels": (lambda: mgd_loss(MAPS, MAPS[:, :1]), "same shape"),
    }

    def make(self) -> nn.Module:
        return SameMask(MGDLoss(2, 3, ratio=0.4, mask=self.mask))

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        torch.manual_seed(0)
        shape = (3, 1, 2, 2) if self.mask == "pixel" else (3, 3, 1, 1)
        kept = torch.rand(shape, dtype=torch.float32).numpy() >= 0.4
        aligned = convolved(loss.loss.align, student)
        for b, c, h, w in np.ndindex(aligned.shape):
            if not kept[(b, 0, h, w) if self.mask == "pixel" else (b, c, 0, 0)]:
                aligned[b, c, h, w] = 0
        return float(((run(loss.loss.generator, aligned) - teacher) ** 2).sum() / len(student))

    def test_nothing_is_masked_in_evaluation(self) -> None:
        inputs, loss = self.inputs(), self.loss().loss.eval()
        values = {loss(**inputs).item() for _ in range(5)}
        loss.train().ratio = 0
        assert values == {loss(**inputs).item()}

    def test_the_mask_is_drawn_anew_and_has_its_share(self) -> None:
        loss, seen = MGDLoss(1, 1, ratio=0.3, mask=self.mask), []
        loss.align, loss.generator = nn.Identity(), nn.Identity()
        for _ in range(500):
            shape = (1, 1, 4, 4) if self.mask == "pixel" else (1, 16, 1, 1)
            seen.append(loss(torch.ones(shape), torch.zeros(shape)).item() / 16)
        assert len(set(seen)) > 5
        # A standard deviation of 0.005 around the share that is kept.
        assert np.mean(seen) == pytest.approx(0.7, abs=0.025)


class TestMGDLossOfChannels(TestMGDLoss):
    mask = "channel"

import numpy as np
import torch
from torch import nn

from distill.losses import HintLoss, hint_loss
from tests.losses.contract import LossContract
from tests.losses.feature.numpy_layers import run

MAPS = torch.ones(2, 3, 2, 2)


class TestHintLoss(LossContract):
    shape = (3, 2, 2, 2)
    teacher_shape = (3, 2, 2)
    zero_when_equal = False  # the projector stands between
    refusals = {
        "student": (lambda: HintLoss(0, 2), "student_channels must be at least 1"),
        "teacher": (lambda: HintLoss(2, -1), "teacher_channels must be at least 1, got -1"),
        "size": (lambda: HintLoss(3, 3)(MAPS, MAPS[..., :1]), r"same b, h, w.*\(2, 3, 2, 1\)"),
        "channels": (lambda: hint_loss(MAPS, MAPS[:, :1]), "same shape"),
        "rank": (lambda: hint_loss(MAPS[0], MAPS[0]), r"\(b, c, h, w\)"),
    }

    def make(self) -> nn.Module:
        return HintLoss(2, 3)

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        return float(((run(loss.projector, student) - teacher) ** 2).mean())

    def test_a_constant_offset_gives_its_square(self) -> None:
        maps = self.inputs()["teacher"]
        torch.testing.assert_close(hint_loss(maps + 3, maps).item(), 9.0)

    def test_the_order_of_channels_does_not_matter(self) -> None:
        student, teacher = torch.randn(2, 3, 2, 2, 2)
        flipped = hint_loss(student.flip(1), teacher.flip(1))
        torch.testing.assert_close(flipped, hint_loss(student, teacher))

    def test_the_target_may_be_negative(self) -> None:
        assert run(self.loss().projector, self.inputs()["student"].numpy()).min() < 0

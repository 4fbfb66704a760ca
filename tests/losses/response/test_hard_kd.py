import math

import numpy as np
import torch
from torch import nn

from distill.losses import HardKDLoss, hard_kd_loss
from tests.losses.contract import LossContract


class TestHardKDLoss(LossContract):
    shape = (4, 6)
    zero_when_equal = False
    refusals = {
        "rank": (lambda: hard_kd_loss(torch.ones(6), torch.ones(6)), r"same shape \(b, k\)"),
        "classes": (lambda: hard_kd_loss(torch.ones(2, 3), torch.ones(2, 4)), "same shape"),
    }

    def make(self) -> nn.Module:
        return HardKDLoss()

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        total = 0.0
        for b in range(len(student)):
            preferred = max(range(len(teacher[b])), key=lambda k: teacher[b, k])
            total += math.log(sum(math.exp(z - student[b, preferred]) for z in student[b]))
        return total / len(student)

    def test_only_the_teachers_first_choice_counts(self) -> None:
        inputs = self.inputs()
        student, teacher = inputs["student"], inputs["teacher"]
        sharper = teacher.exp() * torch.arange(1.0, 5.0, dtype=torch.float64)[:, None] - 7
        assert torch.equal(hard_kd_loss(student, sharper), hard_kd_loss(student, teacher))

    def test_a_teacher_that_knows_the_labels_gives_cross_entropy(self) -> None:
        student, target = self.inputs()["student"], torch.tensor([5, 0, 3, 3])
        teacher = nn.functional.one_hot(target, 6).double()
        expected = nn.functional.cross_entropy(student, target)
        assert torch.equal(hard_kd_loss(student, teacher), expected)

    def test_of_equal_logits_the_first_counts(self) -> None:
        student = torch.tensor([[0.0, math.log(3.0)]], dtype=torch.float64)
        found = hard_kd_loss(student, torch.zeros_like(student))
        assert math.isclose(found.item(), math.log(4.0), rel_tol=1e-12)

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distill.losses import DKDLoss, dkd_loss, kd_loss
from tests.losses.contract import Inputs, LossContract, softmax

TWO, TARGET = torch.zeros(2, 3), torch.tensor([0, 1])


class TestDKDLoss(LossContract):
    shape = (4, 5)
    refusals = {
        "alpha": (lambda: DKDLoss(alpha=-1), "alpha must be finite"),
        "beta": (lambda: DKDLoss(beta=math.nan), "beta must be finite"),
        "temperature": (lambda: DKDLoss(temperature=0), "temperature must be positive"),
        "classes": (lambda: dkd_loss(TWO, torch.zeros(2, 4), TARGET), "same shape"),
        "one class": (lambda: dkd_loss(TWO[:, :1], TWO[:, :1], TARGET * 0), "need 2 classes"),
        "targets": (lambda: dkd_loss(TWO, TWO, TARGET[:1]), "one class number per image"),
        "soft targets": (lambda: dkd_loss(TWO, TWO, TWO[:, 0]), "one class number per image"),
        "int32": (lambda: dkd_loss(TWO, TWO, TARGET.int()), r"per image, got \(2,\) torch.int32"),
        "range": (lambda: dkd_loss(TWO, TWO, TARGET + 2), r"class numbers in 0\.\.2, got 2\.\.3"),
    }

    def make(self) -> nn.Module:
        return DKDLoss(alpha=1.5, beta=2.0, temperature=3.0)

    def inputs(self, seed: int = 0, shape: tuple[int, ...] | None = None) -> Inputs:
        found = super().inputs(seed, shape)
        return found | {"target": torch.arange(len(found["student"])) * (seed + 1) % 5}

    def oracle(
        self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray, target: np.ndarray
    ) -> float:
        total = 0.0
        for b, y in enumerate(target):
            q, p = softmax(student[b] / 3), softmax(teacher[b] / 3)
            total += 1.5 * (
                p[y] * math.log(p[y] / q[y]) + (1 - p[y]) * math.log((1 - p[y]) / (1 - q[y]))
            )
            for k in range(5):
                if k != y:
                    share_p, share_q = p[k] / (1 - p[y]), q[k] / (1 - q[y])
                    total += 2.0 * share_p * math.log(share_p / share_q)
        return 9 * total / len(target)

    def test_its_parts_add_up_to_kd(self) -> None:
        inputs = self.inputs()
        row = {name: value[:1] for name, value in inputs.items()}
        share = 1 - softmax(row["teacher"][0].numpy() / 4)[row["target"].item()]
        expected = kd_loss(row["student"], row["teacher"], 4.0)
        torch.testing.assert_close(dkd_loss(**row, alpha=1, beta=share, temperature=4), expected)

    def test_a_shift_of_the_target_logit_leaves_the_other_classes_alone(self) -> None:
        inputs = self.inputs()
        expected = dkd_loss(**inputs, alpha=0)
        rows = torch.arange(4)
        shifted: dict[str, Tensor] = {"target": inputs["target"]}
        for name in ("student", "teacher"):
            shifted[name] = inputs[name].clone()
            shifted[name][rows, inputs["target"]] += 3
        torch.testing.assert_close(dkd_loss(**shifted, alpha=0), expected)

    @pytest.mark.parametrize("gap", [60.0, 120.0, 1e4])
    def test_a_very_confident_student_gives_no_infinity(self, gap: float) -> None:
        student = torch.tensor([[gap, 0.0, 0.0]], requires_grad=True)
        value = dkd_loss(student, torch.zeros(1, 3), torch.tensor([0]))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(student.grad).all()
        assert value.item() > gap / 10

    def test_two_classes_have_no_second_part(self) -> None:
        inputs = {name: value[:, :2] for name, value in super().inputs().items()}
        target = torch.tensor([0, 1, 0, 1])
        assert dkd_loss(**inputs, target=target, alpha=0).item() == 0

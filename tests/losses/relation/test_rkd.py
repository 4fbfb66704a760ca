import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distill.losses import (
    RKDAngleLoss,
    RKDDistanceLoss,
    RKDLoss,
    rkd_angle_loss,
    rkd_distance_loss,
)
from tests.losses.contract import LossContract

LINE = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
TRIANGLE = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]], dtype=torch.float64)


def huber(difference: float) -> float:
    size = abs(difference)
    return size**2 / 2 if size <= 1 else size - 0.5


def distances(rows: np.ndarray) -> np.ndarray:
    n = len(rows)
    found = np.array([[math.dist(rows[i], rows[j]) for j in range(n)] for i in range(n)])
    return found / found[found > 0].mean()


def cosine(rows: np.ndarray, a: int, b: int, c: int) -> float:
    one, two = rows[b] - rows[a], rows[c] - rows[a]
    lengths = math.sqrt((one**2).sum() * (two**2).sum())
    return float((one * two).sum() / lengths) if lengths > 0 else 0.0


def distance_oracle(student: np.ndarray, teacher: np.ndarray) -> float:
    n = len(student)
    s, t = distances(student.reshape(n, -1)), distances(teacher.reshape(n, -1))
    return sum(huber(s[i, j] - t[i, j]) for i, j in product(range(n), repeat=2)) / n**2


def angle_oracle(student: np.ndarray, teacher: np.ndarray) -> float:
    n = len(student)
    s, t = student.reshape(n, -1), teacher.reshape(n, -1)
    triplets = product(range(n), repeat=3)
    return sum(huber(cosine(s, *abc) - cosine(t, *abc)) for abc in triplets) / n**3


class RelationContract(LossContract):
    """Besides the questionnaire: what leaves relations alone leaves the loss alone."""

    shape = (5, 3, 2)

    def test_moving_turning_and_scaling_either_batch_changes_nothing(self) -> None:
        loss, inputs = self.loss(), self.inputs()
        student, teacher = (value.flatten(1) for value in inputs.values())
        turn, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
        expected = loss(student, teacher)
        torch.testing.assert_close(loss(3 * student @ turn + 7, teacher), expected)
        torch.testing.assert_close(loss(student, 0.2 * teacher @ turn - 1), expected)

    def test_widths_may_differ(self) -> None:
        inputs = self.inputs()
        wide = torch.cat([inputs["teacher"], torch.zeros_like(inputs["teacher"])], dim=2)
        loss = self.loss()
        torch.testing.assert_close(loss(inputs["student"], wide), loss(**inputs))

    def test_tight_clusters_are_as_in_float64(self) -> None:
        inputs, loss = self.inputs(), self.loss()
        near = {name: 100 + 1e-2 * value for name, value in inputs.items()}
        rounded = {name: value.float() for name, value in near.items()}
        exact = loss(**{name: value.double() for name, value in rounded.items()})
        assert loss(**rounded).item() == pytest.approx(exact.item(), rel=1e-5)

    def test_one_row_gives_a_zero_with_a_gradient(self) -> None:
        inputs = self.fed(self.inputs(shape=(1, 3, 2)))
        value = self.loss()(**inputs)
        value.backward()
        assert value.item() == 0
        assert inputs["student"].grad.abs().sum() == 0


class TestRKDDistanceLoss(RelationContract):
    refusals = {
        "rank": (lambda: rkd_distance_loss(torch.ones(3), torch.ones(3)), "one row per image"),
        "width 0": (lambda: rkd_distance_loss(torch.ones(3, 0), torch.ones(3, 2)), "one feature"),
    }

    def make(self) -> nn.Module:
        return RKDDistanceLoss()

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        return distance_oracle(student, teacher)

    def test_line_against_triangle(self) -> None:
        assert rkd_distance_loss(LINE, TRIANGLE).item() == pytest.approx(1 / 24, rel=1e-12)


class TestRKDAngleLoss(RelationContract):
    refusals = {
        "rank": (lambda: rkd_angle_loss(torch.ones(3), torch.ones(3)), "one row per image"),
        "rows": (lambda: rkd_angle_loss(torch.ones(3, 2), torch.ones(4, 2)), r"\(3, 2\) and \(4"),
    }

    def make(self) -> nn.Module:
        return RKDAngleLoss()

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        return angle_oracle(student, teacher)

    def test_line_against_triangle(self) -> None:
        assert rkd_angle_loss(LINE, TRIANGLE).item() == pytest.approx(5 / 54, rel=1e-12)

    @pytest.mark.parametrize("rows", [100, 129])
    def test_blocks_of_vertices_give_the_usual_value_and_gradient(self, rows: int) -> None:
        inputs = self.fed(self.inputs(shape=(rows, 7)))
        found = rkd_angle_loss(**inputs)
        (gradient,) = torch.autograd.grad(found, inputs["student"])
        usual = usual_angle_loss(inputs["student"], inputs["teacher"].detach())
        (expected,) = torch.autograd.grad(usual, inputs["student"])
        torch.testing.assert_close(found, usual, rtol=1e-10, atol=0)
        torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-14)


class TestRKDLoss(RelationContract):
    refusals = {
        "distance": (lambda: RKDLoss(distance_weight=-1), "distance_weight must be finite"),
        "angle": (lambda: RKDLoss(angle_weight=math.nan), "angle_weight must be finite"),
    }

    def make(self) -> nn.Module:
        return RKDLoss()

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        return 25 * distance_oracle(student, teacher) + 50 * angle_oracle(student, teacher)


def usual_angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    cosines = []
    for rows in (student, teacher):
        sides = nn.functional.normalize(rows[None] - rows[:, None], dim=2)
        cosines.append(torch.einsum("abd,acd->abc", sides, sides))
    return nn.functional.huber_loss(*cosines)

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from distill.losses import OverhaulLoss, overhaul_loss, overhaul_margin
from tests.losses.contract import LossContract

MAPS = torch.ones(2, 3, 2, 2)


def map_of(value: float) -> torch.Tensor:
    return torch.full((1, 1, 1, 1), value)


def partial_l2(student: np.ndarray, teacher: np.ndarray, margin: np.ndarray) -> float:
    total = 0.0
    for b, c, h, w in np.ndindex(student.shape):
        target = max(teacher[b, c, h, w], margin[c])
        value = student[b, c, h, w]
        if not value <= target <= 0:
            total += (target - value) ** 2
    return total / len(student)


class TestOverhaulLoss(LossContract):
    shape = (3, 2, 2, 2)
    teacher_shape = (3, 2, 2)
    zero_when_equal = False  # the connector stands between
    refusals = {
        "student": (lambda: OverhaulLoss(0, 2), "student_channels must be at least 1"),
        "teacher": (lambda: OverhaulLoss(2, 0), "teacher_channels must be at least 1"),
        "margin": (lambda: overhaul_loss(MAPS, MAPS, torch.zeros(2)), r"shape \(3,\), got \(2,\)"),
        "size": (lambda: overhaul_loss(MAPS, MAPS[..., :1], torch.zeros(3)), "same shape"),
        "rank": (lambda: overhaul_loss(MAPS[0], MAPS[0], torch.zeros(3)), r"\(b, c, h, w\)"),
        "std": (lambda: overhaul_margin(torch.zeros(1), -torch.ones(1)), "std must be at least 0"),
        "shapes": (lambda: overhaul_margin(torch.zeros(1), torch.ones(2)), "mean and std need"),
    }

    def make(self) -> nn.Module:
        return OverhaulLoss(2, 3)

    def oracle(self, loss: nn.Module, student: np.ndarray, teacher: np.ndarray) -> float:
        weight = loss.connector[0].weight.detach().numpy()[:, :, 0, 0]
        mixed = np.einsum("oc,bchw->bohw", weight, student)
        connected, margin = np.empty_like(mixed), np.zeros(3)
        for c in range(3):
            channel = mixed[:, c]
            connected[:, c] = (channel - channel.mean()) / math.sqrt(channel.var() + 1e-5)
            negative = teacher[:, c][teacher[:, c] < 0]
            margin[c] = negative.mean() if len(negative) else 0.0
        return partial_l2(connected, teacher, margin)

    def test_the_four_regions(self) -> None:
        margin = torch.tensor([-0.8])
        cases = {(0.3, -0.5): 0.64, (-0.1, -2.0): 0.49, (-0.9, -2.0): 0.0, (3.0, 1.0): 4.0}
        for (student, teacher), expected in cases.items():
            found = overhaul_loss(map_of(student), map_of(teacher), margin)
            assert found.item() == pytest.approx(expected, rel=1e-6)

    def test_equal_maps_above_the_margin_cost_nothing(self) -> None:
        maps = self.inputs()["teacher"].clamp_min(-0.5)
        assert overhaul_loss(maps, maps, torch.full((3,), -0.6)).item() == 0

    def test_the_margin_is_estimated_over_batches_and_frozen_in_evaluation(self) -> None:
        loss, seen = self.loss(), []
        for seed in range(3):
            inputs = self.inputs(seed)
            seen.append(inputs["teacher"].numpy())
            loss(**inputs)
        values = np.concatenate(seen)
        expected = [values[:, c][values[:, c] < 0].mean() for c in range(3)]
        assert loss.margin.flatten().tolist() == pytest.approx(expected, rel=1e-9)
        loss.eval()(**self.inputs(9))
        assert loss.margin.flatten().tolist() == pytest.approx(expected, rel=1e-9)

    def test_margins_from_a_batchnorm_stay(self) -> None:
        loss, batchnorm = self.loss(), nn.BatchNorm2d(3).double()
        nn.init.constant_(batchnorm.weight, -2.0)
        nn.init.constant_(batchnorm.bias, 0.5)
        loss.use_teacher_batchnorm(batchnorm)
        expected = overhaul_margin(torch.full((3,), 0.5), torch.full((3,), 2.0))
        torch.testing.assert_close(loss.margin.flatten().float(), expected)
        loss(**self.inputs())
        torch.testing.assert_close(loss.margin.flatten().float(), expected)

    @pytest.mark.parametrize("batchnorm", [nn.BatchNorm2d(2), nn.BatchNorm2d(3, affine=False)])
    def test_a_batchnorm_that_does_not_fit_is_refused(self, batchnorm: nn.Module) -> None:
        with pytest.raises(ValueError, match=r"weight and bias of shape \(3,\)"):
            self.loss().use_teacher_batchnorm(batchnorm)

    def test_margins_are_saved(self) -> None:
        loss = self.loss()
        loss(**self.inputs())
        other = self.loss()
        other.load_state_dict(loss.state_dict())
        assert torch.equal(other.eval()(**self.inputs()), loss.eval()(**self.inputs()))

    def test_the_connector_starts_as_in_the_paper(self) -> None:
        torch.manual_seed(0)
        convolution, batchnorm = OverhaulLoss(400, 300).connector
        assert convolution.bias is None
        assert convolution.weight.std().item() == pytest.approx(math.sqrt(2 / 300), rel=0.02)
        assert batchnorm.weight.eq(1).all()
        assert batchnorm.bias.eq(0).all()


@pytest.mark.parametrize(("mean", "std"), [(0, 1), (1, 1), (-1, 1), (0.5, 2), (3.0, 1)])
def test_the_margin_is_the_mean_of_the_negative_part(mean: float, std: float) -> None:
    density = stats.norm(mean, std).pdf
    part = integrate.quad(lambda x: x * density(x), -np.inf, 0)[0]
    expected = part / stats.norm(mean, std).cdf(0)
    found = overhaul_margin(torch.tensor([mean]).double(), torch.tensor([std]).double())
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_a_channel_that_is_hardly_negative_gets_three_deviations() -> None:
    found = overhaul_margin(torch.tensor([3.1, 6.2, 1.0]), torch.tensor([1.0, 2.0, 0.0]))
    torch.testing.assert_close(found, torch.tensor([-3.0, -6.0, 0.0]))


def test_a_constant_negative_channel_has_its_value_as_margin() -> None:
    assert overhaul_margin(torch.tensor([-1.0]), torch.tensor([0.0])).item() == -1

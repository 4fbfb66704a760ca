import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distill.losses import ReviewKDLoss, hcl_loss
from tests.losses.contract import Inputs, LossContract
from tests.losses.feature.numpy_layers import convolved, run

MAPS = torch.ones(2, 3, 2, 2)


class Stages(nn.Module):
    """Takes the two stages as separate inputs."""

    def __init__(self, loss: ReviewKDLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(
        self,
        student_first: Tensor,
        student_last: Tensor,
        teacher_first: Tensor,
        teacher_last: Tensor,
    ) -> Tensor:
        return self.loss([student_first, student_last], [teacher_first, teacher_last])


def pooled(maps: np.ndarray, size: int) -> np.ndarray:
    block = maps.shape[2] // size
    return maps.reshape(*maps.shape[:2], size, block, size, block).mean((3, 5))


def hierarchical(student: np.ndarray, teacher: np.ndarray) -> float:
    total = weights = 0.0
    height = student.shape[2]
    sizes = [height, *(size for size in (4, 2, 1) if size < height)]
    for place, size in enumerate(sizes):
        gap = pooled(student, size) - pooled(teacher, size)
        total += float((gap**2).mean()) / 2**place
        weights += 1 / 2**place
    return total / weights


class TestReviewKDLoss(LossContract):
    shape = (3, 2, 4, 4)
    teacher_shape = (3, 4, 4)
    students = ("student_first", "student_last")
    teachers = ("teacher_first", "teacher_last")
    zero_when_equal = False  # fusions stand between
    refusals = {
        "none": (lambda: ReviewKDLoss([], []), "must pair up, got 0 and 0"),
        "pairs": (lambda: ReviewKDLoss([2, 2], [2]), "must pair up, got 2 and 1"),
        "channels": (lambda: ReviewKDLoss([2, 0], [2, 2]), "student_channels must be at least 1"),
        "stages": (
            lambda: ReviewKDLoss([3], [3])([MAPS, MAPS], [MAPS]),
            "need 1 maps, got 2 and 1",
        ),
        "size": (lambda: hcl_loss(MAPS, MAPS[..., :1]), "same shape"),
        "rank": (
            lambda: ReviewKDLoss([3, 3], [3, 3])([MAPS, MAPS[0, 0]], [MAPS, MAPS[0, 0]]),
            r"need maps \(b, c, h, w\) of the same b, h, w, got shapes \(2, 2\)",
        ),
        "batches of a pair": (
            lambda: ReviewKDLoss([3], [3])([MAPS], [MAPS[:1]]),
            "need maps .* of the same b",
        ),
    }

    def make(self) -> nn.Module:
        return Stages(ReviewKDLoss([2, 3], [3, 4]))

    def inputs(self, seed: int = 0, shape: tuple[int, ...] | None = None) -> Inputs:
        """The last stage has one channel more and half the size."""
        found = super().inputs(seed, shape)
        for name in ("student_last", "teacher_last"):
            more = torch.cat([found[name], found[name][:, :1].square()], 1)
            found[name] = more[..., ::2, ::2]
        return found

    def oracle(self, loss: nn.Module, **maps: np.ndarray) -> float:
        shallow, deep = loss.loss.fusions
        last = run(deep.reduce, maps["student_last"])
        total = hierarchical(run(deep.expand, last), maps["teacher_last"])
        first = run(shallow.reduce, maps["student_first"])
        last = last.repeat(2, axis=2).repeat(2, axis=3)
        shares = convolved(shallow.attention, np.concatenate([first, last], 1))
        shares = 1 / (1 + np.exp(-shares))
        for b, c in np.ndindex(first.shape[:2]):
            first[b, c] = first[b, c] * shares[b, 0] + last[b, c] * shares[b, 1]
        return total + hierarchical(run(shallow.expand, first), maps["teacher_first"])

    def test_the_gradient_of_a_shallow_stage_reaches_deeper_ones(self) -> None:
        loss, inputs = self.loss(), self.fed(self.inputs())
        loss.loss.fusions[1].expand[1].weight.data.zero_()  # the deep stage's own loss is cut off
        loss(**inputs).backward()
        assert inputs["student_last"].grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("channels", "middle"), [([2, 5, 3], 3), ([2, 512, 4], 4), ([4, 8, 513], 512)]
)
def test_stages_are_fused_in_as_many_channels_as_the_last_one_has(
    channels: list[int], middle: int
) -> None:
    """At most 512, as the paper's authors do."""
    loss = ReviewKDLoss(channels, [6, 7, 8])
    assert [fusion.reduce[0].out_channels for fusion in loss.fusions] == [middle] * 3


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 9])
def test_a_constant_offset_gives_its_square(size: int) -> None:
    maps = torch.randn(2, 3, size, size)
    assert hcl_loss(maps + 2, maps).item() == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize(("size", "total"), [(8, 1.875), (4, 1.75), (2, 1.5), (1, 1.0)])
def test_each_size_weighs_half_of_the_one_before(size: int, total: float) -> None:
    """A gap that averages to zero in every 2x2 block counts at full size only."""
    checks = (-1.0) ** torch.arange(size)
    gap = checks.expand(1, 1, size, size)
    expected = 1 / total if size > 1 else 1.0
    assert hcl_loss(gap, 0 * gap).item() == pytest.approx(expected)

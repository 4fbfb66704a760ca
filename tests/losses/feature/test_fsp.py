import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import FSPLoss, fsp_loss
from tests.losses.contract import Inputs, LossContract

MAPS = torch.ones(2, 3, 2, 2)


def matrix(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Of one image (m, h, w) and (n, h, w)."""
    found = np.zeros((len(first), len(last)))
    for m, n in np.ndindex(found.shape):
        found[m, n] = (first[m] * last[n]).mean()
    return found


class TestFSPLoss(LossContract):
    shape = (3, 2, 4, 2)
    students = ("student_first", "student_last")
    teachers = ("teacher_first", "teacher_last")
    refusals = {
        "convention": (lambda: FSPLoss("td"), "'code' or 'paper', got 'td'"),
        "channels": (
            lambda: fsp_loss(MAPS, MAPS, MAPS, MAPS[:, :2]),
            r"same channels, got shapes .*\(2, 2, 2, 2\)",
        ),
        "batch": (lambda: fsp_loss(MAPS, MAPS[:1], MAPS, MAPS), "one batch"),
        "rank": (lambda: fsp_loss(MAPS[0], MAPS[0], MAPS[0], MAPS[0]), r"\(b, c, h, w\)"),
    }
    convention = "code"

    def make(self) -> nn.Module:
        return FSPLoss(self.convention)

    def inputs(self, seed: int = 0, shape: tuple[int, ...] | None = None) -> Inputs:
        """The maps that leave the stage have half the size."""
        found = super().inputs(seed, shape)
        for name in ("student_last", "teacher_last"):
            found[name] = torch.cat([found[name], found[name][:, :1] * 2], 1)[:, :, ::2, ::2]
        return found

    def shrunk(self, maps: np.ndarray) -> np.ndarray:
        _, height, width = maps.shape
        blocks = maps.reshape(-1, height // 2, 2, width // 2, 2)
        return blocks.mean((2, 4)) if self.convention == "code" else blocks.max((2, 4))

    def oracle(self, loss: nn.Module, **maps: np.ndarray) -> float:
        squares = []
        for image in range(len(maps["student_first"])):
            one = {name: value[image] for name, value in maps.items()}
            student = matrix(self.shrunk(one["student_first"]), one["student_last"])
            teacher = matrix(self.shrunk(one["teacher_first"]), one["teacher_last"])
            squares.append((student - teacher) ** 2)
        return float(
            np.mean(squares) if self.convention == "code" else np.sum(squares) / len(squares)
        )

    def test_the_order_of_pixels_does_not_matter(self) -> None:
        first, last = self.inputs()["student_first"], self.inputs()["teacher_first"]
        turned = [value.flip(2).transpose(2, 3).flatten(2).unsqueeze(3) for value in (first, last)]
        kept = [value.flatten(2).unsqueeze(3) for value in (first, last)]
        zeros = torch.zeros_like(kept[0])
        loss = self.loss()
        torch.testing.assert_close(loss(*turned, zeros, zeros), loss(*kept, zeros, zeros))


class TestFSPLossOfThePaper(TestFSPLoss):
    convention = "paper"


def test_ones_have_a_matrix_of_ones() -> None:
    """So doubling one of the maps costs 1 per entry."""
    first, last = torch.ones(2, 3, 8, 8), torch.ones(2, 5, 4, 4)
    assert fsp_loss(2 * first, last, first, last).item() == pytest.approx(1)
    assert fsp_loss(2 * first, last, first, last, "paper").item() == pytest.approx(15)


def test_the_networks_may_have_other_sizes() -> None:
    first, last = torch.ones(1, 2, 8, 8), torch.ones(1, 2, 4, 4)
    assert fsp_loss(first, last, first[..., :5], last[..., :3]).item() == 0

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses import CrossEntropyLoss, cross_entropy_loss
from tests.losses.contract import softmax
from tests.losses.task.contract import LabelLossContract

ROWS, TARGET = torch.zeros(2, 3), torch.tensor([0, 1])


class TestCrossEntropyLoss(LabelLossContract):
    shape = (6, 5)
    weight = [0.5, 1.0, 2.0, 0.25, 1.5]
    refusals = {
        "weight": (lambda: CrossEntropyLoss(weight=[1.0, math.nan]), "^weight must be finite"),
        "a class's weight": (lambda: CrossEntropyLoss(weight=[1.0, -1.0]), "^weight must be fin"),
        "no weight": (lambda: CrossEntropyLoss(weight=[0.0, 0.0]), "^weight needs a number above"),
        "empty": (lambda: CrossEntropyLoss(weight=[]), "^weight needs a number above 0"),
        "length": (
            lambda: CrossEntropyLoss(weight=[1.0])(ROWS, TARGET),
            r"^weight needs one number per class, 3, got shape \(1,\)",
        ),
        "smoothing": (
            lambda: CrossEntropyLoss(label_smoothing=1.5),
            r"^label_smoothing must be in 0\.\.1, got 1.5",
        ),
        "smoothing of NaN": (
            lambda: cross_entropy_loss(ROWS, TARGET, label_smoothing=math.nan),
            r"^label_smoothing must be in 0\.\.1",
        ),
        "no shares": (lambda: cross_entropy_loss(ROWS, 2 * ROWS.softmax(1)), "with sum 1, got"),
        "rank": (lambda: cross_entropy_loss(ROWS[0], TARGET), r"\(b, k, ...\), got|at least one"),
        "no class": (lambda: cross_entropy_loss(ROWS[:, :0], TARGET), r"class, got \(2, 0\)"),
        "column": (lambda: cross_entropy_loss(ROWS, TARGET[:, None]), r"\(2,\), got \(2, 1\)"),
        "range": (lambda: cross_entropy_loss(ROWS, TARGET + 2), r"in 0\.\.2 or -100, got 3"),
    }

    def make(self) -> nn.Module:
        return CrossEntropyLoss(weight=self.weight, label_smoothing=0.2)

    def oracle(self, loss: nn.Module, predicted: np.ndarray, target: np.ndarray) -> float:
        total, weights = 0.0, 0.0
        for row, y in zip(predicted, target, strict=True):
            if y == -100:
                continue
            costs = [-w * math.log(p) for w, p in zip(self.weight, softmax(row), strict=True)]
            total += 0.8 * costs[y] + 0.2 * sum(costs) / 5
            weights += self.weight[y]
        return total / weights

    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
    @pytest.mark.parametrize("shares", [False, True])
    def test_it_is_torchs(self, weighted: bool, smoothing: float, shares: bool) -> None:
        logits, target = self.inputs().values()
        target = logits.roll(1, 0).softmax(1) if shares else target
        weight = torch.tensor(self.weight, dtype=torch.float64) if weighted else None
        expected = F.cross_entropy(logits, target, weight, label_smoothing=smoothing)
        found = cross_entropy_loss(logits, target, weight, smoothing)
        torch.testing.assert_close(found, expected)

    def test_maps_are_torchs(self) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(2, 5, 3, 4, generator=generator)
        target = torch.randint(5, (2, 3, 4), generator=generator)
        target[0, 0] = 255
        weight = torch.tensor(self.weight)
        expected = F.cross_entropy(logits, target, weight, ignore_index=255)
        found = cross_entropy_loss(logits, target, weight, ignore_index=255)
        torch.testing.assert_close(found, expected)

    @pytest.mark.parametrize("weight", [None, weight])
    def test_a_batch_without_a_label_is_a_zero_with_a_gradient(
        self, weight: list[float] | None
    ) -> None:
        logits = torch.randn(4, 5, requires_grad=True)
        value = CrossEntropyLoss(weight=weight)(logits, torch.full((4,), -100))
        value.backward()
        assert value.item() == 0
        assert logits.grad is not None
        assert (logits.grad == 0).all()

    def test_classes_without_weight_alone_are_a_zero(self) -> None:
        loss = CrossEntropyLoss(weight=[0.0, 0.0, 1.0])
        assert loss(ROWS + 1, TARGET).item() == 0

    def test_a_list_becomes_a_buffer_that_moves_along(self) -> None:
        loss = CrossEntropyLoss(weight=[1, 2, 1])
        assert isinstance(loss.weight, Tensor)
        assert loss.weight.tolist() == [1.0, 2.0, 1.0]
        assert list(CrossEntropyLoss().state_dict()) == []
        assert list(loss.parameters()) == []


class TestWithoutWeights(TestCrossEntropyLoss):
    weight = [1.0] * 5

    def make(self) -> nn.Module:
        return CrossEntropyLoss(label_smoothing=0.2)

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distill.losses import CenterLoss, center_loss
from distill.losses.checks import SizedByData
from tests.losses.task.contract import TaskLossContract

ROWS, TARGET = torch.ones(3, 2), torch.tensor([0, 1, 1])


class TestCenterLoss(TaskLossContract):
    shape = (6, 4)
    predicted = "features"
    refusals = {
        "num_classes": (lambda: CenterLoss(0, 2), "^num_classes must be at least 1"),
        "dim": (lambda: CenterLoss(2, 0), "^dim must be at least 1"),
        "rate": (lambda: CenterLoss(2, 2, rate=1.5), r"^rate must be in 0\.\.1, got 1.5"),
        "rate NaN": (lambda: CenterLoss(2, 2, rate=math.nan), r"^rate must be in 0\.\.1"),
        "maps": (
            lambda: CenterLoss(2, 2)(ROWS[None], TARGET),
            r"need shapes \(b, d\) and \(k, d\)",
        ),
        "size": (lambda: CenterLoss(2, 3)(ROWS, TARGET), r"got shapes \(3, 2\) and \(2, 3\)"),
        "range": (lambda: CenterLoss(2, 2)(ROWS, TARGET + 1), r"class numbers in 0\.\.1, got 2"),
        "ignored": (lambda: CenterLoss(2, 2)(ROWS, TARGET - 100), r"in 0\.\.1, got -100"),
        "shares": (lambda: CenterLoss(2, 2)(ROWS, ROWS), r"of shape \(3,\), got \(3, 2\)"),
    }

    def make(self) -> nn.Module:
        loss = CenterLoss(num_classes=3, dim=4)
        loss.centres = torch.randn(3, 4)
        return loss.eval()

    def target(self, predicted: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randint(3, (len(predicted),), generator=generator)

    def oracle(self, loss: nn.Module, predicted: np.ndarray, target: np.ndarray) -> float:
        total = 0.0
        for row, y in zip(predicted, target, strict=True):
            for d in range(4):
                total += (row[d] - loss.centres[y, d].item()) ** 2 / 2
        return total / len(target)

    def test_data_of_more_classes_are_refused_beforehand(self) -> None:
        loss = CenterLoss(num_classes=3, dim=4)
        assert isinstance(loss, SizedByData)
        loss.check_data(classes=3, samples=1000)
        message = "^num_classes must be at least 4, the classes of the data, got 3$"
        with pytest.raises(ValueError, match=message):
            loss.check_data(classes=4, samples=1)

    def test_the_centres_follow_equation_4(self) -> None:
        inputs, loss = self.inputs(), self.loss().train()
        before = loss.centres.numpy().copy()
        value = loss(**inputs).item()
        for k in range(3):
            rows = [
                row
                for row, y in zip(inputs["features"].numpy(), inputs["target"], strict=True)
                if y == k
            ]
            delta = sum((before[k] - row for row in rows), np.zeros(4)) / (1 + len(rows))
            np.testing.assert_allclose(loss.centres[k].numpy(), before[k] - 0.5 * delta)
        assert value == pytest.approx(self.loss()(**inputs).item())  # of the centres before

    def test_evaluation_and_rate_0_move_no_centre(self) -> None:
        loss = CenterLoss(2, 2, rate=0)
        loss(ROWS, TARGET)
        assert (loss.centres == 0).all()
        loss = CenterLoss(2, 2).eval()
        loss(ROWS, TARGET)
        assert (loss.centres == 0).all()

    def test_the_centres_come_to_the_means_of_their_classes(self) -> None:
        inputs, loss = self.inputs(), CenterLoss(3, 4).double()
        for _ in range(200):
            loss(**inputs)
        for k in range(3):
            mean = inputs["features"][inputs["target"] == k].mean(0)
            torch.testing.assert_close(loss.centres[k], mean)

    def test_the_optimizer_does_not_see_the_centres(self) -> None:
        loss = CenterLoss(2, 2)
        assert list(loss.parameters()) == []
        assert list(loss.state_dict()) == ["centres"]

    def test_features_of_a_class_are_pulled_together(self) -> None:
        inputs = self.fed(self.inputs())
        loss, features = CenterLoss(3, 4).double(), inputs["features"]
        optimizer = torch.optim.SGD([features], lr=1.0)
        spread = [_spread(features.detach(), inputs["target"])]
        for _ in range(20):
            optimizer.zero_grad()
            loss(**inputs).backward()
            optimizer.step()
        spread.append(_spread(features.detach(), inputs["target"]))
        assert spread[1] < 0.1 * spread[0]

    def test_centres_given_as_parameters_get_no_gradient(self) -> None:
        features = ROWS.clone().requires_grad_()
        centres = torch.zeros(2, 2, requires_grad=True)
        center_loss(features, TARGET, centres).backward()
        assert centres.grad is None


def _spread(features: Tensor, target: Tensor) -> float:
    """The variance within classes."""
    return sum(features[target == k].var(0, correction=0).sum().item() for k in range(3))

import numpy as np
import pytest
import torch
from torch import nn

from distill.losses import DiceLoss, dice_loss
from tests.losses.contract import softmax
from tests.losses.task.contract import LabelLossContract, hard

MAPS, TARGET = torch.zeros(2, 3, 2, 2), torch.zeros(2, 2, 2, dtype=torch.long)


def by_loops(predicted: np.ndarray, shares: np.ndarray, counts: np.ndarray) -> float:
    images = []
    for b in range(len(predicted)):
        classes = []
        for k in range(predicted.shape[1]):
            common = squares = there = 0.0
            for i, j in np.ndindex(predicted.shape[2:]):
                if counts[b, i, j]:
                    p, t = softmax(predicted[b, :, i, j])[k], shares[b, k, i, j]
                    common, squares, there = common + p * t, squares + p**2 + t**2, there + t
            if there:
                classes.append(1 - 2 * common / squares)
        if classes:
            images.append(sum(classes) / len(classes))
    return sum(images) / len(images)


class TestDiceLoss(LabelLossContract):
    shape = (3, 4, 2, 3)
    refusals = {
        "rank": (lambda: dice_loss(MAPS[0], TARGET), r"shape \(b, k, h, w\)"),
        "size": (lambda: dice_loss(MAPS, TARGET[:, :1]), r"of shape \(2, 2, 2\), got \(2, 1, 2\)"),
        "range": (lambda: dice_loss(MAPS, TARGET + 3), r"in 0\.\.2 or -100, got 3"),
        "shares": (lambda: dice_loss(MAPS, MAPS[:, :1]), r"got \(2, 1, 2, 2\) torch.float32"),
    }

    def make(self) -> nn.Module:
        return DiceLoss()

    def oracle(self, loss: nn.Module, predicted: np.ndarray, target: np.ndarray) -> float:
        shares = np.stack([target == k for k in range(4)], axis=1).astype(float)
        return by_loops(predicted, shares, target != -100)

    def test_a_perfect_prediction_gives_0_though_a_class_is_absent(self) -> None:
        target = self.inputs()["target"].clamp(0, 2)
        assert dice_loss(hard(target, 4), target).item() == 0

    def test_a_wholly_wrong_prediction_gives_1(self) -> None:
        assert dice_loss(hard(TARGET + 1, 3), TARGET).item() == 1

    def test_half_of_an_image_right_is_its_dice(self) -> None:
        """One class there, on 2 of 4 pixels right: Dice = 2 * 2 / (2 + 4)."""
        predicted = torch.tensor([[[0, 0], [1, 1]]])
        assert dice_loss(hard(predicted, 3), TARGET[:1]).item() == pytest.approx(1 / 3)

    def test_shares_agree_with_the_definition(self) -> None:
        logits = self.inputs()["input"]
        shares = logits.roll(1, 0).softmax(1)
        expected = by_loops(logits.numpy(), shares.numpy(), np.ones((3, 2, 3)))
        assert dice_loss(logits, shares).item() == pytest.approx(expected)

    def test_shares_predicted_exactly_give_0_and_get_no_gradient(self) -> None:
        logits = self.inputs()["input"].requires_grad_()
        shares = logits.detach().softmax(1).requires_grad_()
        value = dice_loss(logits, shares)
        value.backward()
        assert value.item() == pytest.approx(0, abs=1e-30)
        assert shares.grad is None

    def test_another_number_can_be_ignored(self) -> None:
        inputs = self.inputs()
        expected = dice_loss(**inputs)
        target = inputs["target"].masked_fill(inputs["target"] == -100, 255)
        found = DiceLoss(ignore_index=255)(inputs["input"], target)
        torch.testing.assert_close(found, expected)

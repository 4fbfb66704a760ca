import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score
from torch import nn

from distill.losses import LovaszLoss, lovasz_loss
from tests.losses.contract import softmax
from tests.losses.task.contract import LabelLossContract, hard

MAPS, TARGET = torch.zeros(2, 3, 2, 2), torch.zeros(2, 2, 2, dtype=torch.long)


def extension(errors: list[float], own: set[int]) -> float:
    """The Lovasz extension of |M| / |own or M|, M the wrong pixels: 1 - IoU of the class."""
    value, before, wrong = 0.0, 0.0, set()
    for pixel in sorted(range(len(errors)), key=lambda pixel: -errors[pixel]):
        wrong.add(pixel)
        now = len(wrong) / len(own | wrong)
        value += errors[pixel] * (now - before)
        before = now
    return value


def by_loops(predicted: np.ndarray, target: np.ndarray, per: str, classes: str) -> float:
    n_classes = predicted.shape[1]
    groups = [range(len(target))] if per == "batch" else [[b] for b in range(len(target))]
    means = []
    for group in groups:
        p, labels = [], []
        for b in group:
            for i, j in np.ndindex(target.shape[1:]):
                if target[b, i, j] != -100:
                    p.append(softmax(predicted[b, :, i, j]))
                    labels.append(target[b, i, j])
        values = []
        for k in range(n_classes):
            own = {n for n, label in enumerate(labels) if label == k}
            errors = [1 - q[k] if n in own else q[k] for n, q in enumerate(p)]
            if own or classes == "all":
                values.append(extension(errors, own))
        if labels:
            means.append(sum(values) / len(values))
    return sum(means) / len(means)


class TestLovaszLoss(LabelLossContract):
    shape = (3, 4, 2, 3)
    refusals = {
        "per": (lambda: LovaszLoss(per="pixel"), "^per must be 'batch' or 'image', got 'pixel'"),
        "classes": (lambda: LovaszLoss(classes="some"), "^classes must be 'present' or 'all'"),
        "rank": (lambda: lovasz_loss(MAPS[0], TARGET), r"shape \(b, k, h, w\)"),
        "size": (lambda: lovasz_loss(MAPS, TARGET[:, :1]), r"shape \(2, 2, 2\), got \(2, 1, 2\)"),
        "range": (lambda: lovasz_loss(MAPS, TARGET + 3), r"in 0\.\.2 or -100, got 3"),
        "shares": (lambda: lovasz_loss(MAPS, MAPS), r"got \(2, 3, 2, 2\) torch.float32"),
    }

    def make(self) -> nn.Module:
        return LovaszLoss()

    def oracle(self, loss: nn.Module, predicted: np.ndarray, target: np.ndarray) -> float:
        return by_loops(predicted, target, "batch", "present")

    @pytest.mark.parametrize("per", ["batch", "image"])
    @pytest.mark.parametrize("classes", ["present", "all"])
    def test_every_convention_agrees_with_its_definition(self, per: str, classes: str) -> None:
        for seed in range(10):
            inputs = self.inputs(seed)
            inputs["target"] = inputs["target"].clamp_max(2)  # a class is absent
            inputs["target"][1, 0] = -100
            arrays = (value.numpy() for value in inputs.values())
            expected = by_loops(*arrays, per, classes)
            assert LovaszLoss(per, classes)(**inputs).item() == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("per", ["batch", "image"])
    def test_it_is_1_minus_the_mean_iou_of_hard_predictions(self, per: str) -> None:
        for seed in range(10):
            generator = torch.Generator().manual_seed(seed)
            target, predicted = torch.randint(4, (2, 3, 4, 4), generator=generator)
            pairs = [(target, predicted)]
            if per == "image":
                pairs = list(zip(target, predicted, strict=True))
            expected = 0.0
            for y, guess in pairs:
                y, guess = y.flatten().numpy(), guess.flatten().numpy()
                present = np.unique(y)
                ious = jaccard_score(y, guess, labels=present, average=None, zero_division=0)
                expected += (1 - ious.mean()) / len(pairs)
            found = lovasz_loss(hard(predicted, 4), target, per).item()
            assert found == pytest.approx(expected)

    @pytest.mark.parametrize("classes", ["present", "all"])
    def test_a_perfect_hard_prediction_gives_0(self, classes: str) -> None:
        target = self.inputs()["target"].clamp(0, 2)
        assert lovasz_loss(hard(target, 4), target, classes=classes).item() == 0

    def test_an_absent_class_counts_with_its_largest_error_among_all(self) -> None:
        """One class is there and right; each of the other two is 0.2 at one pixel, else 0."""
        p = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.2, 0.2]], dtype=torch.float64)
        logits = p.clamp_min(1e-300).log().T.reshape(1, 3, 1, 2)
        target = torch.zeros(1, 1, 2, dtype=torch.long)
        present = lovasz_loss(logits, target).item()
        assert present == pytest.approx(0.4 * 0.5)  # one of two pixels wrong: IoU 1 / 2
        every = lovasz_loss(logits, target, classes="all").item()
        assert every == pytest.approx((present + 0.2 + 0.2) / 3)

    def test_its_gradient_keeps_its_digits_on_a_large_map(self) -> None:
        """512 x 512 pixels in float32 against float64, where 1 / U is about 1e-5."""
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(1, 2, 512, 512, generator=generator)
        target = torch.randint(2, (1, 512, 512), generator=generator)
        gradients = []
        for dtype in (torch.float32, torch.float64):
            fed = logits.to(dtype, copy=True).requires_grad_()
            lovasz_loss(fed, target).backward()
            gradients.append(fed.grad.double())
        gap = (gradients[0] - gradients[1]).abs().max() / gradients[1].abs().max()
        assert gap < 1e-3

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import (
    box_iou,
    complete_box_iou_loss,
    distance_box_iou_loss,
    generalized_box_iou_loss,
)

from distill.losses import (
    CIoULoss,
    DIoULoss,
    GIoULoss,
    IoULoss,
    ciou_loss,
    diou_loss,
    giou_loss,
    iou_loss,
)
from tests.losses.task.contract import TaskLossContract

LOSSES = [iou_loss, giou_loss, diou_loss, ciou_loss]
Loss = Callable[[Tensor, Tensor], Tensor]
BOXES = torch.tensor([[0.0, 0.0, 2.0, 1.0], [1.0, 1.0, 4.0, 5.0]])


def ordered(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Boxes (n, 4) of sides 0.3 to 1.3 near each other: some overlap, some do not."""
    corner, size = torch.rand(2, shape[0], 2, generator=generator, dtype=torch.float64)
    return torch.cat([corner, corner + size + 0.3], dim=1)


def parts(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """IoU and the three penalties of one pair, from their definitions."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    union = areas - width * height
    around = max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])
    apart = [(a[i] + a[i + 2] - b[i] - b[i + 2]) / 2 for i in (0, 1)]
    angles = [math.atan((box[2] - box[0]) / (box[3] - box[1])) for box in (a, b)]
    return {
        "iou": width * height / union,
        "uncovered": (around[0] * around[1] - union) / (around[0] * around[1]),
        "distance": (apart[0] ** 2 + apart[1] ** 2) / (around[0] ** 2 + around[1] ** 2),
        "shape": 4 / math.pi**2 * (angles[0] - angles[1]) ** 2,
    }


class BoxLossContract(TaskLossContract):
    shape = (6, 4)
    function: Loss
    penalty: Callable[[dict[str, float]], float]

    @property
    def refusals(self) -> dict[str, tuple[Callable[[], object], str]]:
        loss, wrong = self.loss(), BOXES[:, [2, 3, 0, 1]]
        return {
            "one box": (
                lambda: loss(BOXES[0], BOXES[0]),
                r"same shape \(n, 4\), got shapes \(4,\)",
            ),
            "broadcast": (lambda: loss(BOXES, BOXES[:1]), r"\(2, 4\) and \(1, 4\)"),
            "rotated": (lambda: loss(BOXES[:, [0, *range(4)]], BOXES[:, [0, *range(4)]]), "(2, 5)"),
            "order": (
                lambda: loss(BOXES, wrong),
                r"x1 <= x2, y1 <= y2, got \[2.0, 1.0, 0.0, 0.0\]",
            ),
        }

    def prediction(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return ordered(shape, generator)

    def target(self, predicted: Tensor, generator: torch.Generator) -> Tensor:
        return ordered(predicted.shape, generator)

    def oracle(self, loss: nn.Module, predicted: np.ndarray, target: np.ndarray) -> float:
        found = [parts(a, b) for a, b in zip(predicted, target, strict=True)]
        return sum(1 - pair["iou"] + type(self).penalty(pair) for pair in found) / len(found)


class TestIoULoss(BoxLossContract):
    penalty = staticmethod(lambda pair: 0.0)

    def make(self) -> nn.Module:
        return IoULoss()


class TestGIoULoss(BoxLossContract):
    penalty = staticmethod(lambda pair: pair["uncovered"])

    def make(self) -> nn.Module:
        return GIoULoss()


class TestDIoULoss(BoxLossContract):
    penalty = staticmethod(lambda pair: pair["distance"])

    def make(self) -> nn.Module:
        return DIoULoss()


def weight(pair: dict[str, float]) -> float:
    """CIoU's alpha."""
    return pair["shape"] / (1 - pair["iou"] + pair["shape"])


class TestCIoULoss(BoxLossContract):
    penalty = staticmethod(lambda pair: pair["distance"] + weight(pair) * pair["shape"])

    def make(self) -> nn.Module:
        return CIoULoss()

    def test_its_gradient_is_that_of_its_value(self) -> None:
        """With alpha held where it is."""
        fed = self.fed(self.inputs())
        ciou_loss(**fed).backward()
        a, b = (value.detach().numpy() for value in fed.values())
        for n in range(6):
            alpha = weight(parts(a[n], b[n]))
            for i in range(4):
                values = []
                for step in (1e-6, -1e-6):
                    pair = parts(a[n] + step * np.eye(4)[i], b[n])
                    values.append(pair["distance"] - pair["iou"] + alpha * pair["shape"])
                slope = (values[0] - values[1]) / 2e-6 / 6
                assert fed["input"].grad[n, i].item() == pytest.approx(slope, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(
    ("loss", "theirs"),
    [
        (iou_loss, lambda a, b, reduction: (1 - box_iou(a, b).diagonal()).mean()),
        (giou_loss, generalized_box_iou_loss),
        (diou_loss, distance_box_iou_loss),
        (ciou_loss, complete_box_iou_loss),
    ],
)
def test_values_and_gradients_are_torchvisions(loss: Loss, theirs: Callable[..., Tensor]) -> None:
    """On boxes of pixels' size, where the constant that torchvision adds is too small to see."""
    generator = torch.Generator().manual_seed(0)
    a, b = (100 * ordered((50, 4), generator) for _ in range(2))
    ours, other = a.clone().requires_grad_(), a.clone().requires_grad_()
    value, expected = loss(ours, b), theirs(other, b, reduction="mean")
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(ours.grad, other.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1.0, 1e4, 1e20])
def test_equal_boxes_give_0_at_any_scale(loss: Loss, scale: float) -> None:
    boxes = (scale * BOXES).requires_grad_()
    value = loss(boxes, scale * BOXES)
    value.backward()
    assert value.item() == 0
    assert torch.isfinite(boxes.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_scale_and_translation_change_nothing(loss: Loss) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = ordered((9, 4), generator), ordered((9, 4), generator)
    expected = loss(a, b)
    torch.testing.assert_close(loss(1e-7 * a, 1e-7 * b), expected)
    torch.testing.assert_close(loss(a - 30, b - 30), expected)


def test_boxes_that_are_apart() -> None:
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    further = [box + torch.tensor([0, step, 0, step]) for step in (2.0, 5.0, 1e6)]
    assert [iou_loss(box, other).item() for other in further] == [1, 1, 1]
    values = [giou_loss(box, other).item() for other in further]
    assert 1 < values[0] < values[1] < values[2] <= 2
    assert values[2] == pytest.approx(2, abs=1e-5)
    assert 1 < diou_loss(box, further[0]).item() < diou_loss(box, further[2]).item() <= 2


def test_one_aspect_ratio_makes_ciou_diou() -> None:
    generator = torch.Generator().manual_seed(0)
    a = ordered((9, 4), generator)
    b = 1.7 * a - 0.4
    torch.testing.assert_close(ciou_loss(a, b), diou_loss(a, b))
    assert ciou_loss(a, b.roll(1, 0)) > diou_loss(a, b.roll(1, 0))


def test_a_shared_centre_makes_diou_iou() -> None:
    outer, inner = torch.tensor([[0.0, 0.0, 4.0, 6.0], [1.0, 2.0, 3.0, 4.0]]).split(1)
    assert diou_loss(outer, inner).item() == iou_loss(outer, inner).item() == pytest.approx(5 / 6)
    assert giou_loss(outer, inner).item() == pytest.approx(5 / 6)


POINT, LINE, UPRIGHT = [1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 2.0, 1.0], [1.0, 0.0, 1.0, 3.0]
SQUARE, ORIGIN = [0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0]
DEGENERATE = [POINT, LINE, UPRIGHT, SQUARE, ORIGIN, [0.0, 0.0, 1e-30, 1e-30]]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_boxes_without_area_are_finite(loss: Loss, scale: float, dtype: torch.dtype) -> None:
    flipped = [[box[2], box[1], box[0], box[3]] for box in DEGENERATE]
    for box in DEGENERATE + flipped:
        for other in DEGENERATE:
            a = (scale * torch.tensor([box], dtype=dtype)).requires_grad_()
            value = loss(a, scale * torch.tensor([other], dtype=dtype))
            value.backward()
            assert 0 <= value.item() <= 3
            assert torch.isfinite(a.grad).all()


@pytest.mark.parametrize("box", [POINT, LINE, UPRIGHT, [2.0, 0.0, 0.0, 2.0], [2.0, 2.0, 0.0, 0.0]])
def test_a_box_without_area_or_inside_out_has_iou_0(box: list[float]) -> None:
    a, b = torch.tensor([box], requires_grad=True), torch.tensor([SQUARE])
    assert iou_loss(a, b).item() == 1
    assert giou_loss(a, b).item() >= 1
    diou_loss(a, b).backward()
    assert torch.isfinite(a.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_stays_so(loss: Loss, value: float) -> None:
    """A training must stop there."""
    boxes = torch.tensor([[0.0, 0.0, value, 1.0]])
    assert loss(boxes, torch.tensor([SQUARE])).isnan()


@pytest.mark.parametrize("loss", LOSSES)
def test_whole_numbers_are_no_predictions(loss: Loss) -> None:
    with pytest.raises(ValueError, match=r"input needs floating-point boxes, got torch\.int64"):
        loss(torch.tensor([[0, 0, 1, 1]]), torch.tensor([SQUARE]))

"""The detector: points, boxes, and what it refuses."""

import math

import pytest
import torch

import students
from students.detector import decoded, points_of


def test_points_are_the_centres_of_cells() -> None:
    assert points_of(torch.zeros(1, 1, 2, 3), 4).tolist() == [
        [2, 2, 4], [6, 2, 4], [10, 2, 4], [2, 6, 4], [6, 6, 4], [10, 6, 4],
    ]  # fmt: skip


def test_boxes_are_expected_distances_from_points() -> None:
    logits = torch.randn(1, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    x, y, stride = 20.0, 12.0, 4.0
    distance = []
    for edge in logits[0, 0].tolist():
        powers = [math.exp(value) for value in edge]
        distance.append(stride * sum(j * p for j, p in enumerate(powers)) / sum(powers))
    left, top, right, bottom = distance
    found = decoded(logits, torch.tensor([[x, y, stride]]))[0, 0].tolist()
    assert found == pytest.approx([x - left, y - top, x + right, y + bottom], rel=1e-5)


@pytest.mark.parametrize("backbone", ["resnet8", "timm/lcnet_035"])
def test_there_is_a_row_for_each_point(backbone: str) -> None:
    network = students.detector(backbone, 3, in_channels=3, strides=(8, 16, 32), bins=4).eval()
    found = network(torch.rand(2, 3, 64, 64))
    n = 8 * 8 + 4 * 4 + 2 * 2
    shapes = {name: tuple(value.shape) for name, value in found.items()}
    assert shapes == {
        "classes": (2, n, 3),
        "scores": (2, n, 3),
        "edges": (2, n, 4, 4),
        "boxes": (2, n, 4),
        "points": (n, 3),
    }
    assert found["points"][:, 2].unique().tolist() == [8, 16, 32]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet9"}, r"^backbone must be resnet8, .* or timm/NAME, got 'resnet9'$"),
        ({"backbone": "timm/nothing"}, r"got 'timm/nothing'$"),
        ({"strides": (4, 12)}, r"^strides must double from one to the next, got \(4, 12\)$"),
        ({"strides": ()}, r"^strides must double"),
        ({"strides": (16, 32)}, r"^strides must be some of \(2, 4, 8\) first, got \(16, 32\)$"),
        ({"bins": 1}, r"^bins must be at least 2, got 1$"),
        ({"channels": 12}, r"^channels must be a multiple of 8, got 12$"),
        ({"num_classes": 0}, r"^num_classes must be at least 1, got 0$"),
        ({"pretrained": True}, r"^there are no pretrained weights of resnet8: give timm/NAME$"),
    ],
)
def test_wrong_arguments_are_told(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        students.detector(**({"backbone": "resnet8", "num_classes": 10} | options))

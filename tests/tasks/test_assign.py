"""Assignment of points to boxes against loops."""

import numpy as np
import pytest
import torch

from distill.core.batch import Boxes
from distill.tasks.assign import assign, distances, valuable


def points(side: int = 48, strides: tuple[int, ...] = (4, 8)) -> torch.Tensor:
    found = [
        ((j + 0.5) * s, (i + 0.5) * s, s)
        for s in strides
        for i in range(side // s)
        for j in range(side // s)
    ]
    return torch.tensor(found)


def some_boxes(seed: int, images: int = 3, each: int = 4) -> Boxes:
    rng = np.random.default_rng(seed)
    n = images * each
    corner = rng.uniform(0, 30, (n, 2))
    edges = np.concatenate([corner, corner + rng.uniform(5, 30, (n, 2))], 1)
    ignored = torch.from_numpy(rng.random(n) < 0.2)
    rows = torch.from_numpy(rng.integers(0, images, n)).sort().values
    labels = torch.from_numpy(rng.integers(0, 5, n))
    return Boxes(torch.from_numpy(edges).float(), rows, labels, ignored)


def by_loops(at: torch.Tensor, boxes: Boxes, images: int) -> list[list[int]]:
    strides = sorted({float(s) for s in at[:, 2]})
    found = [[-1] * len(at) for _ in range(images)]
    for image in range(images):
        for place, (x, y, s) in enumerate(at.tolist()):
            best = None
            for number, (left, top, right, bottom) in enumerate(boxes.xyxy.tolist()):
                if boxes.image[number] != image or not (left < x < right and top < y < bottom):
                    continue
                if boxes.ignored[number]:
                    if best is None:
                        found[image][place] = -100
                    continue
                area = (right - left) * (bottom - top)
                level = next((t for t in strides if area**0.5 <= 5 * t), strides[-1])
                middle = max(abs(x - (left + right) / 2), abs(y - (top + bottom) / 2))
                if level == s and middle <= 1.5 * s and (best is None or area < best):
                    best, found[image][place] = area, number
    return found


@pytest.mark.parametrize("seed", range(4))
def test_equals_loops(seed: int) -> None:
    boxes = some_boxes(seed)
    assert assign(points(), boxes, 3).tolist() == by_loops(points(), boxes, 3)


def test_no_box_leaves_ground() -> None:
    none = Boxes(torch.zeros(0, 4), torch.zeros(0).long(), torch.zeros(0).long())
    owner = assign(points(), none, 2)
    assert (owner == -1).all()
    assert not valuable(points(), none, owner).any()


def diou(a: list[float], b: list[float]) -> float:
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    apart = sum(((a[i] + a[i + 2]) / 2 - (b[i] + b[i + 2]) / 2) ** 2 for i in (0, 1))
    around = sum((max(a[i + 2], b[i + 2]) - min(a[i], b[i])) ** 2 for i in (0, 1))
    return both / union - apart / around


def iou(a: list[float], b: list[float]) -> float:
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_valuable_points_equal_loops() -> None:
    at, boxes = points(), some_boxes(7, images=1, each=2)
    boxes.ignored[:] = False
    owner = assign(at, boxes, 1)
    expected = [False] * len(at)
    anchors = [[x - 4 * s, y - 4 * s, x + 4 * s, y + 4 * s] for x, y, s in at.tolist()]
    for box in boxes.xyxy.tolist():
        centre = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
        near = []
        for stride in (4, 8):
            on = [i for i, s in enumerate(at[:, 2].tolist()) if s == stride]
            on.sort(key=lambda i: sum((at[i, d].item() - centre[d]) ** 2 for d in (0, 1)))
            near += [iou(box, anchors[i]) for i in on[:9]]
        bound = np.mean(near) + np.std(near, ddof=1)
        for place, anchor in enumerate(anchors):
            if 0.25 * bound <= diou(box, anchor) < bound and owner[0, place] == -1:
                expected[place] = True
    found = valuable(at, boxes, owner)[0].tolist()
    assert any(expected)
    assert found == expected


def test_distances_are_in_strides_and_give_the_box_back() -> None:
    at, box = torch.tensor([[6.0, 10.0, 4.0]]), torch.tensor([[2.0, 4.0, 18.0, 12.0]])
    left, top, right, bottom = (4 * distances(at, box))[0].tolist()
    assert [6 - left, 10 - top, 6 + right, 10 + bottom] == box[0].tolist()

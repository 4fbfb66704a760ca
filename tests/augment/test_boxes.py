from dataclasses import replace

import numpy as np
import pytest
import torch

from distill.augment import ElasticTransform, RandomAffine, RandomPerspective
from distill.augment.boxes import clip, joined, move, project, reordered, require_places
from distill.core.batch import Boxes
from tests.augment.scenes import assert_same, listed, noise, rectangles, rows_of


def boxes(*xyxy: tuple[float, float, float, float]) -> Boxes:
    n = len(xyxy)
    return Boxes(torch.tensor(xyxy).float(), torch.arange(n) % 2, torch.arange(n))


def test_a_moved_box_bounds_the_moved_corners() -> None:
    matrices = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (2, 3, 3)))
    matrices[:, 2] = torch.tensor([1e-3, -2e-3, 1.0])
    given = boxes((2, 3, 9, 11), (-4, 1, 5, 6), (10.5, 2, 12.25, 30))
    forward = torch.eye(3).double() * 3 + matrices
    forward[:, :2, 2] += 40
    moved = move(given, forward, 1000, 1000)
    assert moved.label.tolist() == [0, 1, 2]
    for box, row, result in zip(given.xyxy, given.image, moved.xyxy, strict=True):
        left, top, right, bottom = box.tolist()
        points = []
        for x, y in [(left, top), (right, top), (right, bottom), (left, bottom)]:
            u, v, w = forward[row].numpy() @ [x, y, 1]
            points.append((u / w, v / w))
        low, high = np.min(points, 0), np.max(points, 0)
        np.testing.assert_allclose(result, np.clip([*low, *high], 0, 1000), rtol=1e-6)


def test_points_may_broadcast() -> None:
    matrix = torch.tensor([[[2.0, 0, 1], [0, 3, 0], [0, 0, 1]]])
    x, y = project(matrix, torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[5.0], [6.0]]]))
    assert (x + 0 * y).tolist() == [[[1, 3], [1, 3]]]
    assert (y + 0 * x).tolist() == [[[15, 15], [18, 18]]]


def test_what_is_outside_is_cut_off() -> None:
    clipped = clip(boxes((-2, 1, 4, 5), (3, 3, 9, 9)), height=8, width=6)
    assert clipped.xyxy.tolist() == [[0, 1, 4, 5], [3, 3, 6, 8]]


@pytest.mark.parametrize(
    ("box", "stays"),
    [
        ((-9.0, 0.0, 1.0, 10.0), True),  # a tenth is left
        ((-9.1, 0.0, 0.9, 10.0), False),
        ((0.0, -9.5, 5.0, 0.5), False),  # half a pixel high
        ((2.0, 2.0, 3.0, 3.0), True),
        ((2.0, 2.0, 2.9, 9.0), False),
        ((30.0, 2.0, 40.0, 9.0), False),
    ],
)
def test_boxes_hardly_left_are_dropped(box: tuple[float, ...], stays: bool) -> None:
    assert len(clip(boxes(box), 20, 20).xyxy) == stays


def test_the_type_of_boxes_is_kept() -> None:
    given = boxes((1, 2, 3, 4))
    forward = torch.eye(3).double()[None]
    assert move(given, forward, 9, 9).xyxy.dtype == torch.float32
    assert move(replace(given, xyxy=given.xyxy.double()), forward, 9, 9).xyxy.dtype == torch.float64


def test_other_rows_bring_their_masks_and_boxes() -> None:
    batch, rows = rectangles(4), [2, 0, 3, 1]
    other, expected = reordered(batch, torch.tensor(rows)), rows_of(batch, rows)
    assert_same(replace(other, index=expected.index), expected)
    bare = replace(batch, mask=None, boxes=None)
    assert reordered(bare, torch.tensor(rows)).mask is None


def test_lists_are_joined() -> None:
    one, two = boxes((1, 2, 3, 4)), boxes((5, 6, 7, 8), (9, 8, 10, 12))
    assert listed(joined(one, two)) == sorted(listed(one) + listed(two))


def test_a_mask_or_boxes_are_enough() -> None:
    batch = rectangles(1)
    require_places(replace(batch, mask=None), "This")
    require_places(replace(batch, boxes=None), "This")
    with pytest.raises(ValueError, match=r"This needs .* got class labels alone; .* CutMix"):
        require_places(noise(1), "This")


def test_a_box_that_does_not_move_stays_whatever_is_left_of_it() -> None:
    thin = replace(rectangles(2), boxes=boxes((3, 3, 3.5, 9), (-40, 3, 2, 9)))
    for module in (
        RandomAffine(degrees=20, probability=0.0),
        RandomPerspective(probability=0.0),
        ElasticTransform(probability=0.0),
    ):
        assert listed(module(thin, 1).boxes) == listed(thin.boxes)


def test_large_boxes_of_half_precision_have_areas() -> None:
    large = replace(boxes((0, 0, 300, 300)), xyxy=torch.tensor([[0.0, 0, 300, 300]]).half())
    assert len(clip(large, 400, 400).xyxy) == 1

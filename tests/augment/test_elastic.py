import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from distill.augment import ElasticTransform
from distill.augment.elastic import _basis, _boxes, _spline
from distill.augment.warp import grid
from distill.core.batch import Boxes
from tests.augment.scenes import around, assert_same, columns, rectangles


@pytest.mark.parametrize(("cells", "length"), [(1, 5), (4, 30), (7, 16)])
def test_the_basis_is_that_of_scipy(cells: int, length: int) -> None:
    knots = np.arange(-3, cells + 4)
    places = (np.arange(length) + 0.5) * cells / length
    expected = BSpline.design_matrix(places, knots, 3).toarray()
    np.testing.assert_allclose(_basis(cells + 3, length), expected, atol=1e-12)


def test_a_surface_is_the_weighted_sum_of_its_control_points() -> None:
    control = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (2, 2, 6, 6)))
    surface = _spline(control, (9, 14))
    tall, wide = _basis(6, 9), _basis(6, 14)
    expected = np.einsum("yi,xj,bcij->bcyx", tall, wide, control)
    np.testing.assert_allclose(surface, expected, atol=1e-12)


def test_no_pixel_moves_further_than_it_may() -> None:
    batch = rectangles(6, dtype=torch.float64)
    x, y = (points.expand(6, 48, 48) / 48 for points in grid(batch.image))
    batch.image = torch.stack([x, y, x], 1)  # the colour of a pixel tells where it was
    view = ElasticTransform(0.1, cells=2, probability=1.0)(batch, 1)
    seen = view.mask != 255
    for channel, place in ((0, x), (1, y)):
        moved = (view.image[:, channel] - place).abs()[seen]
        assert 0.05 < moved.max() <= 0.1 + 0.5 / 48  # at the edges half a pixel is rounded off


def test_the_picture_does_not_fold_at_the_default() -> None:
    batch = rectangles(20, dtype=torch.float64)
    x, y = (points.expand(20, 48, 48) / 48 for points in grid(batch.image))
    batch.image = torch.stack([x, y, x], 1)
    image = ElasticTransform(probability=1.0)(batch, 1).image[..., 3:-3, 3:-3]
    assert (image[:, 0].diff(dim=2) > 0).all()
    assert (image[:, 1].diff(dim=1) > 0).all()


def test_boxes_bound_what_is_seen_of_them() -> None:
    view = ElasticTransform(0.1, cells=3, probability=1.0)(rectangles(20), 1)
    compared = 0
    for box, row, label in zip(*columns(view.boxes), strict=True):
        assert box.tolist() == around(view.mask[row], int(label))
        compared += 1
    assert compared == 40


def test_a_box_that_leaves_the_image_is_dropped() -> None:
    boxes = Boxes(torch.tensor([[0.0, 0, 4, 4]] * 2), torch.tensor([0, 1]), torch.tensor([1, 2]))
    x = torch.arange(8) + 0.5 + torch.tensor([5.0, 2.0])[:, None, None].expand(2, 8, 1)
    y = (torch.arange(8) + 0.5)[None, :, None].expand(2, 8, 8)
    left = _boxes(boxes, x, y, torch.tensor([True, True]))
    assert left.label.tolist() == [2]
    assert left.xyxy.tolist() == [[0, 0, 2, 4]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_no_displacement_changes_no_bit(dtype: torch.dtype) -> None:
    batch = rectangles(3, dtype=dtype)
    assert_same(ElasticTransform(0.0, probability=1.0)(batch, 1), batch)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"displacement": 0.3}, r"displacement must be in 0\.\.0\.25, got 0\.3"),
        ({"cells": 0}, r"cells must be in 1\.\.16, got 0"),
        ({"probability": -1}, r"probability must be in 0\.\.1, got -1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ElasticTransform(**arguments)

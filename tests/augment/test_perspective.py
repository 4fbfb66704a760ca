from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF

from distill.augment import RandomPerspective
from distill.augment.perspective import quadrilateral
from distill.augment.warp import warp
from tests.augment.scenes import assert_same, noise, rectangles

CORNERS = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])


def test_corners_go_where_they_are_told() -> None:
    places = torch.from_numpy(CORNERS + np.random.default_rng(0).normal(0, 0.15, (6, 4, 2)))
    matrices = quadrilateral(places, (30, 50)).numpy()
    for matrix, quad in zip(matrices, places.numpy(), strict=True):
        for corner, place in zip(CORNERS, quad, strict=True):
            x, y, depth = matrix @ [*(corner * (50, 30)), 1]
            np.testing.assert_allclose((x / depth, y / depth), place * (50, 30), atol=1e-9)


def test_corners_left_in_place_give_the_identity() -> None:
    matrix = quadrilateral(torch.from_numpy(CORNERS).double()[None], (30, 50))
    assert torch.equal(matrix[0], torch.eye(3).double())


def test_the_view_is_that_of_torchvision() -> None:
    batch = noise(1, height=40, width=40, dtype=torch.float32)
    places = torch.tensor([[[0.1, 0.05], [0.9, 0.0], [0.95, 1.0], [0.0, 0.85]]]).double()
    view = warp(batch, quadrilateral(places, (40, 40))).image
    start, end = CORNERS * 40, (places[0].numpy() * 40).round()
    expected = TF.perspective(batch.image, start.tolist(), end.tolist())
    inside = (slice(None), slice(None), slice(12, 28), slice(12, 28))
    torch.testing.assert_close(view[inside], expected[inside], atol=1e-3, rtol=0)  # float32 places


def test_corners_move_inwards_only() -> None:
    view = RandomPerspective(0.5, probability=1.0)(rectangles(40), 1)
    seen = view.mask != 255
    assert (seen.sum((1, 2)) < 48 * 48).all()
    assert (seen.sum((1, 2)) > 0.2 * 48 * 48).all()
    assert seen[:, 12:36, 12:36].all()  # no corner comes further than a quarter


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_no_distortion_changes_no_bit(dtype: torch.dtype) -> None:
    batch = rectangles(3, dtype=dtype)
    assert_same(RandomPerspective(0.0, probability=1.0)(batch, 1), batch)


@pytest.mark.parametrize("argument", ["distortion", "probability"])
def test_arguments_out_of_range_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=rf"{argument} must be in 0\.\..*, got 1\.5"):
        RandomPerspective(**{argument: 1.5})


def test_the_strongest_distortion_turns_nothing_inside_out() -> None:
    view = RandomPerspective(0.66, probability=1.0)(rectangles(400), 1)
    whole = replace(rectangles(400), mask=torch.ones(400, 48, 48).long())
    outline = RandomPerspective(0.66, probability=1.0)(whole, 1).mask == 1
    for rows in (outline, outline.transpose(1, 2)):  # a convex shape has no gaps
        assert ((rows.int().diff(dim=2) == 1).sum(2) + rows[:, :, 0] <= 1).all()
    assert view.boxes.xyxy.isfinite().all()


def test_beyond_two_thirds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"distortion must be in 0\.\.0\.66, got 0\.67"):
        RandomPerspective(0.67)

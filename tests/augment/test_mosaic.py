from dataclasses import replace

import numpy as np
import pytest
import torch

from distill.augment import Mosaic
from distill.augment.draws import partners, uniform_between
from distill.core.batch import Batch
from distill.core.randomness import fold
from tests.augment.scenes import around, columns, listed, noise, rectangles

KEY = 4


def fields(batch: Batch, row: int, low: float = 0.3, high: float = 0.7) -> list[tuple]:
    """Top, bottom, left and right edge of the four fields, and the row that each shows."""
    draws = (uniform_between(fold(KEY, name), batch.index, low, high)[row] for name in "xy")
    x, y = (round(float(draw) * 48) for draw in draws)
    successor = partners(fold(KEY, "partner"), batch.index)
    rows = [row]
    for _ in range(3):
        rows.append(int(successor[rows[-1]]))
    edges = [(0, y, 0, x), (0, y, x, 48), (y, 48, 0, x), (y, 48, x, 48)]
    return list(zip(edges, rows, strict=True))


def test_each_field_shows_a_whole_image() -> None:
    batch = rectangles(9, dtype=torch.float64)
    view = Mosaic(probability=1.0)(batch, KEY)
    for row in range(9):
        for (top, bottom, left, right), shown in fields(batch, row):
            part = view.image[row, 0, top:bottom, left:right].numpy()
            whole = batch.image[shown, 0].numpy()
            for i in (0, part.shape[0] // 2, part.shape[0] - 1):
                for j in (0, part.shape[1] // 3, part.shape[1] - 1):
                    y, x = (i + 0.5) * 48 / part.shape[0], (j + 0.5) * 48 / part.shape[1]
                    around_it = whole[int(y - 0.5) : int(y + 1.5), int(x - 0.5) : int(x + 1.5)]
                    low, high = around_it.min(), around_it.max()
                    assert low - 1e-9 <= part[i, j] <= high + 1e-9


def test_boxes_of_all_four_images_are_there() -> None:
    batch = rectangles(9)
    view = Mosaic(probability=1.0)(batch, KEY)
    expected = []
    for row in range(9):
        for (top, bottom, left, right), shown in fields(batch, row):
            wide, tall = (right - left) / 48, (bottom - top) / 48
            for _, label, *box in [box for box in listed(batch.boxes) if box[0] == shown]:
                x1, y1, x2, y2 = box
                moved = (left + x1 * wide, top + y1 * tall, left + x2 * wide, top + y2 * tall)
                expected.append((row, label, *moved))
    np.testing.assert_allclose(sorted(listed(view.boxes)), sorted(expected), atol=1e-4)


def test_masks_fit_boxes() -> None:
    batch = rectangles(9)
    view = Mosaic(probability=1.0)(batch, KEY)
    assert (view.mask != 255).all()
    for box, row, label in zip(*columns(view.boxes), strict=True):
        left, top, right, bottom = box.round().int().tolist()
        seen = around(view.mask[row, top - 1 : bottom + 1, left - 1 : right + 1], int(label))
        assert np.abs(np.array(seen) - [1, 1, right - left + 1, bottom - top + 1]).max() <= 1


def test_images_not_chosen_keep_their_boxes() -> None:
    batch = rectangles(40)
    view = Mosaic()(batch, KEY)
    same = (view.image == batch.image).flatten(1).all(1)
    assert 10 < same.sum() < 30
    for row in np.nonzero(same.numpy())[0]:
        assert [box for box in listed(view.boxes) if box[0] == row] == [
            box for box in listed(batch.boxes) if box[0] == row
        ]


def test_masks_or_boxes_alone_will_do() -> None:
    batch = rectangles(6)
    whole = Mosaic(probability=1.0)(batch, KEY)
    masks = Mosaic(probability=1.0)(replace(batch, boxes=None), KEY)
    boxes = Mosaic(probability=1.0)(replace(batch, mask=None), KEY)
    assert torch.equal(masks.mask, whole.mask)
    assert masks.boxes is None
    assert listed(boxes.boxes) == listed(whole.boxes)
    assert boxes.mask is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"centre": (0.0, 0.5)}, r"centre must be two ascending numbers in 0\.1\.\.0\.9"),
        ({"probability": 2}, r"probability must be in 0\.\.1, got 2"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mosaic(**arguments)


def test_a_box_does_not_reach_into_the_next_field() -> None:
    batch = rectangles(4)
    batch.boxes.xyxy[:] = torch.tensor([-20.0, 4, 20, 28])
    view = Mosaic((0.5, 0.5), probability=1.0)(batch, KEY)
    assert set(view.boxes.xyxy[:, 0].tolist()) == {0.0, 24.0}


@pytest.mark.parametrize("shape", [(4, 4), (50, 2)])
def test_every_field_has_a_pixel(shape: tuple[int, int]) -> None:
    batch = replace(noise(4, height=shape[0], width=shape[1]), mask=torch.zeros(4, *shape).long())
    assert (Mosaic((0.1, 0.1), probability=1.0)(batch, KEY).mask != 255).all()
    with pytest.raises(ValueError, match=r"at least 2 x 2 pixels, got \(1, 50\)"):
        Mosaic()(replace(noise(2, height=1, width=50), mask=torch.zeros(2, 1, 50).long()), KEY)

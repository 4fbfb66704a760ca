from dataclasses import replace

import numpy as np
import pytest
import torch

from distill.augment.warp import grid, inverse, resample, warp
from distill.core.batch import Batch
from tests.augment.scenes import assert_same, listed, noise, rectangles

DTYPES = pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])


def matrices(*rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor([[*row, [0, 0, 1]] for row in rows], dtype=torch.float64)


def shift(x: float, y: float) -> list[list[float]]:
    return [[1, 0, x], [0, 1, y]]


def with_mask(batch: Batch) -> Batch:
    return replace(batch, mask=(batch.image[:, 0].double() * 255).round().long() % 7)


@DTYPES
def test_the_identity_changes_no_bit(dtype: torch.dtype) -> None:
    batch = rectangles(3, dtype=dtype)
    assert_same(warp(batch, torch.eye(3).double().expand(3, 3, 3)), batch)
    pixels = with_mask(noise(3, dtype=dtype))
    assert_same(warp(pixels, torch.eye(3).double().expand(3, 3, 3)), pixels)


@DTYPES
@pytest.mark.parametrize(("x", "y"), [(3, 0), (-2, 1), (0, -4), (50, 0)])
def test_a_shift_by_whole_pixels_is_a_slice(dtype: torch.dtype, x: int, y: int) -> None:
    batch = with_mask(noise(2, dtype=dtype))
    view = warp(batch, matrices(shift(x, y), shift(0, 0)))
    image, mask = np.zeros_like(batch.image[0]), np.full_like(batch.mask[0], 255)
    for i in range(12):
        for j in range(10):
            if 0 <= i - y < 12 and 0 <= j - x < 10:
                image[:, i, j] = batch.image[0, :, i - y, j - x]
                mask[i, j] = batch.mask[0, i - y, j - x]
    assert np.array_equal(view.image[0].numpy(), image)
    assert np.array_equal(view.mask[0].numpy(), mask)
    assert torch.equal(view.image[1], batch.image[1])


@DTYPES
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_those_of_torch(dtype: torch.dtype, turns: int) -> None:
    batch = with_mask(noise(1, height=11, width=11, dtype=dtype))
    quarter = matrices([[0, -1, 11], [1, 0, 0]])  # clockwise, in coordinates that go down
    view = warp(batch, torch.linalg.matrix_power(quarter, turns))
    assert torch.equal(view.image, torch.rot90(batch.image, -turns, (2, 3)))
    assert torch.equal(view.mask, torch.rot90(batch.mask, -turns, (1, 2)))


def test_points_between_pixels_are_interpolated() -> None:
    batch = noise(3, channels=2, dtype=torch.float64)
    random = np.random.default_rng(1)
    forward = torch.from_numpy(np.eye(3) + random.normal(0, 0.1, (3, 3, 3)))
    forward[:, 2, :2] *= 0.05
    view = warp(batch, forward)
    images = batch.image.numpy()
    for row in range(3):
        back = np.linalg.inv(forward[row].numpy())
        for i in range(12):
            for j in range(10):
                u, v, w = back @ [j + 0.5, i + 0.5, 1]
                expected = read(images[row], u / w, v / w)
                np.testing.assert_allclose(view.image[row, :, i, j], expected, atol=1e-12)


def read(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """Bilinear between pixel centres, the outermost pixels going on to the edge, black beyond."""
    _, height, width = image.shape
    if not (0 <= x < width and 0 <= y < height):
        return np.zeros(len(image))
    total = 0
    for i in (np.floor(y - 0.5), np.floor(y - 0.5) + 1):
        for j in (np.floor(x - 0.5), np.floor(x - 0.5) + 1):
            weight = (1 - abs(y - 0.5 - i)) * (1 - abs(x - 0.5 - j))
            pixel = image[:, int(np.clip(i, 0, height - 1)), int(np.clip(j, 0, width - 1))]
            total = total + weight * pixel
    return total


def test_masks_take_the_nearest_pixel() -> None:
    batch = with_mask(noise(1))
    view = warp(batch, matrices([[2, 0, 0], [0, 2, 0]]))
    doubled = batch.mask[0].repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(view.mask[0], doubled[:12, :10])


def test_boxes_follow() -> None:
    batch = rectangles(2)
    view = warp(batch, matrices(shift(2, -3), [[-1, 0, 48], [0, 1, 0]]))
    expected = []
    for row, label, left, top, right, bottom in listed(batch.boxes):
        moved = (left + 2, top - 3, right + 2, bottom - 3)
        expected.append(
            (row, label, *(moved if row == 0 else (48 - right, top, 48 - left, bottom)))
        )
    assert listed(view.boxes) == sorted(expected)


def test_the_inverse_undoes_a_matrix() -> None:
    forward = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (5, 3, 3)))
    back = inverse(forward)
    assert torch.equal(back[:, 2, 2], torch.ones(5).double())
    both = back @ forward
    torch.testing.assert_close(both / both[:, 2:, 2:], torch.eye(3).double().expand(5, 3, 3))


def test_resampling_leaves_boxes_alone() -> None:
    batch = rectangles(2)
    x, y = (points.expand(2, 48, 48) for points in grid(batch.image))
    assert_same(resample(batch, x, y), batch)

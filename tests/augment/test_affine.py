import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF

from distill.augment import RandomAffine
from distill.augment.affine import affine
from distill.augment.warp import warp
from distill.core.batch import Batch
from tests.augment.scenes import assert_same, noise, rectangles

ONE, ZERO = torch.ones(1).double(), torch.zeros(1).double()


def points(matrix: torch.Tensor, x: float, y: float) -> list[float]:
    return (matrix[0] @ torch.tensor([x, y, 1.0]).double())[:2].tolist()


def test_the_centre_stays_where_it_is() -> None:
    matrix = affine(ONE * 33, (ZERO, ZERO), ONE * 1.7, (ONE * 0.2, ONE * -0.1), (30, 50))
    assert points(matrix, 25, 15) == pytest.approx([25, 15])


@pytest.mark.parametrize("degrees", [-90.0, -30.0, 0.0, 12.5, 90.0, 180.0])
def test_matrices_are_shear_scale_rotation_and_shift_about_the_centre(degrees: float) -> None:
    shift, scale, shear = (3.0, -2.0), 1.3, (0.25, -0.125)
    matrix = affine(
        ONE * degrees, [ONE * v for v in shift], ONE * scale, [ONE * v for v in shear], (20, 40)
    )
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = rotation @ (scale * np.array([[1, shear[0]], [shear[1], 1]]))
    for point in [(0, 0), (40, 0), (17, 5)]:
        expected = linear @ (np.array(point) - (20, 10)) + (20, 10) + shift
        np.testing.assert_allclose(points(matrix, *point), expected, atol=1e-3)  # 40 x 2^-17


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_quarter_turns_are_clockwise_and_exact(degrees: int) -> None:
    batch = noise(1, height=9, width=9)
    still = (ZERO, ZERO)
    view = warp(batch, affine(ONE * degrees, still, ONE, still, (9, 9)))
    assert torch.equal(view.image, torch.rot90(batch.image, -degrees // 90, (2, 3)))


def test_a_rotation_is_that_of_torchvision() -> None:
    batch = noise(1, height=33, width=33, dtype=torch.float32)
    still = (ZERO, ZERO)
    view = warp(batch, affine(ONE * 20, still, ONE, still, (33, 33))).image
    expected = TF.affine(batch.image, 20, [0, 0], 1.0, [0, 0], TF.InterpolationMode.BILINEAR)
    inside = (slice(None), slice(None), slice(8, 25), slice(8, 25))
    torch.testing.assert_close(view[inside], expected[inside], atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_without_arguments_nothing_moves(dtype: torch.dtype) -> None:
    batch = rectangles(3, dtype=dtype)
    assert_same(RandomAffine()(batch, 1), batch)


def test_shifts_are_whole_pixels_of_both_signs() -> None:
    batch = rectangles(40, side=64)
    view = RandomAffine(translate=0.25)(batch, 1)
    shifts = []
    for row in range(40):
        rows, columns = (view.mask[row] != 255).nonzero(as_tuple=True)
        top, left = int(rows.min()), int(columns.min())
        bottom, right = int(rows.max()) + 1, int(columns.max()) + 1
        down, across = (top or bottom - 64), (left or right - 64)
        shifts.append((down, across))
        kept = batch.image[row, :, top - down : bottom - down, left - across : right - across]
        assert torch.equal(view.image[row, :, top:bottom, left:right], kept)
    spread = np.array(shifts)
    assert spread.min() >= -16
    assert spread.max() <= 16
    assert (spread.min(0) < -8).all()
    assert (spread.max(0) > 8).all()


@pytest.mark.parametrize(
    ("module", "low", "high"),
    [(RandomAffine(scale=(0.5, 0.8)), 0.25, 0.64), (RandomAffine(degrees=180), 1, 1)],
)
def test_areas_change_with_the_scale_alone(
    module: RandomAffine, low: float, high: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []

    def note(batch: Batch, forward: torch.Tensor) -> Batch:
        seen.append(forward)
        return batch

    monkeypatch.setattr("distill.augment.affine.warp", note)
    module(rectangles(200, side=40), 1)
    areas = torch.linalg.det(seen[0])
    assert areas.min() >= low - 1e-4
    assert areas.max() <= high + 1e-4
    assert areas.max() - areas.min() >= 0.9 * (high - low)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"degrees": 181}, r"degrees must be in 0\.\.180, got 181"),
        ({"translate": -0.1}, r"translate must be in 0\.\.1, got -0\.1"),
        ({"scale": (1.2, 0.8)}, r"scale must be two ascending numbers .* got \[1\.2, 0\.8\]"),
        ({"shear": 45}, r"shear must be in 0\.\.40, got 45"),
        ({"probability": 2}, r"probability must be in 0\.\.1, got 2"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomAffine(**arguments)

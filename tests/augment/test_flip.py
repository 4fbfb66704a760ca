import numpy as np
import pytest
import torch
from torch import nn

from distill.augment import RandomHorizontalFlip, RandomVerticalFlip
from distill.core.batch import Batch
from distill.core.randomness import fold, uniform
from tests.augment.scenes import around, assert_same, columns, noise, rectangles

FLIPS = pytest.mark.parametrize(
    ("flip", "axis"), [(RandomHorizontalFlip, -1), (RandomVerticalFlip, -2)]
)


@FLIPS
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_chosen_images_are_mirrored(
    flip: type[nn.Module], axis: int, probability: float, dtype: torch.dtype
) -> None:
    batch, key = noise(60, dtype=dtype), fold(0, "augment", 3)
    views = flip(probability)(batch, key).image
    assert views.dtype == dtype
    draws = uniform(key, batch.index)[:, 0].tolist()
    assert {draw < probability for draw in draws} == {True, False}
    for image, view, draw in zip(batch.image.numpy(), views.numpy(), draws, strict=True):
        assert np.array_equal(view, np.flip(image, axis) if draw < probability else image)


@FLIPS
def test_masks_and_boxes_are_mirrored_too(flip: type[nn.Module], axis: int) -> None:
    batch = rectangles(20)
    view = flip()(batch, 1)
    moved = (view.image != batch.image).flatten(1).any(1)
    assert set(moved.tolist()) == {True, False}
    for row in range(20):
        mask = batch.mask[row].flip(axis) if moved[row] else batch.mask[row]
        assert torch.equal(view.mask[row], mask)
    for box, row, label in zip(*columns(view.boxes), strict=True):
        assert box.tolist() == around(view.mask[row], int(label))


@FLIPS
def test_two_flips_are_none(flip: type[nn.Module], axis: int) -> None:
    batch, both = rectangles(5), flip(1.0)
    assert_same(both(both(batch, 1), 2), batch)
    assert_same(flip(0.0)(batch, 1), batch)


@FLIPS
@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_the_share_of_mirrored_images_is_the_probability(
    flip: type[nn.Module], axis: int, probability: float
) -> None:
    image = torch.tensor([[0.0, 0.0], [0.0, 1.0]]).expand(10_000, 1, 2, 2)
    samples = torch.arange(10_000)
    views = flip(probability)(Batch(image, samples, samples, 0), 1).image
    still = views[:, 0, 1, 1].mean().item()
    assert still == pytest.approx(1 - probability, abs=0.025)  # 5 sigma


@FLIPS
def test_a_half_is_the_default(flip: type[nn.Module], axis: int) -> None:
    batch = noise(50)
    assert_same(flip()(batch, 1), flip(0.5)(batch, 1))


@FLIPS
@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_probability_outside_zero_to_one_is_refused(
    flip: type[nn.Module], axis: int, probability: float
) -> None:
    with pytest.raises(ValueError, match=rf"probability must be in 0\.\.1, got {probability}"):
        flip(probability)

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from distill.augment import MultiScale
from distill.augment.multi_scale import resized
from tests.augment.scenes import around, assert_same, columns, listed, noise, rectangles


def test_sizes_are_drawn_for_each_step_with_equal_frequency() -> None:
    batch, module = noise(1, height=4, width=4), MultiScale([2, 3, 5])
    sizes = [module(replace(batch, step=step), key=7).image.shape[-1] for step in range(300)]
    counts = Counter(sizes)
    assert set(counts) == {2, 3, 5}
    assert min(counts.values()) > 70
    assert sizes != sorted(sizes)


def test_all_batches_of_a_step_have_one_size() -> None:
    module = MultiScale([2, 3, 5])
    for step in range(10):
        sizes = {
            module(replace(noise(n, height=4, width=4), step=step), key=7).image.shape[-1]
            for n in (1, 4, 9)
        }
        assert len(sizes) == 1


@pytest.mark.parametrize("size", [(7, 9), (24, 20), (12, 30)])
def test_images_are_resized_as_pil_does(size: tuple[int, int]) -> None:
    batch = noise(3)
    view = resized(batch, size).image
    for image, expected in zip(view, batch.image, strict=True):
        picture = Image.fromarray(expected.permute(1, 2, 0).numpy())
        small = np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(image.permute(1, 2, 0).numpy() - small).max() <= 1  # both round


def test_masks_take_the_nearest_pixel() -> None:
    batch = rectangles(2)
    double = resized(batch, (96, 96))
    assert torch.equal(double.mask, batch.mask.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert torch.equal(resized(double, (32, 48)).mask[:, 0, 0], double.mask[:, 1, 1])


def test_boxes_are_scaled_with_their_masks() -> None:
    batch = rectangles(6)
    double = resized(batch, (96, 144))
    for box, row, label in zip(*columns(double.boxes), strict=True):
        assert box.tolist() == around(double.mask[row], int(label))
    tiny = resized(batch, (4, 4))  # six to eleven pixels become a half to nearly one
    assert len(tiny.boxes.xyxy) < 12


def test_the_shorter_side_gets_the_size_and_the_shape_is_kept() -> None:
    assert MultiScale([24])(noise(1, height=12, width=20), 0).image.shape[-2:] == (24, 40)
    assert MultiScale([6])(noise(1, height=20, width=12), 0).image.shape[-2:] == (10, 6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_an_image_that_has_the_size_is_left_alone(dtype: torch.dtype) -> None:
    batch = rectangles(2, dtype=dtype)
    assert_same(MultiScale([48])(batch, 0), batch)
    assert listed(MultiScale([48])(batch, 0).boxes) == listed(batch.boxes)


@pytest.mark.parametrize("sizes", [[], [0], [32, -1]])
def test_sizes_below_one_or_none_are_refused(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"sizes must be one or more lengths from 1 on, got \["):
        MultiScale(sizes)

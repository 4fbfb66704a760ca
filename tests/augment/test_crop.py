from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from distill.augment import RandomCrop
from distill.core.batch import Batch
from distill.core.randomness import fold, uniform
from tests.augment.scenes import around, columns, noise, rectangles


@pytest.mark.parametrize("padding", [1, 2, 7])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_crops_are_slices_of_the_padded_images(padding: int, dtype: torch.dtype) -> None:
    batch, key = noise(40, height=6, width=5, dtype=dtype), fold(0, "augment", 3)
    batch = replace(batch, mask=batch.image[:, 0].long())
    view = RandomCrop(padding)(batch, key)
    assert view.image.dtype == dtype
    draws = uniform(key, batch.index, 2).double().numpy()
    offsets = np.floor(draws * (2 * padding + 1)).astype(int)
    border = [(padding, padding), (padding, padding)]
    for row, (top, left) in enumerate(offsets):
        image = np.pad(batch.image[row].numpy(), [(0, 0), *border])
        mask = np.pad(batch.mask[row].numpy(), border, constant_values=255)
        assert np.array_equal(view.image[row], image[:, top : top + 6, left : left + 5])
        assert np.array_equal(view.mask[row], mask[top : top + 6, left : left + 5])


def test_every_position_is_as_likely_as_any_other() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1  # stays inside for any shift by up to two
    samples = torch.arange(5000)
    views = RandomCrop(2)(Batch(image.expand(5000, 1, 5, 5), samples, samples, 0), key=1).image
    assert torch.equal(views.sum((1, 2, 3)), torch.ones(5000))
    counts = Counter(views.flatten(1).argmax(1).tolist())
    assert set(counts) == set(range(25))
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_boxes_are_shifted_and_cut_off() -> None:
    view = RandomCrop(20)(rectangles(20), 2)
    assert 20 < len(view.boxes.xyxy) < 40
    for box, row, label in zip(*columns(view.boxes), strict=True):
        assert box.tolist() == around(view.mask[row], int(label))


@pytest.mark.parametrize("padding", [0, -1])
def test_a_padding_below_one_is_refused(padding: int) -> None:
    with pytest.raises(ValueError, match=f"padding must be at least 1, got {padding}"):
        RandomCrop(padding)

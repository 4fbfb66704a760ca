from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from distill.augment import RandomCrop
from distill.randomness import fold, uniform


def pictures(n: int, channels: int = 3, height: int = 6, width: int = 5) -> torch.Tensor:
    values = np.random.default_rng(n).integers(1, 256, (n, channels, height, width))
    return torch.from_numpy(values.astype(np.uint8))


@pytest.mark.parametrize("padding", [1, 2, 7])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_crops_are_slices_of_the_padded_images(padding: int, dtype: torch.dtype) -> None:
    images, samples, key = pictures(40).to(dtype), torch.arange(100, 140), fold(0, "augment", 3)
    views = RandomCrop(padding)(images, samples, key)
    assert views.dtype == dtype
    offsets = np.floor(uniform(key, samples, 2).double().numpy() * (2 * padding + 1)).astype(int)
    border = [(0, 0), (padding, padding), (padding, padding)]
    for image, view, (top, left) in zip(images, views, offsets, strict=True):
        padded = np.pad(image.numpy(), border)
        assert np.array_equal(view.numpy(), padded[:, top : top + 6, left : left + 5])


def test_every_position_is_as_likely_as_any_other() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1  # stays inside for any shift by up to two
    views = RandomCrop(2)(image.expand(5000, 1, 5, 5), torch.arange(5000), key=1)
    assert torch.equal(views.sum((1, 2, 3)), torch.ones(5000))
    counts = Counter(views.flatten(1).argmax(1).tolist())
    assert set(counts) == set(range(25))
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_a_view_does_not_depend_on_the_batch_or_its_order() -> None:
    images, samples, crop = pictures(12), torch.arange(12) * 31, RandomCrop(3)
    together = crop(images, samples, 5)
    for image, sample, view in zip(images, samples, together, strict=True):
        assert torch.equal(view[None], crop(image[None], sample[None], 5))
    order = torch.tensor([7, 0, 11, 3])
    assert torch.equal(together[order], crop(images[order], samples[order], 5))


def test_another_key_gives_other_views() -> None:
    images, samples, crop = pictures(12), torch.arange(12), RandomCrop(3)
    assert torch.equal(crop(images, samples, 5), crop(images, samples, 5))
    assert not torch.equal(crop(images, samples, 5), crop(images, samples, 6))


def test_the_images_given_are_not_changed() -> None:
    images = pictures(4)
    before = images.clone()
    RandomCrop(1)(images, torch.arange(4), 0).zero_()
    assert torch.equal(images, before)


@pytest.mark.parametrize("padding", [0, -1])
def test_a_padding_below_one_is_refused(padding: int) -> None:
    with pytest.raises(ValueError, match=f"padding must be at least 1, got {padding}"):
        RandomCrop(padding)

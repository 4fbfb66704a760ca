from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from distill.augment import tone
from tests.augment.scenes import noise


def pictures() -> np.ndarray:
    """Images (n, h, w, 3): noise, dark noise, one level, two levels, a ramp."""
    random = np.random.default_rng(0)
    few = random.integers(0, 2, (20, 16, 3)) * 90 + 40
    kinds = [random.integers(0, 256, (20, 16, 3)), random.integers(20, 70, (20, 16, 3))]
    kinds += [np.full((20, 16, 3), 77), few, np.arange(960).reshape(20, 16, 3) % 256]
    return np.stack(kinds).astype(np.uint8)


def levels(change: Callable, *amounts: torch.Tensor) -> np.ndarray:
    pixels = torch.from_numpy(pictures()).permute(0, 3, 1, 2).float() / 255
    return (change(pixels, *amounts) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def each(change: Callable) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(picture))) for picture in pictures()])


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_is_pils(bits: int) -> None:
    ours = levels(tone.posterize, torch.full((5,), float(bits)))
    assert np.array_equal(ours, each(lambda image: ImageOps.posterize(image, bits)))


@pytest.mark.parametrize("threshold", [0, 1, 100, 255])
def test_solarize_is_pils(threshold: int) -> None:
    ours = levels(tone.solarize, torch.full((5,), threshold / 255))
    assert np.array_equal(ours, each(lambda image: ImageOps.solarize(image, threshold)))


def test_invert_and_equalize_are_pils() -> None:
    assert np.array_equal(levels(tone.invert), each(ImageOps.invert))
    assert np.array_equal(levels(tone.equalize), each(ImageOps.equalize))


def test_autocontrast_is_pils() -> None:
    gap = levels(tone.autocontrast).astype(int) - each(ImageOps.autocontrast)
    assert gap.min() >= 0
    assert gap.max() <= 1  # PIL rounds down


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.9])
def test_sharpness_is_pils(factor: float) -> None:
    ours = levels(tone.sharpness, torch.full((5,), factor)).astype(int)
    theirs = each(lambda image: ImageEnhance.Sharpness(image).enhance(factor))
    assert np.abs(ours - theirs).max() <= 1  # PIL rounds the smoothed image first


def test_images_too_small_to_smooth_stay() -> None:
    pixels = noise(2, height=2, width=9, dtype=torch.float32).image
    assert torch.equal(tone.sharpness(pixels, torch.zeros(2)), pixels)


@pytest.mark.parametrize(
    ("change", "amounts"),
    [(tone.posterize, [1.0, 8.0]), (tone.solarize, [0.0, 1.0]), (tone.sharpness, [0.0, 2.0])],
)
def test_each_image_has_its_own_strength(change: Callable, amounts: list[float]) -> None:
    pixels = noise(2, dtype=torch.float32).image
    together = change(pixels, torch.tensor(amounts))
    for row, amount in enumerate(amounts):
        assert torch.equal(together[row], change(pixels[row : row + 1], torch.tensor([amount]))[0])

import numpy as np
import pytest
import torch
from scipy import ndimage

from distill.augment import GaussianBlur, MedianBlur, Pixelate
from distill.augment.blur import gaussian_blur
from tests.augment.scenes import assert_same, noise


def test_a_gaussian_blur_is_the_weighted_mean_around_each_pixel() -> None:
    pixels, sigma, radius = noise(3, dtype=torch.float64).image, [0.4, 1.0, 2.5], 6
    blurred = gaussian_blur(pixels, torch.tensor(sigma), radius)
    for image, view, width in zip(pixels.numpy(), blurred.numpy(), sigma, strict=True):
        for channel in range(3):
            expected = ndimage.gaussian_filter(image[channel], width, mode="nearest", radius=radius)
            # 13 weights on a grid of 2^-16, twice
            np.testing.assert_allclose(view[channel], expected, atol=26 * 2.0**-17)


def test_a_blur_reaches_three_standard_deviations() -> None:
    batch = noise(2, height=20, width=20, dtype=torch.float64)
    batch.image[:] = 0
    batch.image[:, :, 10, 10] = 1
    view = GaussianBlur((2.0, 2.0), probability=1.0)(batch, 1).image[0, 0].numpy()
    point = np.zeros((20, 20))
    point[10, 10] = 1
    expected = ndimage.gaussian_filter(point, 2.0, mode="nearest", truncate=3.0)
    np.testing.assert_allclose(view, expected, atol=26 * 2.0**-17)
    assert view[10, 16] > 0 == view[10, 17]


def test_a_flat_image_stays_flat_under_any_blur() -> None:
    batch = noise(4, dtype=torch.float64)
    batch.image[:] = 0.7
    view = GaussianBlur((0.1, 9.0), probability=1.0)(batch, 1)
    torch.testing.assert_close(view.image, batch.image)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_a_median_blur_is_that_of_scipy(size: int) -> None:
    batch = noise(3)
    view = MedianBlur(size, probability=1.0)(batch, 1)
    footprint = (1, 1, size, size)
    expected = ndimage.median_filter(batch.image.numpy(), footprint, mode="nearest")
    assert np.array_equal(view.image.numpy(), expected)


@pytest.mark.parametrize("size", [2, 3, 5, 64])
def test_tiles_have_the_mean_of_their_pixels(size: int) -> None:
    batch = noise(2, dtype=torch.float64)
    view = Pixelate((size, size), probability=1.0)(batch, 1).image.numpy()
    for top in range(0, 12, size):
        for left in range(0, 10, size):
            tile = (slice(None), slice(None), slice(top, top + size), slice(left, left + size))
            mean = batch.image.numpy()[tile].mean((2, 3), keepdims=True)
            np.testing.assert_allclose(view[tile], np.broadcast_to(mean, view[tile].shape))


def test_tiles_of_all_sizes_are_drawn() -> None:
    batch = noise(60, dtype=torch.float64)
    view = Pixelate((1, 3), probability=1.0)(batch, 1).image
    sizes = {(1, 1): 0, (2, 2): 0, (3, 3): 0}
    for row in range(60):
        for size in sizes:
            same = Pixelate(size, probability=1.0)(batch, 1).image[row]
            sizes[size] += torch.equal(same, view[row])
    assert sum(sizes.values()) == 60
    assert min(sizes.values()) > 8


@pytest.mark.parametrize("blur", [GaussianBlur(), MedianBlur(), Pixelate()])
def test_about_half_of_the_images_are_blurred(blur: torch.nn.Module) -> None:
    batch = noise(100)
    changed = (blur(batch, 1).image != batch.image).flatten(1).any(1).sum()
    assert 25 < changed < 75


def test_tiles_of_one_pixel_change_nothing() -> None:
    batch = noise(5, dtype=torch.float32)
    assert_same(Pixelate((1, 1), probability=1.0)(batch, 1), batch)


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (GaussianBlur, {"sigma": (0.0, 1.0)}, r"sigma must be two ascending numbers in 0\.1\.\.20"),
        (GaussianBlur, {"probability": 2}, r"probability must be in 0\.\.1, got 2"),
        (MedianBlur, {"size": 4}, "size must be 3, 5 or 7, got 4"),
        (MedianBlur, {"probability": 2}, r"probability must be in 0\.\.1, got 2"),
        (
            Pixelate,
            {"size": (0, 3)},
            r"size must be two ascending numbers in 1\.\.64, got \[0, 3\]",
        ),
        (Pixelate, {"probability": 2}, r"probability must be in 0\.\.1, got 2"),
    ],
)
def test_arguments_out_of_range_are_refused(module: type, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        module(**arguments)

import numpy as np
import pytest
from PIL import Image

from distill.data.resize import resized, with_channels


def noise(height: int, width: int) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    return Image.fromarray(values.astype(np.uint8))


def pixels(image: Image.Image, size: tuple[int, int], rule: str) -> np.ndarray:
    return resized(image, size, rule).numpy().transpose(1, 2, 0)


@pytest.mark.parametrize("rule", ["squash", "letterbox"])
def test_an_image_of_the_size_stays_as_it_is(rule: str) -> None:
    image = noise(6, 9)
    assert np.array_equal(pixels(image, (6, 9), rule), np.asarray(image))


def test_squashing_changes_the_shape() -> None:
    image = noise(20, 30)
    expected = np.asarray(image.resize((12, 6), Image.Resampling.BILINEAR))
    assert np.array_equal(pixels(image, (6, 12), "squash"), expected)


@pytest.mark.parametrize(
    ("shape", "inside"),
    [((20, 40), (slice(3, 9), slice(None))), ((40, 20), (slice(None), slice(3, 9)))],
)
def test_a_letterbox_keeps_the_shape_and_is_black_around(
    shape: tuple[int, int], inside: tuple[slice, slice]
) -> None:
    image = noise(*shape)
    found = pixels(image, (12, 12), "letterbox")
    size = (12, 6) if shape[1] > shape[0] else (6, 12)
    assert np.array_equal(found[inside], np.asarray(image.resize(size, Image.Resampling.BILINEAR)))
    around = np.ones((12, 12), bool)
    around[inside] = False
    assert (found[around] == 0).all()


def test_a_crop_is_the_centre() -> None:
    image = noise(16, 24)
    assert np.array_equal(pixels(image, (14, 14), "crop"), np.asarray(image)[1:15, 5:19])


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_channels_are_converted_as_pillow_does(channels: int, mode: str) -> None:
    image = noise(4, 5)
    assert with_channels(image, channels).mode == mode
    assert np.array_equal(with_channels(image, channels), image.convert(mode))

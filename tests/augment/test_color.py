from collections.abc import Callable

import pytest
import torch
import torchvision.transforms.functional as TF
from torch import nn

from distill.augment import ColorJitter, RandAugment, color
from tests.augment.scenes import assert_same, noise

FACTORS = torch.tensor([0.0, 0.3, 0.8, 1.0, 1.4, 2.0])
TURNS = torch.tensor([0.0, -0.5, -0.21, 0.1, 0.33, 0.5])


@pytest.mark.parametrize(
    ("ours", "theirs", "amounts"),
    [
        (color.brightness, TF.adjust_brightness, FACTORS),
        (color.contrast, TF.adjust_contrast, FACTORS),
        (color.saturation, TF.adjust_saturation, FACTORS),
        (color.hue, TF.adjust_hue, TURNS),
    ],
)
def test_each_image_gets_what_torchvision_gives_one(
    ours: Callable, theirs: Callable, amounts: torch.Tensor
) -> None:
    pixels = noise(6, dtype=torch.float64).image
    pixels[:, :, 0] = pixels[:, :1, 0]  # grey pixels have no hue
    pixels[:, :, 1], pixels[:, :, 2] = 0, 1
    changed = ours(pixels, amounts.double())
    for image, view, amount in zip(pixels, changed, amounts, strict=True):
        # torchvision's weights of a grey image are rounded to four digits
        torch.testing.assert_close(view, theirs(image, float(amount)), atol=2e-4, rtol=0)


def test_a_colour_has_its_luma() -> None:
    pixels = noise(2, dtype=torch.float64).image
    expected = 0.299 * pixels[:, 0] + 0.587 * pixels[:, 1] + 0.114 * pixels[:, 2]
    torch.testing.assert_close(color.gray(pixels)[:, 0], expected)


def test_one_channel_has_no_colour() -> None:
    pixels = noise(6, channels=1, dtype=torch.float32).image
    assert torch.equal(color.saturation(pixels, FACTORS), pixels)
    assert torch.equal(color.hue(pixels, TURNS), pixels)
    assert torch.equal(color.gray(pixels), pixels)
    assert not torch.equal(color.contrast(pixels, FACTORS), pixels)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_numbers_of_channels_are_refused(channels: int) -> None:
    with pytest.raises(ValueError, match=f"needs images of 1 or 3 channels, got {channels}"):
        ColorJitter(contrast=0.5)(noise(2, channels), 1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_without_arguments_nothing_changes(dtype: torch.dtype) -> None:
    batch = noise(5, dtype=dtype)
    assert_same(ColorJitter()(batch, 1), batch)


@pytest.mark.parametrize("change", [color.brightness, color.contrast, color.saturation])
def test_factor_one_changes_no_bit(change: Callable) -> None:
    pixels = noise(5, dtype=torch.float32).image
    assert torch.equal(change(pixels, torch.ones(5)), pixels)


def test_a_mean_does_not_depend_on_how_the_work_is_split() -> None:
    one = noise(1, height=300, width=400, dtype=torch.float32).image
    factor, threads = torch.tensor([0.5]), torch.get_num_threads()
    try:
        views = []
        for number in (1, 2):
            torch.set_num_threads(number)
            views += [color.contrast(one, factor), color.contrast(one.repeat(3, 1, 1, 1), factor)]
    finally:
        torch.set_num_threads(threads)
    for view in views:
        assert torch.equal(view[:1], views[0])


@pytest.mark.parametrize("argument", ["brightness", "contrast", "saturation"])
def test_factors_fill_their_range(argument: str) -> None:
    batch = noise(400, height=4, width=4, dtype=torch.float64)
    batch.image[:] = batch.image[:1] * 0.5 + 0.1  # nothing is clipped
    view = ColorJitter(**{argument: 0.4})(batch, 1).image
    neutral = {"brightness": 0, "contrast": color.gray(batch.image).mean((1, 2, 3), keepdim=True)}
    centre = neutral.get(argument, color.gray(batch.image))
    factors = ((view - centre) / (batch.image - centre))[:, 0, 0, 0]
    assert 0.6 <= factors.min() < 0.62
    assert 1.38 < factors.max() <= 1.4 + 1e-3


def test_the_four_changes_have_streams_of_their_own() -> None:
    batch = noise(1, dtype=torch.float64)
    batch.image = batch.image * 0.3 + 0.3
    both = ColorJitter(brightness=0.3, contrast=0.3)(batch, 1).image
    bright = ColorJitter(brightness=0.3)(batch, 1).image
    ratio = (both - both.mean()).std() / (bright - bright.mean()).std()
    assert abs(float(ratio) - float(bright.mean() / batch.image.mean())) > 1e-3


@pytest.mark.parametrize(
    ("argument", "value"),
    [("brightness", 1.1), ("contrast", -0.1), ("saturation", 2), ("hue", 0.6), ("probability", 3)],
)
def test_arguments_out_of_range_are_refused(argument: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{argument} must be in 0\.\.(1|0\.5), got {value}"):
        ColorJitter(**{argument: value})


@pytest.mark.parametrize(
    "module", [ColorJitter(saturation=0.9), ColorJitter(hue=0.3), RandAugment()]
)
def test_channels_that_are_no_colours_are_refused_whatever_is_drawn(module: nn.Module) -> None:
    for key in range(5):
        with pytest.raises(
            ValueError, match="color augmentation needs images of 1 or 3 channels, got 4"
        ):
            module(noise(1, channels=4), key)

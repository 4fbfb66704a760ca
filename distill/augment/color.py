"""Brightness, contrast, saturation and hue of each image by its own amounts.

The four functions take pixels (b, c, h, w) in 0..1 and one number for each image (b,), and compute
what torchvision's ``adjust_*`` functions compute for one image.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from distill.augment.checks import check_number
from distill.augment.draws import bernoulli_mask, uniform_between, where_rows
from distill.augment.pixels import as_float, like, per_image
from distill.core.batch import Batch
from distill.core.randomness import fold

_Change = Callable[[Tensor, Tensor], Tensor]


def brightness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Scale brightness: black for factor 0, unchanged for 1."""
    return (pixels * per_image(factor, pixels)).clamp_(0, 1)


def contrast(pixels: Tensor, factor: Tensor) -> Tensor:
    """Scale contrast: the image's mean gray for factor 0, unchanged for 1."""
    # A float sum's last bits depend on how the work is split; whole numbers add up exactly.
    levels = (gray(pixels) * 2.0**16).round()
    mean = levels.mean((1, 2, 3), dtype=torch.float64) * 2.0**-16
    return blend(pixels, per_image(mean, pixels), factor)


def saturation(pixels: Tensor, factor: Tensor) -> Tensor:
    """Scale saturation: grayscale for factor 0, unchanged for 1 and for images of one channel."""
    return pixels if pixels.shape[1] == 1 else blend(pixels, gray(pixels), factor)


def hue(pixels: Tensor, turn: Tensor) -> Tensor:
    """Move colors along the circle of hues; unchanged for 0 and for images of one channel.

    Args:
        pixels: (b, c, h, w) in 0..1.
        turn: Share of the whole circle (b,), in -0.5..0.5.
    """
    check_channels(pixels)
    if pixels.shape[1] == 1:
        return pixels
    red, green, blue = pixels.unbind(1)
    value, least = pixels.amax(1), pixels.amin(1)
    spread = value - least
    divisor = torch.where(spread > 0, spread, 1)
    sixth = torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
    sixth = torch.where(value == red, (green - blue) / divisor, sixth)
    sixth = sixth + 6 * turn.to(pixels.dtype)[:, None, None]
    turned = [_channel(sixth + offset, value, spread) for offset in (5, 3, 1)]
    return where_rows(turn != 0, torch.stack(turned, 1), pixels)


def gray(pixels: Tensor) -> Tensor:
    """Compute the luma (b, 1, h, w) of color images; images of one channel stay.

    Raises:
        ValueError: If there are neither one nor three channels.
    """
    check_channels(pixels)
    if pixels.shape[1] == 1:
        return pixels
    red, green, blue = pixels[:, 0:1], pixels[:, 1:2], pixels[:, 2:3]
    return (0.299 * red).add_(0.587 * green).add_(0.114 * blue)


def check_channels(pixels: Tensor) -> None:
    """Require images (b, c, h, w) of one or three channels.

    Raises:
        ValueError: If there are neither one nor three.
    """
    if pixels.shape[1] not in (1, 3):
        raise ValueError(
            f"color augmentation needs images of 1 or 3 channels, got {pixels.shape[1]}"
        )


def blend(pixels: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """Blend ``other`` (factor (b,) 0) with ``pixels`` (factor 1), or beyond; clipped to 0..1."""
    ratio = per_image(factor, pixels)
    return (pixels * ratio).add_(other * (1 - ratio)).clamp_(0, 1)


class ColorJitter(nn.Module):
    """Changes brightness, contrast, saturation and hue of each image, in this order.

    Images of one channel have neither saturation nor hue: these do nothing to them.

    Args:
        brightness: Factor in ``1 - brightness .. 1 + brightness``; the argument in 0..1.
        contrast: Likewise.
        saturation: Likewise.
        hue: Turn by up to this share of the circle of hues either way, in 0..0.5.
        probability: Of an image to be changed, in 0..1.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        probability: float = 1.0,
    ) -> None:
        super().__init__()
        check_number("brightness", brightness, 0, 1)
        check_number("contrast", contrast, 0, 1)
        check_number("saturation", saturation, 0, 1)
        check_number("hue", hue, 0, 0.5)
        check_number("probability", probability, 0, 1)
        self.brightness, self.contrast = brightness, contrast
        self.saturation, self.hue = saturation, hue
        self.probability = probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Change the colors of every chosen image of a batch."""
        check_channels(batch.image)
        steps: list[tuple[_Change, float, int]] = [(brightness, self.brightness, 1)]
        steps += [(contrast, self.contrast, 1), (saturation, self.saturation, 1)]
        steps += [(hue, self.hue, 0)]
        pixels = as_float(batch.image)
        for place, (change, reach, neutral) in enumerate(steps):
            if reach > 0:
                low, high = neutral - reach, neutral + reach
                amount = uniform_between(fold(key, place), batch.index, low, high)
                pixels = change(pixels, amount)
        rows = bernoulli_mask(fold(key, "changed"), batch.index, self.probability)
        return replace(batch, image=where_rows(rows, like(batch.image, pixels), batch.image))


def _channel(place: Tensor, value: Tensor, spread: Tensor) -> Tensor:
    place = place.remainder(6)
    return value - spread * torch.minimum(place, 4 - place).clamp(0, 1)

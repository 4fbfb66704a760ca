"""Rotation, translation, scale and shear of each image by its own amounts, in one resampling."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distill.augment.checks import check_number, check_range
from distill.augment.draws import bernoulli_mask, quantize, uniform_between
from distill.augment.warp import warp
from distill.core.batch import Batch
from distill.core.randomness import fold


class RandomAffine(nn.Module):
    """Shears, scales, rotates and shifts each image about its centre; new pixels are black.

    Args:
        degrees: Rotation by up to this angle either way, in 0..180.
        translate: Shift by up to this share of width and height, in 0..1, in whole pixels.
        scale: Smallest and largest factor of size, in 0.1..10.
        shear: Slant of both axes by up to this angle either way, in 0..40 degrees.
        probability: Of an image to be moved at all, in 0..1.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> images = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)
        >>> batch = Batch(images, torch.tensor([0]), torch.tensor([0]), epoch=0)
        >>> RandomAffine(degrees=0)(batch, key=0).image.flatten().tolist()
        [1, 2, 3, 4]
    """

    def __init__(
        self,
        degrees: float = 0.0,
        translate: float = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
        shear: float = 0.0,
        probability: float = 1.0,
    ) -> None:
        super().__init__()
        check_number("degrees", degrees, 0, 180)
        check_number("translate", translate, 0, 1)
        check_range("scale", scale, 0.1, 10)
        check_number("shear", shear, 0, 40)
        check_number("probability", probability, 0, 1)
        self.degrees, self.translate, self.scale, self.shear = degrees, translate, scale, shear
        self.probability = probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Move every chosen image of a batch."""
        size = batch.image.shape[-2:]
        moved = bernoulli_mask(fold(key, "moved"), batch.index, self.probability)

        def drawn(name: str, low: float, high: float, neutral: float = 0.0) -> Tensor:
            values = uniform_between(fold(key, name), batch.index, low, high).double()
            return torch.where(moved, values, neutral)

        degrees = drawn("degrees", -self.degrees, self.degrees)
        across = drawn("across", -self.translate, self.translate) * size[1]
        down = drawn("down", -self.translate, self.translate) * size[0]
        scale = drawn("scale", *self.scale, neutral=1.0)
        slants = [drawn(name, -self.shear, self.shear) for name in ("shear x", "shear y")]
        shear = [quantize(slant.deg2rad().tan()) for slant in slants]
        return warp(batch, affine(degrees, (across.round(), down.round()), scale, shear, size))


def affine(
    degrees: Tensor,
    shift: Sequence[Tensor],
    scale: Tensor,
    shear: Sequence[Tensor],
    size: Sequence[int],
) -> Tensor:
    """Make matrices (b, 3, 3), float64, that move points about the centre of the image.

    Args:
        degrees: Rotation, clockwise (b,).
        shift: To the right and down, in pixels, (b,) each.
        scale: Factor (b,).
        shear: Tangents of the slants of rows and of columns, applied first, (b,) each.
        size: Height and width of the images.
    """
    turn = degrees.double().deg2rad()
    cos, sin = quantize(turn.cos()) * scale, quantize(turn.sin()) * scale
    xx, xy = cos - sin * shear[1], cos * shear[0] - sin
    yx, yy = sin + cos * shear[1], sin * shear[0] + cos
    x, y = size[1] / 2, size[0] / 2
    to_x, to_y = x + shift[0] - (xx * x + xy * y), y + shift[1] - (yx * x + yy * y)
    zero, one = torch.zeros_like(xx), torch.ones_like(xx)
    return torch.stack([xx, xy, to_x, yx, yy, to_y, zero, zero, one], 1).view(-1, 3, 3)

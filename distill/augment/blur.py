"""Blurred images: Gaussian, median, and the coarse blocks of a mosaic."""

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.augment.checks import check_number, check_range, check_whole
from distill.augment.draws import bernoulli_mask, quantize, uniform_between, where_rows
from distill.augment.pixels import as_float, like, per_image
from distill.core.batch import Batch
from distill.core.randomness import fold, uniform


class GaussianBlur(nn.Module):
    """Blurs each image with its own width; the outermost pixels are repeated beyond the edges.

    Args:
        sigma: Smallest and largest standard deviation in pixels, in 0.1..20.
        probability: Of an image to be blurred, in 0..1.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, sigma: tuple[float, float] = (0.1, 2.0), probability: float = 0.5) -> None:
        super().__init__()
        check_range("sigma", sigma, 0.1, 20)
        check_number("probability", probability, 0, 1)
        self.sigma, self.probability = sigma, probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Blur every chosen image of a batch."""
        sigma = uniform_between(fold(key, "sigma"), batch.index, *self.sigma)
        blurred = gaussian_blur(as_float(batch.image), sigma, math.ceil(3 * self.sigma[1]))
        rows = bernoulli_mask(fold(key, "blurred"), batch.index, self.probability)
        return replace(batch, image=where_rows(rows, like(batch.image, blurred), batch.image))


def gaussian_blur(pixels: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Blur pixels (b, c, h, w) by a Gaussian of width ``sigma`` (b,), cut off at ``radius``.

    A sum of shifted images, not a convolution: that may take another algorithm, with other last
    bits, for another batch size.
    """
    offsets = torch.arange(-radius, radius + 1, device=pixels.device)
    weights = quantize((-0.5 * (offsets / sigma.double()[:, None]) ** 2).exp())
    weights = weights / weights.sum(1, keepdim=True)  # exact: a sum of multiples of 2^-16
    for axis, border in ((2, (0, 0, radius, radius)), (3, (radius, radius, 0, 0))):
        padded = F.pad(pixels, border, mode="replicate")
        pixels = torch.zeros_like(pixels)
        for place, weight in enumerate(weights.unbind(1)):
            shifted = padded.narrow(axis, place, pixels.shape[axis])
            pixels += per_image(weight, pixels) * shifted
    return pixels


class MedianBlur(nn.Module):
    """Replaces each pixel by the median of the square around it, channel by channel.

    Args:
        size: Side of the square in pixels: 3, 5 or 7.
        probability: Of an image to be blurred, in 0..1.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, size: int = 3, probability: float = 0.5) -> None:
        super().__init__()
        if size not in (3, 5, 7) or not isinstance(size, int):
            raise ValueError(f"size must be 3, 5 or 7, got {size}")
        check_number("probability", probability, 0, 1)
        self.size, self.probability = size, probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Blur every chosen image of a batch."""
        padded = F.pad(as_float(batch.image), (self.size // 2,) * 4, mode="replicate")
        squares = padded.unfold(2, self.size, 1).unfold(3, self.size, 1)
        blurred = like(batch.image, squares.flatten(4).median(4).values)
        rows = bernoulli_mask(key, batch.index, self.probability)
        return replace(batch, image=where_rows(rows, blurred, batch.image))


class Pixelate(nn.Module):
    """Replaces each image by a mosaic of square tiles, each the mean of its pixels.

    Args:
        size: Smallest and largest side of a tile in pixels, in 1..64, drawn for each image.
        probability: Of an image to be changed, in 0..1.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, size: tuple[int, int] = (2, 4), probability: float = 0.5) -> None:
        super().__init__()
        check_range("size", size, 1, 64)
        for side in size:
            check_whole("each size", side, 1)
        check_number("probability", probability, 0, 1)
        self.size, self.probability = size, probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Pixelate every chosen image of a batch."""
        low, high = self.size
        draws = uniform(fold(key, "size"), batch.index)[:, 0]
        sizes = low + (draws * (high - low + 1)).long()
        rows = bernoulli_mask(fold(key, "changed"), batch.index, self.probability)
        image = batch.image.clone()
        for size in range(low, high + 1):
            these = (rows & (sizes == size)).nonzero().squeeze(1)
            if len(these):
                image[these] = like(image, _tiles(as_float(image[these]), size))
        return replace(batch, image=image)


def _tiles(pixels: Tensor, size: int) -> Tensor:
    height, width = pixels.shape[-2:]
    means = F.avg_pool2d(pixels, size, ceil_mode=True, count_include_pad=False)
    tiles = means.repeat_interleave(size, 2).repeat_interleave(size, 3)
    return tiles[..., :height, :width]

"""Hides parts of each image: a rectangle, a square, or a grid of squares.

Masks are set to ``IGNORED`` where a pixel is hidden; boxes stay, their objects are still there.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from distill.augment.checks import check_number, check_range, check_whole
from distill.augment.draws import bernoulli_mask
from distill.augment.pixels import like
from distill.augment.window import Window, filled, random_windows
from distill.core.batch import IGNORED, Batch
from distill.core.randomness import fold, uniform


class RandomErasing(nn.Module):
    """Hides a rectangle of each image (Zhong et al., AAAI 2020, arXiv 1708.04896).

    An image that none of ten draws fits stays as it is.

    Args:
        area: Smallest and largest share of the image, in 0.001..1.
        aspect: Smallest and largest width over height, in 0.1..10.
        fill: Value of the hidden pixels, in 0..1 (black to white).
        probability: Of an image to lose a part, in 0..1.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self,
        area: tuple[float, float] = (0.02, 0.33),
        aspect: tuple[float, float] = (0.3, 3.3),
        fill: float = 0.0,
        probability: float = 0.5,
    ) -> None:
        super().__init__()
        check_range("area", area, 0.001, 1)
        check_range("aspect", aspect, 0.1, 10)
        check_number("fill", fill, 0, 1)
        check_number("probability", probability, 0, 1)
        self.area, self.aspect, self.fill, self.probability = area, aspect, fill, probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Hide a rectangle of every chosen image of a batch."""
        size = batch.image.shape[-2:]
        window = random_windows(fold(key, "window"), batch.index, size, self.area, self.aspect)
        rows = bernoulli_mask(fold(key, "erased"), batch.index, self.probability)
        return _hide(batch, filled(window, size) & rows[:, None, None], self.fill)


class Cutout(nn.Module):
    """Hides a square around a random pixel, cut off at the edges (arXiv 1708.04552).

    Args:
        size: Side of the square in pixels, at least 1.
        fill: Value of the hidden pixels, in 0..1 (black to white).
        probability: Of an image to lose a part, in 0..1.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, size: int, fill: float = 0.0, probability: float = 1.0) -> None:
        super().__init__()
        check_whole("size", size, 1)
        check_number("fill", fill, 0, 1)
        check_number("probability", probability, 0, 1)
        self.size, self.fill, self.probability = size, fill, probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Hide a square of every chosen image of a batch."""
        height, width = batch.image.shape[-2:]
        draws = uniform(fold(key, "centre"), batch.index, 2)
        top = (draws[:, 0] * height).long() - self.size // 2
        left = (draws[:, 1] * width).long() - self.size // 2
        side = torch.full_like(top, self.size)
        hidden = filled(Window(top, left, side, side), (height, width))
        rows = bernoulli_mask(fold(key, "cut"), batch.index, self.probability)
        return _hide(batch, hidden & rows[:, None, None], self.fill)


class GridMask(nn.Module):
    """Hides a grid of squares (Chen et al., arXiv 2001.04086), without the paper's rotation.

    Args:
        period: Smallest and largest distance from square to square, as a share of the shorter
            side, in 0.05..1.
        ratio: Share of the distance that is left between two squares, in 0..1.
        fill: Value of the hidden pixels, in 0..1 (black to white).
        probability: Of an image to lose parts, in 0..1.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self,
        period: tuple[float, float] = (0.4, 1.0),
        ratio: float = 0.6,
        fill: float = 0.0,
        probability: float = 0.7,
    ) -> None:
        super().__init__()
        check_range("period", period, 0.05, 1)
        check_number("ratio", ratio, 0, 1)
        check_number("fill", fill, 0, 1)
        check_number("probability", probability, 0, 1)
        self.period, self.ratio, self.fill, self.probability = period, ratio, fill, probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Hide the squares of a grid in every chosen image of a batch."""
        height, width = batch.image.shape[-2:]
        draws = uniform(fold(key, "grid"), batch.index, 3).double()
        low, high = (share * min(height, width) for share in self.period)
        period = (low + (high - low) * draws[:, 0]).round().clamp(min=2).long()
        side = (period * (1 - self.ratio)).round()
        rows, columns = (torch.arange(n, device=draws.device) for n in (height, width))
        down, right = (draws[:, 1:] * period[:, None]).long().unbind(1)
        tall = (rows + down[:, None]) % period[:, None] < side[:, None]
        wide = (columns + right[:, None]) % period[:, None] < side[:, None]
        masked = bernoulli_mask(fold(key, "masked"), batch.index, self.probability)
        hidden = tall[:, :, None] & wide[:, None, :] & masked[:, None, None]
        return _hide(batch, hidden, self.fill)


def _hide(batch: Batch, hidden: Tensor, fill: float) -> Batch:
    """Fill the hidden pixels (b, h, w)."""
    value = like(batch.image, torch.tensor(fill, device=batch.image.device))
    mask = batch.mask
    if mask is not None:
        mask = torch.where(hidden, IGNORED, mask)
    return replace(batch, image=torch.where(hidden[:, None], value, batch.image), mask=mask)

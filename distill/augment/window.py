"""Rectangles of whole pixels with a keyed area, shape and place, one for each image."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from distill.augment.draws import quantize
from distill.core.randomness import uniform

_TRIES = 10


class Window(NamedTuple):
    """Rectangles of a batch: top and left edge, height and width, (b,) each, whole numbers."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def random_windows(
    key: int,
    samples: Tensor,
    size: Sequence[int],
    area: Sequence[float],
    aspect: Sequence[float],
) -> Window:
    """Draw windows inside the image with a uniform area and a log-uniform aspect.

    Of ten draws the first that fits is taken; if none does, the window has no pixels.

    Args:
        key: From ``fold``.
        samples: Sample numbers (b,).
        size: Height and width of the images.
        area: Smallest and largest share of the image.
        aspect: Smallest and largest width over height.
    """
    draws = uniform(key, samples, 4 * _TRIES).double().view(-1, _TRIES, 4)
    areas = (area[0] + (area[1] - area[0]) * draws[..., 0]) * (size[0] * size[1])
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratios = quantize((low + (high - low) * draws[..., 1]).exp())
    heights, widths = (areas / ratios).sqrt().round(), (areas * ratios).sqrt().round()
    fits = (heights >= 1) & (heights <= size[0]) & (widths >= 1) & (widths <= size[1])
    first = fits.int().argmax(1, keepdim=True)
    down, right = (draws[..., place].gather(1, first).squeeze(1) for place in (2, 3))
    height = heights.gather(1, first).squeeze(1)
    width = widths.gather(1, first).squeeze(1)
    top, left = ((size[0] - height + 1) * down).floor(), ((size[1] - width + 1) * right).floor()
    parts = (top, left, height, width)
    return Window(*(torch.where(fits.any(1), drawn, 0).long() for drawn in parts))


def or_central(window: Window, size: Sequence[int], aspect: Sequence[float]) -> Window:
    """Replace windows without pixels by the largest central ones of an aspect in the range."""
    parts = zip(window, _central(size, aspect), strict=True)
    return Window(*(torch.where(window.height > 0, drawn, other) for drawn, other in parts))


def filled(window: Window, size: Sequence[int]) -> Tensor:
    """Mask (b, h, w), bool, of the pixels inside windows, which may reach over the edges."""
    rows = torch.arange(size[0], device=window.top.device)
    columns = torch.arange(size[1], device=window.top.device)
    down, right = rows - window.top[:, None], columns - window.left[:, None]
    tall = (down >= 0) & (down < window.height[:, None])
    wide = (right >= 0) & (right < window.width[:, None])
    return tall[:, :, None] & wide[:, None, :]


def _central(size: Sequence[int], aspect: Sequence[float]) -> tuple[int, int, int, int]:
    height = min(size[0], max(1, round(size[1] / aspect[0])))
    width = min(size[1], max(1, round(size[0] * aspect[1])))
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width

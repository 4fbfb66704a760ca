"""Changes of tone and sharpness that the augmentation policies are made of.

Each takes pixels (b, c, h, w) in 0..1, and one number for each image (b,) if it has a strength, and
computes what PIL's ``ImageOps`` and ``ImageEnhance`` compute for one image.
"""

import torch
from torch import Tensor

from distill.augment.color import blend
from distill.augment.pixels import per_image


def sharpness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Change sharpness: smoothed for factor 0, unchanged for 1; the outermost pixels stay."""
    height, width = pixels.shape[-2:]
    if min(height, width) < 3:
        return pixels
    smooth = pixels[..., 1:-1, 1:-1] * 4
    for row in range(3):
        for column in range(3):
            smooth = smooth + pixels[..., row : height - 2 + row, column : width - 2 + column]
    smoothed = pixels.clone()
    smoothed[..., 1:-1, 1:-1] = smooth / 13
    return blend(pixels, smoothed, factor)


def posterize(pixels: Tensor, bits: Tensor) -> Tensor:
    """Keep only the highest bits (b,), 1 to 8, of each 8-bit level."""
    step = per_image(2 ** (8 - bits.long()), pixels)
    return (_levels(pixels) / step).floor() * step / 255


def solarize(pixels: Tensor, threshold: Tensor) -> Tensor:
    """Invert levels from the threshold (b,) on, in 0..1."""
    return torch.where(pixels >= per_image(threshold, pixels), 1 - pixels, pixels)


def invert(pixels: Tensor) -> Tensor:
    """Invert all levels."""
    return 1 - pixels


def autocontrast(pixels: Tensor) -> Tensor:
    """Stretch each channel so that its levels reach from 0 to 1, unless it has only one."""
    low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    spread = high - low
    return torch.where(spread > 0, (pixels - low) / torch.where(spread > 0, spread, 1), pixels)


def equalize(pixels: Tensor) -> Tensor:
    """Spread each channel's 8-bit levels so that all are about equally frequent."""
    levels = _levels(pixels).long().flatten(2)
    counts = levels.new_zeros(*levels.shape[:2], 256)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    last = 255 - counts.flip(2).ne(0).int().argmax(2, keepdim=True)
    step = (counts.sum(2, keepdim=True) - counts.gather(2, last)) // 255
    below = counts.cumsum(2) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp(max=255)
    equalized = (table.gather(2, levels).to(pixels.dtype) / 255).view_as(pixels)
    return torch.where(step.unsqueeze(3) > 0, equalized, pixels)


def _levels(pixels: Tensor) -> Tensor:
    return (pixels * 255).round()

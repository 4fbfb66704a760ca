"""Moves images, masks and boxes: each new pixel is read at a point of the old image.

Coordinates are those of boxes: pixel (row i, column j) covers i..i+1 and j..j+1. A point is read
bilinearly between the centres of the pixels around it, by plain gathers and sums: a shift by whole
pixels or a turn by 90 degrees gives the very same values, and no row depends on another. Where a
point lies outside the old image, the new one is black and its mask says that nothing is known.
"""

from dataclasses import replace

import torch
from torch import Tensor

from distill.augment.boxes import move, project
from distill.augment.pixels import as_float, like
from distill.core.batch import IGNORED, Batch


def warp(batch: Batch, forward: Tensor) -> Batch:
    """Move each image by its own matrix; the size stays.

    Args:
        batch: With images (b, c, h, w).
        forward: Takes a point (x, y, 1) of the old image to the new one (b, 3, 3), float64. The
            identity gives the same pixels, bit for bit.
    """
    height, width = batch.image.shape[-2:]
    centres = grid(batch.image)
    x, y = project(inverse(forward).to(centres[0].dtype), *centres)
    moved = resample(batch, x, y)
    if batch.boxes is None:
        return moved
    return replace(moved, boxes=move(batch.boxes, forward, height, width))


def grid(image: Tensor) -> tuple[Tensor, Tensor]:
    """Make the centres of an image's pixels, x (1, 1, w) and y (1, h, 1), in at least float32."""
    dtype = torch.float64 if image.dtype == torch.float64 else torch.float32
    height, width = image.shape[-2:]
    x = torch.arange(width, dtype=dtype, device=image.device) + 0.5
    y = torch.arange(height, dtype=dtype, device=image.device) + 0.5
    return x[None, None, :], y[None, :, None]


def resample(batch: Batch, x: Tensor, y: Tensor) -> Batch:
    """Read images and masks at the points x, y (b, h, w); boxes stay."""
    height, width = batch.image.shape[-2:]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    pixels = _bilinear(as_float(batch.image), x, y) * inside.unsqueeze(1)
    mask = batch.mask
    if mask is not None:
        nearest = _at(mask.unsqueeze(1), x.floor(), y.floor()).squeeze(1)
        mask = torch.where(inside, nearest, IGNORED)
    return replace(batch, image=like(batch.image, pixels), mask=mask)


def inverse(matrix: Tensor) -> Tensor:
    """Invert matrices (b, 3, 3), scaled so that their last cell is 1."""
    a, b, c, d, e, f, g, h, i = matrix.flatten(1).unbind(1)
    cells = [e * i - f * h, c * h - b * i, b * f - c * e]
    cells += [f * g - d * i, a * i - c * g, c * d - a * f]
    cells += [d * h - e * g, b * g - a * h, a * e - b * d]
    return (torch.stack(cells, 1) / cells[-1][:, None]).view(-1, 3, 3)


def _bilinear(pixels: Tensor, x: Tensor, y: Tensor) -> Tensor:
    height, width = pixels.shape[-2:]
    x, y = (x - 0.5).clamp(0, width - 1), (y - 0.5).clamp(0, height - 1)
    left, top = x.floor(), y.floor()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    across, down = (x - left).unsqueeze(1), (y - top).unsqueeze(1)
    upper = _at(pixels, left, top) * (1 - across) + _at(pixels, right, top) * across
    lower = _at(pixels, left, bottom) * (1 - across) + _at(pixels, right, bottom) * across
    return upper * (1 - down) + lower * down


def _at(image: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Read pixels (b, c, h, w) in the given columns and rows, the nearest if outside."""
    height, width = image.shape[-2:]
    places = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
    rows = places.flatten(1).unsqueeze(1).expand(-1, image.shape[1], -1)
    return image.flatten(2).gather(2, rows).view(*image.shape[:2], *places.shape[1:])

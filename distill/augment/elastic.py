"""Elastic distortion: a smooth keyed displacement of every pixel (U-Net, arXiv 1505.04597).

The paper draws displacements on a coarse grid and interpolates them bicubically. Here they are the
control points of a cubic B-spline, so no pixel moves further than the largest of them.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from distill.augment.boxes import area, still_there
from distill.augment.checks import check_number, check_whole
from distill.augment.draws import bernoulli_mask
from distill.augment.warp import grid, resample
from distill.core.batch import Batch, Boxes
from distill.core.randomness import fold, uniform


class ElasticTransform(nn.Module):
    """Distorts each image as if it were printed on rubber; pixels from outside are black.

    Args:
        displacement: A pixel moves at most by this share of width and height, in 0..0.25. The
            picture never folds over below ``0.25 / cells``.
        cells: Number of waves, roughly, across the image, in 1..16.
        probability: Of an image to be distorted, in 0..1.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self, displacement: float = 0.06, cells: int = 4, probability: float = 0.5
    ) -> None:
        super().__init__()
        check_number("displacement", displacement, 0, 0.25)
        check_whole("cells", cells, 1, 16)
        check_number("probability", probability, 0, 1)
        self.displacement, self.cells, self.probability = displacement, cells, probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Distort every chosen image of a batch."""
        size = batch.image.shape[-2:]
        points = self.cells + 3
        draws = uniform(fold(key, "displacement"), batch.index, 2 * points**2)
        moved = bernoulli_mask(fold(key, "moved"), batch.index, self.probability)
        reach = torch.where(moved, 2 * self.displacement, 0)
        control = (draws - 0.5).view(-1, 2, points, points) * reach[:, None, None, None]
        across, down = _spline(control, size).unbind(1)
        x, y = grid(batch.image)
        x, y = x + across * size[1], y + down * size[0]
        distorted = resample(batch, x, y)
        if batch.boxes is None:
            return distorted
        return replace(distorted, boxes=_boxes(batch.boxes, x, y, moved))


def _spline(control: Tensor, size: Sequence[int]) -> Tensor:
    """Cubic B-spline surfaces (b, 2, h, w) of control points (b, 2, n, n)."""
    tall, wide = (_basis(control.shape[-1], length).to(control) for length in size)
    rows = torch.zeros(*control.shape[:2], size[0], control.shape[-1]).to(control)
    for weight, point in zip(tall.unbind(1), control.unbind(2), strict=True):
        rows += weight[:, None] * point[:, :, None, :]
    field = torch.zeros(*control.shape[:2], *size).to(control)
    for weight, point in zip(wide.unbind(1), rows.unbind(3), strict=True):
        field += weight * point[:, :, :, None]
    return field


def _basis(points: int, length: int) -> Tensor:
    """Weight of each control point at each pixel's centre (length, points)."""
    place = (torch.arange(length).double() + 0.5) * ((points - 3) / length)
    cell = place.floor()
    t = place - cell
    ends = (1 - t) ** 3, t**3
    middle = (3 * t - 6) * t * t + 4, ((3 - 3 * t) * t + 3) * t + 1
    weights = torch.stack([ends[0], *middle, ends[1]], 1) / 6
    columns = cell.long()[:, None] + torch.arange(4)
    return torch.zeros(length, points, dtype=torch.float64).scatter_(1, columns, weights)


def _boxes(boxes: Boxes, x: Tensor, y: Tensor, moved: Tensor) -> Boxes:
    """Find the bounding boxes of the pixels that show the inside of each box."""
    left, top, right, bottom = boxes.xyxy[:, :, None, None].unbind(1)
    x, y = x[boxes.image], y[boxes.image]
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    (left, right), (top, bottom) = _extent(inside.any(1)), _extent(inside.any(2))
    bounds = torch.stack([left, top, right, bottom], 1).to(boxes.xyxy.dtype)
    rows = moved[boxes.image]
    xyxy = torch.where(rows[:, None], bounds, boxes.xyxy)
    kept = still_there(xyxy, area(boxes.xyxy)) | ~rows
    return replace(boxes, xyxy=xyxy).where(kept)


def _extent(inside: Tensor) -> tuple[Tensor, Tensor]:
    """The first true place of each row (m, n) and the one after the last; both 0 if none is."""
    ones = inside.int()
    first, last = ones.argmax(1), inside.shape[1] - ones.flip(1).argmax(1)
    return first, torch.where(inside.any(1), last, first)

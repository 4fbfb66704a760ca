"""Four images of the batch in one (YOLOv4, arXiv 2004.10934)."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from distill.augment.boxes import clip, joined, reordered, require_places
from distill.augment.checks import check_number, check_range
from distill.augment.draws import bernoulli_mask, partners, uniform_between
from distill.augment.warp import grid, warp
from distill.core.batch import Batch
from distill.core.randomness import fold


class Mosaic(nn.Module):
    """Shrinks each image and three others of the batch into the four fields of one.

    Every image is seen whole, squeezed to its field. Targets stay.

    Args:
        centre: Smallest and largest place where the fields meet, as a share of width and height,
            in 0.1..0.9.
        probability: Of an image to become a mosaic, in 0..1.

    Raises:
        ValueError: If an argument is outside its range, or a batch has neither mask nor boxes.
    """

    mixes = True

    def __init__(self, centre: tuple[float, float] = (0.3, 0.7), probability: float = 0.5) -> None:
        super().__init__()
        check_range("centre", centre, 0.1, 0.9)
        check_number("probability", probability, 0, 1)
        self.centre, self.probability = centre, probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Make a mosaic of every chosen image of a batch and its three successors."""
        require_places(batch, "Mosaic")
        if min(batch.image.shape[-2:]) < 2:
            shape = tuple(batch.image.shape[-2:])
            raise ValueError(f"Mosaic needs images of at least 2 x 2 pixels, got {shape}")
        rows = bernoulli_mask(fold(key, "changed"), batch.index, self.probability)
        successor = partners(fold(key, "partner"), batch.index)
        centre = self._centre(batch, key)
        result, part = _unchanged(batch, rows), _inside(batch)
        for place in ((0, 0), (0, 1), (1, 0), (1, 1)):
            result = _with_field(result, part, rows, centre, place)
            part = reordered(part, successor)
        return result

    def _centre(self, batch: Batch, key: int) -> tuple[Tensor, Tensor]:
        """Draw the point where the fields meet, x and y in whole pixels, (b,) each."""
        height, width = batch.image.shape[-2:]
        keys = (fold(key, name) for name in "xy")
        x, y = (uniform_between(each, batch.index, *self.centre).double() for each in keys)
        return (x * width).round().clamp(1, width - 1), (y * height).round().clamp(1, height - 1)


def _unchanged(batch: Batch, rows: Tensor) -> Batch:
    """Drop the boxes of the chosen rows, before their first field."""
    if batch.boxes is None:
        return batch
    return replace(batch, boxes=batch.boxes.where(~rows[batch.boxes.image]))


def _inside(batch: Batch) -> Batch:
    """Clip boxes to the image: beyond its edges is another field."""
    if batch.boxes is None:
        return batch
    return replace(batch, boxes=clip(batch.boxes, *batch.image.shape[-2:]))


def _with_field(
    result: Batch,
    part: Batch,
    rows: Tensor,
    centre: tuple[Tensor, Tensor],
    place: tuple[int, int],
) -> Batch:
    """Draw one more field, which shows ``part``, into the chosen rows."""
    height, width = part.image.shape[-2:]
    (x, y), (down, right) = centre, place
    scale = (width - x if right else x) / width, (height - y if down else y) / height
    shrunk = warp(part, _into_field(scale, (right * x, down * y)))
    columns, lines = grid(part.image)
    field = (columns > x[:, None, None]) == bool(right)
    field = field & ((lines > y[:, None, None]) == bool(down)) & rows[:, None, None]
    image = torch.where(field[:, None], shrunk.image, result.image)
    mask, boxes = result.mask, result.boxes
    if mask is not None and shrunk.mask is not None:
        mask = torch.where(field, shrunk.mask, mask)
    if boxes is not None and shrunk.boxes is not None:
        boxes = joined(boxes, shrunk.boxes.where(rows[shrunk.boxes.image]))
    return replace(result, image=image, mask=mask, boxes=boxes)


def _into_field(scale: tuple[Tensor, Tensor], corner: tuple[Tensor, Tensor]) -> Tensor:
    zero, one = torch.zeros_like(scale[0]), torch.ones_like(scale[0])
    cells = [scale[0], zero, corner[0], zero, scale[1], corner[1], zero, zero, one]
    return torch.stack(cells, 1).view(-1, 3, 3)

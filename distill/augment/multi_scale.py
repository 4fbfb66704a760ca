"""Training at several sizes: all images of a batch at one size, drawn for each step."""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.augment.boxes import area, still_there
from distill.augment.pixels import as_float, like
from distill.core.batch import Batch
from distill.core.randomness import fold, uniform


class MultiScale(nn.Module):
    """Resizes every batch to one of several sizes; one size alone resizes all batches alike.

    Sizes above the images' own are large-scale training. The size is a function of (seed, epoch,
    step), so all processes of a run see the same one.

    Args:
        sizes: Lengths of the shorter side in pixels, at least 1 each, each as likely as another.

    Raises:
        ValueError: If there is no size, or one below 1.
    """

    mixes = True

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        if not sizes or not all(isinstance(size, int) and size >= 1 for size in sizes):
            raise ValueError(f"sizes must be one or more lengths from 1 on, got {list(sizes)}")
        self.sizes = tuple(sizes)

    def forward(self, batch: Batch, key: int) -> Batch:
        """Resize the images, masks and boxes of a batch."""
        draw = float(uniform(fold(key, "size"), torch.tensor([batch.step])))
        shorter = self.sizes[int(draw * len(self.sizes))]
        height, width = batch.image.shape[-2:]
        scale = shorter / min(height, width)
        return resized(batch, (round(height * scale), round(width * scale)))


def resized(batch: Batch, size: tuple[int, int]) -> Batch:
    """Resize a batch: images antialiased, masks by the nearest pixel."""
    height, width = batch.image.shape[-2:]
    if (height, width) == size:
        return batch
    pixels = F.interpolate(as_float(batch.image), size, mode="bilinear", antialias=True)
    mask, boxes = batch.mask, batch.boxes
    if mask is not None:
        mask = _nearest(mask, size)
    if boxes is not None:
        across, down = size[1] / width, size[0] / height
        xyxy = boxes.xyxy * boxes.xyxy.new_tensor([across, down, across, down])
        boxes = replace(boxes, xyxy=xyxy).where(still_there(xyxy, area(xyxy)))
    return replace(batch, image=like(batch.image, pixels), mask=mask, boxes=boxes)


def _nearest(mask: Tensor, size: tuple[int, int]) -> Tensor:
    rows, columns = (
        ((torch.arange(new, device=mask.device) + 0.5) * (old / new)).long()
        for new, old in zip(size, mask.shape[1:], strict=True)
    )
    return mask[:, rows[:, None], columns]

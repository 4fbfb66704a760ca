"""Boxes that follow the pixels of their image."""

from dataclasses import replace

import torch
from torch import Tensor

from distill.core.batch import Batch, Boxes

LEAST_VISIBLE = 0.1
"""A box is dropped where less than this share of its area is left in the image."""


def move(boxes: Boxes, forward: Tensor, height: int, width: int) -> Boxes:
    """Move boxes: take the bounding boxes of their moved corners, clipped to the image.

    Args:
        boxes: Before the move.
        forward: For each image the matrix (b, 3, 3) that takes a point (x, y, 1) of the old image
            to the new one.
        height: Of the new images, in pixels.
        width: Likewise.
    """
    left, top, right, bottom = boxes.xyxy.double().unbind(1)
    corners = torch.stack([left, right, right, left], 1), torch.stack([top, top, bottom, bottom], 1)
    x, y = project(forward[boxes.image], *corners)
    xyxy = torch.stack([x.amin(1), y.amin(1), x.amax(1), y.amax(1)], 1)
    moved = (forward != torch.eye(3).to(forward)).flatten(1).any(1)[boxes.image]
    return clip(replace(boxes, xyxy=xyxy.to(boxes.xyxy.dtype)), height, width, moved)


def clip(boxes: Boxes, height: int, width: int, moved: Tensor | None = None) -> Boxes:
    """Clip boxes to the image; drop those thinner than a pixel or hardly visible.

    Args:
        boxes: As they would be if the image had no edges.
        height: Of the images, in pixels.
        width: Likewise.
        moved: Mask (m,) of the boxes to clip; others stay as they are. None: all.
    """
    limit = boxes.xyxy.new_tensor([width, height, width, height])
    clipped = boxes.xyxy.clamp(min=0).minimum(limit)
    kept = still_there(clipped, area(boxes.xyxy))
    if moved is not None:
        clipped, kept = torch.where(moved[:, None], clipped, boxes.xyxy), kept | ~moved
    return replace(boxes, xyxy=clipped).where(kept)


def still_there(xyxy: Tensor, whole: Tensor) -> Tensor:
    """Whether clipped boxes (m, 4) are a pixel wide and enough of their former area (m,)."""
    sides = xyxy[:, 2:] - xyxy[:, :2]
    return (sides >= 1).all(1) & (area(xyxy) >= LEAST_VISIBLE * whole)


def area(xyxy: Tensor) -> Tensor:
    """Areas (m,) of boxes (m, 4), in pixels, float64."""
    xyxy = xyxy.double()
    return (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])


def project(matrix: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Map points (n, ...) by matrices (n, 3, 3); x and y may broadcast."""
    cells = matrix.view(-1, 9, *[1] * (x.ndim - 1)).unbind(1)
    across, down, depth = (
        cells[row] * x + (cells[row + 1] * y + cells[row + 2]) for row in (0, 3, 6)
    )
    return across / depth, down / depth


def reordered(batch: Batch, rows: Tensor) -> Batch:
    """Permute images, masks and boxes by ``rows`` (b,); targets and indices stay."""
    mask = None if batch.mask is None else batch.mask[rows]
    boxes = batch.boxes
    if boxes is not None:
        boxes = replace(boxes, image=rows.argsort()[boxes.image])
    return replace(batch, image=batch.image[rows], mask=mask, boxes=boxes)


def joined(*parts: Boxes) -> Boxes:
    """Concatenate boxes."""
    fields = ("xyxy", "image", "label", "ignored")
    return Boxes(*(torch.cat([getattr(part, name) for part in parts]) for name in fields))


def require_places(batch: Batch, name: str) -> None:
    """Require a batch with masks or boxes.

    Raises:
        ValueError: If the batch has neither a mask nor boxes.
    """
    if batch.mask is None and batch.boxes is None:
        raise ValueError(
            f"{name} needs batches with a mask or boxes, got class labels alone; "
            "for these use CutMix or Mixup"
        )

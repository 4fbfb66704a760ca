"""Batches for the tests: noise, and pictures of rectangles whose masks and boxes are known."""

from dataclasses import replace

import numpy as np
import torch

from distill.core.batch import Batch, Boxes


def noise(
    n: int, channels: int = 3, height: int = 12, width: int = 10, dtype: torch.dtype = torch.uint8
) -> Batch:
    """Random pixels, sample numbers 100, 131, ..., classes 0, 1, 2, 0, ..."""
    values = np.random.default_rng(n).integers(0, 256, (n, channels, height, width))
    image = torch.from_numpy(values.astype(np.uint8))
    if dtype != torch.uint8:
        image = (image.double() / 255).to(dtype)
    return Batch(image, torch.arange(n) % 3, 100 + 31 * torch.arange(n), epoch=0)


def rectangles(n: int, side: int = 48, dtype: torch.dtype = torch.uint8) -> Batch:
    """Grey pictures with two filled rectangles each, of class 1 on the left and 2 on the right."""
    random, half = np.random.default_rng(side), side // 2
    image = np.full((n, 3, side, side), 90, dtype=np.uint8)
    mask, boxes = np.zeros((n, side, side), dtype=np.int64), []
    for row in range(n):
        for label in (1, 2):
            left = int(random.integers(4, half // 2)) + half * (label - 1) - 2 * (label - 1)
            top = int(random.integers(6, half))
            right, bottom = left + int(random.integers(6, 11)), top + int(random.integers(6, 16))
            image[row, :, top:bottom, left:right] = random.integers(0, 256, (3, 1, 1))
            mask[row, top:bottom, left:right] = label
            boxes.append((left, top, right, bottom, row, label))
    table = torch.tensor(boxes)
    batch = Batch(torch.from_numpy(image), torch.zeros(n).long(), torch.arange(n) + 7, epoch=0)
    if dtype != torch.uint8:
        batch.image = (batch.image.double() / 255).to(dtype)
    found = Boxes(table[:, :4].float(), table[:, 4], table[:, 5])
    return replace(batch, mask=torch.from_numpy(mask), boxes=found)


def rows_of(batch: Batch, rows: list[int]) -> Batch:
    """A smaller batch of some rows, in the given order."""
    mask, boxes = batch.mask, batch.boxes
    if mask is not None:
        mask = mask[rows]
    if boxes is not None:
        parts = [boxes.where(boxes.image == row) for row in rows]
        place = torch.cat([torch.full_like(part.image, i) for i, part in enumerate(parts)])
        xyxy, label = (torch.cat([getattr(p, name) for p in parts]) for name in ("xyxy", "label"))
        boxes = Boxes(xyxy, place, label)
    plain = {name: getattr(batch, name)[rows] for name in ("image", "target", "index")}
    return replace(batch, **plain, mask=mask, boxes=boxes)


def assert_same(one: Batch, other: Batch) -> None:
    """All fields equal, bit for bit; boxes may be in another order."""
    for name in ("image", "target", "index", "mask"):
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None), name
        if left is not None:
            assert left.dtype == right.dtype, name
            assert torch.equal(left, right), name
    assert (one.boxes is None) == (other.boxes is None)
    if one.boxes is not None:
        assert listed(one.boxes) == listed(other.boxes)


def listed(boxes: Boxes) -> list[tuple[float, ...]]:
    columns = boxes.image.tolist(), boxes.label.tolist(), *boxes.xyxy.T.tolist()
    return sorted(zip(*columns, strict=True))


def around(mask: torch.Tensor, label: int) -> list[int]:
    """Left, top, right and bottom edge of the pixels (h, w) of one class."""
    rows, columns = np.nonzero((mask == label).numpy())
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def columns(boxes: Boxes) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Edges, rows and classes."""
    return boxes.xyxy, boxes.image, boxes.label

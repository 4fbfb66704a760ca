"""Mirrored images, decided for each image of a batch."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from distill.augment.checks import check_number
from distill.augment.draws import bernoulli_mask, where_rows
from distill.core.batch import Batch


class RandomHorizontalFlip(nn.Module):
    """Mirrors each image left to right with a given probability.

    Args:
        probability: In 0..1.

    Raises:
        ValueError: If ``probability`` is outside 0..1.

    Example:
        >>> images = torch.arange(4).reshape(1, 1, 2, 2)
        >>> batch = Batch(images, torch.tensor([0]), torch.tensor([0]), epoch=0)
        >>> RandomHorizontalFlip(probability=1.0)(batch, key=0).image.flatten()
        tensor([1, 0, 3, 2])
    """

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        check_number("probability", probability, 0, 1)
        self.probability = probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Flip images of a batch."""
        return _mirrored(batch, bernoulli_mask(key, batch.index, self.probability), axis=-1)


class RandomVerticalFlip(nn.Module):
    """Mirrors each image top to bottom with a given probability.

    Args:
        probability: In 0..1.

    Raises:
        ValueError: If ``probability`` is outside 0..1.
    """

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        check_number("probability", probability, 0, 1)
        self.probability = probability

    def forward(self, batch: Batch, key: int) -> Batch:
        """Flip images of a batch."""
        return _mirrored(batch, bernoulli_mask(key, batch.index, self.probability), axis=-2)


def _mirrored(batch: Batch, rows: Tensor, axis: int) -> Batch:
    image = where_rows(rows, batch.image.flip(axis), batch.image)
    mask, boxes = batch.mask, batch.boxes
    if mask is not None:
        mask = where_rows(rows, mask.flip(axis), mask)
    if boxes is not None:
        near, far = (0, 2) if axis == -1 else (1, 3)
        mirrored = boxes.xyxy.clone()
        mirrored[:, [near, far]] = batch.image.shape[axis] - boxes.xyxy[:, [far, near]]
        boxes = replace(boxes, xyxy=torch.where(rows[boxes.image, None], mirrored, boxes.xyxy))
    return replace(batch, image=image, mask=mask, boxes=boxes)

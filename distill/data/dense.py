"""Sets of images with masks and boxes, held in memory."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from distill.core.batch import Batch, Boxes
from distill.core.fingerprint import tensors_digest
from distill.data.classes import UNLABELLED
from distill.data.datasets import BatchKey


@dataclass
class Table:
    """Images of one size with what is in them.

    Attributes:
        images: (n, c, h, w), uint8.
        masks: The class of each pixel (n, h, w), uint8, 255 where it is not known; None: no masks.
        boxes: Of all images, those of an image in a row; None: no boxes.
    """

    images: Tensor
    masks: Tensor | None = None
    boxes: Boxes | None = None


class DenseImages(Dataset[Batch]):
    """Batches of images with masks and boxes, gathered from memory.

    Args:
        table: All images of the source.
        ids: Numbers of the images of this set (m,).
    """

    def __init__(self, table: Table, ids: Tensor) -> None:
        self._table, self.ids = table, ids
        n = len(table.images)
        image = torch.zeros(0, dtype=torch.int64) if table.boxes is None else table.boxes.image
        self._first = torch.searchsorted(image, torch.arange(n + 1))

    def __getitem__(self, key: BatchKey) -> Batch:
        """Gather the samples of a batch key."""
        samples = key.samples
        target = torch.full((len(samples),), UNLABELLED)
        masks = self._table.masks
        mask = None if masks is None else masks[samples]
        image = self._table.images[samples]
        return Batch(image, target, samples, key.epoch, key.step, mask, self._boxes(samples))

    def digest(self) -> str:
        """Hash all images of the source, and what is in them."""
        table, tensors = self._table, {"images": self._table.images}
        if table.masks is not None:
            tensors["masks"] = table.masks
        if table.boxes is not None:
            tensors |= {f"boxes.{name}": value for name, value in vars(table.boxes).items()}
        return tensors_digest(tensors)

    def largest_box(self) -> float:
        """The longest side of a box of this set, in pixels; 0 without boxes."""
        boxes = self._boxes(self.ids)
        if boxes is None or len(boxes.label) == 0:
            return 0.0
        return float((boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]).max())

    def _boxes(self, samples: Tensor) -> Boxes | None:
        if self._table.boxes is None:
            return None
        ranges = zip(self._first[samples].tolist(), self._first[samples + 1].tolist(), strict=True)
        places = [torch.arange(first, last) for first, last in ranges]
        found = self._table.boxes.where(torch.cat(places))
        rows = torch.arange(len(samples)).repeat_interleave(torch.tensor([len(p) for p in places]))
        return Boxes(found.xyxy, rows, found.label, found.ignored)

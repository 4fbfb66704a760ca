"""Shifted crops of a whole batch, each image by its own offset."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.augment.boxes import clip
from distill.augment.checks import check_whole
from distill.core.batch import IGNORED, Batch
from distill.core.randomness import uniform


class RandomCrop(nn.Module):
    """Pads every side with black and crops the original size at a keyed position.

    Args:
        padding: Pixels added on each side; at least 1.

    Raises:
        ValueError: If ``padding`` is not a positive whole number.

    Example:
        >>> images = torch.arange(32).reshape(2, 1, 4, 4)
        >>> batch = Batch(images, torch.tensor([0, 1]), torch.tensor([5, 6]), epoch=0)
        >>> RandomCrop(padding=1)(batch, key=0).image.shape
        torch.Size([2, 1, 4, 4])
    """

    def __init__(self, padding: int) -> None:
        super().__init__()
        check_whole("padding", padding, 1)
        self.padding = padding

    def forward(self, batch: Batch, key: int) -> Batch:
        """Crop every image of a batch."""
        offsets = (uniform(key, batch.index, 2) * (2 * self.padding + 1)).long()
        mask, boxes = batch.mask, batch.boxes
        if mask is not None:
            mask = self._cropped(mask.unsqueeze(1), offsets, IGNORED).squeeze(1)
        if boxes is not None:
            shift = (self.padding - offsets.flip(1))[boxes.image].repeat(1, 2)
            height, width = batch.image.shape[-2:]
            shifted = replace(boxes, xyxy=boxes.xyxy + shift)
            boxes = clip(shifted, height, width, moved=(shift != 0).any(1))
        image = self._cropped(batch.image, offsets, 0)
        return replace(batch, image=image, mask=mask, boxes=boxes)

    def _cropped(self, images: Tensor, offsets: Tensor, border: int) -> Tensor:
        height, width = images.shape[-2:]
        padded = F.pad(images, (self.padding,) * 4, value=border)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        rows = torch.arange(len(images), device=images.device)
        return windows[rows, :, offsets[:, 0], offsets[:, 1]]

"""Shifted crops of a whole batch, each image by its own offset."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.randomness import uniform


class RandomCrop(nn.Module):
    """Pads every side with black and crops the original size at a keyed position.

    Args:
        padding: Pixels added on each side; at least 1.

    Raises:
        ValueError: If ``padding`` is not positive.

    Example:
        >>> images = torch.arange(32).reshape(2, 1, 4, 4)
        >>> RandomCrop(padding=1)(images, torch.tensor([5, 6]), key=0).shape
        torch.Size([2, 1, 4, 4])
    """

    def __init__(self, padding: int) -> None:
        super().__init__()
        if padding < 1:
            raise ValueError(f"padding must be at least 1, got {padding}")
        self.padding = padding

    def forward(self, images: Tensor, samples: Tensor, key: int) -> Tensor:
        """Crop images (b, c, h, w) of the given sample numbers (b,)."""
        height, width = images.shape[-2:]
        offsets = (uniform(key, samples, 2) * (2 * self.padding + 1)).long()
        windows = F.pad(images, (self.padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        rows = torch.arange(len(images), device=images.device)
        return windows[rows, :, offsets[:, 0], offsets[:, 1]]

"""Mirrored images, decided for each image of a batch."""

import torch
from torch import Tensor, nn

from distill.randomness import uniform


class RandomHorizontalFlip(nn.Module):
    """Mirrors each image left to right with a given probability.

    Args:
        probability: In 0..1.

    Raises:
        ValueError: If ``probability`` is outside 0..1.

    Example:
        >>> images = torch.arange(4).reshape(1, 1, 2, 2)
        >>> RandomHorizontalFlip(probability=1.0)(images, torch.tensor([0]), key=0).flatten()
        tensor([1, 0, 3, 2])
    """

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be in 0..1, got {probability}")
        self.probability = probability

    def forward(self, images: Tensor, samples: Tensor, key: int) -> Tensor:
        """Flip images (b, c, h, w) of the given sample numbers (b,)."""
        flipped = uniform(key, samples) < self.probability
        return torch.where(flipped[:, :, None, None], images.flip(-1), images)

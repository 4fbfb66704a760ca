"""Input normalisation, which teacher and student may want differently."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Normalization:
    """Per-channel mean and standard deviation of images in 0..1.

    Raises:
        ValueError: If the lengths differ or a standard deviation is not positive.

    Example:
        >>> image = torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)
        >>> Normalization([0.5], [0.25])(image).unique()
        tensor([2.])
    """

    mean: Sequence[float]
    std: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean and std must have equal lengths, got {self.mean}, {self.std}")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std must be positive, got {self.std}")

    def __call__(self, image: Tensor) -> Tensor:
        """Normalise images (b, c, h, w), uint8 in 0..255 or floating point in 0..1; in float32.

        Raises:
            ValueError: If they have more or fewer channels.
        """
        if image.shape[1] != len(self.mean):
            counts = f"{len(self.mean)} channels, the images have {image.shape[1]}"
            raise ValueError(f"its mean and std are for {counts}")
        unit = 255.0 if image.dtype == torch.uint8 else 1.0
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=image.device).view(-1, 1, 1) * unit
            for values in (self.mean, self.std)
        )
        return (image.float() - mean) / std

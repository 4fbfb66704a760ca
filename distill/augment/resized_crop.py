"""Crops of a keyed area and shape, stretched to the size of the image (arXiv 1409.4842)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distill.augment.checks import check_range
from distill.augment.warp import warp
from distill.augment.window import Window, or_central, random_windows
from distill.core.batch import Batch


class RandomResizedCrop(nn.Module):
    """Stretches a keyed crop of each image to the image's own size.

    Where ten draws do not fit the image, the crop is the largest central one of such an aspect.

    Args:
        area: Smallest and largest share of the image, in 0.01..1.
        aspect: Smallest and largest width over height, in 0.1..10.

    Raises:
        ValueError: If ``area`` or ``aspect`` is no ascending pair in its range.
    """

    def __init__(
        self, area: tuple[float, float] = (0.08, 1.0), aspect: tuple[float, float] = (3 / 4, 4 / 3)
    ) -> None:
        super().__init__()
        check_range("area", area, 0.01, 1)
        check_range("aspect", aspect, 0.1, 10)
        self.area, self.aspect = area, aspect

    def forward(self, batch: Batch, key: int) -> Batch:
        """Crop and stretch every image of a batch."""
        size = batch.image.shape[-2:]
        crop = random_windows(key, batch.index, size, self.area, self.aspect)
        return warp(batch, _to_whole(or_central(crop, size, self.aspect), size))


def _to_whole(crop: Window, size: Sequence[int]) -> Tensor:
    """Make matrices (b, 3, 3) that stretch crops to the whole image."""
    across, down = size[1] / crop.width.double(), size[0] / crop.height.double()
    zero, one = torch.zeros_like(across), torch.ones_like(across)
    cells = [across, zero, -across * crop.left, zero, down, -down * crop.top, zero, zero, one]
    return torch.stack(cells, 1).view(-1, 3, 3)

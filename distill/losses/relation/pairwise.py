"""Pair-wise distillation of segmenters: Liu et al., CVPR 2019, arXiv 1903.04197, section 3.2.

The similarities of all pairs of places in a map, student's against teacher's. The authors' code
computes norms without a gradient, so that the loss pushes the scale of features, on which its value
does not depend; here they have one. Its ``pool_scale`` 0.5 leaves 4 places of any map; a later copy
of it (CIRKD) pools 2 x 2 cells: ``pool`` takes both.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, maps

_MOST = 4096


def pairwise_loss(student: Tensor, teacher: Tensor, pool: float = 2) -> Tensor:
    """Mean squared gap of the cosines between all pairs of places of max-pooled maps.

    Args:
        student: Maps (b, c, h, w).
        teacher: Maps (b, c', h, w); no gradient flows to them.
        pool: Cells of a square that make one place, or, below 1, the share of the map's sides
            that a square has: 0.5 leaves 2 x 2 places.

    Returns:
        Between 0 and 4; it does not depend on the scale of either map.

    Raises:
        ValueError: If the maps differ in batch, height or width, ``pool`` is not positive, or more
            than 4096 places are left, whose pairs would not fit into memory.

    Example:
        >>> import torch
        >>> apart, same = torch.eye(2).view(1, 2, 1, 2), torch.ones(1, 2, 1, 2)
        >>> f"{pairwise_loss(apart, same, pool=1):.4f}"
        '0.5000'
    """
    maps(student, teacher)
    _check(pool)
    height, width = student.shape[-2:]
    kernel = (math.ceil(height * pool), math.ceil(width * pool)) if pool < 1 else (int(pool),) * 2
    places = math.ceil(height / kernel[0]) * math.ceil(width / kernel[1])
    if places > _MOST:
        size = f"{height} x {width} cells and pool {pool}"
        raise ValueError(f"pairs of at most {_MOST} places are compared, {size} leave {places}")
    gap = _cosines(student, kernel) - _cosines(teacher.detach(), kernel)
    return gap.square().mean()


class PairwiseLoss(nn.Module):
    """Module form of :func:`pairwise_loss`, for recipes.

    Example:
        >>> import torch
        >>> maps = torch.rand(2, 16, 8, 8)
        >>> f"{PairwiseLoss(pool=2)(5 * maps, maps):.4f}"  # scale does not matter
        '0.0000'
    """

    def __init__(self, pool: float = 2) -> None:
        super().__init__()
        self.pool = _check(pool)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`pairwise_loss`."""
        return pairwise_loss(student, teacher, self.pool)


def _cosines(activations: Tensor, kernel: tuple[int, int]) -> Tensor:
    """Cosines (b, n, n) of all pairs of n places."""
    pooled = F.max_pool2d(at_least_float32(activations), kernel, ceil_mode=True)
    places = F.normalize(pooled.flatten(2), dim=1)
    with torch.autocast(places.device.type, enabled=False):
        return places.transpose(1, 2) @ places


def _check(pool: float) -> float:
    if not (math.isfinite(pool) and pool > 0) or (pool >= 1 and pool != int(pool)):
        raise ValueError(f"pool must be a whole number of cells or a share below 1, got {pool}")
    return pool

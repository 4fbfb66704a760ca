"""Attention transfer: Zagoruyko and Komodakis, ICLR 2017, arXiv 1612.03928.

The paper takes the L2 distance of normalised attention maps, its weight about 0.1; the authors'
code takes the mean squared difference of their elements, its weight 1000. These are different
losses, not different weights: the distance's gradient does not vanish near the goal.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, maps
from distill.losses.kernels import l2_normalize, scale_to_unit_max

Convention = Literal["code", "paper"]


def at_loss(
    student: Tensor, teacher: Tensor, convention: Convention = "code", p: float = 2
) -> Tensor:
    """Distance of attention maps, the channels' mean of |activation|^p, at length 1 per image.

    Invariant to a positive scale of any image's maps.

    Args:
        student: Maps (b, c, h, w).
        teacher: Maps (b, c', h, w); no gradient flows to them.
        convention: ``code``, the mean over images and pixels of the squared difference (at most
            2 / (h w)); or ``paper``, the mean over images of the L2 norm of the difference.
        p: Power of the activations, 2 in the paper; at least 1, since below it has no
            gradient where one is 0.

    Returns:
        A scalar; an image whose maps are all zero has an attention map of zeros.

    Raises:
        ValueError: If the maps differ in batch or size, are not (b, c, h, w) or are empty, or an
            argument is out of range.

    Example:
        >>> left = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
        >>> at_loss(left, left.flip(3)), at_loss(left, left.flip(3), "paper")
        (tensor(0.5000), tensor(1.4142))
    """
    maps(student, teacher)
    _check(convention, p)
    gap = _attention(student, p) - _attention(teacher.detach(), p)
    if convention == "paper":
        norms: Tensor = torch.linalg.vector_norm(gap, dim=1)
        return norms.mean()
    return gap.square().mean()


class ATLoss(nn.Module):
    """Module form of :func:`at_loss`, for recipes; one term per stage.

    Example:
        >>> loss = ATLoss(convention="paper")
        >>> maps = torch.rand(2, 16, 8, 8)
        >>> f"{loss(5 * maps, maps):.4f}"  # a scale does not matter
        '0.0000'
    """

    def __init__(self, convention: Convention = "code", p: float = 2) -> None:
        super().__init__()
        _check(convention, p)
        self.convention, self.p = convention, p

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`at_loss`."""
        return at_loss(student, teacher, self.convention, self.p)


def _check(convention: Convention, p: float) -> None:
    if not (math.isfinite(p) and p >= 1):
        raise ValueError(f"p must be finite and at least 1, got {p}")
    if convention not in ("code", "paper"):
        raise ValueError(f"convention must be 'code' or 'paper', got {convention!r}")


def _attention(activations: Tensor, p: float) -> Tensor:
    size = scale_to_unit_max(at_least_float32(activations).abs(), dim=(1, 2, 3))
    return l2_normalize(size.pow(p).mean(1).flatten(1))

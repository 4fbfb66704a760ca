"""Correlation congruence: Peng et al., ICCV 2019, arXiv 1904.01802.

The paper compares the batch's correlation matrices under a Gaussian kernel, expanded to a few
Taylor terms (``paper``). The code that the authors gave to a public benchmark is another loss: the
products of neighbouring images' absolute differences (``code``); the benchmark's figures are its.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, positive, same_batch, same_shape
from distill.losses.kernels import cosines

Convention = Literal["paper", "code"]


def cc_loss(
    student: Tensor,
    teacher: Tensor,
    gamma: float = 0.4,
    order: int = 2,
    convention: Convention = "paper",
) -> Tensor:
    """Mean squared gap between the two batches' correlation matrices (eq. 4 to 7).

    Args:
        student: Features (b, ...), flattened after b.
        teacher: Features (b, ...), of any size (``paper``) or the student's (``code``); no
            gradient flows to them.
        gamma: Of the kernel exp(-gamma |x - y|^2) of unit vectors; positive, 0.4 in the paper.
            ``paper`` only.
        order: Highest power of its Taylor series; at least 1, 2 in the paper. ``paper`` only.
        convention: ``paper``, weighed 100 there; or ``code``: the mean over neighbours in the
            batch of the sum of |s - t| of one times |s - t| of the next, weighed 0.02.

    Returns:
        A mean over the b^2 pairs; for ``code`` over the b - 1 neighbours, 0 for one image.

    Raises:
        ValueError: If the batch sizes differ or are 0, or an argument is out of range.

    Example:
        >>> rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> f"{cc_loss(rows, 5 * rows):.4f} {cc_loss(rows, torch.ones(2, 1)):.4f}"
        '0.0000 0.1266'
    """
    same_batch(student, teacher)
    _check(gamma, order, convention)
    if convention == "code":
        return _neighbours(student.flatten(1), teacher.detach().flatten(1))
    gap = _kernel(student, gamma, order) - _kernel(teacher.detach(), gamma, order)
    return gap.square().mean().to(at_least_float32(student).dtype)


class CCLoss(nn.Module):
    """Module form of :func:`cc_loss`, for recipes.

    Example:
        >>> rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> f"{CCLoss(order=1)(rows, torch.ones(2, 1)):.4f}"
        '0.0646'
    """

    def __init__(
        self, gamma: float = 0.4, order: int = 2, convention: Convention = "paper"
    ) -> None:
        super().__init__()
        _check(gamma, order, convention)
        self.gamma, self.order, self.convention = gamma, order, convention

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`cc_loss`."""
        return cc_loss(student, teacher, self.gamma, self.order, self.convention)


def _check(gamma: float, order: int, convention: Convention) -> None:
    positive("gamma", gamma)
    if order < 1:
        raise ValueError(f"order must be at least 1, got {order}")
    if convention not in ("paper", "code"):
        raise ValueError(f"convention must be 'paper' or 'code', got {convention!r}")


def _kernel(rows: Tensor, gamma: float, order: int) -> Tensor:
    cosine = cosines(rows)
    series = [(2 * gamma * cosine) ** power / math.factorial(power) for power in range(order + 1)]
    return math.exp(-2 * gamma) * torch.stack(series).sum(0)


def _neighbours(student: Tensor, teacher: Tensor) -> Tensor:
    same_shape(student, teacher, "b d")
    gap = (at_least_float32(student) - at_least_float32(teacher)).abs()
    return (gap[:-1] * gap[1:]).sum() / max(1, len(gap) - 1)

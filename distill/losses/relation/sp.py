"""Similarity-preserving knowledge distillation: Tung and Mori, ICCV 2019, arXiv 1907.09682.

Rows of the batch similarity matrix are divided by their L2 norm. Code that passes the dimension as
the norm's order divides by the L1 norm, which is another loss.
"""

import torch
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, same_batch
from distill.losses.kernels import l2_normalize, scale_to_unit_max


def sp_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared gap between the two batch similarity matrices (eq. 2 to 4).

    Invariant to a scale and a rotation of either batch. The literature weighs it 3000, on the last
    feature map.

    Args:
        student: Features (b, ...), flattened after b.
        teacher: Features (b, ...), of any size; no gradient flows to them.

    Returns:
        The mean over the b^2 pairs, at most 4 / b. A row of zeros is similar to nothing.

    Raises:
        ValueError: If the batch sizes differ or are 0.

    Example:
        >>> rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> f"{sp_loss(rows, 5 * rows):.1f} {sp_loss(rows, torch.ones(2, 1)):.2f}"
        '0.0 0.29'
    """
    same_batch(student, teacher)
    gap = _similarity(student) - _similarity(teacher.detach())
    return gap.square().mean().to(at_least_float32(student).dtype)


class SPLoss(nn.Module):
    """Module form of :func:`sp_loss`, for recipes.

    Example:
        >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> teacher = torch.tensor([[0.0, 2.0, 0.0], [2.0, 0.0, 0.0]])  # also at right angles
        >>> f"{SPLoss()(student, teacher):.4f}"
        '0.0000'
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`sp_loss`."""
        return sp_loss(student, teacher)


def _similarity(rows: Tensor) -> Tensor:
    flat = rows.flatten(1)
    flat = flat if flat.device.type == "mps" else flat.double()
    flat = scale_to_unit_max(flat)
    with torch.autocast(flat.device.type, enabled=False):
        return l2_normalize(flat @ flat.T)

"""Quality focal loss: Li et al., NeurIPS 2020, arXiv 2006.04388 (GFL), eq. 4.

With the scores of a teacher as the target it distils a detector's classes, as the binary
cross-entropy of BCKD does (Yang et al., ICCV 2023, arXiv 2308.14286).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, not_negative


def quality_focal_loss(
    input: Tensor, target: Tensor, count: Tensor | None = None, beta: float = 2.0
) -> Tensor:
    """The sum of |y - p|^beta times the binary cross-entropy of p to y, by a count.

    p is the sigmoid of the input and y the target, which may be any number in 0..1.

    Args:
        input: Logits (..., k).
        target: Scores (..., k), in 0..1; no gradient flows to them.
        count: What to divide by, a scalar; None: the number of rows, at least 1.
        beta: Strength with which places that agree are played down; at least 0.

    Raises:
        ValueError: If the shapes differ, a score is outside 0..1, or beta is out of range.

    Example:
        >>> import torch
        >>> f"{quality_focal_loss(torch.zeros(1, 1), torch.ones(1, 1)):.4f}"
        '0.1733'
    """
    not_negative("beta", beta)
    if input.ndim < 1 or input.shape != target.shape or not target.is_floating_point():
        shapes = f"got {tuple(input.shape)} and {tuple(target.shape)} {target.dtype}"
        raise ValueError(f"input and target need the same shape (..., k), {shapes}")
    logits, scores = at_least_float32(input), at_least_float32(target.detach())
    if scores.device.type == "cpu" and ((scores < 0) | (scores > 1)).any():
        span = f"{scores.min().item():.3g}..{scores.max().item():.3g}"
        raise ValueError(f"target needs scores in 0..1, got {span}")
    gap = (scores - logits.sigmoid()).abs()
    # The floor keeps the slope of the power finite for beta < 1.
    weight = gap.clamp_min(1e-12).pow(beta) if 0 < beta < 1 else gap.pow(beta)
    total = (weight * F.binary_cross_entropy_with_logits(logits, scores, reduction="none")).sum()
    if count is None:
        return total / max(logits.shape[:-1].numel(), 1)
    return total / count.clamp_min(1)


class QualityFocalLoss(nn.Module):
    """Module form of :func:`quality_focal_loss`, for recipes.

    Example:
        >>> import torch
        >>> QualityFocalLoss()(torch.zeros(2, 3), torch.full((2, 3), 0.5))  # equal scores
        tensor(0.)
    """

    def __init__(self, beta: float = 2.0) -> None:
        super().__init__()
        self.beta = not_negative("beta", beta)

    def forward(self, input: Tensor, target: Tensor, count: Tensor | None = None) -> Tensor:
        """See :func:`quality_focal_loss`."""
        return quality_focal_loss(input, target, count, self.beta)

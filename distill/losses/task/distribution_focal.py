"""Distribution focal loss: Li et al., NeurIPS 2020, arXiv 2006.04388 (GFL), eq. 6.

The distance to an edge of a box is a distribution over bins 0 to r - 1; the two bins around the
true distance are asked to hold it.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32


def distribution_focal_loss(input: Tensor, target: Tensor) -> Tensor:
    """The mean of -(1 - w) log p_j - w log p_(j+1), where the target is j + w.

    Args:
        input: Logits (..., r) of r bins, at least 2.
        target: Distances (...,) in bins; those outside 0..r-1 are taken to the nearest end.

    Returns:
        In nats; log r for even logits. 0 with a gradient of 0 for no rows.

    Raises:
        ValueError: If the shapes do not belong together, or there are fewer than two bins.

    Example:
        >>> import torch
        >>> f"{distribution_focal_loss(torch.zeros(1, 8), torch.tensor([2.5])):.4f}"  # log 8
        '2.0794'
    """
    if input.ndim < 1 or input.shape[:-1] != target.shape or input.shape[-1] < 2:
        shapes = f"got logits {tuple(input.shape)} and target {tuple(target.shape)}"
        raise ValueError(f"target needs a distance per row of two or more bins, {shapes}")
    log_p = F.log_softmax(at_least_float32(input), dim=-1)
    place = at_least_float32(target.detach()).clamp(0, input.shape[-1] - 1)
    low = place.floor().clamp_max(input.shape[-1] - 2)
    weight, bin_ = place - low, low.long()[..., None]
    below, above = (log_p.gather(-1, each)[..., 0] for each in (bin_, bin_ + 1))
    return -((1 - weight) * below + weight * above).sum() / max(place.numel(), 1)


class DistributionFocalLoss(nn.Module):
    """Module form of :func:`distribution_focal_loss`, for recipes.

    Example:
        >>> import torch
        >>> f"{DistributionFocalLoss()(torch.zeros(5, 4, 2), torch.zeros(5, 4)):.4f}"  # log 2
        '0.6931'
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See :func:`distribution_focal_loss`."""
        return distribution_focal_loss(input, target)

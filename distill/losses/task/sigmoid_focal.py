"""Focal loss of a detector's classes: Lin et al., ICCV 2017, arXiv 1708.02002, as it stands there.

A sigmoid for each class at each point, and the sum divided by the number of points that have an
object. :class:`~distill.losses.FocalLoss` is the softmax form for classifiers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, not_negative

_IGNORED = -100


def sigmoid_focal_loss(
    input: Tensor,
    target: Tensor,
    count: Tensor | None = None,
    gamma: float = 2.0,
    alpha: float = 0.25,
) -> Tensor:
    """The sum of -alpha_t (1 - p_t)^gamma log p_t over points and classes, by the count of objects.

    p_t is the sigmoid p for the class of a point and 1 - p for all others; alpha_t likewise.

    Args:
        input: Logits (..., k).
        target: Class numbers (...,), int64; -1 where there is no object, -100 where it is not
            known: such points do not count.
        count: What to divide by, a scalar; None: the number of objects, at least 1.
        gamma: Strength with which easy points are played down; at least 0.
        alpha: Weight of a point's own class, in 0..1.

    Raises:
        ValueError: If the shapes do not belong together, a class number is out of range, or gamma
            or alpha is.

    Example:
        >>> f"{sigmoid_focal_loss(torch.zeros(1, 1), torch.tensor([0])):.7f}"
        '0.0433217'
    """
    not_negative("gamma", gamma)
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in 0..1, got {alpha}")
    if input.ndim < 1 or target.shape != input.shape[:-1] or target.is_floating_point():
        shapes = f"{tuple(input.shape)} and target {tuple(target.shape)} {target.dtype}"
        raise ValueError(f"target needs one class number per row of logits, got logits {shapes}")
    known = target != _IGNORED
    if target.device.type == "cpu" and ((target < -1) & known | (target >= input.shape[-1])).any():
        span = f"{target[known].min().item()}..{target.max().item()}"
        raise ValueError(f"target needs class numbers in -1..{input.shape[-1] - 1}, got {span}")
    logits = at_least_float32(input)
    own = target[..., None] == torch.arange(input.shape[-1], device=target.device)
    log_p = F.logsigmoid(torch.where(own, logits, -logits))
    rest = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    weight = torch.where(own, alpha, 1 - alpha) * known[..., None]
    total = -(weight * rest.pow(gamma) * log_p).sum()
    objects = (target >= 0).sum() if count is None else count
    return total / objects.clamp_min(1)


class SigmoidFocalLoss(nn.Module):
    """Module form of :func:`sigmoid_focal_loss`, for recipes.

    Example:
        >>> loss = SigmoidFocalLoss()
        >>> f"{loss(torch.zeros(2, 3), torch.tensor([-1, -100])):.4f}"  # easy ground
        '0.3899'
    """

    def __init__(self, gamma: float = 2.0, alpha: float = 0.25) -> None:
        super().__init__()
        self.gamma, self.alpha = not_negative("gamma", gamma), alpha
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be in 0..1, got {alpha}")

    def forward(self, input: Tensor, target: Tensor, count: Tensor | None = None) -> Tensor:
        """See :func:`sigmoid_focal_loss`."""
        return sigmoid_focal_loss(input, target, count, self.gamma, self.alpha)

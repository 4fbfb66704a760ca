"""Focal loss: Lin, Goyal, Girshick, He and Dollar, ICCV 2017, arXiv 1708.02002.

The paper writes it for one foreground class and a sigmoid, and divides by the number of anchors
that have an object; here it is over a softmax, as a mean over the batch. ``torchvision.ops`` has
the sigmoid form.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, not_negative
from distill.losses.task.targets import same_rank, shares


def focal_loss(
    input: Tensor,
    target: Tensor,
    gamma: float = 2.0,
    alpha: float | Tensor | None = None,
    ignore_index: int = -100,
) -> Tensor:
    """Cross-entropy with easy images played down: -alpha_y (1 - p_y)^gamma log p_y.

    p is the softmax of the input and y the target. With shares t instead of class numbers it is
    the sum over classes of t_k times the same; gamma 0 and no alpha give cross-entropy. The
    paper's best gamma is 2, with alpha 0.25 for its foreground and 0.75 for its background.

    Args:
        input: Logits (b, k).
        target: Class numbers (b,), or shares of the classes (b, k), such as those of mixup.
        gamma: Strength with which easy images are played down; at least 0.
        alpha: Weights of the classes (k,), or one for all; at least 0, None is 1. Unlike those of
            ``torch.nn.CrossEntropyLoss`` they do not divide the mean.
        ignore_index: The class number of images that do not count.

    Returns:
        The mean over the images that count, in nats; 0 with a gradient of 0 if none does.

    Raises:
        ValueError: If the shapes do not belong together, a class number is out of range, or gamma
            or alpha is out of range or has another length than k.

    Example:
        >>> even, target = torch.zeros(1, 2), torch.tensor([0])
        >>> f"{focal_loss(even, target):.4f} {focal_loss(even, target, gamma=0):.4f}"
        '0.1733 0.6931'
    """
    same_rank(input, "b k")
    not_negative("gamma", gamma)
    share, known = shares(input, target, ignore_index)
    logits = at_least_float32(input).masked_fill(~known.unsqueeze(1), 0.0)
    log_p = F.log_softmax(logits, dim=1)
    # The floor keeps the slope of the power finite for gamma < 1.
    rest = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    surprise = torch.where(share > 0, -log_p, 0.0)  # 0 times infinity is not 0
    values = share * rest.pow(gamma) * surprise * _weights(alpha, log_p)
    return values.sum() / known.sum().clamp_min(1)


class FocalLoss(nn.Module):
    """Module form of :func:`focal_loss`, for recipes; ``alpha`` becomes a buffer.

    Example:
        >>> loss = FocalLoss(gamma=2.0, alpha=[0.75, 0.25])
        >>> loss(torch.zeros(2, 2), torch.tensor([0, 1]))
        tensor(0.0866)
    """

    alpha: Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | None = None,
        ignore_index: int = -100,
    ) -> None:
        super().__init__()
        self.gamma, self.ignore_index = not_negative("gamma", gamma), ignore_index
        for value in alpha if isinstance(alpha, Sequence) else [alpha or 0.0]:
            not_negative("alpha", value)
        self.register_buffer("alpha", None if alpha is None else torch.tensor(alpha))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See :func:`focal_loss`."""
        return focal_loss(input, target, self.gamma, self.alpha, self.ignore_index)


def _weights(alpha: float | Tensor | None, log_p: Tensor) -> float | Tensor:
    if not isinstance(alpha, Tensor):
        return 1.0 if alpha is None else not_negative("alpha", alpha)
    if alpha.shape not in ((), (log_p.shape[1],)):
        n_classes, found = log_p.shape[1], tuple(alpha.shape)
        raise ValueError(f"alpha needs one number per class, {n_classes}, got shape {found}")
    if alpha.device.type == "cpu" and not (alpha >= 0).all():
        raise ValueError(f"alpha must be at least 0, got {alpha.tolist()}")
    return alpha.to(log_p.dtype)

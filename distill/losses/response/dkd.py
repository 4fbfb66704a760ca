"""Decoupled knowledge distillation: Zhao et al., CVPR 2022, arXiv 2203.08679.

KD's divergence is KL over (target, not target) plus (1 - p_t[target]) times KL among the other
classes; here the two get weights of their own. Log-probabilities come from logsumexp, so a very
confident student does not give infinities. The authors warm the term up over 20 epochs on CIFAR.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import (
    at_least_float32,
    class_numbers,
    not_negative,
    positive,
    same_shape,
)


def dkd_loss(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
) -> Tensor:
    """T^2 (alpha KL of the target's share + beta KL among the other classes).

    The defaults are the authors' for CIFAR; for ImageNet they take beta 0.5 and temperature 1.
    With two classes the second part is 0.

    Args:
        student: Logits (b, k), k at least 2.
        teacher: Logits (b, k); no gradient flows to them.
        target: Class numbers (b,), int64.
        alpha: Weight of the target's share; at least 0.
        beta: Weight of the other classes; at least 0.
        temperature: T, divides both logits; positive.

    Returns:
        The mean over the batch, in nats; at least 0.

    Raises:
        ValueError: If the shapes differ, are not (b, k) or are empty, if there is only one class,
            or a target or hyper-parameter is out of range.

    Example:
        >>> student, teacher = torch.zeros(1, 3), torch.tensor([[2.0, 1.0, 0.0]])
        >>> dkd_loss(student, teacher, torch.tensor([0])) > 0
        tensor(True)
    """
    same_shape(student, teacher, "b k")
    class_numbers(target, student)
    if student.shape[1] < 2:
        raise ValueError(f"student and teacher need 2 classes, got shape {tuple(student.shape)}")
    _check(alpha, beta, temperature)
    z_s = at_least_float32(student) / temperature
    z_t = at_least_float32(teacher.detach()) / temperature
    target_part = F.kl_div(
        _target_share(z_s, target),
        _target_share(z_t, target),
        reduction="batchmean",
        log_target=True,
    )
    other_s, other_t = (F.log_softmax(_others(z, target), dim=1) for z in (z_s, z_t))
    other_part = F.kl_div(other_s, other_t, reduction="batchmean", log_target=True)
    return temperature**2 * (alpha * target_part + beta * other_part)


class DKDLoss(nn.Module):
    """Module form of :func:`dkd_loss`, for recipes.

    Example:
        >>> loss, target = DKDLoss(alpha=1.0, beta=8.0), torch.tensor([0, 2])
        >>> logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
        >>> f"{loss(logits + 5, logits, target).abs():.4f}"
        '0.0000'
    """

    def __init__(self, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0) -> None:
        super().__init__()
        _check(alpha, beta, temperature)
        self.alpha, self.beta, self.temperature = alpha, beta, temperature

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        """See :func:`dkd_loss`."""
        return dkd_loss(student, teacher, target, self.alpha, self.beta, self.temperature)


def _check(alpha: float, beta: float, temperature: float) -> None:
    not_negative("alpha", alpha)
    not_negative("beta", beta)
    positive("temperature", temperature)


def _others(logits: Tensor, target: Tensor) -> Tensor:
    """Select the logits (b, k - 1) of all classes but the target."""
    classes = torch.arange(logits.shape[1] - 1, device=logits.device)
    return logits.gather(1, classes + (classes >= target[:, None]))


def _target_share(logits: Tensor, target: Tensor) -> Tensor:
    """Compute log-probabilities (b, 2) of the target and of all other classes together."""
    own = logits.gather(1, target[:, None])
    rest = _others(logits, target).logsumexp(1, keepdim=True)
    return F.log_softmax(torch.cat([own, rest], dim=1), dim=1)

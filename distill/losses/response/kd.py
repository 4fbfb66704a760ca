"""Soft targets: Hinton, Vinyals and Dean, NIPS workshop 2014, arXiv 1503.02531."""

import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, logit_rows, positive


def kd_loss(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """T^2 times the Kullback-Leibler divergence of the student's soft targets from the teacher's.

    The factor T^2 keeps the gradient's size independent of T (section 2 of the paper). The default
    temperature is that of the literature's CIFAR experiments.

    Args:
        student: Logits (b, k), or (b, t, k) of t time steps.
        teacher: Logits of the same shape; no gradient flows to them.
        temperature: T, divides both logits; positive.

    Returns:
        The mean over the batch, and over its steps, of the sum over classes, in nats; at least 0.

    Raises:
        ValueError: If the shapes differ, have another rank or are empty, or T is not positive.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2), torch.tensor([[3.0, 1.0]]).log()
        >>> f"{kd_loss(student, teacher, temperature=1.0):.4f}"
        '0.1308'
    """
    student, teacher = logit_rows(student, teacher)
    positive("temperature", temperature)
    log_student = F.log_softmax(at_least_float32(student) / temperature, dim=1)
    log_teacher = F.log_softmax(at_least_float32(teacher.detach()) / temperature, dim=1)
    divergence = F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    return temperature**2 * divergence


class KDLoss(nn.Module):
    """Module form of :func:`kd_loss`, for recipes.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[1.0, 2.0, 4.0]])
        >>> f"{KDLoss(temperature=4.0)(logits + 5, logits).abs():.4f}"
        '0.0000'
    """

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        self.temperature = positive("temperature", temperature)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`kd_loss`."""
        return kd_loss(student, teacher, self.temperature)

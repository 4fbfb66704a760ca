"""Soft targets for multi-label classification: KD (Hinton et al., arXiv 1503.02531) per label.

Each label is a distribution over yes and no. Code that keeps only the q log(q_t / q_s) half of it
does not compute a divergence.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, positive, same_shape


def multi_label_kd_loss(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 times the sum over labels of KL(Bernoulli(q_t) || Bernoulli(q_s)), q = sigmoid(z / T).

    Args:
        student: Logits (b, k).
        teacher: Logits (b, k); no gradient flows to them.
        temperature: T, divides both logits; positive, 1 leaves them as they are.

    Returns:
        The mean over the batch of the sum over labels, in nats; at least 0.

    Raises:
        ValueError: If the shapes differ, are not (b, k) or are empty, or T is not positive.

    Example:
        >>> import torch
        >>> yes = torch.tensor([[3.0]]).log()  # sigmoid 0.75, against 0.5
        >>> f"{multi_label_kd_loss(torch.zeros(1, 1), yes):.4f}"
        '0.1308'
    """
    same_shape(student, teacher, "b k")
    positive("temperature", temperature)
    z_s = at_least_float32(student) / temperature
    z_t = at_least_float32(teacher.detach()) / temperature
    yes = z_t.sigmoid() * (F.logsigmoid(z_t) - F.logsigmoid(z_s))
    no = (-z_t).sigmoid() * (F.logsigmoid(-z_t) - F.logsigmoid(-z_s))
    return temperature**2 * (yes + no).sum(1).mean()


class MultiLabelKDLoss(nn.Module):
    """Module form of :func:`multi_label_kd_loss`, for recipes.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2), torch.full((1, 2), 3.0).log()
        >>> f"{MultiLabelKDLoss()(student, teacher):.4f}"  # two labels
        '0.2616'
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = positive("temperature", temperature)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`multi_label_kd_loss`."""
        return multi_label_kd_loss(student, teacher, self.temperature)

"""Hard-label distillation: Touvron et al., DeiT, ICML 2021, arXiv 2012.12877.

The class that the teacher prefers is taken for the label. DeiT trains the head of its distillation
token on this and the other head on the true labels, each with weight 0.5 (eq. 3); for a network
with one head the two terms share its logits.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.checks import at_least_float32, same_shape


def hard_kd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy of the student with the class of the teacher's largest logit.

    Args:
        student: Logits (b, k).
        teacher: Logits (b, k); no gradient flows to them. The first of equal ones counts.

    Returns:
        The mean over the batch, in nats; above 0 even for equal logits.

    Raises:
        ValueError: If the shapes differ, are not (b, k) or are empty.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[1.0, 3.0]]).log(), torch.tensor([[0.1, 0.2]])
        >>> f"{hard_kd_loss(student, teacher).exp():.4f}"
        '1.3333'
    """
    same_shape(student, teacher, "b k")
    return F.cross_entropy(at_least_float32(student), teacher.argmax(1))


class HardKDLoss(nn.Module):
    """Module form of :func:`hard_kd_loss`, for recipes.

    Example:
        >>> import torch
        >>> HardKDLoss()(torch.zeros(1, 2), torch.tensor([[0.1, 0.2]]))  # ln 2
        tensor(0.6931)
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`hard_kd_loss`."""
        return hard_kd_loss(student, teacher)

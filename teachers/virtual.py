"""Teacher-free distillation with a virtual teacher: Yuan et al., CVPR 2020, arXiv 1909.11723.

A hand-made teacher is right in every image: it gives the true class the probability ``correct`` and
shares the rest among the others (eq. 9 of the paper). Its distribution and the student's are both
softened by the temperature of the loss (eq. 10). The authors' code softens the teacher's
probabilities as if they were logits, does not soften the student and takes the mean over classes
too; here the equations are followed.
"""

import math

import torch
from torch import Tensor, nn


def virtual_logits(
    target: Tensor, num_classes: int, correct: float, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Make logits whose ``softmax`` is ``correct`` on the true class and uniform elsewhere.

    Args:
        target: Class numbers (b,).
        num_classes: k, at least 2.
        correct: Probability of the true class, between 0 and 1, both excluded.
        dtype: Of the logits.

    Returns:
        Logits (b, k).

    Raises:
        ValueError: If the target is not of shape (b,), or there are fewer than two classes.

    Example:
        >>> virtual_logits(torch.tensor([1]), 3, 0.9).softmax(1)
        tensor([[0.0500, 0.9000, 0.0500]])
    """
    if target.ndim != 1:
        raise ValueError(f"target needs one class number per image, got {tuple(target.shape)}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    wrong = (1 - correct) / (num_classes - 1)
    shape = (len(target), num_classes)
    logits = torch.full(shape, math.log(wrong), dtype=dtype, device=target.device)
    return logits.scatter(1, target.unsqueeze(1), math.log(correct))


class VirtualTeacher(nn.Module):
    """Applies a loss to the student and the virtual teacher.

    With ``distill.losses.KDLoss`` it is the paper's Tf-KD. It needs no network: ``teacher: null``.

    Args:
        loss: Takes ``student`` and ``teacher`` logits.
        correct: Probability of the true class; the paper takes 0.9 and more.

    Raises:
        ValueError: If ``correct`` is not between 0 and 1.

    Example:
        >>> from distill.losses import KDLoss
        >>> loss = VirtualTeacher(KDLoss(temperature=20.0), correct=0.9)
        >>> loss(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])).shape
        torch.Size([])
    """

    def __init__(self, loss: nn.Module, correct: float = 0.9) -> None:
        super().__init__()
        if not 0 < correct < 1:
            raise ValueError(f"correct must be between 0 and 1, got {correct}")
        self.loss, self.correct = loss, correct

    def forward(self, student: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of logits (b, k) and class numbers (b,)."""
        dtype = torch.promote_types(student.dtype, torch.float32)
        teacher = virtual_logits(target, student.shape[1], self.correct, dtype)
        value: Tensor = self.loss(student=student, teacher=teacher)
        return value

"""Logit standardisation in knowledge distillation: Sun et al., CVPR 2024, arXiv 2403.01427.

Each image's logits are standardised before KD, so that the student need only match the teacher's
order and proportions, not its range.
"""

from torch import Tensor, nn

from distill.losses.checks import at_least_float32, positive, same_shape
from distill.losses.response.kd import kd_loss

_EPSILON = 1e-7  # the authors', added to the standard deviation


def logit_standard_kd_loss(student: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
    """KD of logits with mean 0 and standard deviation 1 per image (n - 1 in the denominator).

    Invariant to a positive scale and a shift of any image's logits, of either network. The authors
    take temperature 2 and weight 9 for most pairs on CIFAR.

    Args:
        student: Logits (b, k), k at least 2.
        teacher: Logits (b, k); no gradient flows to them.
        temperature: T, divides the standardised logits; positive.

    Returns:
        The mean over the batch, in nats times T^2; at least 0.

    Raises:
        ValueError: If the shapes differ, are not (b, k) or are empty, if there is only one class,
            or T is not positive.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[1.0, 2.0, 4.0]])
        >>> f"{logit_standard_kd_loss(10 * logits + 3, logits):.4f}"
        '0.0000'
    """
    same_shape(student, teacher, "b k")
    if student.shape[1] < 2:
        raise ValueError(f"student and teacher need 2 classes, got shape {tuple(student.shape)}")
    return kd_loss(_standardize(student), _standardize(teacher.detach()), temperature)


class LogitStandardKDLoss(nn.Module):
    """Module form of :func:`logit_standard_kd_loss`, for recipes.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[1.0, 2.0, 4.0]])
        >>> f"{LogitStandardKDLoss()(10 * logits + 3, logits).abs():.4f}"
        '0.0000'
    """

    def __init__(self, temperature: float = 2.0) -> None:
        super().__init__()
        self.temperature = positive("temperature", temperature)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :func:`logit_standard_kd_loss`."""
        return logit_standard_kd_loss(student, teacher, self.temperature)


def _standardize(logits: Tensor) -> Tensor:
    logits = at_least_float32(logits)
    deviation = logits - logits.mean(1, keepdim=True)
    return deviation / (logits.std(1, keepdim=True) + _EPSILON)
